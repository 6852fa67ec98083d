"""The compiled steps of one attempt at a candidate; `call` puts the waits between them.

A stream is held back until it says something, so that one which fails before that can be answered by another. Providers
begin their streams with events that say nothing yet, and may end them there with an error (`plane.judge`). Until the
first event with content no status has been sent: the call can go to the next place, or its caller get a true 4xx or
5xx. Afterwards it never changes places.
"""

from __future__ import annotations

from time import monotonic_ns

from core.stream_scan import StreamScan
from plane.exchange import Exchange
from plane.failure import CONNECT, ELSEWHERE, REFUSAL, RESET
from plane.http1.client import Pool, UpstreamConnection, is_stream
from plane.kept import follow
from plane.latency import FAILED
from plane.request import head_of
from plane.retries import RetryRule
from plane.runtime import Candidate, Target
from plane.upload import forward

__all__ = ["arrive", "enter", "is_judged", "leave", "send"]

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
    candidate.counts.attempts += 1
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


def arrive(exchange: Exchange) -> bool:
    """Take what has come of the answer, and send on what has come of an upload; tell whether the wait is over.

    It is when the answer has come whole or, of a stream, so much of it that `relay` can begin.
    """
    if exchange.is_held:
        return gather(exchange)
    if exchange.upload is not None:
        forward(exchange)
    if exchange.answer_ended or (exchange.answer_head and exchange.answer_streams):
        if not may_fail_unseen(exchange):
            return True
        hold(exchange)
        return gather(exchange)
    return False


def may_fail_unseen(exchange: Exchange) -> bool:
    """Tell whether what is answered is a stream that may still fail without its caller having seen any of it."""
    if not (exchange.answer_streams and exchange.answer_status < 300 and exchange.route.needs_model):
        return False
    return is_stream(exchange.answer_type) and (exchange.stream or not exchange.way.translates)


def hold(exchange: Exchange) -> None:
    """Begin to hold the stream back."""
    exchange.scan = exchange.translation.stream() if exchange.way.translates else follow(exchange)
    exchange.is_held = True
    if exchange.upstream is not None:
        exchange.upstream.await_content()


def is_judged(exchange: Exchange) -> bool:
    """Tell whether the answer is looked at before its caller gets any of it.

    That is a stream that was held, and any answer of a model whose refusals another target gets.
    """
    if exchange.is_held:
        return True
    rule: RetryRule = exchange.retries
    if rule.on & REFUSAL == 0 or exchange.answer_streams:
        return False
    return exchange.answer_status < 300 and exchange.route.needs_model is True


def gather(exchange: Exchange) -> bool:
    """Take in the stream; tell whether it says something, has ended, or is too much to be held."""
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
    exchange.move_by(None)
    exchange.is_held = False
    exchange.scan = None
    exchange.early = b""
    exchange.first_byte = 0
    if exchange.answering is not None:
        exchange.answering.in_flight -= 1
        is_measured = isinstance(exchange.answering, Target) and exchange.answering.latency is not None
        if is_measured and not exchange.failure & ELSEWHERE:
            exchange.answering.latency.observe(FAILED, monotonic_ns())
        exchange.answering = None
