"""How long a target takes to its first byte, remembered so that it fades."""

from __future__ import annotations

from math import exp

__all__ = ["FAILED", "Latency"]

SECOND = 1_000_000_000
WINDOW = 10 * SECOND
"""Nanoseconds in which a measurement loses 63 % of its weight against newer ones; a score fades six times as slowly."""


FAILED = 10 * SECOND
"""What a call counts as that failed: else the target that refuses soonest would be the fastest."""


class Latency:
    """An average of the times to the first byte, weighted by how new they are (EWMA with the time between as exponent).

    A slow target's score falls with time, so that it is tried again; one never measured has score 0.
    """

    def __init__(self) -> None:
        self.average = 0.0
        self.at = 0

    def observe(self, span: int, now: int) -> None:
        """Take a measurement of `span` nanoseconds, made at `now`."""
        if self.at == 0:
            self.average = float(span)
        else:
            kept = exp(-max(now - self.at, 0) / WINDOW)
            # Two that come at once would else count as one: each counts a tenth at least.
            kept = min(kept, 0.9)
            self.average = self.average * kept + span * (1 - kept)
        self.at = now

    def score(self, now: int) -> float:
        """Return the average in nanoseconds, faded by the time since the last measurement."""
        return self.average * exp(-max(now - self.at, 0) / (6 * WINDOW)) if self.at else 0.0
