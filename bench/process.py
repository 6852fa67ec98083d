"""Processes of a run: started with an affinity, measured from outside, always stopped."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["BenchError", "Cores", "children", "cpu_ns", "free_port", "memory", "place", "started", "tail", "wait_until"]

STOP_SECONDS = 10.0


class BenchError(Exception):
    """The run cannot go on; the message says why in words a person can act on."""


class Cores:
    """Which cores the measured worker has to itself, and which everything else shares.

    With one core both are the same, and figures are only a smoke test.
    """

    def __init__(self, available: Iterable[int]) -> None:
        order = sorted(available)
        self.worker = set(order[:1])
        self.rest = set(order[1:]) or self.worker
        self.count = len(order)

    @classmethod
    def here(cls) -> "Cores":
        """Return the cores this process may use."""
        return cls(os.sched_getaffinity(0))


def cpu_ns(pids: Iterable[int]) -> int:
    """Return the CPU time of whole processes in nanoseconds: all threads, user and system.

    Read through the kernel's per-process CPU clock: scheduler-exact, where /proc/PID/stat counts 10 ms ticks.
    """
    # clock id of another process' CPU clock, as clock_getcpuclockid(3) makes it; Python has no wrapper.
    return sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in pids)


def place(pids: Iterable[int], cores: set[int]) -> None:
    """Move running processes, all their threads, to `cores`."""
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), cores)


def memory(pid: int) -> dict[str, int]:
    """Return resident (``rss``) and proportional (``pss``) memory of a process in bytes."""
    found = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in ("Rss", "Pss"):
            found[name.lower()] = int(rest.split()[0]) * 1024
    return found


def children(pid: int) -> dict[int, str]:
    """Return the direct children of a process: pid -> command line."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            command = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ")
            found[int(child)] = command.decode(errors="replace").strip()
    return found


def free_port() -> int:
    """Return a loopback port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(ready: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    """Poll `ready` until it holds; BenchError naming `what` when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise BenchError(f"{what}: not ready within {seconds:.0f} s")
        time.sleep(0.02)


@contextmanager
def started(
    command: Sequence[str],
    log: Path,
    cores: set[int],
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` on `cores` with its output in `log`; at the end it and all it started are stopped.

    A session of its own keeps a Ctrl-C at the terminal from reaching it before we do.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["taskset", "--cpu-list", ",".join(map(str, sorted(cores))), *command],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env=os.environ | (environment or {}),
            cwd=folder,
        )
    try:
        yield process
        if process.poll() is not None:
            raise BenchError(f"{command[0]} ended early with {process.returncode}:\n{tail(log)}")
    finally:
        _stop(process)


def tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of a process' output."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a session started by `started`: politely, then by force."""
    for sign, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, 5.0)):
        if process.poll() is None:
            process.send_signal(sign)
        try:
            process.wait(seconds)
            break
        except subprocess.TimeoutExpired:
            continue
    try:
        # What the leader left behind (it was killed, or it lost a child) is in its process group still.
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
