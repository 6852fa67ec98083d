"""Phase 8: where the call may go, best first."""

from __future__ import annotations

from core.errors import GatewayError
from plane.exchange import Exchange
from plane.kept import keepers
from plane.mirror import mirror
from plane.runtime import Model, Route, Target

__all__ = ["choose"]


def choose(exchange: Exchange) -> None:
    """Rank the candidates; GatewayError 503 where all are drained, 400 where none can do what is asked."""
    route = exchange.route
    if exchange.home is not None:
        exchange.candidates = [exchange.home.target]
        exchange.timeouts = exchange.home.timeouts
        exchange.retries = exchange.home.retries
        exchange.relay_at_once = not exchange.keeps
    elif route.needs_model:
        model = exchange.model
        targets = model.targets if route.name in model.common else able(model, route)
        if exchange.pins is not None:
            exchange.candidates = keepers(exchange, targets)
        else:
            exchange.candidates = targets if model.only else ranked(exchange, model, targets)
        exchange.timeouts = model.timeouts
        exchange.retries = model.retries
        exchange.relay_at_once = route.at_once
    else:
        exchange.candidates = route.balancer.order(route.endpoints)
        exchange.timeouts = route.timeouts
        exchange.retries = route.retries
        exchange.relay_at_once = True
    if exchange.patience < 0:
        raise GatewayError(
            400, "invalid_request", "caller", "x-headgate-timeout-ms must be a whole number of milliseconds from 1 on."
        )
    if not exchange.candidates:
        raise GatewayError(
            503, "no_candidate", "gateway", "Everything that could serve this request is drained.", retry_after=5.0
        )
    if exchange.model is not None and exchange.model.mirror is not None and exchange.upload is None:
        mirror(exchange)


def able(model: Model, route: Route) -> list[Target]:
    """Return the targets that can be asked for what not all of them can; GatewayError 400 where there are none.

    A count of tokens can be asked of all: where the one that comes first has nothing for it, it is estimated.
    """
    if route.counts:
        return model.targets
    found: list[Target] | None = model.partial.get(route.name)
    if found is None:
        raise GatewayError(
            400,
            "unsupported_operation",
            "caller",
            "No provider of this model has anything for this path.",
            hint="Ask for another model, or ask at another path.",
        )
    return found


def ranked(exchange: Exchange, model: Model, targets: list[Target]) -> list[Target]:
    """Return those of `targets` whose conditions the request fulfils, as the model's strategy ranks them."""
    if model.conditional:
        targets = [target for target in targets if target.when is None or target.when.hold(exchange)]
        if not targets:
            raise GatewayError(
                400,
                "no_target_matches",
                "caller",
                "No target of this model takes such a request: its fields or metadata fulfil no target's conditions.",
            )
    if model.sticky is not None:
        exchange.affinity = model.sticky.key(exchange)
    found: list[Target] = model.strategy.rank(targets, exchange)
    if exchange.trace is not None:
        exchange.trace.rank(exchange, found)
    return found
