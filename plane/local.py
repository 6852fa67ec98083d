"""What the gateway answers by itself about its health; the list of models is in `plane.listing`."""

from __future__ import annotations

from plane.exchange import Exchange

__all__ = ["health", "liveness", "readiness"]

JSON = b"content-type: application/json\r\n"

Answer = tuple[int, bytes, bytes]


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
