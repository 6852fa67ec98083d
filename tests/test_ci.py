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

ROOT = Path(__file__).parents[1]
PIPELINE = ROOT / ".gitlab-ci.yml"
# Keys at the top level that are no jobs.
KEYWORDS = {"stages", "default", "variables", "workflow", "include", "spec"}


def pipeline() -> dict[str, Any]:
    """Return the pipeline as data."""
    return yaml.safe_load(PIPELINE.read_text())


def jobs() -> dict[str, Any]:
    """Return the pipeline's jobs."""
    return {name: job for name, job in pipeline().items() if name not in KEYWORDS}


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
    for fail_at, status, asked in (("", 0, ["test", "check", "test-plain"]), ("check", 1, ["test", "check"])):
        calls.unlink(missing_ok=True)
        done = subprocess.run(
            [ROOT / ".ci" / "run"], env=environment | {"FAIL_AT": fail_at}, capture_output=True, text=True, check=False
        )
        assert (done.returncode, calls.read_text().split()) == (status, asked)
        assert ("all passed" in done.stdout) == (status == 0)
