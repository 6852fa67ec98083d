"""What every policy of `core.balance` knows of an endpoint."""

from typing import TypeVar

__all__ = ["Endpoint", "serving"]


class Endpoint:
    """One place that can serve a call.

    weight: its share, 0 is drained. in_flight: calls under way, counted by the caller.
    current: what the smooth weighted policy remembers between calls.
    """

    def __init__(self, name: str, weight: int = 1) -> None:
        self.name = name
        self.weight = weight
        self.in_flight = 0
        self.current = 0


Some = TypeVar("Some", bound=Endpoint)


def serving(endpoints: list[Some]) -> list[Some]:
    """Return a new list without the drained endpoints."""
    return [endpoint for endpoint in endpoints if endpoint.weight > 0]
