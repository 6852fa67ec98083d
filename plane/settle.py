"""Phase 11: what the call used, from the upstream's raw bytes, what that cost, and what it held given back."""

from __future__ import annotations

from time import monotonic_ns

from plane.charge import charge, estimate
from plane.exchange import Exchange
from plane.failover import conclude
from plane.latency import FAILED
from plane.owed import recall

__all__ = ["settle"]


def settle(exchange: Exchange) -> None:
    """Read the usage, price it, and give back the concurrency and the place in the worker that the request held."""
    exchange.leave_gauge()
    if exchange.holding is not None:
        exchange.holding.release()
        exchange.holding = None
    if exchange.answering is not None:
        exchange.answering.in_flight -= 1
        if exchange.answering.health is not None or exchange.error:
            conclude(exchange)
        if exchange.model is not None:
            target = exchange.answering
            if target.latency is not None:
                served = exchange.first_byte > 0 and exchange.answer_status < 400
                target.latency.observe(exchange.first_byte - exchange.asked if served else FAILED, monotonic_ns())
        way = exchange.way
        # What is kept was paid for when it was made, unless it was made in the background.
        if way is not None and (exchange.home is None or exchange.owed is not None):
            usage = exchange.translation.usage if way.translates else way.dialect.usage(exchange)
            is_cut = usage is None or (way.translates and exchange.scan is not None and not exchange.scan.done)
            if is_cut and exchange.scan is not None and exchange.answer_status < 300 and exchange.owed is None:
                usage = estimate(exchange, usage)
            if usage is not None:
                exchange.usage = usage
                if exchange.home is not None:
                    recall(exchange)
                charge(exchange, exchange.target, usage)
            if exchange.tells_cost and exchange.committed and exchange.scan is not None and exchange.error == "":
                exchange.tail = exchange.route.dialect.with_cost(exchange)
