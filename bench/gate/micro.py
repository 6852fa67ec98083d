"""The micro-benchmarks of this tree against those of the base, on this machine, in turns.

Times of a shared machine wander, so one slow run proves nothing: what is slower is measured again, base and head in
turns, and only what is slower each time counts. `min` is compared, as whatever disturbs only ever adds.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from bench.gate.count import Tree
from bench.gate.verdict import Line, compared
from bench.process import BenchError

__all__ = ["TURNS", "confirmed", "micro", "times"]

TURNS = 3
"""How often a function must have been too slow."""
OWN = ["-o", "addopts=--import-mode=importlib --strict-markers", "-o", "python_files=test_*.py"]
SHORT = ["--benchmark-only", "--benchmark-max-time=0.2", "--benchmark-min-rounds=5", "--benchmark-disable-gc"]


def times(tree: Tree, only: Collection[str] = ()) -> dict[str, float]:
    """Return the shortest time of each micro-benchmark of `tree`, in nanoseconds of what it repeats."""
    folder = tree.code / "bench" / "micro"
    if not folder.exists():
        return {}
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        chosen = [str(folder.parent.parent / name) for name in only] or [str(folder)]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *OWN, *SHORT, f"--benchmark-json={out.name}", *chosen],
            cwd=tree.code,
            env=os.environ | {"PYTHONPATH": str(tree.code), "PYTHONHASHSEED": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise BenchError(f"the micro-benchmarks of {tree.code} failed:\n{done.stdout[-2000:]}")
        found = json.loads(Path(out.name).read_text())
    return {each["fullname"]: each["stats"]["min"] * 1e9 for each in found["benchmarks"]}


def micro(head: Tree, base: Tree | None, allowed: Mapping[str, float]) -> list[Line]:
    """Compare the micro-benchmarks of two trees."""

    def turn(only: Collection[str]) -> list[Line]:
        before = times(base, only) if base else {}
        return compared("micro", times(head, only), before, allowed)

    return confirmed(turn)


def confirmed(turn: Callable[[Collection[str]], list[Line]], turns: int = TURNS) -> list[Line]:
    """Return the lines of a first turn; those that failed, as they are after failing in every one of `turns`.

    turn: measures the cases it is given, or all.
    """
    lines = {line.case: line for line in turn(())}
    for _ in range(turns - 1):
        failed = [case for case, line in lines.items() if line.failed]
        if not failed:
            break
        lines |= {line.case: line for line in turn(failed)}
    return list(lines.values())
