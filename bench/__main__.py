"""``python -m bench``: the budget table, measured, and the gates. See README.md beside this file."""

import argparse
import json
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn

from bench import https, machine, overload, process, profile, report, swap
from bench.cases import CASES, FULL, QUICK, Run
from bench.connections import room
from bench.gate import command
from bench.gateway import gateway
from bench.load import Load
from bench.process import BenchError, Cores
from bench.servers import HERE, Arm, direct, missing_tools, reference, upstreams

WHAT = {
    "table": "table (default): the budget table",
    "same": "same: nginx against nginx; their spread is the detection limit",
    "profile": "profile: hot spots of the worker under load",
    "micro": "micro: the hot functions by themselves",
    "swap": "swap: of a worker to 10,000 routes and 100,000 keys: pause, time, bytes, memory (options: see its --help)",
    "https": "https: of a call over TLS, by HTTP/1.1 and HTTP/2 (options: see its --help)",
    "overload": "overload: what is served of three times as many calls as a worker lets in",
    "gate": "gate: what a change may cost, judged; instructions, allocations, ratio and load are its parts",
}
OUT = HERE / "out"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure the gateway against nginx on this machine."
    )
    parser.add_argument("what", nargs="?", default="table", choices=list(WHAT), help="; ".join(WHAT.values()))
    parser.add_argument(
        "--only",
        action="append",
        choices=list(CASES),
        metavar="CASE",
        help=f"one of {', '.join(CASES)}; may be repeated",
    )
    parser.add_argument("--quick", action="store_true", help="short windows: a smoke test, not a measurement")
    parser.add_argument("--markdown", action="store_true", help="print the tables for a README")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="where the raw file goes (default: a new one in bench/out)"
    )
    return parser.parse_args()


def say(line: str) -> None:
    """Show progress; tables alone go to standard output."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def arms(what: str, folder: Path, cores: Cores) -> Iterator[tuple[Arm, Arm, Arm, Load]]:
    """Start everything: yields what is judged, the reference, the way past both, and the load."""
    key = f"hg-{secrets.token_urlsafe(24)}"
    with upstreams(folder, cores) as ports, reference(folder, cores, ports) as nginx:
        limits = f", limits: {{connections: {room()}}}"
        same = what == "same"
        front = reference(folder, cores, ports, "nginx2") if same else gateway(folder, cores, ports, key, limits)
        with front as judged:
            yield judged, nginx, direct(ports), Load(cores, key, folder, ports.pids)


def measure(options: argparse.Namespace) -> int:
    """Run the cases, print the tables, keep the raw file; 1 where answers were wrong."""
    found = machine.facts()
    cores = Cores.here()
    say(machine.size(found))
    if cores.count < 2:
        say("one core only: worker, generator and upstream share it, so that the rates mean little")
    with (
        tempfile.TemporaryDirectory(prefix="headgate-bench-") as name,
        arms(options.what, Path(name), cores) as (front, nginx, past, load),
    ):
        run = Run(front, nginx, past, load, QUICK if options.quick else FULL, say)
        commands = {arm.name: arm.command for arm in (front, nginx)}
        run.warm()
        try:
            for case in options.only or CASES:
                CASES[case](run)
            failed = run.counted()
        except BenchError as error:
            # What was measured before stands, and is shown and kept.
            failed = f"{error}\n{process.tail(front.log)}" if front.log else str(error)
    show(options, run, found)
    path = options.json or OUT / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{options.what}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = {
        "machine": found,
        "quick": options.quick,
        "commands": commands,
        "facts": run.facts,
        "failed": failed,
        "figures": {key: asdict(each) for key, each in run.figures.items()},
        "cells": [asdict(cell) for cell in run.cells],
    }
    path.write_text(json.dumps(raw, indent=1))
    say(f"raw figures: {path}")
    if failed:
        say(f"error: {failed}")
    return 1 if failed or any(cell.problem for cell in run.cells) else 0


def show(options: argparse.Namespace, run: Run, found: dict[str, object]) -> None:
    """Print the tables and what must be known about them."""
    if options.what == "table":
        print(report.render(report.BUDGET_HEAD, report.lines(run.figures), options.markdown), end="\n\n")
    print(report.render(report.DETAIL_HEAD, report.latency_table(run.cells), options.markdown), end="\n\n")
    for note in report.notes(run.figures):
        print(note)
    if "idle_cpu" in run.facts:
        print("idle CPU: " + ", ".join(f"{name} {share:.2%}" for name, share in run.facts["idle_cpu"].items()))
    limit = run.detection_limit()
    if limit is not None:
        print(f"detection limit: nginx itself varied by {limit:.1%} over the run")
    if options.quick:
        print("a quick run, not a measurement")
    print(
        f"{machine.size(found)}, revision {found['revision'] or 'unknown'}{' and changes' if found['changed'] else ''}"
    )


def profiled(options: argparse.Namespace) -> int:
    """Print the worker's hot spots under calls, or with ``--only stream`` under streams."""
    case = "one-per-read" if options.only == ["stream"] else "chat"
    with (
        tempfile.TemporaryDirectory(prefix="headgate-bench-") as name,
        arms(options.what, Path(name), Cores.here()) as (front, _, _, load),
    ):
        print(profile.hot_spots(front, load, case, OUT, 3 if options.quick else 10))
    return 0


def micro() -> int:
    """Run the micro-benchmarks; pyproject's own options skip them, as they have no place among tests."""
    own = ["-o", "addopts=--import-mode=importlib --strict-markers", "-o", "python_files=test_*.py bench_*.py"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        *own,
        "--benchmark-only",
        "--benchmark-columns=min,median,ops,rounds",
        str(HERE / "micro"),
    ]
    return subprocess.run(command, cwd=HERE.parent, check=False).returncode


def interrupted(number: int, frame: FrameType | None) -> NoReturn:
    """Turn the first signal into what unwinds every `with`; more of them would cut that short, and leave processes."""
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> int:
    """Do what the command line asks."""
    if sys.argv[1:2] and sys.argv[1] in command.NAMES:
        return command.main(sys.argv[1:])
    if sys.argv[1:2] == ["swap"]:
        return swap.command(sys.argv[2:])
    if sys.argv[1:2] == ["https"]:
        return https.command(sys.argv[2:])
    options = arguments()
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, interrupted)
    if options.what == "micro":
        return micro()
    missing = [] if options.what == "overload" else missing_tools()
    if missing:
        say("\n".join(missing))
        return 1
    try:
        if options.what == "overload":
            return overload.command()
        return profiled(options) if options.what == "profile" else measure(options)
    except BenchError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("stopped; everything started was ended")
        return 130


if __name__ == "__main__":
    sys.exit(main())
