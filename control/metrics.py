"""What the workers have counted, added up."""

from core.metrics import LAYOUT, MAX_TARGETS, OTHER, SIZE, TARGET_COUNTERS, TARGET_SIZE
from core.wire import Counts

__all__ = ["WorkerCounts"]


class WorkerCounts:
    """The counts of all workers since this control process started.

    totals: counters and histograms, by slot, of all workers together; they never go back, whatever worker ends.
    gauges: worker index -> its counts as last reported, of which only the gauges mean something. targets: name ->
    counters, of the first `MAX_TARGETS` names; places: worker index -> name -> the rows as last reported.
    """

    def __init__(self) -> None:
        self.totals = [0] * SIZE
        self.gauges: dict[int, list[int]] = {}
        self.targets: dict[str, list[int]] = {}
        self.places: dict[int, dict[str, list[int]]] = {}

    def add(self, worker: int, report: Counts) -> bool:
        """Add a worker's report; False if it is of another build and cannot be understood."""
        if report.layout != LAYOUT or len(report.counts) != SIZE:
            return False
        if any(len(row) != TARGET_SIZE for row in report.targets.values()):
            return False
        self.totals = [total + count for total, count in zip(self.totals, report.counts, strict=True)]
        self.gauges[worker] = report.counts
        for name, row in report.targets.items():
            known = name if name in self.targets or len(self.targets) < MAX_TARGETS else OTHER
            before = self.targets.get(known, [0] * TARGET_COUNTERS)
            self.targets[known] = [total + count for total, count in zip(before, row, strict=False)]
        self.places[worker] = report.targets
        return True

    def target_gauges(self) -> dict[str, list[int]]:
        """Return the gauges of each target, of all workers together."""
        found: dict[str, list[int]] = {}
        for rows in self.places.values():
            for name, row in rows.items():
                known = name if name in self.targets else OTHER
                before = found.get(known, [0] * (TARGET_SIZE - TARGET_COUNTERS))
                found[known] = [total + count for total, count in zip(before, row[TARGET_COUNTERS:], strict=True)]
        return found

    def forget(self, worker: int) -> None:
        """Drop the gauges of a worker that has gone."""
        self.gauges.pop(worker, None)
        self.places.pop(worker, None)
