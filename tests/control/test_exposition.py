"""The page of metrics: what it says, and that Prometheus can read it."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from control.exposition import DERIVED, Exposition
from core.metrics import LAYOUT, SIZE, TARGET, TARGET_SIZE, WORKER, slot
from core.usage import UsageEvent
from core.wire import Counts, Draining

ROOT = Path(__file__).parents[2]
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
EVENT = msgspec.convert(
    [
        1,
        0,
        "",
        "",
        "alice",
        "chat",
        "m",
        "p/m",
        200,
        "",
        True,
        2,
        30_000,
        700,
        10,
        5,
        4,
        3,
        True,
        "POST",
        "/",
        "::1",
        100,
        200,
    ],
    UsageEvent,
)
ACCEPTED = slot("headgate_connections_accepted_total", "http")
OPEN = slot("headgate_connections", "http")
LAG = slot("headgate_loop_lag_seconds")
PROCESSOR = slot("headgate_worker_cpu_seconds_total")


@pytest.fixture
async def exposition(control: Any) -> Exposition:
    return Exposition(control.feed, control.publisher, control.feed.intake, None)


def page(exposition: Exposition, accept: str = "") -> str:
    text, _ = exposition.page(list(exposition.collect()), accept)
    return text.decode()


def values(text: str) -> dict[str, float]:
    """Return every sample by its name and labels as they stand in the text."""
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


async def test_calls_are_shown_by_what_served_them(exposition: Exposition) -> None:
    exposition.tally.add(EVENT)
    found = values(page(exposition))
    names = 'model="m",route="chat"'
    assert found[f'headgate_requests_total{{{names},status="200",target="p/m"}}'] == 1
    assert found[f'headgate_attempts_total{{{names},target="p/m"}}'] == 2
    assert found[f'headgate_bytes_total{{direction="in",{names},target="p/m"}}'] == 100
    assert found[f'headgate_bytes_total{{direction="out",{names},target="p/m"}}'] == 200
    for kind, count in (("input", 10), ("output", 5), ("cache_read", 4), ("reasoning", 3)):
        assert found[f'headgate_tokens_total{{kind="{kind}",{names},target="p/m"}}'] == count
    assert found[f'headgate_request_seconds_sum{{{names},target="p/m"}}'] == 0.03
    assert found[f'headgate_request_seconds_bucket{{le="0.025",{names},target="p/m"}}'] == 0
    assert found[f'headgate_request_seconds_bucket{{le="0.05",{names},target="p/m"}}'] == 1
    assert found[f'headgate_first_token_seconds_count{{{names},target="p/m"}}'] == 1
    assert found['headgate_consumer_requests_total{consumer="alice",result="ok"}'] == 1
    assert found['headgate_consumer_tokens_total{consumer="alice",kind="output"}'] == 5
    assert found["headgate_usage_events_total"] == 1


async def test_errors_and_limits_are_shown(exposition: Exposition) -> None:
    exposition.tally.add(msgspec.structs.replace(EVENT, status=429, error="rate_limit_exceeded", usage_known=False))
    found = values(page(exposition))
    assert found['headgate_errors_total{code="rate_limit_exceeded"}'] == 1
    assert found['headgate_limited_total{limit="requests"}'] == 1
    assert found['headgate_limited_total{limit="concurrent"}'] == 0
    assert found['headgate_consumer_requests_total{consumer="alice",result="failed"}'] == 1


async def test_counters_of_workers_add_up_and_gauges_stand_apart(exposition: Exposition) -> None:
    for worker, (accepted, now_open) in enumerate([(3, 1), (4, 2)]):
        counts = [0] * SIZE
        counts[ACCEPTED], counts[OPEN], counts[LAG + 1], counts[PROCESSOR] = accepted, now_open, 1, 1_500_000
        assert exposition.feed.counts.add(worker, Counts(LAYOUT, counts))
    found = values(page(exposition))
    assert found['headgate_connections_accepted_total{door="http"}'] == 7
    assert found['headgate_connections{door="http",worker="0"}'] == 1
    assert found['headgate_connections{door="http",worker="1"}'] == 2
    assert found['headgate_loop_lag_seconds_bucket{le="5e-05"}'] == 0
    assert found["headgate_loop_lag_seconds_count"] == 2
    assert found["headgate_worker_cpu_seconds_total"] == 3
    exposition.feed.counts.forget(0)
    found = values(page(exposition))
    assert 'headgate_connections{door="http",worker="0"}' not in found
    assert found['headgate_connections_accepted_total{door="http"}'] == 7


async def test_targets_are_shown_with_their_failures_and_states(exposition: Exposition) -> None:
    row = [0] * TARGET_SIZE
    row[0], row[6], row[9], row[10], row[11] = 7, 2, 1, 1, 1
    for worker in (0, 1):
        assert exposition.feed.counts.add(worker, Counts(LAYOUT, [0] * SIZE, {"p/m": row}))
    found = values(page(exposition))
    assert found['headgate_target_attempts_total{target="p/m"}'] == 14
    assert found['headgate_target_failures_total{failure="5xx",target="p/m"}'] == 4
    assert found['headgate_target_failures_total{failure="429",target="p/m"}'] == 0
    assert found['headgate_target_ejections_total{target="p/m"}'] == 2
    assert found['headgate_target_places{state="closed",target="p/m"}'] == 2
    assert found['headgate_target_places{state="open",target="p/m"}'] == 2
    exposition.feed.counts.forget(0)
    found = values(page(exposition))
    assert found['headgate_target_places{state="open",target="p/m"}'] == 1
    assert found['headgate_target_attempts_total{target="p/m"}'] == 14


async def test_workers_and_versions_are_shown(exposition: Exposition, control: Any) -> None:
    await control.serving(0, 2)
    found = values(page(exposition))
    assert (found["headgate_snapshot_version"], found['headgate_workers{state="serving"}']) == (1, 2)
    assert found['headgate_worker_snapshot_version{worker="2"}'] == 1


async def test_a_worker_is_counted_in_the_state_that_status_shows(exposition: Exposition, control: Any) -> None:
    first, _ = await control.serving(0, 1)
    await (await control.worker(2)).push()
    first.send(Draining())
    await control.until(lambda: control.feed.peers[0].draining)
    states = [worker.state for worker in control.feed.states()]
    found = values(page(exposition))
    assert {state: found[f'headgate_workers{{state="{state}"}}'] for state in states} == {
        state: states.count(state) for state in states
    }
    assert set(states) == {"draining", "serving", "starting"}


@pytest.mark.parametrize(("accept", "read"), [("", read_text), (OPENMETRICS, read_openmetrics)])
async def test_both_formats_can_be_read_back(exposition: Exposition, accept: str, read: Any) -> None:
    exposition.tally.add(EVENT)
    exposition.tally.add(msgspec.structs.replace(EVENT, route='a"b\\c\nd', status=404, error="not_found"))
    families = {family.name: family for family in read(page(exposition, accept))}
    wanted = {metric.name.removesuffix("_total"): metric for metric in (*WORKER, *TARGET, *DERIVED)}
    assert set(wanted) <= set(families)
    for name, metric in wanted.items():
        assert (families[name].type, families[name].documentation) == (metric.kind, metric.help)
    routes = {sample.labels["route"] for sample in families["headgate_requests"].samples}
    assert routes == {"chat", 'a"b\\c\nd'}


def test_the_page_of_the_docs_lists_every_metric_as_it_is_declared() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (\w+) \| ([^|]*) \| (.+) \|$", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE
    )
    declared = [
        (metric.name, metric.kind, label_text((metric.label,) if metric.label else (), metric.kind), metric.help)
        for metric in WORKER
    ]
    declared += [(metric.name, metric.kind, label_text(metric.labels), metric.help) for metric in DERIVED]
    for metric in TARGET:
        labels = ("target", metric.label) if metric.label else ("target",)
        declared.append((metric.name, metric.kind, label_text(labels), metric.help))
    assert sorted(rows) == sorted(declared)


def label_text(labels: tuple[str, ...], kind: str = "") -> str:
    """Return labels as the page writes them; a worker's gauge has its index, too."""
    return " ".join(f"`{label}`" for label in (*labels, *(("worker",) if kind == "gauge" else ())))
