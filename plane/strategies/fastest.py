"""Targets by how soon they begin to answer, as measured, and by how busy they are."""

from __future__ import annotations

from random import Random
from time import monotonic_ns

from msgspec import Struct

from plane.exchange import Exchange
from plane.runtime import Target

__all__ = ["Fastest", "Options", "build"]

MILLISECOND = 1_000_000


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """Fastest has no options."""


class Fastest:
    """Ranks by the time to the first byte times the calls under way; the better of two drawn at random goes first.

    Two choices keep the workers of a host, which do not know of each other, from all going to the same target
    (Mitzenmacher 2001). A target that was never measured is tried before the others. Weights do not count but for 0.
    """

    measures = True

    def __init__(self, random: Random) -> None:
        self.random = random

    def rank(self, targets: list[Target], exchange: Exchange) -> list[Target]:
        """Return the targets to try, best first."""
        now = monotonic_ns()
        serving = [target for target in targets if target.weight > 0]
        waits = [target.latency.score(now) for target in serving]
        # Of one that is being tried for the first time nothing is known yet: it is no better than the worst.
        unknown = max(waits, default=0.0)
        scores = {
            target: (wait or (unknown if target.in_flight else 0.0)) * (target.in_flight + 1)
            for target, wait in zip(serving, waits, strict=True)
        }
        ranked = sorted(scores, key=scores.__getitem__)
        if len(ranked) > 2:
            first = min(self.random.sample(ranked, 2), key=scores.__getitem__)
            ranked.remove(first)
            ranked.insert(0, first)
        return ranked

    def figures(self, target: Target, _: Exchange) -> dict[str, str | int | float]:
        """Return how soon a target begins to answer, 0 where it was never measured, and how busy it is."""
        wait = target.latency.score(monotonic_ns()) / MILLISECOND
        return {"first_byte_ms": round(wait, 3), "in_flight": target.in_flight}


def build(_: Options) -> Fastest:
    """Return the strategy for one model."""
    return Fastest(Random())  # noqa: S311 spreads load, guards nothing
