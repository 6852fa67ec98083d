"""The compiled steps of one attempt at a candidate; `call` puts the waits between them."""

from __future__ import annotations

from time import monotonic_ns

from core.stream_scan import StreamScan
from plane.exchange import Exchange
from plane.failure import CONNECT, ELSEWHERE, REFUSAL, RESET
from plane.http1.client import Pool, UpstreamConnection, is_stream
from plane.latency import FAILED
from plane.request import head_of
from plane.retries import RetryRule
from plane.runtime import Candidate, Target

__all__ = ["enter", "gather", "is_answered", "is_held", "leave", "send"]

MAX_EVENTS = 64
MAX_BYTES = 256 * 1024
"""Events and bytes held back at most; a stream that has said nothing until then goes out as it is."""

IDEMPOTENT = frozenset([b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"])
"""Methods a lost call of which may be sent again (RFC 9110 9.2.2)."""


def enter(exchange: Exchange, candidate: Candidate) -> UpstreamConnection | None:
    """Count the attempt at `candidate` and return an idle connection to it, if there is one."""
    exchange.target = candidate
    exchange.answering = candidate
    exchange.tried += 1
    exchange.reported = False
    exchange.failure = 0
    candidate.in_flight += 1
    pool: Pool = candidate.pool
    return pool.take()


def send(exchange: Exchange, candidate: Candidate, connection: UpstreamConnection) -> None:
    """Send the request."""
    try:
        head, body = head_of(exchange, candidate)
    except BaseException:
        connection.pool.release(connection)
        raise
    exchange.attempts += 1
    rule: RetryRule = exchange.retries
    replayable = rule.on & RESET != 0 or (rule.on & CONNECT != 0 and exchange.method in IDEMPOTENT)
    connection.call(exchange, head, body, exchange.timeouts, replayable)
    if exchange.upload is not None and not exchange.body_complete:
        connection.unsent = True


def is_answered(exchange: Exchange) -> bool:
    """Tell whether what `relay` needs has come: the whole answer or, of a stream, its head."""
    return exchange.answer_ended or (exchange.answer_head and exchange.answer_streams)


def is_held(exchange: Exchange) -> bool:
    """Tell whether what is answered is looked at before its caller gets any of it.

    That is a stream, which may still fail, and any answer of a model whose refusals another target gets.
    """
    if not exchange.answer_streams:
        return exchange.retries.on & REFUSAL != 0 and exchange.answer_status < 300 and exchange.route.needs_model
    if exchange.answer_status >= 300 or not exchange.route.needs_model:
        return False
    return is_stream(exchange.answer_type) and (exchange.stream or not exchange.way.translates)


def gather(exchange: Exchange) -> bool:
    """Take what has come of the stream; tell whether the wait is over."""
    scan: StreamScan = exchange.scan
    data = exchange.take_answer()
    if data:
        exchange.early = exchange.early + scan.feed(data)
        if scan.content or scan.done or scan.error or scan.events >= MAX_EVENTS or len(exchange.early) >= MAX_BYTES:
            return True
    if exchange.answer_ended and exchange.way.translates:
        exchange.early = exchange.early + scan.flush()
    return exchange.answer_ended


def leave(exchange: Exchange) -> None:
    """Let go of the candidate after a failure; what it might still send is for nobody, what it sent is forgotten."""
    if exchange.upstream is not None:
        exchange.upstream.detach(False)
    exchange.scan = None
    exchange.early = b""
    exchange.first_byte = 0
    if exchange.answering is not None:
        exchange.answering.in_flight -= 1
        is_measured = isinstance(exchange.answering, Target) and exchange.answering.latency is not None
        if is_measured and not exchange.failure & ELSEWHERE:
            exchange.answering.latency.observe(FAILED, monotonic_ns())
        exchange.answering = None
