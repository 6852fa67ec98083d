"""By weight, evenly spread: of weights 5, 1 and 1, seven calls go a a b a c a a."""

from msgspec import Struct

from core.endpoint import Endpoint, Some, serving

__all__ = ["Options", "Weighted", "build"]


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """The weights stand with the endpoints."""


class Weighted:
    """Smooth weighted round robin: each call, all gain their weight, and the one that leads pays for all."""

    def order(self, endpoints: list[Some]) -> list[Some]:
        """Return the endpoints that serve, the one most behind its share first."""
        ready = serving(endpoints)
        if len(ready) < 2:
            return ready
        total = 0
        for endpoint in ready:
            endpoint.current += endpoint.weight
            total += endpoint.weight
        ready.sort(key=_current, reverse=True)
        endpoint = ready[0]
        endpoint.current -= total
        return ready


def _current(endpoint: Endpoint) -> int:
    return endpoint.current


def build(_: Options) -> Weighted:
    """Return a balancer; what it remembers stands in the endpoints."""
    return Weighted()
