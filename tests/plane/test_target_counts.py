"""plane.target_counts: what each target was asked and how it failed, also where another answered in the end."""

from types import SimpleNamespace
from typing import Any

from core.metrics import MAX_TARGETS, OTHER, TARGET, TARGET_COUNTERS, TARGET_SIZE
from plane.gauges import Reporter
from plane.health import STATES
from plane.target_counts import TargetCounts
from tests.plane.scenes import HEAD, OK, ROLE, STREAM, WORD, Scene, chunk, config, failed, said

COLUMNS = [(metric.name.removeprefix("headgate_target_"), value) for metric in TARGET for value in metric.values]


def told(scene: Scene) -> dict[str, dict[tuple[str, str], int]]:
    """Return what the worker would report now of each target: what is not 0."""
    reporter = Reporter(scene.gateway.shared, [], SimpleNamespace())  # type: ignore[arg-type]  # it is not used.
    rows = reporter.targets()
    return {
        name: {column: count for column, count in zip(COLUMNS, row, strict=True) if count} for name, row in rows.items()
    }


def test_the_columns_are_those_that_are_declared() -> None:
    assert len(TargetCounts().take()) == TARGET_COUNTERS
    assert len(STATES) == TARGET_SIZE - TARGET_COUNTERS
    assert [value for name, value in COLUMNS if name == "places"] == list(STATES)


def test_attempts_and_failures_are_those_of_the_target_that_had_them(scene: Any) -> None:
    played = scene(config("p", "q", keys=2, on=["5xx", 429, "context_length"], max=3))
    caller = played.gateway.caller()
    caller.chat()
    played.peer("p").say(failed(429, b"retry-after: 30\r\n"))
    played.peer("p").say(failed(500))
    played.peer("q").say(OK)
    assert said(caller)[0] == 200
    assert told(played) == {
        "p/x": {
            ("attempts_total", ""): 2,
            ("failures_total", "429"): 1,
            ("failures_total", "5xx"): 1,
            ("places", "closed"): 1,
            ("places", "cooling"): 1,
        },
        "q/x": {("attempts_total", ""): 1, ("places", "closed"): 2},
    }
    assert told(played)["q/x"] == {("places", "closed"): 2}


def test_an_opened_breaker_is_counted_and_shown_at_its_target(scene: Any) -> None:
    played = scene(config("p", "q"))
    caller = played.gateway.caller()
    for _ in range(5):
        caller.chat()
        played.peer("p").say(failed(500))
        played.peer("q").say(OK)
    row = told(played)["p/x"]
    assert (row["ejections_total", ""], row["failures_total", "5xx"], row["places", "open"]) == (1, 5, 1)


def test_what_is_too_long_for_a_target_is_counted_there(scene: Any) -> None:
    played = scene(config("p", "q", on=["context_length"]))
    caller = played.gateway.caller()
    caller.chat()
    played.peer("p").say(failed(400, body=b'{"error":{"code":"context_length_exceeded"}}'))
    played.peer("q").say(OK)
    assert told(played)["p/x"]["failures_total", "context_length"] == 1


def test_a_stream_that_breaks_off_is_counted_where_nobody_looks_after_its_target(scene: Any) -> None:
    played = scene(config("p"))
    caller = played.gateway.caller()
    caller.chat(STREAM)
    peer = played.peer("p")
    peer.say(HEAD + chunk(ROLE + WORD))
    peer.leave(ConnectionResetError())
    assert told(played) == {"p/x": {("attempts_total", ""): 1, ("failures_total", "5xx"): 1}}


def test_a_caller_that_leaves_is_no_failure_of_the_target(scene: Any) -> None:
    played = scene(config("p"))
    caller = played.gateway.caller()
    caller.chat()
    played.peer("p")
    caller.leave()
    assert told(played) == {"p/x": {("attempts_total", ""): 1}}


def test_counts_outlive_a_push(scene: Any) -> None:
    played = scene(config("p"))
    shared = played.gateway.shared
    before = shared.counted("p/x")
    played.gateway.apply(config("p", "q"), {f"env:{name}0": "k" for name in "PQR"})
    assert shared.counted("p/x") is before


def test_so_many_targets_are_counted_apart(scene: Any) -> None:
    shared = scene(config("p")).gateway.shared
    kept = [shared.counted(f"p/{number}") for number in range(MAX_TARGETS + 5)]
    assert len(set(map(id, kept))) <= MAX_TARGETS + 1
    assert shared.counted("p/one more") is shared.counted(OTHER) is kept[-1]
