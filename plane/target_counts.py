"""What a worker counts of one target: attempts, how they failed, and breakers that opened.

Usage events name the target that answered in the end; here stands what became of the others. Every candidate has its
counts, so that counting an attempt is an addition; candidates of one name share them (`plane.shared`).
"""

from __future__ import annotations

from core.metrics import TARGET_FAILURES

__all__ = ["COLUMNS", "TargetCounts"]

COLUMNS = len(TARGET_FAILURES)
MAX_COLUMNS = 16
"""Room in the compiled array; as in the header."""


class TargetCounts:
    """The counts of one target; `take` has told what is in `told`."""

    failures: list[int]

    def __init__(self) -> None:
        if COLUMNS > MAX_COLUMNS:
            raise ValueError(f"{COLUMNS} kinds of failures are declared, the array has room for {MAX_COLUMNS}")
        self.attempts = 0
        self.ejections = 0
        self.told = [0] * (COLUMNS + 2)

    def failed(self, kind: int) -> None:
        """Count a failure; kind: its index in `core.metrics.TARGET_FAILURES`."""
        self.failures[kind] += 1

    def take(self) -> list[int]:
        """Return what was counted since the last call, in the order of `core.metrics.TARGET`, without its gauge."""
        counts = [self.attempts]
        for index in range(COLUMNS):
            counts.append(self.failures[index])
        counts.append(self.ejections)
        taken = [count - before for count, before in zip(counts, self.told, strict=True)]
        self.told = counts
        return taken
