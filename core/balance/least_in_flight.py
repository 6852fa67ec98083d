"""Where the fewest calls are under way, counted per weight; those that are equal take turns."""

from msgspec import Struct

from core.endpoint import Endpoint, Some, serving

__all__ = ["LeastInFlight", "Options", "build"]


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """Least in flight has no options."""


class LeastInFlight:
    """Prefers the endpoint with the most room; for services whose calls take unequal time."""

    def __init__(self) -> None:
        self._turn = 0

    def order(self, endpoints: list[Some]) -> list[Some]:
        """Return the endpoints that serve, the least loaded first."""
        ready = serving(endpoints)
        if len(ready) < 2:
            return ready
        ready.sort(key=_load)
        least = _load(ready[0])
        equal = 1
        while equal < len(ready) and _load(ready[equal]) == least:
            equal += 1
        start = self._turn % equal
        self._turn = start + 1
        return ready[start:equal] + ready[:start] + ready[equal:]


def _load(endpoint: Endpoint) -> float:
    return endpoint.in_flight / endpoint.weight


def build(_: Options) -> LeastInFlight:
    """Return a balancer."""
    return LeastInFlight()
