"""Phase 1: which route takes the request."""

from __future__ import annotations

from core.errors import GatewayError
from plane.exchange import Exchange
from plane.runtime import Route

__all__ = ["match"]


def match(exchange: Exchange) -> Route:
    """Return the route of the request; GatewayError 400, 404 or 405 where there is none."""
    route: Route = exchange.runtime.router.match(exchange.method.decode(), exchange.host, exchange.path)
    if route.ends is not None:
        route = by_end(route, exchange.path)
    elif route.by_field is not None:
        route = by_field(route, exchange)
    exchange.route = route
    return route


def by_end(route: Route, path: bytes) -> Route:
    """Return the route that takes a path with a model's name in it, by what stands behind the name."""
    for end, taker in (route.ends or {}).items():
        if path.endswith(end):
            return taker
    raise GatewayError(404, "no_route", "caller", "There is nothing at this path.")


def by_field(route: Route, exchange: Exchange) -> Route:
    """Return the route that takes a request by a header field that it has or has not."""
    takers = route.by_field or {}
    return next((takers[name] for field in exchange.headers if (name := field[0].lower()) in takers), route)
