"""The arithmetic of a cost, line by line, for people: `Price.cost` is what calls are charged by."""

from typing import NamedTuple

from core.explanation import Bill, Line
from core.money import NANO, SHARE, Price

__all__ = ["Counts", "bill_of"]

FINE = 1_000_000
"""Parts of a billionth of a dollar in which a line is told: a token at any rate is a whole number of them."""
MINUTES = 1440
MILLION = SHARE // 1_000_000
HOUR = SHARE // 3_600_000


class Counts(NamedTuple):
    """What a call used, in the order in which `Price.cost` takes it; see `plane.usage.Usage`."""

    input_total: int = 0
    output_total: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    audio_in: int = 0
    audio_out: int = 0
    image_in: int = 0
    image_out: int = 0
    reasoning: int = 0
    milliseconds: int = 0
    units: int = 0
    server_tools: int = 0


def bill_of(price: Price, tier: str, minute: int, counts: Counts, cost: int) -> Bill | None:
    """Return how `price` comes to `cost` billionths of a dollar for these counts, None if it does not.

    tier, minute: see `Price.cost`. A call that was charged just before the minute began is found as well.
    """
    for when in (minute, (minute - 1) % MINUTES):
        bill = _bill(price, tier, when, counts)
        if bill.cost == _text(cost * FINE, 9):
            return bill
    return None


def _bill(price: Price, tier: str, minute: int, counts: Counts) -> Bill:
    """Return the bill by the rates of one minute."""
    numerators = price.schedule(tier, minute, counts.input_total).numerators
    taken, given, read, write_5m, write_1h, audio_in, audio_out, image_in, image_out, reasoning = numerators[:10]
    hour, piece, tool, request = numerators[10:]
    images, audio = _billed_once(counts)
    cached = counts.cache_read + counts.cache_write_5m + counts.cache_write_1h
    tokens = (
        ("input", counts.input_total - cached - audio - images, taken),
        ("cache_read", counts.cache_read, taken + read),
        ("cache_write_5m", counts.cache_write_5m, taken + write_5m),
        ("cache_write_1h", counts.cache_write_1h, taken + write_1h),
        ("audio_in", audio, taken + audio_in),
        ("image_in", images, taken + image_in),
        ("output", counts.output_total - counts.audio_out - counts.image_out - counts.reasoning, given),
        ("audio_out", counts.audio_out, given + audio_out),
        ("image_out", counts.image_out, given + image_out),
        ("reasoning", counts.reasoning, given + reasoning),
    )
    pieces = (("unit", counts.units, piece), ("server_tool", counts.server_tools, tool), ("request", 1, request))
    lines = [
        Line(kind, count, "tokens", _rate(rate // MILLION), "million", _amount(count * rate))
        for kind, count, rate in tokens
        if count
    ]
    if counts.milliseconds and hour:
        amount = _amount(counts.milliseconds * hour)
        lines.append(Line("audio", counts.milliseconds, "ms", _rate(hour // HOUR), "hour", amount))
    lines += [
        Line(kind, count, "pieces", _rate(rate), "piece", _amount(count * rate * SHARE))
        for kind, count, rate in pieces
        if count and rate
    ]
    measured = sum(count * rate for _, count, rate in tokens) + counts.milliseconds * hour
    whole = sum(count * rate for _, count, rate in pieces)
    total = whole + max(0, (measured + SHARE // 2) // SHARE)
    exact = _amount(max(0, measured) + whole * SHARE)
    return Bill(lines, exact, _text(total * FINE, 9), price.source)


def _billed_once(counts: Counts) -> tuple[int, int]:
    """Return the tokens of images and audio in the input that are billed as such: cached ones are counted twice."""
    images, audio = counts.image_in, counts.audio_in
    cached = counts.cache_read + counts.cache_write_5m + counts.cache_write_1h
    twice = cached + audio + images - counts.input_total
    if twice > 0:
        fewer = min(images, twice)
        images -= fewer
        audio -= min(audio, twice - fewer)
    return images, audio


def _amount(share: int) -> str:
    """Return billionths of a dollar over `SHARE` as dollars, to a millionth of a billionth."""
    return _text((share * FINE + SHARE // 2) // SHARE, 9)


def _rate(nano: int) -> str:
    """Return billionths of a dollar as a person writes a rate: ``0.15``."""
    return _text(nano * FINE, 0)


def _text(fine: int, least: int) -> str:
    """Return `FINE` parts of billionths of a dollar as a decimal number with at least so many decimals."""
    sign = "-" if fine < 0 else ""
    whole, part = divmod(abs(fine), NANO * FINE)
    decimals = f"{part:015}".rstrip("0").ljust(least, "0")
    return f"{sign}{whole}.{decimals}" if decimals else f"{sign}{whole}"
