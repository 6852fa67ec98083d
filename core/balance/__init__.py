"""How the endpoints of an upstream are ordered for a call: one file per policy, its name the word in the config."""

from typing import Protocol, TypeVar

from core.endpoint import Endpoint

__all__ = ["Balancer", "Endpoint"]

Some = TypeVar("Some", bound=Endpoint)


class Balancer(Protocol):
    """What `build` of a policy returns; it keeps whose turn it is for one upstream."""

    def order(self, endpoints: list[Some]) -> list[Some]:
        """Return a new list, best first, to be tried in that order.

        Drained endpoints (weight 0) are never in it: it is empty if all are. `endpoints` may be another selection of
        the upstream's each time, such as those whose breaker is closed, and is left as it is.
        """
