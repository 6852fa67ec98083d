"""Control, killed while it publishes: whenever that is, no version ever means two snapshots, and none goes back."""

import os
import random
import signal
import subprocess
import tempfile
import threading
from pathlib import Path

from tests.e2e.processes import DEADLINE, Gateway, Running, environment_of, headgate
from tests.soak.counts import count

ROUNDS = count(50, 2)
PER_START = 2  # a supervisor waits longer and longer for a process that keeps dying


def apply(gateway: Gateway, path: Path) -> subprocess.Popen[str]:
    command = headgate("apply", "--config", str(path), "--data", str(gateway.data))
    return subprocess.Popen(
        command, env=environment_of(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
    )


def settled(gateway: Gateway, running: Running) -> tuple[int, str]:
    """Wait until every worker serves what is active; return its version and digest."""

    def same() -> tuple[int, str] | None:
        status = gateway.status()
        serving = {(row["version"], row["digest"]) for row in status["workers"] if row["state"] == "serving"}
        active = (status["version"], status["digest"])
        return active if serving == {active} and len(status["workers"]) == 2 else None

    found: tuple[int, str] = running.wait(same)
    return found


def kill_in_the_middle(gateway: Gateway, running: Running, config: Path, seconds: float) -> tuple[int, str]:
    """Apply `config`, kill control so long after the command's start, and return what is active then."""
    done = apply(gateway, config)
    # Anywhere between the command's start and its end: that is what is tried, not waited for.
    threading.Event().wait(seconds)
    killed = running.started("control")
    os.kill(killed[-1], signal.SIGKILL)
    done.wait(DEADLINE)
    running.wait(lambda: len(running.started("control")) > len(killed))
    return settled(gateway, running)


def test_whenever_control_is_killed_versions_only_rise_and_each_is_one_snapshot() -> None:
    dice = random.Random(4711)
    seen: dict[int, str] = {}
    with tempfile.TemporaryDirectory(prefix="hg") as folder:
        gateway = Gateway(Path(folder))
        config = Path(folder) / "other.yaml"
        original = (Path(folder) / "config" / "headgate.yaml").read_text()
        for first in range(0, ROUNDS, PER_START):
            running = gateway.start().ready()
            try:
                for number in range(first, first + PER_START):
                    config.write_text(original.replace("first", f"model-{number}"))
                    version, digest = kill_in_the_middle(gateway, running, config, dice.uniform(0.2, 1.5))
                    assert version >= max(seen, default=1)
                    assert seen.setdefault(version, digest) == digest
            finally:
                running.kill()
