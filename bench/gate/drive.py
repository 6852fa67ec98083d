"""``python -m bench.gate.drive``: runs the recorded cases so that something outside can count.

`instructions.py` runs this under callgrind, in this tree and in that of the base commit. Between the parts of a case it
calls getppid(2), at which callgrind writes down its counters and begins anew.
"""

import argparse
import gc
import json
import os
import sys
import tempfile
from array import array
from pathlib import Path

from bench.gate.recorded import CASES, Turn
from bench.gate.rig import Worker

__all__ = ["ROUNDS", "WARM", "growth", "main"]

WARM = 40
"""Turns before anything is counted: free lists, caches and the interpreter's own specialisation settle."""
ROUNDS = (40, 120)
"""Turns of the two parts that are subtracted."""


def repeat(turn: Turn, count: int) -> None:
    """Take `count` turns."""
    for _ in range(count):
        turn()


def counted(worker: Worker, case: str) -> None:
    """Run one case in two parts, each between two marks."""
    with CASES[case](worker) as turn:
        repeat(turn, WARM)
        worker.drain()
        os.getppid()
        for rounds in ROUNDS:
            repeat(turn, rounds)
            os.getppid()
    worker.drain()


def growth(worker: Worker, turn: Turn, rounds: int = 1000) -> int:
    """Return how many blocks of memory `rounds` turns leave behind when their usage events are taken.

    The cycle collector must be off: what waits for it counts as left behind.
    """
    blocks = array("q", [0, 0, 0])  # Numbers in a list would be blocks themselves.
    for index in range(3):
        repeat(turn, rounds)
        worker.drain()
        blocks[index] = sys.getallocatedblocks()
    return blocks[2] - blocks[1]


def grown(worker: Worker, case: str) -> int:
    """Return what 1,000 turns of one case leave behind."""
    with CASES[case](worker) as turn:
        return growth(worker, turn)


def main() -> None:
    """Run the cases asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.gate.drive", description=__doc__)
    parser.add_argument("what", choices=["count", "growth", "list"])
    parser.add_argument("cases", nargs="*", metavar="CASE")
    options = parser.parse_args()
    if options.what == "list":
        print(json.dumps({"cases": list(CASES), "rounds": ROUNDS}))
        return
    if unknown := set(options.cases) - CASES.keys():
        parser.error(f"no such case: {', '.join(sorted(unknown))}; known: {', '.join(CASES)}")
    gc.collect()
    gc.disable()
    gc.freeze()
    with tempfile.TemporaryDirectory(prefix="headgate-gate-") as folder:
        worker = Worker(Path(folder))
        if options.what == "growth":
            print(json.dumps({case: grown(worker, case) for case in options.cases or CASES}))
        else:
            for case in options.cases or CASES:
                counted(worker, case)
        worker.close()


if __name__ == "__main__":
    main()
