"""Targets in the order they are written; those of weight 0 are left out."""

from __future__ import annotations

from msgspec import Struct

from plane.exchange import Exchange
from plane.runtime import Target

__all__ = ["Options", "Priority", "build"]


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """Priority has no options."""


class Priority:
    """Ranks targets as written."""

    def rank(self, targets: list[Target], exchange: Exchange) -> list[Target]:
        """Return the targets to try, best first."""
        return [target for target in targets if target.weight > 0]


def build(_: Options) -> Priority:
    """Return the strategy for one model."""
    return Priority()
