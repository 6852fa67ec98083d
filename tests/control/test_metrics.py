"""The workers' counts, added up by control."""

from control.metrics import WorkerCounts
from core.metrics import LAYOUT, MAX_TARGETS, OTHER, SIZE, TARGET_COUNTERS, TARGET_SIZE, slot
from core.wire import Counts

ACCEPTED = slot("headgate_connections_accepted_total", "http")
OPEN = slot("headgate_connections", "http")


def report(counts: dict[int, int]) -> Counts:
    """Return a worker's report of these counts."""
    return Counts(LAYOUT, [counts.get(at, 0) for at in range(SIZE)])


def test_counters_of_all_workers_and_all_their_runs_add_up() -> None:
    counts = WorkerCounts()
    assert counts.add(0, report({ACCEPTED: 3}))
    assert counts.add(1, report({ACCEPTED: 4}))
    counts.forget(0)
    assert counts.add(0, report({ACCEPTED: 5}))
    assert counts.totals[ACCEPTED] == 12


def test_gauges_are_those_of_the_workers_that_are_there() -> None:
    counts = WorkerCounts()
    counts.add(0, report({OPEN: 3}))
    counts.add(1, report({OPEN: 4}))
    counts.add(0, report({OPEN: 2}))
    counts.forget(1)
    assert {worker: values[OPEN] for worker, values in counts.gauges.items()} == {0: 2}


def test_counts_of_another_build_are_refused_whole() -> None:
    counts = WorkerCounts()
    assert not counts.add(0, Counts(LAYOUT ^ 1, [1] * SIZE))
    assert not counts.add(0, Counts(LAYOUT, [1] * (SIZE - 1)))
    assert not counts.add(0, Counts(LAYOUT, [1] * SIZE, {"p/m": [1] * TARGET_SIZE, "p/n": [1]}))
    assert sum(counts.totals) == 0
    assert (counts.gauges, counts.targets) == ({}, {})


def test_so_many_targets_are_counted_apart_and_the_others_together() -> None:
    counts = WorkerCounts()
    for number in range(MAX_TARGETS + 5):
        counts.add(0, Counts(LAYOUT, [0] * SIZE, {f"p/{number}": [1] * TARGET_SIZE}))
    assert len(counts.targets) == MAX_TARGETS + 1
    assert counts.targets[OTHER] == [5] * TARGET_COUNTERS
    assert counts.target_gauges() == {OTHER: [1] * (TARGET_SIZE - TARGET_COUNTERS)}
