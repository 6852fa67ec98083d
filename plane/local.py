"""What the gateway answers by itself: the list of models and the health checks."""

from __future__ import annotations

import msgspec

from core.errors import GatewayError
from plane.decode import usable_names
from plane.exchange import Exchange

__all__ = ["health", "list_models", "liveness", "readiness"]

JSON = b"content-type: application/json\r\n"

Answer = tuple[int, bytes, bytes]


def list_models(exchange: Exchange) -> Answer:
    """Answer ``/v1/models`` and ``/v1/models/NAME`` with the models that the caller's key may use."""
    names = usable_names(exchange)
    head = JSON + b"x-request-id: %b\r\n" % exchange.request_id + exchange.runtime.mark
    _, _, asked = exchange.path.partition(b"/models/")
    if not asked:
        return 200, head, msgspec.json.encode({"object": "list", "data": [described(name) for name in names]})
    name = asked.decode()
    if name not in names:
        raise GatewayError(
            404, "model_not_found", "caller", "This key may not use a model of that name.", param="model"
        )
    return 200, head, msgspec.json.encode(described(name))


def described(name: str) -> dict[str, object]:
    """Return a model as OpenAI lists it."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "headgate"}


def health(_: Exchange) -> Answer:
    """The process lives."""
    return 200, JSON, b'{"status":"ok"}'


def liveness(_: Exchange) -> Answer:
    """The process lives; the path that other gateways' users configure."""
    return 200, JSON, b'{"status":"ok"}'


def readiness(exchange: Exchange) -> Answer:
    """The worker serves a snapshot; it accepts connections only then. 503 while it drains: others should be asked."""
    if exchange.runtime.shared.draining:
        return 503, JSON, b'{"status":"draining"}'
    return (
        200,
        JSON,
        b'{"status":"ready","version":%d,"config":"%b"}'
        % (
            exchange.runtime.version,
            exchange.runtime.digest[:12].encode(),
        ),
    )
