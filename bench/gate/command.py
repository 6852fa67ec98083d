"""The gates' command line: ``python -m bench instructions``, ``allocations``."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.gate import verdict
from bench.gate.base import built, default_base
from bench.gate.count import ROOT, Tree, allocations, growth, instructions, missing_valgrind
from bench.gate.recorded import CASES
from bench.gate.verdict import Line
from bench.process import BenchError

__all__ = ["COMMANDS", "main"]

OUT = ROOT / "bench" / "out"


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line of a gate."""
    parser = argparse.ArgumentParser(prog=f"python -m bench {argv[0]}", description=COMMANDS[argv[0]].__doc__)
    parser.add_argument("what", choices=[argv[0]], help=argparse.SUPPRESS)
    parser.add_argument("--case", action="append", choices=list(CASES), help="count this one only; may be repeated")
    parser.add_argument("--base", metavar="REF", help="compare with this commit; 'auto': where the branch began")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep callgrind's files here, for callgrind_annotate")
    return parser.parse_args(argv)


def base_tree(options: argparse.Namespace) -> Tree | None:
    """Return the tree to compare with, if one is asked for."""
    if options.base is None:
        return None
    ref = default_base() if options.base == "auto" else options.base
    return Tree.at(built(ref, OUT))


def count_instructions(options: argparse.Namespace) -> list[Line]:
    """Count the instructions of one request of each recorded case."""
    cases = options.case or ()
    base = base_tree(options)
    before = instructions(base, cases) if base else {}
    found = instructions(Tree.at(ROOT), cases, options.keep)
    return verdict.compared("instructions", found, before, verdict.thresholds()["instructions"])


def count_allocations(options: argparse.Namespace) -> list[Line]:
    """Count how often one request of each recorded case asks for memory, and what it leaves behind."""
    cases = options.case or ()
    base = base_tree(options)
    before = allocations(base, cases) if base else {}
    found = allocations(Tree.at(ROOT), cases)
    return [
        *verdict.compared("allocations", found, before, verdict.thresholds()["allocations"]),
        *verdict.limited("growth", growth(Tree.at(ROOT), cases), verdict.thresholds()["growth"], " blocks"),
    ]


COMMANDS: dict[str, Callable[[argparse.Namespace], list[Line]]] = {
    "instructions": count_instructions,
    "allocations": count_allocations,
}


def main(argv: Sequence[str]) -> int:
    """Run one gate and print its lines; 1 if it fails, 2 if it cannot run."""
    options = arguments(argv)
    missing = missing_valgrind()
    try:
        if missing:
            raise BenchError(missing)
        lines = COMMANDS[options.what](options)
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(verdict.as_json(lines) if options.json else verdict.table(lines))
    return 1 if any(line.verdict == verdict.FAILED for line in lines) else 0
