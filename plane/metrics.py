"""One worker's metrics: an array of 64-bit integers, counted in without a look-up or an allocation.

What the slots mean is declared in `core.metrics`. A slot is looked up once, when a module is loaded; counting is an
addition. Every second `plane.feed` sends what has changed to control.
"""

from core.metrics import BOUNDS, SIZE, series

__all__ = ["Metrics"]

MAX_SLOTS = 512
"""Room in the compiled array; as in the header."""
BUCKETS = len(BOUNDS)
SLOTS = SIZE


class Metrics:
    """The counts of one worker.

    counts: by slot. told: what `take` has returned of it.
    `slot` is always one that `core.metrics.slot` returned for a metric of the right kind: it is not checked again.
    """

    counts: list[int]
    told: list[int]
    is_gauge: list[bool]
    bounds: list[int]

    def __init__(self) -> None:
        if SIZE > MAX_SLOTS or BUCKETS > 32:
            raise ValueError(f"{SIZE} slots are declared, the array has room for {MAX_SLOTS}")
        for index in range(BUCKETS):
            self.bounds[index] = BOUNDS[index]
        for one in series():
            self.is_gauge[one.slot] = one.metric.kind == "gauge"

    def add(self, slot: int, by: int) -> None:
        """Add to a counter."""
        self.counts[slot] += by

    def set(self, slot: int, value: int) -> None:
        """Set a gauge, or a counter that something else counts, to `value`."""
        self.counts[slot] = value

    def observe(self, slot: int, microseconds: int) -> None:
        """Count a length of time in a histogram; a negative one counts as none."""
        if microseconds < 0:
            microseconds = 0
        bucket = 0
        while bucket < BUCKETS and self.bounds[bucket] < microseconds:
            bucket += 1
        self.counts[slot + bucket] += 1
        self.counts[slot + BUCKETS + 1] += microseconds

    def count(self, slot: int) -> int:
        """Return what stands in a slot."""
        return self.counts[slot]

    def take(self) -> list[int]:
        """Return, slot by slot, what was counted since the last call; of gauges, what they stand at."""
        taken = []
        for slot in range(SLOTS):
            taken.append(self.counts[slot] - self.told[slot])
            if not self.is_gauge[slot]:
                self.told[slot] = self.counts[slot]
        return taken
