"""What a call cost, and what it used where its provider never came to say."""

from __future__ import annotations

from time import time

from core.money import Price, usd
from plane.exchange import Exchange
from plane.runtime import Target
from plane.usage import Usage

__all__ = ["charge", "cost_of", "estimate"]

ENVELOPE = 256
"""Bytes of an event of a stream that are no text."""
NOT_TEXT = ("images", "image edits", "speech", "transcriptions")
"""Kinds of calls whose bytes say nothing of their tokens."""


def charge(exchange: Exchange, target: Target, usage: Usage) -> None:
    """Note what the call cost, and say it to the caller where the head of the answer has not left yet."""
    price: Price | None = target.price
    if price is None:
        return
    cost = cost_of(price, usage)
    if cost is not None:
        exchange.cost = cost
        exchange.price = price.source
        if not exchange.committed:
            exchange.fields += b"x-headgate-cost-usd: %b\r\n" % usd(cost).encode()


def cost_of(price: Price, usage: Usage) -> int | None:
    """Return what so much costs in billionths of a dollar, None where the price does not say."""
    try:
        return price.cost(
            usage.service_tier,
            int(time()) // 60 % 1440 if price.is_timed else 0,
            usage.input_total,
            usage.output_total,
            usage.cache_read,
            usage.cache_write_5m,
            usage.cache_write_1h,
            usage.audio_in,
            usage.audio_out,
            usage.image_in,
            usage.image_out,
            usage.reasoning,
            usage.milliseconds,
            usage.units,
            usage.server_tools,
        )
    except OverflowError:
        return None  # No provider's count; it stays unpriced.


def estimate(exchange: Exchange, said: Usage | None) -> Usage | None:
    """Return a guess at what a stream used that was cut short; None where nothing had come of it.

    Of pictures and sound there is none. Four bytes are a token. Of the answer that is counted without the envelope of
    its events, and each event is a token at least; the request is counted whole, unless the stream has `said` of its
    input at its begin.
    """
    events = exchange.scan.events
    if said is None and (events == 0 or exchange.route.operation.kind in NOT_TEXT):
        return None
    text = max(events, (exchange.relayed - ENVELOPE * events) // 4)
    if said is None:
        return Usage(exchange.body_size // 4, text, estimated=True)
    said.output_total = max(said.output_total, text)
    said.estimated = True
    return said
