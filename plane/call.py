"""Phase 9: attempt one candidate after the other until one answers."""

from __future__ import annotations

from time import monotonic_ns

from core.errors import GatewayError
from plane.attempt import arrive, enter, is_judged, leave, send
from plane.exchange import Exchange
from plane.failover import after_answer, after_error, first, re_enter, report
from plane.failure import LOST
from plane.http1.connect import acquire
from plane.judge import judge

__all__ = ["call"]


async def call(exchange: Exchange) -> None:
    """Return with the head of an answer and all of its body or, of a stream, enough to know that it says something.

    Each further attempt takes the next place (`plane.failover`). Raises the GatewayError of the last attempt; an error
    answer of the last is the answer, and so is a refusal.
    """
    place = first(exchange)
    while True:
        try:
            connection = enter(exchange, place)
            if connection is None:
                connection = await acquire(place.pool, exchange, exchange.timeouts)
            send(exchange, place, connection)
            exchange.move_by(arrive)
            while not exchange.moved:
                await exchange
            exchange.move_by(None)
            refused = is_judged(exchange) and judge(exchange)
        except GatewayError as error:
            following = after_error(exchange, error)
            leave(exchange)
            if following is None:
                raise
        except BaseException:
            report(exchange, LOST, -1)
            leave(exchange)
            raise
        else:
            if exchange.answer_status < 400 and not refused:
                return
            following = after_answer(exchange)
            if following is None:
                return
            leave(exchange)
        place = following
        if exchange.pause:
            await rest(exchange)
            re_enter(exchange, place)


async def rest(exchange: Exchange) -> None:
    """Wait out the pause before an attempt."""
    timers = exchange.runtime.shared.timers
    exchange.due = monotonic_ns() + exchange.pause
    timers.add(exchange)
    try:
        while exchange.due:
            await exchange
    finally:
        timers.discard(exchange)
        exchange.due = 0
