"""``python -m bench swap``: what a worker's callers feel of a swap, and what a large config costs it."""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.process import BenchError
from bench.pushing import ROOT, Worker, large, worker
from core.snapshot import Snapshot, build
from core.wire import Ack

__all__ = ["Figures", "command", "measure"]

MIB = 1 << 20
SETTLE = 0.5
"""Seconds that callers go on after the last answer, in which the old runtime is let go of."""


class Figures(NamedTuple):
    """One swap. pause, usual: the slowest answer of ``/healthz`` during it and without it, in ms; p99 in ms."""

    what: str
    pause: float
    usual: float
    p99: float
    seconds: float
    sections: int
    size: int
    mib: float


class Pings:
    """The answers' times of one ping process, in µs; there when it has ended."""

    def __init__(self) -> None:
        self.times: list[int] = []


@contextmanager
def pinging(port: int) -> Iterator[Pings]:
    """Ask the worker every millisecond for the length of a `with`."""
    pings = Pings()
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.ping", str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield pings
        said, _ = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        raise BenchError("the worker did not answer every ping; it may have ended")
    pings.times = json.loads(said)


def swap(front: Worker, snapshot: Snapshot, what: str, before: int) -> Figures:
    """Push `snapshot` under pings, and return what that cost. before: bytes of memory without the large config."""
    with pinging(front.port) as usual:
        time.sleep(2 * SETTLE)
    with pinging(front.port) as pings:
        time.sleep(SETTLE)
        pushed = front.push(snapshot)
        time.sleep(SETTLE)
    if not isinstance(pushed.answer, Ack):
        raise BenchError(f"{what}: the worker refused it: {pushed.answer.reason}")
    ordered = sorted(pings.times)
    return Figures(
        what,
        ordered[-1] / 1000,
        max(usual.times) / 1000,
        ordered[len(ordered) * 99 // 100] / 1000,
        pushed.seconds,
        pushed.sections,
        pushed.size,
        (front.private() - before) / MIB,
    )


def measure(routes: int, keys: int) -> list[Figures]:
    """Swap a worker to a large config, to one with another key, to one with other routes, and back to a small one."""
    with tempfile.TemporaryDirectory(prefix="hg-swap-") as name, worker(Path(name)) as front:
        small = build(large(1, 1), 1)
        front.push(small)
        before = front.private()
        steps = [
            (f"{routes:,} routes, {keys:,} keys, from nothing", build(large(routes, keys), 2)),
            ("one key changed", build(large(routes, keys, changed=keys // 2), 3)),
            ("every route changed", build(large(routes, keys, team="other", changed=keys // 2), 4)),
            ("back to one route, one key", build(large(1, 1), 5)),
        ]
        return [swap(front, snapshot, what, before) for what, snapshot in steps]


def command(arguments: Sequence[str]) -> int:
    """Measure and print a table; 1 if a swap failed."""
    parser = argparse.ArgumentParser(prog="python -m bench swap", description=__doc__)
    parser.add_argument("--routes", type=int, default=10_000)
    parser.add_argument("--keys", type=int, default=100_000)
    options = parser.parse_args(arguments)
    try:
        figures = measure(options.routes, options.keys)
    except (BenchError, ConnectionError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    head = ("swap", "pause", "(usual)", "p99", "push to ack", "sections", "sent", "memory")
    print("{:<44} {:>9} {:>9} {:>8} {:>11} {:>8} {:>9} {:>9}".format(*head))
    for one in figures:
        print(
            f"{one.what:<44} {one.pause:>6.1f} ms {one.usual:>6.1f} ms {one.p99:>5.1f} ms {one.seconds:>9.2f} s"
            f" {one.sections:>8} {one.size / 1024:>5,.0f} KiB {one.mib:>+5.1f} MiB"
        )
    print("pause: the slowest answer of /healthz, asked every ms; usual: the same without a swap. memory: PSS")
    return 0
