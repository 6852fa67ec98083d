"""Phase 2: who calls, by API key.

A missing, a malformed and an unknown key go one way: the same hash, the same look-up, the same words.
"""

from __future__ import annotations

from hashlib import sha256
from urllib.parse import parse_qsl

from core.errors import GatewayError
from plane.exchange import Exchange

__all__ = ["identify"]


def identify(exchange: Exchange) -> None:
    """Set the consumer whose key the request carries; GatewayError 401 where it carries none that is known."""
    consumers = exchange.runtime.consumers
    credential = exchange.credential
    if not credential and exchange.query:
        credential = credential_in_query(exchange)
    consumer = consumers.find(sha256(credential).digest())
    if consumer is None:
        raise GatewayError(
            401,
            "invalid_api_key",
            "caller",
            "The API key is missing or not known here.",
            hint="Send it as 'Authorization: Bearer KEY', 'x-api-key', 'api-key' or 'x-goog-api-key'.",
        )
    exchange.consumer = consumer


def credential_in_query(exchange: Exchange) -> bytes:
    """Return the key in the request's query, b"" where there is none, or where the route's dialect has none there.

    The query of such a route goes no further: providers are asked at paths of the gateway's own.
    """
    dialect = exchange.route.dialect
    if exchange.route.needs_model or exchange.route.handler is not None:
        for name, value in parse_qsl(exchange.query.decode("latin-1"), encoding="latin-1"):
            if name in dialect.query_keys:
                return value.encode("latin-1")
    return b""
