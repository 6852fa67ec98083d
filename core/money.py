"""Money: what a call cost, in whole billionths of a US dollar, by integer arithmetic alone.

A price is a rate for each kind of unit, in dollars per million tokens, per hour of audio or per piece, with up to nine
decimals. `Price` turns it once into numerators over `SHARE`, which a million tokens and an hour of milliseconds both
divide; a call is then one sum of products and one division, rounded to the nearest billionth.
"""

from __future__ import annotations

from decimal import Decimal

from core.model import Above, Rates, Variant
from core.model import Price as PriceConfig

__all__ = ["NANO", "SHARE", "Price", "Schedule", "usd"]

NANO = 1_000_000_000
"""Billionths in a dollar."""
SHARE = 18_000_000
"""What the numerators are shares of: 18 units of a million tokens, 5 units of an hour's 3,600,000 milliseconds."""
MOST = 2**61
"""Sums below it are added in 64 bits; others, which no real call has, in integers of any size."""
LARGEST = 2**63 - 1

MEASURED = 11
"""Numerators of what is measured, in tokens or milliseconds; behind them are pieces, in whole billionths."""


class Schedule:
    """The rates of one range of input sizes: what a unit adds to the cost, over `SHARE`; pieces in whole billionths.

    The counts of a call contain each other (cache reads are input), so what a kind adds is its rate less the rate of
    the kind around it. above: it holds for calls with more input tokens than this. safe, safe_pieces: up to these
    counts, of tokens and milliseconds and of the rest, all adds up in 64 bits. by_tokens .. by_request: what there is a
    rate for, if only 0.
    """

    def __init__(self, rates: Rates, above: int = -1) -> None:
        self.above = above
        self.numerators = numerators_of(rates)
        self.input, self.output, self.cache_read, self.cache_write_5m, self.cache_write_1h = self.numerators[:5]
        self.audio_in, self.audio_out, self.image_in, self.image_out, self.reasoning = self.numerators[5:10]
        self.milliseconds, self.units, self.server_tools, self.requests = self.numerators[10:]
        self.safe = MOST // max(1, sum(map(abs, self.numerators[:MEASURED])))
        self.safe_pieces = MOST // max(1, sum(self.numerators[MEASURED:]))
        self.by_tokens = rates.input_usd_per_million is not None or rates.output_usd_per_million is not None
        self.by_hour = rates.audio_usd_per_hour is not None
        self.by_unit = rates.usd_per_unit is not None
        self.by_request = rates.usd_per_request is not None


