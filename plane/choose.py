"""Phase 8: where the call may go, best first."""

from __future__ import annotations

from core.errors import GatewayError
from plane.exchange import Exchange
from plane.kept import keepers
from plane.mirror import mirror
from plane.runtime import Model, Target

__all__ = ["choose"]


def choose(exchange: Exchange) -> None:
    """Rank the candidates; GatewayError 503 where all are drained."""
    route = exchange.route
    if exchange.home is not None:
        exchange.candidates = [exchange.home.target]
        exchange.timeouts = exchange.home.timeouts
        exchange.retries = exchange.home.retries
        exchange.relay_at_once = not exchange.keeps
    elif route.needs_model:
        model = exchange.model
        if exchange.pins is not None:
            exchange.candidates = keepers(exchange, model)
        else:
            exchange.candidates = model.targets if model.only else ranked(exchange, model)
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


def ranked(exchange: Exchange, model: Model) -> list[Target]:
    """Return the targets whose conditions the request fulfils, as the model's strategy ranks them."""
    targets = model.targets
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
    return found
