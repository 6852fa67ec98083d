"""Targets by share: each is first in proportion to its weight; the others follow.

With the model's `sticky` set, a caller or a conversation stays with its target (A/B tests, prompt caches).
"""

from __future__ import annotations

from msgspec import Struct

from core.balance.weighted import Weighted as SmoothWeighted
from plane.exchange import Exchange
from plane.runtime import Target
from plane.sticky import rendezvous

__all__ = ["Options", "Weighted", "build"]


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """Weighted has no options; the weights stand with the targets."""


class Weighted:
    """Ranks targets by smooth weighted round robin; calls that belong together by a hash of what they share."""

    def __init__(self) -> None:
        self.balancer = SmoothWeighted()

    def rank(self, targets: list[Target], exchange: Exchange) -> list[Target]:
        """Return the targets to try, best first."""
        if exchange.affinity:
            return rendezvous(targets, exchange.affinity)
        return self.balancer.order(targets)


def build(_: Options) -> Weighted:
    """Return the strategy for one model."""
    return Weighted()
