"""What a stream cost, in its last chunk, for callers who ask for it: its head has left before anybody knows.

The member is OpenRouter's: ``usage.cost``, in dollars.
"""

from __future__ import annotations

from core.errors import GatewayError
from core.money import usd
from core.splice import insert_member, replace, scan
from plane.exchange import Exchange

__all__ = ["with_cost"]

DATA = b"data: "
DONE = b"data: [DONE]"
BLANK = b"\n\n"


def with_cost(exchange: Exchange) -> bytes:
    """Return the terminal bytes of a stream with the cost in the chunk that tells the usage; null where it is unpriced.

    Where bytes pass, the provider's own chunk has been withheld and is put back; if its usage came with the last words,
    a chunk of its own tells it. Where nothing told the usage the bytes stay as they are.
    """
    tail: bytes = exchange.tail
    cost = usd(exchange.cost).encode() if exchange.cost is not None else b"null"
    if exchange.way.translates:
        return BLANK.join(told(event, cost) for event in tail.split(BLANK))
    if not exchange.scan.usage:
        return tail
    before, done, after = tail.rpartition(DONE)
    if not done:
        before, after = tail, b""
    return before + told(DATA + exchange.scan.usage, cost) + BLANK + done + after


def told(event: bytes, cost: bytes) -> bytes:
    """Return an event as a chunk without choices whose usage has the cost; any event without usage as it is.

    What the provider itself says in that place stays where the gateway knows no price.
    """
    if not event.startswith(DATA):
        return event
    text = event[len(DATA) :]
    try:
        choices, usage = scan(text, (b"choices", b"usage"))
        if usage[0] < 0 or choices[0] < 0:
            return event
        said = text[usage[0] : usage[1]]
        (own,) = scan(said, (b"cost",))
    except GatewayError:
        return event  # Not JSON, as [DONE], or no usage but null.
    if own[0] < 0:
        said = insert_member(said, b'"cost":' + cost)
    elif cost != b"null":
        said = replace(said, own, cost)
    for span, new in sorted([(choices, b"[]"), (usage, said)], reverse=True):
        text = replace(text, span, new)
    return DATA + text
