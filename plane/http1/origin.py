"""Where upstream connections lead, and how long the steps of a call may take."""

from __future__ import annotations

import ssl
from typing import NamedTuple

from core.errors import ConfigError

__all__ = ["Origin", "TimeoutsNs", "tls_context"]


class Origin(NamedTuple):
    """Where connections lead, and what makes two of them interchangeable.

    ca: path of a CA bundle, "" for the system's.
    limit: connections at most.
    """

    scheme: str
    host: str
    port: int
    ca: str
    limit: int

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"


class TimeoutsNs(NamedTuple):
    """The `Timeouts` of a route or model, in nanoseconds; an `attempt` of 0 is not limited by itself."""

    connect: int
    first_token: int
    idle: int
    total: int
    attempt: int = 0


def tls_context(origin: Origin) -> ssl.SSLContext:
    """Return the TLS settings for an origin: verified against its CA bundle or the system's.

    Raises ConfigError where the bundle cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=origin.ca or None)
    except OSError as error:
        raise ConfigError([f"the CA certificates in {origin.ca} cannot be used: {error.strerror}"]) from None
    context.set_alpn_protocols(["http/1.1"])
    return context
