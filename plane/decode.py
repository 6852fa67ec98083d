"""Phase 4: what the request asks for, read from its body by the route's dialect."""

from __future__ import annotations

from core.errors import GatewayError
from core.wildcards import STAR, star_of
from plane.exchange import Exchange
from plane.kept import find_home, unwrap
from plane.pins import MARK
from plane.runtime import Consumer, Model

__all__ = ["decode", "may_use", "model_of", "usable_models", "usable_names", "usable_parts"]

MAX_NAMES = 20


def decode(exchange: Exchange) -> None:
    """Join the body and, where the route needs a model, find the one that it names, or who keeps what it names."""
    parts = exchange.body_parts
    exchange.body = parts[0] if len(parts) == 1 else b"".join(parts)
    exchange.body_parts = []
    route = exchange.route
    runtime = exchange.runtime
    if route.needs_model:
        if (runtime.gives_ids or route.pinned) and exchange.body.find(MARK) >= 0:
            unwrap(exchange)
        if route.pinned:
            find_home(exchange)
            return
        route.dialect.read(exchange)
        exchange.model = model_of(exchange)


def model_of(exchange: Exchange) -> Model:
    """Return the model asked for; GatewayError 404 if this consumer has none of that name, whoever else may have."""
    model: Model | None = None
    if may_use(exchange, exchange.model_name):  # First: a wildcard's name is made into a model when it is looked for.
        model = exchange.runtime.models.get(exchange.model_name)
        if model is None:
            model = exchange.runtime.wildcards.find(exchange.model_name)
    if model is None:
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
    """Return the names of the models that the request's consumer may use, sorted; of wildcards, how they begin."""
    parts = [usable_parts(exchange.consumer, model.name) for model in exchange.runtime.wildcards.models]
    return sorted({*usable_models(exchange), *(name for some in parts for name in some)})


def usable_models(exchange: Exchange) -> list[str]:
    """Return the names of models in the config, but for wildcards, that the request's consumer may use."""
    return [name for name in exchange.runtime.models if may_use(exchange, name)]


def usable_parts(consumer: Consumer, wildcard: str) -> list[str]:
    """Return what a consumer may use of a wildcard: all of it, those that begin longer, or single names."""
    if consumer.models is None:
        return [wildcard]
    own = wildcard[:-1]
    parts = [name for name in consumer.models if star_of(wildcard, name)]
    parts += [max(own, beginning, key=len) + STAR for beginning in consumer.beginnings if overlap(own, beginning)]
    return parts


def overlap(one: str, other: str) -> bool:
    """Tell whether names can begin with both."""
    return one.startswith(other) or other.startswith(one)


def may_use(exchange: Exchange, name: str) -> bool:
    """Tell whether the request's consumer may use the model `name`."""
    consumer = exchange.consumer
    models = consumer.models
    return models is None or name in models or name.startswith(consumer.beginnings)
