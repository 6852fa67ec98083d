"""``python -m tests.fuzz``: fuzz the parsers for some time, one target after the other, and keep what breaks them."""

import argparse
import importlib
import logging
import os
import sys
import time
from pathlib import Path
from typing import cast

from tests.fuzz.engine import FindingError, Fuzzer, Target, Watched, corpus_of, saved

FINDINGS = Path(__file__).parent / "findings"
TARGETS = sorted(path.stem for path in (Path(__file__).parent / "targets").glob("*.py"))
TURN = 60.0
"""Seconds that a target has before it is another's turn."""


def target(name: str) -> Target:
    """Return a target by its name."""
    return cast(Target, importlib.import_module(f"tests.fuzz.targets.{name}"))


def main() -> int:
    """Fuzz; 1 if something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="for all targets together (default 1)")
    parser.add_argument("--target", action="append", choices=TARGETS, help="this one only; may be repeated")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="to repeat a run (default: the time)")
    options = parser.parse_args()
    logging.getLogger("headgate").propagate = False
    end = time.monotonic() + options.minutes * 60
    names = options.target or TARGETS
    print(f"seed {options.seed}, {options.minutes:g} minutes: {', '.join(names)}", flush=True)
    found = 0
    fuzzers: dict[str, Fuzzer] = {}
    turn = max(1.0, min(TURN, options.minutes * 60 / len(names)))
    while names and time.monotonic() < end:
        for name in list(names):
            folder = FINDINGS / name
            try:
                if name not in fuzzers:
                    fuzzers[name] = Fuzzer(Watched(target(name)), corpus_of(name).values(), options.seed, folder)
                fuzzers[name].run(min(turn, end - time.monotonic()))
            except FindingError as finding:
                found += 1
                names = [other for other in names if other != name]
                path = os.path.relpath(saved(finding, folder))
                print(f"FOUND {name}: {finding}\n  input: {path}\n  {finding.data!r}", flush=True)
    for name, fuzzer in fuzzers.items():
        print(f"{name:10} {fuzzer.executions:12,} executions, {len(fuzzer.kinds):6,} kinds of outcome")
    print(f"findings: {found}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
