import hashlib
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from control import cli
from control.keys import checksum_fits

ROOT = Path(__file__).parents[2]
BROKEN = "models: {m: {targets: [{provider: nobody, model: m}]}}\nlisten: {wrokers: 3}\n"
WHOLE = """
providers: {p: {dialect: openai, base_url: "http://127.0.0.1:1/v1", credential: env:NOT_SET_ANYWHERE}}
models: {m: {targets: [{provider: p, model: m}]}}
"""


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "control.cli", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def commands(command: click.Command, path: str = "headgate") -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from commands(inner, f"{path} {name}")


LEAVES = [(path, command) for path, command in commands(cli.headgate) if not isinstance(command, click.Group)]


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=[path for path, _ in LEAVES])
def test_every_command_and_option_is_documented(path: str, command: click.Command) -> None:
    text = (ROOT / "docs" / "cli.md").read_text()
    heading = re.search(rf"^## `{path}`$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert heading, f"docs/cli.md has no heading for {path}"
    missing = [option for parameter in command.params for option in parameter.opts if f"`{option}" not in heading[1]]
    assert not missing


def test_the_documentation_names_no_command_or_option_that_is_not_there() -> None:
    text = (ROOT / "docs" / "cli.md").read_text()
    assert set(re.findall(r"^## `(.*?)`$", text, re.MULTILINE)) == {path for path, _ in LEAVES}
    known = {option for _, command in LEAVES for parameter in command.params for option in parameter.opts}
    assert set(re.findall(r"--[a-z][a-z-]*", text)) <= known | {"--help", "--version"}


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=[path for path, _ in LEAVES])
def test_every_command_and_option_has_a_help_text(path: str, command: click.Command) -> None:
    assert command.help
    assert all(parameter.help for parameter in command.params if isinstance(parameter, click.Option))


def test_a_whole_config_is_valid_without_its_secrets(folder: Path) -> None:
    (folder / "headgate.yaml").write_text(WHOLE)
    done = run("validate", "--config", str(folder), "--output", "json")
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert answer["valid"]
    assert re.fullmatch("[0-9a-f]{64}", answer["digest"])


def test_validate_prints_every_problem_with_its_place(folder: Path) -> None:
    config = folder / "headgate.yaml"
    config.write_text(BROKEN)
    done = run("validate", "--config", str(config))
    assert (done.returncode, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert all(re.match(rf"{config}:\d+:\d+: \S+: ", line) for line in lines)


def test_validate_tells_programs_the_problems_too(folder: Path) -> None:
    (folder / "headgate.yaml").write_text(BROKEN)
    done = run("validate", "--config", str(folder), "--output", "json")
    assert done.returncode == 1
    assert len(json.loads(done.stdout)["problems"]) == 2


@pytest.mark.parametrize("command", ["up", "control", "plane"])
def test_nothing_is_started_or_made_for_a_config_that_is_wrong(folder: Path, command: str) -> None:
    (folder / "headgate.yaml").write_text(BROKEN)
    done = run(command, "--config", str(folder), "--data", str(folder / "data"))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 2
    assert not (folder / "data").exists()


@pytest.mark.parametrize(
    "command", [("status",), ("apply", "--config", "."), ("explain", "r-1")], ids=["status", "apply", "explain"]
)
def test_without_a_control_process_the_error_says_how_to_start_one(folder: Path, command: tuple[str, ...]) -> None:
    done = run(*command, "--data", str(folder))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: no control process answers at {folder}/admin.sock")
    assert f"headgate up --config DIR --data {folder}" in done.stderr


def test_the_data_directory_can_stand_in_the_environment(folder: Path) -> None:
    done = run("status", HEADGATE_DATA=str(folder))
    assert str(folder) in done.stderr


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("up",), ("status", "--nonsense"), ("apply", "--config", "/no/such")], ids=repr
)
def test_wrong_usage_has_status_1_because_2_says_that_there_are_differences(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Error: " in done.stderr


@pytest.mark.parametrize("request_id", ["", "a/b", "a b", "x" * 129])
def test_what_is_no_request_id_is_refused_before_anyone_is_asked(folder: Path, request_id: str) -> None:
    done = run("explain", "--data", str(folder / "data"), "--", request_id)
    assert (done.returncode, done.stdout) == (1, "")
    assert "a request id has up to 128 letters, digits" in done.stderr


def test_a_data_directory_others_may_write_to_is_refused_with_the_way_out(folder: Path) -> None:
    (folder / "headgate.yaml").write_text(WHOLE)
    (folder / "data").mkdir()
    (folder / "data").chmod(stat.S_IRWXU | stat.S_IRWXO)
    done = run("up", "--config", str(folder), "--data", str(folder / "data"))
    assert (done.returncode, done.stderr) == (
        1,
        f"Error: {folder}/data: others may write to the data directory; run: chmod 700 {folder}/data\n",
    )


def test_a_created_key_comes_with_lines_that_are_a_valid_config(folder: Path) -> None:
    done = run("key", "create", "--consumer", "billing")
    assert done.returncode == 0
    found = re.match(r"key: (\S+)\n", done.stdout)
    assert found
    assert checksum_fits(found[1])
    lines = done.stdout[done.stdout.index("consumers:") :]
    assert hashlib.sha256(found[1].encode()).hexdigest() in lines
    (folder / "headgate.yaml").write_text(WHOLE + lines)
    assert run("validate", "--config", str(folder)).returncode == 0


def test_a_created_key_can_be_read_by_programs() -> None:
    answer = json.loads(run("key", "create", "--output", "json").stdout)
    assert answer["sha256"] == hashlib.sha256(answer["key"].encode()).hexdigest()


def test_the_supervisor_stays_small() -> None:
    script = "import sys, control.cli; print(*sorted({'aiohttp', 'litestar', 'granian', 'uvloop'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == ""
