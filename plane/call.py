"""Phase 9: attempt one candidate after the other until one answers."""

from __future__ import annotations

from core.errors import GatewayError
from plane.exchange import Exchange
from plane.http1.connect import acquire
from plane.request import head_of
from plane.runtime import Candidate

__all__ = ["call"]

IDEMPOTENT = frozenset([b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"])
"""Methods a lost call of which may be sent again (RFC 9110 9.2.2)."""


async def call(exchange: Exchange) -> None:
    """Return with the head of an answer and, unless it is a stream, all of its body.

    Further attempts are made only where the error of the one before says that nothing was acted upon. Each takes the
    next candidate; where there is one only, it is tried again.
    Raises the GatewayError of the last attempt.
    """
    candidates = exchange.candidates
    attempts = 1 + exchange.retries.max
    for attempt in range(attempts):
        candidate = candidates[attempt % len(candidates)]
        try:
            await attempt_one(exchange, candidate)
        except GatewayError as error:
            if not error.retry or attempt + 1 == attempts:
                raise
        else:
            return


async def attempt_one(exchange: Exchange, candidate: Candidate) -> None:
    """Send the request to `candidate` and wait for its answer."""
    exchange.target = candidate
    candidate.in_flight += 1
    try:
        head, body = head_of(exchange, candidate)
        connection = candidate.pool.take()
        if connection is None:
            connection = await acquire(candidate.pool, exchange, exchange.timeouts.connect)
        exchange.attempts += 1
        replayable = exchange.method in IDEMPOTENT or exchange.retries.on_reset
        connection.call(exchange, head, body, exchange.timeouts, replayable)
        while not exchange.answer_ended and not (exchange.answer_head and exchange.answer_streams):
            await exchange
    except BaseException:
        if exchange.upstream is not None:
            exchange.upstream.detach(False)
        candidate.in_flight -= 1
        raise
    exchange.answering = candidate
