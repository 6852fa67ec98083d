"""Targets by share: each is first in proportion to its weight; the others follow by weight."""

from __future__ import annotations

from msgspec import Struct

from core.balance.weighted import Weighted as SmoothWeighted
from plane.runtime import Target

__all__ = ["Options", "Weighted", "build"]


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """Weighted has no options; the weights stand with the targets."""


class Weighted:
    """Ranks targets by smooth weighted round robin."""

    def __init__(self) -> None:
        self.balancer = SmoothWeighted()

    def rank(self, targets: list[Target]) -> list[Target]:
        """Return the targets to try, best first."""
        return self.balancer.order(targets)


def build(_: Options) -> Weighted:
    """Return the strategy for one model."""
    return Weighted()
