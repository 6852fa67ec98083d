"""Instructions and allocations of one turn of each recorded case, counted by callgrind.

Only differences count: one process runs a case N1 and then N2 times, and (total2 - total1) / (N2 - N1) is what one more
turn costs. So start-up, imports and warm-up cancel out. Hash seed and address layout are fixed and the cycle collector
is off, so that one build counts the same however busy the machine is; another folder or another set of cases shifts
addresses, and with them collisions in CPython's tables, by up to 0.5 %.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.process import BenchError

__all__ = ["ROOT", "Tree", "allocations", "calls_of_allocators", "growth", "instructions", "missing_valgrind", "total"]

ROOT = Path(__file__).parents[2]
MARK = "getppid"
"""The function of the C library before which callgrind writes down its counters; `drive.py` calls it."""
ALLOCATORS = frozenset(["malloc", "calloc", "realloc"])
TOTAL = re.compile(r"^(?:totals|summary): (\d+)", re.MULTILINE)
FUNCTION = re.compile(r"^(c?)fn=\((\d+)\)(?: (.+))?$")
SECONDS = 600


@dataclass(frozen=True)
class Tree:
    """The code that is measured, and where `bench.gate.drive` comes from: of its own, else of this tree.

    code: has core and plane, built. driver: has bench.
    """

    code: Path
    driver: Path

    @classmethod
    def at(cls, code: Path) -> "Tree":
        """Return the tree at `code`, with its own driver where it has one: that one fits it."""
        return cls(code, code if (code / "bench" / "gate" / "drive.py").exists() else ROOT)

    def run(self, prefix: Sequence[str], arguments: Sequence[str], **environment: str) -> str:
        """Run the driver under `prefix` and return what it printed; BenchError if it failed."""
        with tempfile.TemporaryDirectory(prefix="headgate-gate-") as folder:
            # The working directory comes first on the path: bench from there, everything else from the tree.
            (Path(folder) / "bench").symlink_to(self.driver / "bench")
            done = subprocess.run(
                [*prefix, sys.executable, "-m", "bench.gate.drive", *arguments],
                cwd=folder,
                env=os.environ | {"PYTHONPATH": str(self.code), "PYTHONHASHSEED": "0"} | environment,
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        if done.returncode != 0:
            raise BenchError(f"the driver of {self.driver} failed on {self.code}:\n{done.stderr.strip()[-2000:]}")
        return done.stdout


def missing_valgrind() -> str:
    """Return how to get valgrind where it is not installed, else ""."""
    return "" if shutil.which("valgrind") else "valgrind is missing; get it with: apt-get install valgrind"


def instructions(tree: Tree, cases: Sequence[str] = (), keep: Path | None = None) -> dict[str, float]:
    """Return the instructions of one turn of each case.

    keep: a folder in which callgrind's files stay, for a closer look with callgrind_annotate.
    """
    return _per_turn(tree, cases, total, keep)


def allocations(tree: Tree, cases: Sequence[str] = ()) -> dict[str, float]:
    """Return how often one turn asks the C library for memory, all of Python's own allocators sent there."""
    return _per_turn(tree, cases, calls_of_allocators, None, PYTHONMALLOC="malloc")


def growth(tree: Tree, cases: Sequence[str] = ()) -> dict[str, float]:
    """Return how many blocks of memory 1,000 turns of each case leave behind."""
    return {case: float(blocks) for case, blocks in json.loads(tree.run((), ["growth", *cases])).items()}


def _per_turn(
    tree: Tree, cases: Sequence[str], read: Callable[[str], int], keep: Path | None, **environment: str
) -> dict[str, float]:
    """Run the driver under callgrind and return what `read` finds in its files, for one turn of each case."""
    known = json.loads(tree.run((), ["list"]))
    cases = [case for case in cases or known["cases"] if case in known["cases"]]
    first, second = known["rounds"]
    with tempfile.TemporaryDirectory(prefix="headgate-gate-") as name:
        folder = keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        out = folder / "callgrind.out"
        options = [f"--dump-before={MARK}", f"--callgrind-out-file={out}"]
        valgrind = ["setarch", "-R", "valgrind", "--quiet", "--tool=callgrind", *options]
        tree.run(valgrind, ["count", *cases], **environment)

        def part(number: int) -> int:
            return read(Path(f"{out}.{number}").read_text())

        # Each case leaves three files: what came before it, its first part, its second part.
        return {
            case: (part(3 * index + 3) - part(3 * index + 2)) / (second - first) for index, case in enumerate(cases)
        }


def total(profile: str) -> int:
    """Return the instructions of one of callgrind's files."""
    found = TOTAL.search(profile)
    if found is None:
        raise BenchError("callgrind wrote a file without a total")
    return int(found[1])


def calls_of_allocators(profile: str) -> int:
    """Return how many calls of an allocator one of callgrind's files tells of."""
    names: dict[str, str] = {}
    counted, called = 0, ""
    for line in profile.splitlines():
        found = FUNCTION.match(line)
        if found is not None:
            kind, number, name = found.groups()
            if name is not None:
                names[number] = name
            if kind:
                called = names.get(number, "")
        elif line.startswith("calls=") and called in ALLOCATORS:
            counted += int(line[6:].split()[0])
    return counted
