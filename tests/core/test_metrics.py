"""What a worker counts: one declaration, and slots that never overlap."""

import re

import pytest

from core.metrics import BOUNDS, SIZE, WORKER, series, slot, slots


def test_every_slot_belongs_to_one_series() -> None:
    taken = [one.slot + at for one in series() for at in range(one.metric.width)]
    assert taken == list(range(SIZE))


def test_names_are_those_that_prometheus_expects() -> None:
    names = [metric.name for metric in WORKER]
    families = {name.removesuffix("_total") for name in names}  # OpenMetrics drops the suffix.
    assert len(families) == len(names)
    for metric in WORKER:
        assert re.fullmatch(r"headgate_[a-z][a-z_]*[a-z]", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.name.endswith("_seconds") or metric.kind != "histogram"
        assert metric.kind in ("counter", "gauge", "histogram")
        assert metric.help.endswith(".")


def test_labels_have_closed_sets_of_values() -> None:
    for metric in WORKER:
        assert len(set(metric.values)) == len(metric.values)
        assert (metric.values == ("",)) == (metric.label == "")


def test_bounds_of_buckets_rise() -> None:
    assert list(BOUNDS) == sorted(set(BOUNDS))


def test_a_slot_is_found_by_name_and_value() -> None:
    by_door = slots("headgate_connections")
    assert set(by_door) == {"http", "https"}
    assert by_door["https"] == slot("headgate_connections", "https")


@pytest.mark.parametrize(("name", "value"), [("headgate_conections", "http"), ("headgate_connections", "ftp")])
def test_what_is_not_declared_cannot_be_counted(name: str, value: str) -> None:
    with pytest.raises(KeyError):
        slot(name, value)


def test_slots_of_an_unknown_metric_are_refused() -> None:
    with pytest.raises(KeyError):
        slots("headgate_conections")
