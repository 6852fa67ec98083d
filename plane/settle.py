"""Phase 11: what the call used, from the upstream's raw bytes, and what it held given back."""

from __future__ import annotations

from plane.exchange import Exchange

__all__ = ["settle"]


def settle(exchange: Exchange) -> None:
    """Read the usage and give back the concurrency and the place in the worker that the request held."""
    exchange.leave_gauge()
    if exchange.holding is not None:
        exchange.holding.release()
        exchange.holding = None
    if exchange.answering is not None:
        exchange.answering.in_flight -= 1
        if exchange.model is not None:
            exchange.usage = exchange.route.dialect.usage(exchange)
