"""The gates' command: one table, reports for GitLab, and an exit status that nothing talks its way around."""

import json
from collections.abc import Collection
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from bench.gate import command, micro, ratio, verdict
from bench.gate import load as scenario
from bench.gate.verdict import FAILED, NO_BASE, PASSED, Line
from bench.process import BenchError
from bench.report import ROWS


def line(result: str, case: str = "chat") -> Line:
    return Line("instructions", case, 1.0, 1.0, "+3 %", result)


@pytest.fixture
def gates(monkeypatch: pytest.MonkeyPatch) -> dict[str, Line | str]:
    """Return what each gate says: a line, or why it cannot run."""
    said: dict[str, Line | str] = dict.fromkeys(command.GATES, line(PASSED))

    def gate(name: str) -> list[Line]:
        found = said[name]
        if isinstance(found, str):
            raise BenchError(found)
        return [found]

    monkeypatch.setattr(command, "GATES", {name: lambda _, name=name: gate(name) for name in command.GATES})
    return said


def run(out: Path, *more: str) -> int:
    return command.main(["gate", "--out", str(out), "--base", "none", *more])


@pytest.mark.parametrize(
    ("said", "more", "status"),
    [
        (line(PASSED), (), 0),
        (line(NO_BASE), (), 0),
        (line(FAILED), (), 1),
        ("nginx is missing", (), 1),
        ("nginx is missing", ("--allow-missing",), 0),
        (line(FAILED), ("--allow-missing",), 1),
        (line(FAILED), ("--skip", "ratio"), 0),
    ],
)
def test_the_run_fails_with_any_of_its_gates(
    gates: dict[str, Line | str], tmp_path: Path, said: Line | str, more: tuple[str, ...], status: int
) -> None:
    gates["ratio"] = said
    assert run(tmp_path, *more) == status


def test_a_run_of_no_gate_at_all_fails(gates: dict[str, Line | str], tmp_path: Path) -> None:
    assert run(tmp_path, *(word for name in gates for word in ("--skip", name))) == 1


def test_a_gate_that_cannot_run_does_not_keep_the_others_from_running(
    gates: dict[str, Line | str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gates["instructions"] = "valgrind is missing; get it with: apt-get install valgrind"
    assert run(tmp_path) == 1
    shown = capsys.readouterr().out
    assert "not run: valgrind is missing; get it with: apt-get install valgrind" in shown
    assert shown.count(" pass") == len(gates) - 1


def test_the_reports_tell_what_the_table_tells(gates: dict[str, Line | str], tmp_path: Path) -> None:
    gates["load"] = line(FAILED, "route")
    run(tmp_path)
    told = [each["verdict"] for each in json.loads((tmp_path / "gate.json").read_text())]
    assert told == [PASSED] * (len(gates) - 1) + [FAILED]
    assert Xml.parse(tmp_path / "gate.xml").getroot().get("failures") == "1"
    assert 'gate_instructions{case="route"} 1' in (tmp_path / "gate-metrics.txt").read_text()


# --- micro-benchmarks: slow once is noise


def turns(*results: dict[str, str]) -> tuple[list[Line], list[Collection[str]]]:
    """Return the verdict over these turns, and what was measured in each."""
    asked: list[Collection[str]] = []

    def turn(only: Collection[str]) -> list[Line]:
        asked.append(only)
        return [line(result, case) for case, result in results[len(asked) - 1].items()]

    return micro.confirmed(turn, len(results)), asked


def test_a_function_that_is_slower_in_every_turn_fails() -> None:
    found, asked = turns({"a": FAILED, "b": PASSED}, {"a": FAILED}, {"a": FAILED})
    assert [each.verdict for each in found] == [FAILED, PASSED]
    assert asked == [(), ["a"], ["a"]]


def test_a_function_that_is_slower_once_is_measured_again_and_passes() -> None:
    found, asked = turns({"a": FAILED, "b": PASSED}, {"a": PASSED}, {})
    assert [each.verdict for each in found] == [PASSED, PASSED]
    assert len(asked) == 2


# --- the ratio to nginx

ALLOWED = {"chat_ratio": 2.0, "allowance": 10.0}


def figures(value: float, note: str = "", failed: str = "") -> dict[str, object]:
    figure = {"value": value, "low": value, "high": value, "note": note}
    return {"figures": {"chat_ratio": figure}, "failed": failed}


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (figures(1.9), [PASSED]),
        (figures(2.2), [PASSED]),
        (figures(2.21), [FAILED]),
        (figures(1.0, note="void: 3 answers were wrong"), [FAILED]),
        ({"figures": {}, "failed": "the gateway ended"}, [FAILED]),
        (figures(1.0, failed="control counted too few"), [PASSED, FAILED]),
    ],
)
def test_a_ratio_over_its_bar_and_a_run_with_wrong_answers_fail(found: dict[str, object], told: list[str]) -> None:
    assert [each.verdict for each in ratio.judged(found, ALLOWED)] == told


def test_the_ratios_that_are_judged_are_the_bars_of_the_budget() -> None:
    allowed = verdict.thresholds()["ratio"]
    assert {key: bar for key, bar in allowed.items() if key != "allowance"} == {
        row.key: row.bar for row in ROWS if row.key in allowed
    }


# --- the load scenario


def counts(**failures: int) -> dict[str, dict[str, object]]:
    return {name: {"requests": 100, "failures": count, "recorded": True} for name, count in failures.items()}


def test_one_unexpected_answer_among_many_fails_and_is_shown() -> None:
    chat, stream = scenario.judged(counts(chat=0, stream=1), ["stream: 1 times no terminal event at the end"])
    assert (chat.failed, stream.failed) == (False, True)
    assert "no terminal event" in stream.note


def test_a_kind_of_request_that_never_came_fails() -> None:
    (found,) = scenario.judged({"chat": {"requests": 0, "failures": 0, "recorded": True}}, [])
    assert found.failed


def test_a_run_without_counts_or_with_a_problem_of_its_own_fails() -> None:
    assert scenario.judged({}, [])[0].failed
    assert [each.failed for each in scenario.judged(counts(chat=0), ["locust ended with 1"])] == [False, True]
