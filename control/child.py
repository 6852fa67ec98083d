"""One process of the supervisor: what it is started with, what it said at its start, when it is started again."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from control.talk import Listed
from control.wires import Lines

__all__ = ["Child", "bound_to", "restart_delay", "worker_environment"]

LONG_ENOUGH = 10.0  # seconds a process must live for its end not to count towards a crash loop
LONGEST_DELAY = 30.0  # seconds
PR_SET_PDEATHSIG = 1
KEPT = frozenset(("PATH", "HOME", "USER", "LANG", "LANGUAGE", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"))
KEPT_PREFIXES = ("LC_", "LD_", "PYTHON", "MALLOC_")


def restart_delay(quick_ends: int) -> float:
    """Return seconds to wait before a restart, after `quick_ends` short lives in a row: 0, 0.25, 0.5, 1 ... 30."""
    return 0.0 if quick_ends <= 1 else min(LONGEST_DELAY, 0.25 * 2.0 ** min(quick_ends - 2, 10))


def worker_environment(environment: Mapping[str, str], secret: frozenset[str]) -> dict[str, str]:
    """Return the variables a worker may see: what Python and C need, and none that the config names as a credential.

    It is a list of what is kept, because the next config may name a variable this one does not.
    """
    return {
        name: value
        for name, value in environment.items()
        if (name in KEPT or name.startswith(KEPT_PREFIXES)) and name not in secret
    }


def bound_to(parent: int) -> Callable[[], None]:
    """Return what a child runs before exec: the kernel kills it when the supervisor dies, however that happens.

    SIGKILL, not SIGTERM: a new supervisor must find the addresses and the workers' cells free at once. prctl, not a
    pipe: it needs no thread in the child and holds even while the child hangs.
    """
    libc = ctypes.CDLL(None, use_errno=True)

    def bind() -> None:
        if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0 or os.getppid() != parent:
            os._exit(1)

    return bind


@dataclass(eq=False)
class Child:
    """One process to keep alive.

    worker: its index, or -1 for the control process. role: ``kept`` (started again when it ends), ``successor`` (to
    take another's place once it serves) or ``leaving`` (told to end for good). asked: it was told to end and is to be
    started again. kill_at: when a leaving one is killed. line: our end of its socket to us, from its first start on.
    serving: it has said so. said: why its start failed, in its own words. ended: how its last life did. quick_ends:
    short lives in a row. due: when to start it, while it does not run. Times are seconds of the monotonic clock.
    """

    name: str
    arguments: list[str]
    fds: tuple[int, ...]
    environment: dict[str, str]
    worker: int = -1
    role: Literal["kept", "successor", "leaving"] = "kept"
    asked: bool = False
    kill_at: float = 0.0
    process: subprocess.Popen[bytes] | None = None
    line: Lines | None = None
    serving: bool = False
    said: str = ""
    ended: str = ""
    started: float = 0.0
    quick_ends: int = 0
    due: float = 0.0

    @property
    def pid(self) -> int:
        """Return its process id, 0 while it does not run."""
        return self.process.pid if self.process is not None else 0

    def listed(self) -> Listed:
        """Return what control is told of this worker."""
        if self.role == "leaving":
            return Listed(self.worker, self.pid, "draining")
        if self.role == "successor":
            return Listed(self.worker, self.pid, "successor")
        if self.process is not None:
            return Listed(self.worker, self.pid, "serving" if self.serving else "starting")
        # Seconds from now on our clock, as a time that people read.
        next_start = datetime.fromtimestamp(time.time() + self.due - time.monotonic(), UTC)
        reason = self.said or self.ended
        return Listed(self.worker, 0, "absent", reason, self.quick_ends, next_start.strftime("%Y-%m-%dT%H:%M:%SZ"))

    def start(self, bind: Callable[[], None], option: str, handle: int) -> None:
        """Start the process, with one more descriptor behind `option`; OSError or SubprocessError if it cannot be.

        bind: run in the child before exec; see `bound_to`.
        """
        self.started = time.monotonic()
        self.serving, self.said, self.asked = False, "", False
        # -P: the current directory may hold folders named like our packages. A process group of its own: Ctrl-C
        # reaches the supervisor alone, which then drains in order.
        self.process = subprocess.Popen(  # noqa: S603 our own interpreter and arguments
            [sys.executable, "-P", "-m", *self.arguments, option, str(handle)],
            pass_fds=(*self.fds, handle),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            process_group=0,
            preexec_fn=bind,  # noqa: PLW1509 safe here: the supervisor has no threads
        )

    def hear(self, line: str) -> None:
        """Take in the one line that a process says of its start: ``serving VERSION`` or ``failed REASON``."""
        word, _, rest = line.partition(" ")
        self.serving = word == "serving"
        self.said = rest if word == "failed" else ""

    def again(self) -> None:
        """Take note of an end that was asked for: the next start is due now, and no life counts as short."""
        self.serving, self.quick_ends, self.due = False, 0, time.monotonic()

    def schedule(self) -> float:
        """Take note of an end, or of a start that failed; return seconds until the next start."""
        now = time.monotonic()
        self.serving = False
        self.quick_ends = self.quick_ends + 1 if now - self.started < LONG_ENOUGH else 1
        delay = restart_delay(self.quick_ends)
        self.due = now + delay
        return delay
