"""The load scenario: a gateway with two workers, a scripted provider, and callers of all kinds for some seconds.

No speed is judged here. Each answer must be the expected one, no worker may end, and control must have counted a usage
event for each request that leaves one.
"""

import hashlib
import importlib.util
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from bench.gate.count import ROOT
from bench.gate.verdict import FAILED, PASSED, Line
from bench.process import BenchError, children, free_port, started, tail, wait_until

__all__ = ["Gateway", "gateway", "judged", "load", "missing_locust"]

HEADGATE = [sys.executable, "-c", "from control.cli import main; main()"]
CONSUMERS = ("rich", "narrow", "poor")
CORES = os.sched_getaffinity(0)


def missing_locust() -> str:
    """Return how to get locust where it is not installed, else ""."""
    return "" if importlib.util.find_spec("locust") else "locust is missing; get it with: make .venv/ready-bench"


@dataclass(frozen=True)
class Gateway:
    """A running gateway. keys: by consumer."""

    url: str
    data: Path
    keys: dict[str, str]
    supervisor: int

    def workers(self) -> set[int]:
        """Return the workers' processes."""
        return {pid for pid, line in children(self.supervisor).items() if " plane" in line}

    def usage_events(self) -> int:
        """Return how many requests control has counted."""
        command = [*HEADGATE, "status", "--output", "json", "--data", str(self.data)]
        done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BenchError(f"headgate status failed: {done.stderr or done.stdout}")
        return sum(row["requests"] for row in json.loads(done.stdout)["usage"])


def environment() -> dict[str, str]:
    """Return the environment of every process started here."""
    keys = {"LOAD_PROVIDER_KEY": "sk-load-provider", "LOAD_WRONG_KEY": "sk-load-wrong"}
    return os.environ | keys | {"PYTHONPATH": str(ROOT), "QUICKSTART_PROVIDER_KEY": keys["LOAD_PROVIDER_KEY"]}


@contextmanager
def gateway(folder: Path, root: Path = ROOT) -> Iterator[Gateway]:
    """Run the scripted provider, and before it the gateway of the tree at `root`."""
    port, provider, config = free_port(), free_port(), folder / "headgate.yaml"
    keys = {name: f"hg-{secrets.token_urlsafe(24)}" for name in CONSUMERS}
    digests = {f"{name}_digest": hashlib.sha256(key.encode()).hexdigest() for name, key in keys.items()}
    text = Template((ROOT / "bench" / "config" / "load.yaml").read_text())
    config.write_text(text.substitute(gateway_port=port, provider_port=provider, closed_port=free_port(), **digests))
    answers = [sys.executable, "examples/quickstart/provider.py", "--listen", f"127.0.0.1:{provider}"]
    up = [*HEADGATE, "up", "--config", str(config), "--data", str(folder / "data")]
    log, url = folder / "headgate.log", f"http://127.0.0.1:{port}"
    with (
        started(answers, folder / "provider.log", CORES, environment(), ROOT),
        started(up, log, CORES, environment() | {"PYTHONPATH": str(root)}, root) as process,
    ):
        wait_until(lambda: process.poll() is not None or is_ready(url), f"headgate up ({log.name})", 30)
        if process.poll() is not None:
            raise BenchError(f"headgate up ended with {process.returncode}:\n{tail(log)}")
        yield Gateway(url, folder / "data", keys, process.pid)


def is_ready(url: str) -> bool:
    """Tell whether a worker serves."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def load(out: Path, seconds: int = 20, users: int = 40, root: Path = ROOT) -> list[Line]:
    """Run the scenario against the gateway of the tree at `root`; its CSV files and its page stay in `out`."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="headgate-load-") as name, gateway(Path(name), root) as front:
        before = front.workers()
        found = called(front, out, seconds, users, Path(name))
        lines = judged(found["counts"], found["problems"])
        lost = sum(each["requests"] for each in found["counts"].values() if each["recorded"]) - counted(front, found)
        lines.append(Line("load", "usage events lost", float(lost), None, "= 0", FAILED if lost else PASSED))
        gone = len(before - front.workers())
        lines.append(Line("load", "workers that ended", float(gone), None, "= 0", FAILED if gone else PASSED))
    return lines


def called(front: Gateway, out: Path, seconds: int, users: int, folder: Path) -> dict[str, Any]:
    """Run locust against a gateway and return what it counted."""
    counts = folder / "counts.json"
    keys = {f"HEADGATE_LOAD_{name.upper()}": key for name, key in front.keys.items()}
    run = ["--headless", "--users", str(users), "--spawn-rate", str(users), "--run-time", f"{seconds}s"]
    # Calls under way at the end are finished, so that everything sent is counted on both sides.
    reports = ["--stop-timeout", "30", "--csv", str(out / "load"), "--html", str(out / "load.html"), "--only-summary"]
    command = [sys.executable, "-m", "locust", "-f", str(ROOT / "bench" / "locustfile.py"), *run, *reports]
    done = subprocess.run(
        [*command, "--host", front.url],
        env=environment() | keys | {"HEADGATE_LOAD_COUNTS": str(counts)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=seconds + 120,
        check=False,
    )
    if not counts.exists():
        raise BenchError(f"locust ended with {done.returncode} and counted nothing:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(counts.read_text())
    if done.returncode != 0 and not found["problems"]:
        found["problems"].append(f"locust ended with {done.returncode}: {done.stderr[-300:]}")
    return found


def counted(front: Gateway, found: dict[str, Any]) -> int:
    """Return control's count of usage events, once it is as high as it should be or has had its time."""
    wanted = sum(each["requests"] for each in found["counts"].values() if each["recorded"])
    deadline = time.monotonic() + 10
    while (events := front.usage_events()) < wanted and time.monotonic() < deadline:
        time.sleep(0.2)
    return events


def judged(counts: dict[str, dict[str, Any]], problems: list[str]) -> list[Line]:
    """Return a line for each kind of request: how many were not answered as expected."""
    lines = []
    for name, each in sorted(counts.items()):
        wrong = next((problem for problem in problems if problem.startswith(f"{name}: ")), "")
        lines.append(
            Line(
                "load",
                name,
                float(each["failures"]),
                None,
                f"0 of {each['requests']:,}",
                FAILED if each["failures"] or not each["requests"] else PASSED,
                wrong[:300],
            )
        )
    if not lines or (problems and not any(line.verdict == FAILED for line in lines)):
        lines.append(Line("load", "the run", None, None, "no problem", FAILED, "; ".join(problems) or "nothing ran"))
    return lines
