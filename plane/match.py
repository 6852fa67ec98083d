"""Phase 1: which route takes the request."""

from __future__ import annotations

from plane.exchange import Exchange
from plane.runtime import Route

__all__ = ["match"]


def match(exchange: Exchange) -> Route:
    """Return the route of the request; GatewayError 400, 404 or 405 where there is none."""
    route: Route = exchange.runtime.router.match(exchange.method.decode(), exchange.host, exchange.path)
    exchange.route = route
    return route
