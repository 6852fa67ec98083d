"""The gates' command line: ``python -m bench gate`` for all of them, or the name of one."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.gate import verdict
from bench.gate.base import built, default_base
from bench.gate.count import ROOT, Tree, allocations, growth, instructions, missing_valgrind
from bench.gate.load import load, missing_locust
from bench.gate.micro import micro
from bench.gate.ratio import ratio
from bench.gate.recorded import CASES
from bench.gate.verdict import Line
from bench.process import BenchError

__all__ = ["GATES", "NAMES", "Run", "main"]

OUT = ROOT / "bench" / "out"


class Run:
    """What the gates of one run share: options, thresholds, and the tree of the base, built when it is needed."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.cases: Sequence[str] = options.case or ()
        self.allowed = verdict.thresholds()
        self.head = Tree.at(ROOT)
        self.found: Tree | None = None

    def base(self) -> Tree | None:
        """Return the tree to compare with, None where the run compares with nothing."""
        ref = self.options.base
        if ref != "none" and self.found is None:
            self.found = Tree.at(built(default_base() if ref == "auto" else ref, OUT))
        return self.found

    def instructions(self) -> list[Line]:
        """Count the instructions of one request of each recorded case."""
        require(missing_valgrind())
        base = self.base()
        before = instructions(base, self.cases) if base else {}
        found = instructions(self.head, self.cases, self.options.keep)
        return verdict.compared("instructions", found, before, self.allowed["instructions"])

    def allocations(self) -> list[Line]:
        """Count how often one request of each recorded case asks for memory, and what it leaves behind."""
        require(missing_valgrind())
        base = self.base()
        before = allocations(base, self.cases) if base else {}
        return [
            *verdict.compared("allocations", allocations(self.head, self.cases), before, self.allowed["allocations"]),
            *verdict.limited("growth", growth(self.head, self.cases), self.allowed["growth"], " blocks"),
        ]

    def micro(self) -> list[Line]:
        """Compare the micro-benchmarks with those of the base."""
        return micro(self.head, self.base(), self.allowed["micro"])

    def ratio(self) -> list[Line]:
        """Measure CPU per request against nginx in the same run."""
        return ratio(self.allowed["ratio"])

    def load(self) -> list[Line]:
        """Serve callers of all kinds, each of which must get the answer it expects."""
        require(missing_locust())
        return load(self.options.out, self.options.seconds, self.options.users)


GATES: dict[str, Callable[[Run], list[Line]]] = {
    "instructions": Run.instructions,
    "allocations": Run.allocations,
    "micro": Run.micro,
    "ratio": Run.ratio,
    "load": Run.load,
}
NAMES = ("gate", *GATES)


def require(missing: str) -> None:
    """Raise BenchError where a tool is missing."""
    if missing:
        raise BenchError(missing)


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line of all gates or of one."""
    about = " ".join(f"{name}: {gate.__doc__}" for name, gate in GATES.items() if argv[0] in ("gate", name))
    parser = argparse.ArgumentParser(prog=f"python -m bench {argv[0]}", description=about)
    parser.add_argument("what", choices=[argv[0]], help=argparse.SUPPRESS)
    parser.add_argument("--case", action="append", choices=list(CASES), help="count this one only; may be repeated")
    parser.add_argument(
        "--base",
        metavar="REF",
        default="auto" if argv[0] == "gate" else "none",
        help="compare with this commit; auto: where the branch began; none: with nothing (default %(default)s)",
    )
    parser.add_argument("--skip", action="append", default=[], choices=list(GATES), help="leave this gate out")
    parser.add_argument("--allow-missing", action="store_true", help="pass where a gate cannot run here")
    parser.add_argument("--seconds", type=int, default=20, help="of the load scenario (default %(default)s)")
    parser.add_argument("--users", type=int, default=40, help="of the load scenario (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep callgrind's files here, for callgrind_annotate")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="where the reports go (bench/out)")
    return parser.parse_args(argv)


def judged(options: argparse.Namespace) -> list[Line]:
    """Run the gates asked for; one that cannot run leaves a line that says so."""
    run = Run(options)
    names = list(GATES) if options.what == "gate" else [options.what]
    lines = []
    for name in names:
        if name in options.skip:
            continue
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            lines += GATES[name](run)
        except BenchError as error:
            lines.append(verdict.not_run(name, str(error), allowed=options.allow_missing))
    return lines


def main(argv: Sequence[str]) -> int:
    """Run all gates or one, print the table and write the reports; 1 if anything failed."""
    options = arguments(argv)
    os.environ.setdefault("PYTHONHASHSEED", "0")
    lines = judged(options)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, text in (
        (f"{options.what}.json", verdict.as_json(lines)),
        (f"{options.what}.xml", verdict.junit(lines)),
        (f"{options.what}-metrics.txt", verdict.metrics(lines)),
    ):
        (options.out / name).write_text(text)
    print(verdict.as_json(lines) if options.json else verdict.table(lines))
    failed = sum(line.failed for line in lines)
    if failed:
        print(f"failed: {failed} of {len(lines)}", file=sys.stderr)
    return 1 if failed or not lines else 0