class Price:
    """The price of one model at one provider. source: what it is from, as the ledger keeps it.

    ValueError: a rate is no decimal number of dollars below 100,000, or has more than nine decimals.
    """

    def __init__(self, config: PriceConfig) -> None:
        self.source = config.source
        self.plain = schedules(config, config.above)
        self.variants = [(variant, schedules(merged(config, variant), variant.above)) for variant in config.variants]
        self.by_tier: dict[str, list[Schedule]] = {
            tier_of(variant): made for variant, made in self.variants if tier_of(variant)
        }
        self.by_hour = [(*minutes(variant.hours_utc), made) for variant, made in self.variants if variant.hours_utc]
        self.is_timed = bool(self.by_hour)

    def schedule(self, tier: str, minute: int, input_total: int) -> Schedule:
        """Return the rates of such a call; see `cost`."""
        rows = self.plain
        if tier and tier in self.by_tier:
            rows = self.by_tier[tier]
        elif tier and "/" in tier:
            rows = self.of_picture(tier)
        elif self.is_timed:
            for begin, end, made in self.by_hour:
                if begin <= minute < end or (begin > end and not end <= minute < begin):
                    rows = made
        row = rows[0]
        for other in rows[1:]:
            if input_total > other.above:
                row = other
        return row

    def cost(
        self,
        tier: str,
        minute: int,
        input_total: int,
        output_total: int,
        cache_read: int,
        cache_write_5m: int,
        cache_write_1h: int,
        audio_in: int,
        audio_out: int,
        image_in: int,
        image_out: int,
        reasoning: int,
        milliseconds: int,
        units: int,
        server_tools: int,
    ) -> int | None:
        """Return billionths of a dollar for these counts, None where the price does not say what such a call costs.

        tier: the service tier that answered, "" if the provider does not say; of pictures ``size/quality``. minute: of
        the day, UTC, where the price `is_timed`. OverflowError: the cost has more than 63 bits.
        """
        row = self.schedule(tier, minute, input_total)
        told = row.by_tokens
        if milliseconds or units:
            told = (row.by_tokens and input_total + output_total > 0) or (
                (row.by_hour or milliseconds == 0) and (row.by_unit or units == 0)
            )
        if not told and not row.by_request:
            return None
        # A cached image is counted twice, as an image and as a cache read; it is billed as the latter.
        twice = cache_read + cache_write_5m + cache_write_1h + audio_in + image_in - input_total
        if twice > 0:
            images = min(image_in, twice)
            image_in -= images
            audio_in -= min(audio_in, twice - images)
        if max(input_total, output_total, milliseconds) > row.safe or max(units, server_tools) > row.safe_pieces:
            return exactly(
                row.numerators,
                (
                    *(input_total, output_total, cache_read, cache_write_5m, cache_write_1h, audio_in, audio_out),
                    *(image_in, image_out, reasoning, milliseconds, units, server_tools, 1),
                ),
            )
        total = input_total * row.input + output_total * row.output
        total += cache_read * row.cache_read + reasoning * row.reasoning
        total += cache_write_5m * row.cache_write_5m + cache_write_1h * row.cache_write_1h
        total += audio_in * row.audio_in + audio_out * row.audio_out
        total += image_in * row.image_in + image_out * row.image_out
        total += milliseconds * row.milliseconds
        pieces = row.requests + units * row.units + server_tools * row.server_tools
        return pieces + (total + SHARE // 2) // SHARE if total > 0 else pieces

    def of_picture(self, tier: str) -> list[Schedule]:
        """Return the schedules of pictures: those of their size, else of their quality, else of all."""
        size, _, quality = tier.partition("/")
        if size + "/" in self.by_tier:
            return self.by_tier[size + "/"]
        return self.by_tier.get("/" + quality, self.plain)


def tier_of(variant: Variant) -> str:
    """Return what a variant is for, as `Price.cost` is told it: a service tier, or ``size/quality`` of pictures."""
    if variant.size is not None or variant.quality is not None:
        return f"{variant.size or ''}/{variant.quality or ''}"
    return variant.service_tier or ""


def exactly(numerators: tuple[int, ...], counts: tuple[int, ...]) -> int:
    """Return the cost in integers of any size."""
    added = [numerator * count for numerator, count in zip(numerators, counts, strict=True)]
    cost = max(0, (sum(added[:MEASURED]) + SHARE // 2) // SHARE) + sum(added[MEASURED:])
    if cost > LARGEST:
        raise OverflowError("the cost of a call has more than 63 bits")
    return cost


def schedules(rates: Rates, above: tuple[Above, ...]) -> list[Schedule]:
    """Return the schedules of a price, for rising input sizes; what a size does not say is as in `rates`."""
    found = [Schedule(rates)]
    for step in sorted(above, key=lambda step: step.input_tokens):
        found.append(Schedule(merged(rates, step), step.input_tokens))
    return found


def merged(rates: Rates, over: Rates) -> Rates:
    """Return `rates` with what `over` says instead."""
    names = Rates.__struct_fields__
    said = {name: getattr(rates, name) if getattr(over, name) is None else getattr(over, name) for name in names}
    return Rates(**said)


def numerators_of(rates: Rates) -> tuple[int, ...]:
    """Return what a unit of each kind adds to the cost, in the order in which `Schedule` takes them apart."""
    taken = per_million(rates.input_usd_per_million, 0)
    given = per_million(rates.output_usd_per_million, 0)
    write = per_million(rates.cache_write_usd_per_million, taken)
    return (
        taken,
        given,
        per_million(rates.cache_read_usd_per_million, taken) - taken,
        write - taken,
        per_million(rates.cache_write_1h_usd_per_million, write) - taken,
        per_million(rates.audio_in_usd_per_million, taken) - taken,
        per_million(rates.audio_out_usd_per_million, given) - given,
        per_million(rates.image_in_usd_per_million, taken) - taken,
        per_million(rates.image_out_usd_per_million, given) - given,
        per_million(rates.reasoning_usd_per_million, given) - given,
        nano(rates.audio_usd_per_hour) * SHARE // 3_600_000,
        nano(rates.usd_per_unit),
        nano(rates.usd_per_server_tool),
        nano(rates.usd_per_request),
    )


def per_million(text: str | None, otherwise: int) -> int:
    """Return the numerator of dollars per million, `otherwise` where none are said."""
    return otherwise if text is None else nano(text) * SHARE // 1_000_000


def nano(text: str | None) -> int:
    """Return dollars as billionths, 0 for None; see `Price` for the ValueError."""
    if text is None:
        return 0
    amount = Decimal(text).scaleb(9)
    if amount != int(amount) or not 0 <= amount < NANO * 100_000:
        raise ValueError(f"{text} is not a number of dollars below 100000 with at most nine decimals")
    return int(amount)


def minutes(hours: str) -> tuple[int, int]:
    """Return the minutes of the day at which ``HH:MM-HH:MM`` begins and ends."""
    begin, _, end = hours.partition("-")
    return minute_of(begin), minute_of(end)


def minute_of(time: str) -> int:
    """Return the minute of the day of ``HH:MM``."""
    hour, _, minute = time.partition(":")
    return int(hour) * 60 + int(minute)


def usd(cost_nano: int) -> str:
    """Return billionths of a dollar as a decimal number of dollars with nine decimals: ``0.000012345``."""
    whole, part = divmod(cost_nano, NANO)
    return f"{whole}.{part:09d}"
