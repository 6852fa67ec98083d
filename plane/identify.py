"""Phase 2: who calls, by API key.

A missing, a malformed and an unknown key go one way: the same hash, the same look-up, the same words.
"""

from __future__ import annotations

from hashlib import sha256

from core.errors import GatewayError
from plane.exchange import Exchange

__all__ = ["identify"]


def identify(exchange: Exchange) -> None:
    """Set the consumer whose key the request carries; GatewayError 401 where it carries none that is known."""
    consumers = exchange.runtime.consumers
    consumer = consumers.find(sha256(exchange.credential).digest())
    if consumer is None:
        raise GatewayError(
            401,
            "invalid_api_key",
            "caller",
            "The API key is missing or not known here.",
            hint="Send it as 'Authorization: Bearer KEY', 'x-api-key' or 'api-key'.",
        )
    exchange.consumer = consumer
