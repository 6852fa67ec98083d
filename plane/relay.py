"""Phase 10: the answer, from the upstream to the caller.

An answer held whole goes out in `answer.send`, after it has been recorded. A stream goes out as it comes: the caller's
pace decides, for nothing is taken from the upstream's connection while the caller's is full. Its terminal bytes are
held back in `tail`, since they may leave only once the call is recorded.
"""

from __future__ import annotations

from collections.abc import Callable

from core.errors import GatewayError
from plane.answer import accept, accept_stream, accept_translated
from plane.ending import Ending
from plane.exchange import Exchange
from plane.failure import is_ours, refused_credential
from plane.http1.client import is_event_stream, is_stream
from plane.kept import follow
from plane.pump import pump
from plane.translate import told_by

__all__ = ["relay"]

EVENTS = b"text/event-stream"
JSON = b"application/json"
MAX_KEPT = 64 * 1024 * 1024
"""Bytes of a whole answer in which ids are replaced: images may be in it."""

MAX_HELD = 1024 * 1024
"""Bytes of a whole answer that is translated; as many are held of one that passes through."""


async def relay(exchange: Exchange) -> None:
    """Take an answer held whole, or relay a stream up to its terminal bytes."""
    try:
        await relay_answer(exchange)
    finally:
        exchange.move_by(None)
        if exchange.upstream is not None:
            exchange.upstream.detach(exchange.scan is not None and exchange.scan.done)


async def relay_answer(exchange: Exchange) -> None:
    """Look at the answer's head, and take or relay what follows."""
    if exchange.route.needs_model:
        if exchange.answer_status >= 400:
            await check_refusal(exchange)
        if exchange.way.translates:
            await relay_translated(exchange)
            return
    events = is_event_stream(exchange.answer_type)
    followed = exchange.route.needs_model and is_stream(exchange.answer_type)
    if exchange.keeps and not followed:
        await whole(exchange)
    if exchange.answer_ended and not followed:
        accept(exchange)
        return
    if followed:
        kind = exchange.route.dialect.stream_type(exchange)
        if kind != EVENTS or not events:
            exchange.answer_type = kind
            events = events or kind == EVENTS
    accept_stream(exchange, events)
    if followed and exchange.scan is None:
        exchange.scan = follow(exchange)
    # Cleaned, an error may become shorter than its head says.
    is_framed = not events and not followed and exchange.cleaner is None
    ending = ending_of(exchange) if is_framed else None
    await stream(exchange, exchange.answer_length if is_framed else -1)
    if ending is not None:
        exchange.reply = ending.told()


def ending_of(exchange: Exchange) -> Ending | None:
    """Keep the end of a model's answer that is too large to be held, if it is one that may say what it used."""
    if not exchange.route.needs_model or not exchange.answer_type.startswith(JSON):
        return None
    ending = exchange.cleaner = Ending()
    return ending


async def whole(exchange: Exchange) -> None:
    """Wait for all of an answer in which ids are replaced; GatewayError 502 if it is larger than what may be held."""
    parts: list[bytes] = []
    size = 0
    while not exchange.answer_ended:
        await exchange
        if exchange.answer_streams:  # It comes as its reader takes it, since it is large.
            data = exchange.take_answer()
            exchange.hold(len(data))
            parts.append(data)
            size += len(data)
        if size > MAX_KEPT:
            raise GatewayError(
                502,
                "upstream_answer_too_large",
                "upstream",
                f"The provider's answer is larger than the {MAX_KEPT} bytes that a stored response may have.",
                hint="Ask for a stream, or say `store: false`.",
            )
    if parts:
        parts += exchange.answer_parts
        exchange.answer_parts = [b"".join(parts)]
        exchange.answer_held += size


async def stream(exchange: Exchange, length: int) -> None:
    """Relay what comes up to the terminal bytes; `length` is -1 where it is not known before."""
    exchange.downstream.start(exchange.status, exchange.fields, length)
    exchange.committed = True
    if exchange.upstream is not None:
        exchange.upstream.begun()
    if not give_early(exchange):
        exchange.move_by(pump)
        while not exchange.moved:
            await exchange
    if exchange.scan is not None and exchange.scan.error:
        exchange.error = "upstream_error"


def give_early(exchange: Exchange) -> bool:
    """Send what was held back of a stream until it said something; tell whether that was all of it, for `send`."""
    early, exchange.early = exchange.early, b""
    if not early:
        return False
    if exchange.scan.done or exchange.answer_ended:
        exchange.tail = early
    else:
        exchange.relayed += len(early)
        exchange.downstream.write(early)
    return exchange.scan.done is True


async def relay_translated(exchange: Exchange) -> None:
    """Take or relay the answer of a provider that speaks another dialect than the caller.

    A provider may give a whole answer where a stream was asked for, and the reverse; the caller gets what it asked for.
    Raises GatewayError for a provider's error, to be told in the caller's dialect.
    """
    translation = exchange.translation
    if exchange.answer_status >= 300 or not is_stream(exchange.answer_type):
        parts: list[bytes] = []
        await give_all(exchange, parts.append)
        body = b"".join(parts)
        if exchange.answer_status >= 300:
            error = translation.error(exchange.answer_status, exchange.answer_headers, body)
            error.failure = exchange.failure
            raise error
        accept_translated(exchange, translation.answer(body))
    elif exchange.stream:
        accept_translated(exchange, b"")
        await stream(exchange, -1)
    else:
        gathering = translation.gathered()
        await give_all(exchange, gathering.feed)
        accept_translated(exchange, translation.written(gathering.answer()))


async def give_all(exchange: Exchange, take: Callable[[bytes], None]) -> None:
    """Give all of an answer's body to `take`, as it comes; GatewayError 502 if it is larger than what may be held."""
    size = 0
    ended = False
    while not ended:
        ended = exchange.answer_ended
        data = exchange.take_answer()
        if data:
            take(data)
            size += len(data)
        if size > MAX_HELD:
            raise GatewayError(
                502,
                "upstream_answer_too_large",
                "upstream",
                f"The provider's answer is larger than the {MAX_HELD} bytes that can be translated at once.",
                hint="Ask for a stream, or for less.",
            )
        if not ended:
            await exchange


async def check_refusal(exchange: Exchange) -> None:
    """Raise what a provider's error says where the caller is not to get it as it came.

    A refusal of the gateway's own credential must not look like one of the caller's key; and a host may tell errors in
    other words than those of the dialect that it serves.
    """
    if exchange.failure and is_ours(exchange.failure, exchange.answer_status):
        raise refused_credential(exchange.answer_status)
    way = exchange.way
    if way.dialect.own_faults and not way.translates:
        parts: list[bytes] = []
        await give_all(exchange, parts.append)
        body = b"".join(parts)
        error = told_by(way.dialect, exchange.target.secret, exchange.answer_status, exchange.answer_headers, body)
        error.failure = exchange.failure
        raise error
