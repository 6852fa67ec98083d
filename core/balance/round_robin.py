"""Each endpoint in turn."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

__all__ = ["Options", "RoundRobin", "build"]


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """Round robin has no options."""


class RoundRobin:
    """Starts one endpoint further each time."""

    def __init__(self) -> None:
        self.turn = 0

    def order(self, endpoints: list[Any]) -> list[Any]:
        """Return the endpoints, best first; drained ones (weight 0) are left out."""
        ready = [endpoint for endpoint in endpoints if endpoint.weight > 0]
        if not ready:
            return ready
        self.turn = (self.turn + 1) % len(ready)
        return ready[self.turn :] + ready[: self.turn]


def build(_: Options) -> RoundRobin:
    """Return a balancer."""
    return RoundRobin()
