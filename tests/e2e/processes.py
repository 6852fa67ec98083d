"""Real supervisors and what they start, with their log as it is written."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from control.client import call

__all__ = ["DEADLINE", "ROOT", "SECRET", "Gateway", "Running", "alive", "environment_of", "headgate"]

ROOT = Path(__file__).parents[2]
PATIENCE = float(os.environ.get("HEADGATE_TEST_PATIENCE", "1"))  # how many times longer everything may take
DEADLINE = 20.0 * PATIENCE  # seconds for what should come at once, on a busy machine
CONFIG = """
listen: {{http: "127.0.0.1:{port}", workers: 2}}
control: {{address: 127.0.0.1:0}}
providers: {{p: {{dialect: openai, base_url: "http://127.0.0.1:9/v1", credential: env:SUPERVISED_CREDENTIAL}}}}
models: {{m: {{targets: [{{provider: p, model: {model}}}]}}}}
"""
SECRET = "sk-supervised-4711"


class Running:
    """A supervisor of a test, with its log as it is written."""

    def __init__(self, command: list[str], folder: Path, **environment: str) -> None:
        self.folder = folder
        self.log_path = folder / f"log-{len(list(folder.glob('log-*')))}"
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                command, env=environment_of(**environment), stdout=log, stderr=log, start_new_session=True
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def events(self, event: str) -> list[dict[str, str]]:
        """Return the fields of every log line of that event."""
        lines = [line for line in self.log.splitlines() if f" event={event}" in line]
        return [dict(re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)', line)) for line in lines]

    def started(self, child: str) -> list[int]:
        """Return the process ids that `child` has had."""
        return [int(fields["pid"]) for fields in self.events("started") if fields["child"] == child]

    def wait(self, condition: Callable[[], Any]) -> Any:
        """Return the first true value of `condition`; fails the test when the deadline has passed."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            if value := condition():
                return value
            time.sleep(0.01)  # A poll of other processes, with a deadline.
        raise AssertionError(f"it did not happen in time; the log:\n{self.log}")

    def ready(self) -> "Running":
        self.wait(lambda: self.events("ready") or self.process.poll() is not None)
        assert self.process.poll() is None, self.log
        return self

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE)


def environment_of(**extra: str) -> dict[str, str]:
    path = os.pathsep.join(filter(None, (extra.pop("path", ""), str(ROOT), os.environ.get("PYTHONPATH", ""))))
    return {**os.environ, "PYTHONPATH": path, "SUPERVISED_CREDENTIAL": SECRET, **extra}


def headgate(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "control.cli", *arguments]


def alive(pid: int) -> bool:
    """Return whether a process runs (one that is dead and not yet reaped does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Gateway:
    """A config directory, a data directory, and the supervisors started on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self.running: list[Running] = []
        (folder / "config").mkdir()
        self.write()

    def write(self, model: str = "first") -> None:
        (self.folder / "config" / "headgate.yaml").write_text(CONFIG.format(port=self.port, model=model))

    def start(self, half: str = "up", **environment: str) -> Running:
        command = headgate(half, "--config", str(self.folder / "config"), "--data", str(self.data))
        self.running.append(Running(command, self.folder, **environment))
        return self.running[-1]

    def status(self) -> Any:
        code, answer = call(self.data, "GET", "/v1/status")
        assert code == 200
        return answer

    def readiness(self) -> tuple[int, int]:
        """Return the status of a call to a worker, on a connection of its own, and the version it serves."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=DEADLINE) as answer:
            return answer.status, json.load(answer)["version"]
