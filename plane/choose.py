"""Phase 8: where the call may go, best first."""

from __future__ import annotations

from core.errors import GatewayError
from plane.exchange import Exchange

__all__ = ["choose"]


def choose(exchange: Exchange) -> None:
    """Rank the candidates; GatewayError 503 where all are drained."""
    route = exchange.route
    if route.needs_model:
        model = exchange.model
        exchange.candidates = model.targets if model.only else model.strategy.rank(model.targets)
        exchange.timeouts = model.timeouts
        exchange.retries = model.retries
    else:
        exchange.candidates = route.balancer.order(route.endpoints)
        exchange.timeouts = route.timeouts
        exchange.retries = route.retries
        exchange.relay_at_once = True
    if not exchange.candidates:
        raise GatewayError(
            503, "no_candidate", "gateway", "Everything that could serve this request is drained.", retry_after=5.0
        )
