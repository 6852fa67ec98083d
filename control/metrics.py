"""What the workers have counted, added up."""

from core.metrics import LAYOUT, SIZE
from core.wire import Counts

__all__ = ["WorkerCounts"]


class WorkerCounts:
    """The counts of all workers since this control process started.

    totals: counters and histograms, by slot, of all workers together; they never go back, whatever worker ends.
    gauges: worker index -> its counts as last reported, of which only the gauges mean something.
    """

    def __init__(self) -> None:
        self.totals = [0] * SIZE
        self.gauges: dict[int, list[int]] = {}

    def add(self, worker: int, report: Counts) -> bool:
        """Add a worker's report; False if it is of another build and cannot be understood."""
        if report.layout != LAYOUT or len(report.counts) != SIZE:
            return False
        self.totals = [total + count for total, count in zip(self.totals, report.counts, strict=True)]
        self.gauges[worker] = report.counts
        return True

    def forget(self, worker: int) -> None:
        """Drop the gauges of a worker that has gone."""
        self.gauges.pop(worker, None)
