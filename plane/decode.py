"""Phase 4: what the request asks for, read from its body by the route's dialect."""

from __future__ import annotations

from core.errors import GatewayError
from plane.exchange import Exchange
from plane.kept import find_home, unwrap
from plane.pins import MARK
from plane.runtime import Model

__all__ = ["decode", "model_of", "usable_names"]

MAX_NAMES = 20


def decode(exchange: Exchange) -> None:
    """Join the body and, where the route needs a model, find the one that it names, or who keeps what it names."""
    parts = exchange.body_parts
    exchange.body = parts[0] if len(parts) == 1 else b"".join(parts)
    exchange.body_parts = []
    if exchange.route.needs_model:
        if MARK in exchange.body:
            unwrap(exchange)
        if exchange.route.pinned:
            find_home(exchange)
            return
        exchange.route.dialect.read(exchange)
        exchange.model = model_of(exchange)


def model_of(exchange: Exchange) -> Model:
    """Return the model asked for; GatewayError 404 if this consumer has none of that name, whoever else may have."""
    model: Model | None = exchange.runtime.models.get(exchange.model_name)
    if model is None or not may_use(exchange, exchange.model_name):
        names = usable_names(exchange)
        listed = ", ".join(names[:MAX_NAMES]) + (", and more" if len(names) > MAX_NAMES else "")
        raise GatewayError(
            404,
            "model_not_found",
            "caller",
            f"This key may not use a model of that name. It may use: {listed or 'none'}.",
            param="model",
        )
    if exchange.body_size > model.max_body:
        raise GatewayError(413, "body_too_large", "caller", f"The request body is larger than {model.max_body} bytes.")
    return model


def usable_names(exchange: Exchange) -> list[str]:
    """Return the names of the models that the request's consumer may use, sorted."""
    return sorted([name for name in exchange.runtime.models if may_use(exchange, name)])


def may_use(exchange: Exchange, name: str) -> bool:
    """Tell whether the request's consumer may use the model `name`."""
    models = exchange.consumer.models
    return models is None or name in models
