"""A worker's array of counts."""

import re
from pathlib import Path

import pytest

from core.metrics import BOUNDS, SIZE, WORKER, slot
from plane.metrics import Metrics

ROOT = Path(__file__).parents[2]
ACCEPTED = slot("headgate_connections_accepted_total", "http")
OPEN = slot("headgate_connections", "http")
LAG = slot("headgate_loop_lag_seconds")


def test_what_was_counted_is_taken_once() -> None:
    metrics = Metrics()
    metrics.add(ACCEPTED, 2)
    metrics.add(ACCEPTED, 3)
    taken = metrics.take()
    assert len(taken) == SIZE
    assert taken[ACCEPTED] == 5
    assert sum(taken) == 5
    assert sum(metrics.take()) == 0
    metrics.add(ACCEPTED, 1)
    assert metrics.take()[ACCEPTED] == 1
    assert metrics.count(ACCEPTED) == 6


def test_a_gauge_stays_where_it_was_set() -> None:
    metrics = Metrics()
    metrics.set(OPEN, 7)
    assert metrics.take()[OPEN] == 7
    assert metrics.take()[OPEN] == 7
    metrics.set(OPEN, 3)
    assert metrics.take()[OPEN] == 3


@pytest.mark.parametrize(
    ("microseconds", "bucket"),
    [
        (-5, 0),
        (0, 0),
        (BOUNDS[0], 0),
        (BOUNDS[0] + 1, 1),
        (BOUNDS[-1], len(BOUNDS) - 1),
        (BOUNDS[-1] + 1, len(BOUNDS)),
        (1 << 62, len(BOUNDS)),
    ],
)
def test_a_time_falls_into_the_first_bucket_that_it_does_not_exceed(microseconds: int, bucket: int) -> None:
    metrics = Metrics()
    metrics.observe(LAG, microseconds)
    taken = metrics.take()
    assert taken[LAG : LAG + len(BOUNDS) + 1] == [int(at == bucket) for at in range(len(BOUNDS) + 1)]
    assert taken[LAG + len(BOUNDS) + 1] == max(microseconds, 0)
    assert sum(map(bool, taken)) == 1 + (microseconds > 0)


def test_every_declared_metric_is_counted_somewhere() -> None:
    plane = "".join(path.read_text() for path in (ROOT / "plane").rglob("*.py"))
    counted = set(re.findall(r'slots?\(\s*"(headgate_\w+)"', plane))
    assert counted == {metric.name for metric in WORKER}
