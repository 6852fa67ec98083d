"""Each endpoint in turn, whatever its weight."""

from msgspec import Struct

from core.endpoint import Some, serving

__all__ = ["Options", "RoundRobin", "build"]


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """Round robin has no options."""


class RoundRobin:
    """Starts with the next endpoint each time."""

    def __init__(self) -> None:
        self._turn = 0

    def order(self, endpoints: list[Some]) -> list[Some]:
        """Return the endpoints that serve, the one whose turn it is first."""
        ready = serving(endpoints)
        if len(ready) < 2:
            return ready
        start = self._turn % len(ready)
        self._turn = start + 1
        return ready[start:] + ready[:start]


def build(_: Options) -> RoundRobin:
    """Return a balancer that starts with the first endpoint."""
    return RoundRobin()
