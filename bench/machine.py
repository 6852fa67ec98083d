"""The machine a run happened on, the versions that ran, and how much of the machine others used meanwhile."""

import os
import platform
import resource
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.process import cpu_ns

__all__ = ["Foreign", "facts", "size"]

PACKAGES = ("uvloop", "httptools", "msgspec", "granian", "cython")
TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


class Foreign:
    """The share of the machine used by processes outside the run, between making this and asking for `share`.

    Steal (time the host gave to other machines) counts as foreign: nothing of ours ran in it.
    """

    def __init__(self, own: Iterable[int]) -> None:
        self.own = tuple(own)
        self.used, self.total = self._machine()
        self.ours = self._ours()

    def share(self) -> float:
        """Return the share since the start, 0.0 to 1.0; exact to a few ticks of 10 ms."""
        used, total = self._machine()
        foreign = (used - self.used) - (self._ours() - self.ours)
        return max(0.0, foreign / max(1, total - self.total))

    def _ours(self) -> int:
        usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return cpu_ns(self.own) + int(sum(each.ru_utime + each.ru_stime for each in usage) * 1e9)

    @staticmethod
    def _machine() -> tuple[int, int]:
        fields = [int(text) for text in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        idle = fields[3] + fields[4]
        return (sum(fields) - idle) * TICK_NS, sum(fields) * TICK_NS


def facts() -> dict[str, object]:
    """Return what a figure means nothing without: machine, versions, revision, time."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1_000_000,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "versions": {name: _installed(name) for name in PACKAGES},
        "nginx": _said(["nginx", "-v"]),
        "wrk": _said(["wrk", "-v"]),
        "revision": _said(["git", "rev-parse", "--short=12", "HEAD"]),
        "changed": bool(_said(["git", "status", "--porcelain", "--untracked-files=no"])),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }


def size(found: dict[str, object]) -> str:
    """Return the machine in one line."""
    hardware = f"{found['cores']} cores of {found['cpu']}, {found['memory_mb']} MB"
    return f"{hardware}, Linux {found['kernel']}, Python {found['python']}"


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _said(command: list[str]) -> str:
    """Return the first line a tool prints, "" where it is missing or cannot say."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return ""
    text = (done.stdout or done.stderr).strip().partition("\n")[0]
    return "" if text.startswith("fatal:") else text
