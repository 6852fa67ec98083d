"""The gates' arithmetic: which figures fail, and how that is told to people and to GitLab."""

import json
from xml.etree import ElementTree as Xml

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from bench.gate import verdict
from bench.gate.recorded import CASES
from bench.gate.verdict import FAILED, NO_BASE, NOT_RUN, PASSED, Line

THREE = {"default": 3.0}


def judged(measured: float, base: float, allowed: dict[str, float] = THREE) -> str:
    (line,) = verdict.compared("instructions", {"chat": measured}, {"chat": base}, allowed)
    return line.verdict


@pytest.mark.parametrize(
    ("measured", "told"), [(900.0, PASSED), (1000.0, PASSED), (1030.0, PASSED), (1030.1, FAILED), (2000.0, FAILED)]
)
def test_a_figure_fails_when_it_is_more_above_its_base_than_allowed(measured: float, told: str) -> None:
    assert judged(measured, 1000.0) == told


def test_a_case_of_its_own_threshold_is_judged_by_that() -> None:
    assert judged(1040.0, 1000.0, THREE | {"chat": 5.0}) == PASSED
    assert judged(1040.0, 1000.0, THREE | {"route": 5.0}) == FAILED


def test_anything_above_a_base_of_nothing_fails() -> None:
    assert judged(0.0, 0.0) == PASSED
    assert judged(0.5, 0.0) == FAILED


def test_a_figure_that_the_base_lacks_says_so_and_passes_nothing() -> None:
    (line,) = verdict.compared("instructions", {"new": 5.0}, {"chat": 5.0}, THREE)
    assert (line.verdict, line.base) == (NO_BASE, None)


def test_a_figure_fails_above_its_fixed_limit() -> None:
    found = verdict.limited("growth", {"chat": 0.0, "route": 1.0}, {"default": 0.0})
    assert [line.verdict for line in found] == [PASSED, FAILED]


def test_a_gate_that_has_not_run_fails_unless_that_is_allowed() -> None:
    assert verdict.not_run("ratio", "nginx is missing", allowed=False).verdict == FAILED
    assert verdict.not_run("ratio", "nginx is missing", allowed=True).verdict == NOT_RUN


def test_every_threshold_has_a_default_and_names_cases_that_exist() -> None:
    for gate in ("instructions", "allocations", "growth"):
        allowed = verdict.thresholds()[gate]
        assert allowed.keys() <= {"default", *CASES}
        assert "default" in allowed


LINES = [
    Line("instructions", "chat", 120_000.0, 118_000.0, "+3 %", PASSED, "+1.69 %"),
    Line("instructions", "route", 130_000.0, 100_000.0, "+3 %", FAILED, "+30.00 %"),
    Line("growth", "chat", 0.0, None, "<= 0 blocks", PASSED),
    verdict.not_run("ratio", "nginx is missing", allowed=True),
]


def test_the_table_has_a_line_for_each_figure_with_its_verdict() -> None:
    head, *rows = verdict.table(LINES).splitlines()
    assert head.split() == ["gate", "case", "measured", "base", "threshold", "verdict"]
    assert rows[0].split() == ["instructions", "chat", "120,000", "118,000", "+3", "%", "pass", "+1.69", "%"]
    assert "FAIL" in rows[1]
    assert "not run: nginx is missing" in rows[3]


def test_junit_fails_what_failed_and_skips_what_has_not_run() -> None:
    suite = Xml.fromstring(verdict.junit(LINES))
    assert {name: suite.get(name) for name in ("tests", "failures", "skipped")} == {
        "tests": "4",
        "failures": "1",
        "skipped": "1",
    }
    failed = [case for case in suite if case.find("failure") is not None]
    assert [(case.get("classname"), case.get("name")) for case in failed] == [("gate.instructions", "route")]


def test_metrics_are_openmetrics_with_a_value_for_each_figure_that_was_measured() -> None:
    families = {family.name: family for family in text_string_to_metric_families(verdict.metrics(LINES))}
    assert families.keys() == {"gate_instructions", "gate_growth"}
    values = {sample.labels["case"]: sample.value for sample in families["gate_instructions"].samples}
    assert values == {"chat": 120_000.0, "route": 130_000.0}


def test_json_holds_every_line_as_it_was_judged() -> None:
    assert [line["verdict"] for line in json.loads(verdict.as_json(LINES))] == [PASSED, FAILED, PASSED, NOT_RUN]
