"""Phase 9: attempt one candidate after the other until one answers."""

from __future__ import annotations

from core.errors import GatewayError
from plane.attempt import enter, is_answered, leave, may_retry, send
from plane.exchange import Exchange
from plane.http1.connect import acquire

__all__ = ["call"]


async def call(exchange: Exchange) -> None:
    """Return with the head of an answer and, unless it is a stream, all of its body.

    Further attempts are made only where the error of the one before says that nothing was acted upon. Each takes the
    next candidate; where there is one only, it is tried again.
    Raises the GatewayError of the last attempt.
    """
    candidates = exchange.candidates
    last = exchange.retries.max
    for attempt in range(last + 1):
        candidate = candidates[attempt % len(candidates)]
        try:
            connection = enter(exchange, candidate)
            if connection is None:
                connection = await acquire(candidate.pool, exchange, exchange.timeouts)
            send(exchange, candidate, connection)
            while not is_answered(exchange):
                await exchange
        except GatewayError as error:
            leave(exchange)
            if attempt == last or not may_retry(exchange, error):
                raise
        except BaseException:
            leave(exchange)
            raise
        else:
            return
