"""What only values can tell: units out of range, ports, words that name no extension.

Like `core.consistent`, the checks read plain data and pass over anything of the wrong shape.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from core.consistent import ANY, Problem, nearest, walk
from core.errors import ConfigError
from core.router import Router
from core.units import parse_duration, parse_rate, parse_size

__all__ = ["Words", "unusable"]

# Kind of extension (dialect, strategy, balance) -> the words there are; a kind left out is not checked.
Words = Mapping[str, Collection[str]]

WORDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("dialect", ("providers", ANY, "dialect")),
    ("strategy", ("models", ANY, "strategy")),
    ("balance", ("upstreams", ANY, "balance")),
)
DAY = 86_400 * 10**9
MILLISECOND = 10**6
MIB = 1024**2
GIB = 1024**3
# A bucket that takes longer than this to fill is of no use, and its arithmetic would leave 63 bits.
LONGEST_BURST = 366 * DAY


def unusable(data: Any, words: Words) -> list[Problem]:
    """Return every value in the config `data` that has the right shape and still cannot be used."""
    found = [*_unknown_words(data, words), *_limits(data), *_patterns(data)]
    for path, check in CHECKS:
        for place, value in walk(data, path):
            reason = check(value) if isinstance(value, str) else ""
            if reason:
                found.append(Problem(place, reason))
    return found


def _unknown_words(data: Any, words: Words) -> Iterator[Problem]:
    for kind, pattern in WORDS:
        if kind not in words:
            continue
        known = sorted(words[kind])
        for path, word in walk(data, pattern):
            if isinstance(word, str) and word not in known:
                hint = nearest(word, known) or f"; there is {', '.join(known)}"
                yield Problem(path, f"no {kind} is named {word!r}{hint}")


def _limits(data: Any) -> Iterator[Problem]:
    for path, limits in walk(data, ("consumers", ANY, "limits")):
        if not isinstance(limits, Mapping):
            continue
        rate, burst = limits.get("requests"), limits.get("burst")
        if burst is not None and rate is None:
            yield Problem((*path, "burst"), "a burst belongs to a rate: give requests: N/s too")
        if not isinstance(rate, str) or not isinstance(burst, int):
            continue
        try:
            count, period = parse_rate(rate)
        except ValueError:
            continue
        if burst * period > LONGEST_BURST * count:
            yield Problem((*path, "burst"), f"at {rate} a burst of {burst} would take over a year to earn")


def _patterns(data: Any) -> Iterator[Problem]:
    for path, route in walk(data, ("routes", ANY)):
        match = route.get("match") if isinstance(route, Mapping) else None
        pattern = match.get("path") if isinstance(match, Mapping) else None
        if not isinstance(pattern, str) or pattern[:1] != "/":
            continue
        try:
            # Alone, so that the reasons are this pattern's; what clashes is found, with both places, elsewhere.
            Router([(None, pattern, (), None, route.get("raw_path") is True)])
        except ConfigError as error:
            reasons = [problem.removeprefix(f"{pattern}: ") for problem in error.problems]
            yield Problem((*path, "match", "path"), "; ".join(reasons))


def _duration(text: str) -> str:
    try:
        length = parse_duration(text)
    except ValueError:
        return ""
    return "" if MILLISECOND <= length <= DAY else "must be from 1ms to 24h"


def _size(text: str) -> str:
    try:
        size = parse_size(text)
    except ValueError:
        return ""
    return "" if 1 <= size <= GIB else "must be from 1B to 1GiB"


def _memory(text: str) -> str:
    try:
        size = parse_size(text)
    except ValueError:
        return ""
    return "" if MIB <= size <= 1024 * GIB else "must be from 1MiB to 1024GiB"


def _address(text: str) -> str:
    """Check an address to listen on; port 0 lets the system pick one."""
    return _server(f"//{text}", 0)


def _url(text: str) -> str:
    return _server(text, 1)


def _server(url: str, least: int) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the host is no IPv6 address"
    try:
        good = parts.port is None or parts.port >= least
    except ValueError:
        good = False
    return "" if good else f"the port must be from {least} to 65535"


CHECKS: tuple[tuple[tuple[str, ...], Callable[[str], str]], ...] = (
    (("listen", "http"), _address),
    (("control", "address"), _address),
    (("listen", "https", "address"), _address),
    (("listen", "limits", "bytes"), _memory),
    (("listen", "timeouts", ANY), _duration),
    (("providers", ANY, "base_url"), _url),
    (("upstreams", ANY, "endpoints", ANY), _url),
    (("models", ANY, "timeouts", ANY), _duration),
    (("routes", ANY, "timeouts", ANY), _duration),
    *(((kind, ANY, "retries", key), _duration) for kind in ("models", "routes") for key in ("backoff", "wait")),
    *(((kind, ANY, "breaker", key), _duration) for kind in ("models", "upstreams") for key in ("window", "pause")),
    *(((kind, ANY, "slow_start"), _duration) for kind in ("models", "upstreams")),
    *((("providers", ANY, "health", key), _duration) for key in ("interval", "timeout")),
    *((("upstreams", ANY, "health", key), _duration) for key in ("interval", "timeout")),
    (("models", ANY, "max_body"), _size),
    (("routes", ANY, "max_body"), _size),
)
