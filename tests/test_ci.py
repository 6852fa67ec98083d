"""The pipeline: well-formed, linted, and made of the same commands a person types."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from yamllint import linter
from yamllint.config import YamlLintConfig

from bench.gate import command

ROOT = Path(__file__).parents[1]
PIPELINE = ROOT / ".gitlab-ci.yml"
# Keys at the top level that are no jobs.
KEYWORDS = {"stages", "default", "variables", "workflow", "include", "spec"}


def pipeline() -> dict[str, Any]:
    """Return the pipeline as data."""
    return yaml.safe_load(PIPELINE.read_text())


def jobs() -> dict[str, Any]:
    """Return the pipeline's jobs, each with what it extends."""
    known = pipeline()
    found = {name: job for name, job in known.items() if name not in KEYWORDS and not name.startswith(".")}
    for name, job in found.items():
        bases = job.get("extends", [])
        for base in [bases] if isinstance(bases, str) else bases:
            found[name] = known[base] | found[name]
    return found


def targets() -> set[str]:
    """Return the targets that the Makefile declares."""
    phony = re.search(r"^\.PHONY:(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    return set(phony[1].split())


def test_the_pipeline_passes_yamllint() -> None:
    found = linter.run(PIPELINE.read_text(), YamlLintConfig("extends: default"), str(PIPELINE))
    assert [str(problem) for problem in found] == []


def test_the_pipeline_checks_builds_and_tests() -> None:
    assert {"check", "build", "test"} <= jobs().keys()


@pytest.mark.parametrize("name", jobs())
def test_a_job_runs_make_targets_that_exist_and_nothing_else(name: str) -> None:
    job = jobs()[name]
    assert job["stage"] in pipeline()["stages"]
    assert job["script"]
    for line in job["script"]:
        command, *asked = line.split()
        assert command == "make"
        assert asked
        assert set(asked) <= targets()


# Where the gates' tools come from: the image's own distribution, and nothing else.
INSTALLS = re.compile(r"apt-get (update|install) [a-z0-9 -]+")


@pytest.mark.parametrize("name", jobs())
def test_what_a_job_does_before_its_targets_is_install_tools(name: str) -> None:
    for line in jobs()[name].get("before_script", []):
        assert INSTALLS.fullmatch(line)


@pytest.mark.parametrize("name", ["gate", "load", "soak", "coverage"])
def test_a_judging_job_keeps_its_reports_whatever_comes_of_it(name: str) -> None:
    artifacts = jobs()[name]["artifacts"]
    assert artifacts["when"] == "always"
    assert artifacts["expire_in"]
    assert artifacts["reports"]


def test_the_gates_have_the_history_that_their_base_stands_in() -> None:
    assert jobs()["gate"]["variables"]["GIT_DEPTH"] == "0"


def test_the_reports_stand_where_the_gates_write_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "GATES", {name: lambda _: [] for name in command.GATES})
    for name in ("gate", "load"):
        command.main([name, "--out", str(tmp_path)])
        for report in jobs()[name]["artifacts"]["reports"].values():
            folder, _, file = report.rpartition("/")
            assert ROOT / folder == command.OUT
            assert (tmp_path / file).exists()


@pytest.mark.parametrize("total", ["TOTAL      5197     58    99%", "TOTAL   12   1   95.42%"])
def test_the_coverage_job_reads_the_total_that_coverage_prints(total: str) -> None:
    found = re.search(jobs()["coverage"]["coverage"].strip("/"), f"core/a.py  1  0  100%\n{total}", re.MULTILINE)
    assert found is not None
    assert float(found[1]) >= 95


@pytest.mark.parametrize("name", ["soak", "fuzz"])
def test_what_takes_long_runs_on_a_schedule_or_when_asked(name: str) -> None:
    scheduled, asked = jobs()[name]["rules"]
    assert scheduled == {"if": '$CI_PIPELINE_SOURCE == "schedule"'}
    assert asked["when"] == "manual"


def test_the_cache_is_keyed_on_a_lock_file_that_exists() -> None:
    files = pipeline()["default"]["cache"]["key"]["files"]
    assert files
    for name in files:
        assert "--hash=sha256:" in (ROOT / name).read_text()


def test_the_test_job_reports_its_cases() -> None:
    job = jobs()["test"]
    report = job["artifacts"]["reports"]["junit"]
    assert f"--junitxml={report}" in job["variables"]["PYTEST_ADDOPTS"]
    assert job["artifacts"]["when"] == "always"


def test_ci_run_stops_at_the_first_failure_and_calls_only_make(tmp_path: Path) -> None:
    # A `make` that says what it was asked, and fails where it is told to.
    calls = tmp_path / "calls"
    make = tmp_path / "make"
    make.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n[ "$1" != "$FAIL_AT" ]\n')
    make.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    for fail_at, status, asked in (("", 0, ["test", "check", "test-plain", "counts"]), ("check", 1, ["test", "check"])):
        calls.unlink(missing_ok=True)
        done = subprocess.run(
            [ROOT / ".ci" / "run"], env=environment | {"FAIL_AT": fail_at}, capture_output=True, text=True, check=False
        )
        assert (done.returncode, calls.read_text().split()) == (status, asked)
        assert ("all passed" in done.stdout) == (status == 0)
