"""Durations, sizes and rates as the config writes them, read into integers."""

import re

__all__ = ["parse_duration", "parse_rate", "parse_size"]

_TIMES = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_SIZES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_PERIODS = {"s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9, "day": 86400 * 10**9}

_DURATION = re.compile(r"([0-9]{1,19})(ms|s|m|h)")
_SIZE = re.compile(r"([0-9]{1,19})(B|KiB|MiB|GiB)")
_RATE = re.compile(r"([1-9][0-9]{0,8})/(s|min|h|day)")

# Compiled code keeps these numbers in 64 bits and adds to them: half the range is left.
_MOST = 2**62


def _amount(pattern: re.Pattern[str], units: dict[str, int], text: str, example: str) -> int:
    match = pattern.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not of the form {example}")
    amount = int(match[1]) * units[match[2]]
    if amount >= _MOST:
        raise ValueError(f"{text!r} is too large")
    return amount


def parse_duration(text: str) -> int:
    """Return the nanoseconds of ``250ms``, ``30s``, ``5m`` or ``2h``. ValueError: anything else, or over 146 years."""
    return _amount(_DURATION, _TIMES, text, "250ms, 30s, 5m or 2h")


def parse_size(text: str) -> int:
    """Return the bytes of ``512B``, ``64KiB``, ``10MiB`` or ``2GiB``. ValueError: anything else, or over 2**62."""
    return _amount(_SIZE, _SIZES, text, "512B, 64KiB, 10MiB or 2GiB")


def parse_rate(text: str) -> tuple[int, int]:
    """Return (count, period in nanoseconds) of ``100/s``, ``5000/min``, ``10/h`` or ``1000/day``.

    The count is from 1 to 999,999,999. ValueError: anything else.
    """
    match = _RATE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not of the form 100/s, 5000/min, 10/h or 1000/day")
    return int(match[1]), _PERIODS[match[2]]
