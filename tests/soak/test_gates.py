"""Each gate fails on a change that deserves it: a copy of the tree with one seeded regression, judged like any other.

Only in a soak run (conftest.py): they need valgrind, nginx, wrk and locust, which `make test` does not ask for.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.gate.count import ROOT, Tree, allocations, growth, instructions
from bench.gate.load import load
from bench.gate.micro import micro
from bench.gate.ratio import ratio
from bench.gate.verdict import Line, compared, limited, thresholds

ALLOWED = thresholds()
CHAT = ["chat"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a built copy of the tree."""
    for name in ("core", "plane", "control", "bench", "examples", "tests/providers"):
        ignored = shutil.ignore_patterns("__pycache__", "out")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    for name in ("setup.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def seed(tree: Path, file: str, old: str, new: str) -> None:
    """Change one place of a file, and build it anew where it is compiled."""
    path = tree / file
    text = path.read_text()
    assert text.count(old) == 1, f"{file} has {old!r} {text.count(old)} times"
    path.write_text(text.replace(old, new))
    if path.with_suffix(".pxd").exists():
        build = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
        subprocess.run(build, cwd=tree, check=True, capture_output=True)


def failed(lines: list[Line]) -> set[str]:
    """Return the cases that failed."""
    return {line.case for line in lines if line.failed}


def counted(tree: Path) -> list[Line]:
    """Return the verdict of the instruction gate on a chat call of `tree`, this one being the base."""
    base = instructions(Tree.at(ROOT), CHAT)
    return compared("instructions", instructions(Tree.at(tree), CHAT), base, ALLOWED["instructions"])


def test_the_instruction_gate_passes_the_same_code_in_another_place(tree: Path) -> None:
    assert failed(counted(tree)) == set()


def test_the_instruction_gate_fails_on_an_extra_loop_in_a_compiled_phase(tree: Path) -> None:
    loop = "    for step in range(100):\n        str(step)\n"
    at = "    consumer = exchange.consumer\n"
    seed(tree, "plane/admit.py", at, at + loop)
    assert failed(counted(tree)) == {"chat"}


def test_the_instruction_gate_fails_on_an_extra_loop_in_the_list_of_phases(tree: Path) -> None:
    seed(
        tree, "plane/phases.py", "        take_id(exchange)\n", "        take_id(exchange)\n        sum(range(1000))\n"
    )
    assert failed(counted(tree)) == {"chat"}


def test_the_allocation_gate_fails_on_a_few_more_objects_per_request(tree: Path) -> None:
    more = "        take_id(exchange)\n        [bytes(40 + size) for size in range(5)]\n"
    seed(tree, "plane/phases.py", "        take_id(exchange)\n", more)
    base = allocations(Tree.at(ROOT), CHAT)
    assert failed(compared("allocations", allocations(Tree.at(tree), CHAT), base, ALLOWED["allocations"])) == {"chat"}


def test_the_growth_gate_fails_on_a_list_that_only_grows(tree: Path) -> None:
    leak = "        take_id(exchange)\n        log.__dict__.setdefault('leak', []).append(bytes(100))\n"
    seed(tree, "plane/phases.py", "        take_id(exchange)\n", leak)
    assert failed(limited("growth", growth(Tree.at(ROOT), CHAT), ALLOWED["growth"])) == set()
    assert failed(limited("growth", growth(Tree.at(tree), CHAT), ALLOWED["growth"])) == {"chat"}


def test_the_micro_gate_fails_on_a_slower_function(tree: Path) -> None:
    at = "    text = body  # Indexed by C; `body` is the object.\n"
    seed(tree, "core/splice.py", at, at + "    for _ in range(20):\n        body.find(b'no such key')\n")
    slower = failed(micro(Tree.at(tree), Tree.at(ROOT), ALLOWED["micro"]))
    assert any("test_decode.py::test_scan" in case for case in slower)


def test_the_ratio_gate_fails_on_a_gateway_that_takes_twice_the_time(tree: Path) -> None:
    seed(
        tree, "plane/phases.py", "        take_id(exchange)\n", "        take_id(exchange)\n        sum(range(5000))\n"
    )
    assert "chat_ratio" in failed(ratio(ALLOWED["ratio"], tree))


def test_the_load_gate_fails_on_streams_without_their_end(tree: Path, tmp_path: Path) -> None:
    seed(
        tree,
        "plane/relay.py",
        "        exchange.move_by(None)\n",
        "        exchange.move_by(None)\n        exchange.tail = b''\n",
    )
    found = load(tmp_path / "out", seconds=5, users=10, root=tree)
    assert failed(found) == {"stream", "stream with usage"}


def test_the_load_gate_fails_on_events_that_control_never_gets(tree: Path, tmp_path: Path) -> None:
    seed(
        tree,
        "plane/phases.py",
        "    record(exchange)\n",
        "    if exchange.error != 'rate_limit_exceeded':\n        record(exchange)\n",
    )
    assert failed(load(tmp_path / "out", seconds=5, users=10, root=tree)) == {"usage events lost"}
