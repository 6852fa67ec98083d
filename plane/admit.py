"""Phase 3: whether the consumer's limits let the request in.

Narrowest first: the concurrency is taken before the rate and given back if the rate refuses, so that a refused request
costs nothing.
"""

from __future__ import annotations

from time import monotonic_ns

from core.errors import GatewayError
from plane.exchange import Exchange
from plane.shed import join

__all__ = ["admit"]

SECOND = 1_000_000_000


def admit(exchange: Exchange) -> None:
    """Take what the request needs of its consumer's limits; GatewayError 429 where they are used up."""
    consumer = exchange.consumer
    if not consumer.bound:
        exchange.runtime.shared.bind_limits(consumer)
    join(exchange, consumer.tally)
    if consumer.concurrency is not None:
        if consumer.concurrency.take() < 0:
            raise GatewayError(
                429,
                "concurrency_limit_exceeded",
                "caller",
                f"Too many requests at once: the limit is {consumer.limits.concurrent}.",
                retry_after=1.0,
            )
        exchange.holding = consumer.concurrency
    rate = consumer.rate
    if rate is not None:
        now = monotonic_ns()
        remaining = rate.take(now)
        exchange.limit = rate.limit
        exchange.reset_ns = rate.reset_ns(now)
        exchange.remaining = remaining if remaining > 0 else 0
        if remaining < 0:
            if exchange.holding is not None:
                exchange.holding.release()
                exchange.holding = None
            raise GatewayError(
                429,
                "rate_limit_exceeded",
                "caller",
                f"Too many requests: the limit is {consumer.limits.requests}.",
                retry_after=rate.retry_after_ns(now) / SECOND,
            )
