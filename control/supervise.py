"""The supervisor: starts the processes, replaces the dead, drains all of them at the end.

It has no threads and no event loop: one `select` waits for signals (through a wakeup descriptor), for a line from the
control process, and for the next deadline. So nothing that hangs a child can hang the supervisor.

It tells the control process which workers live, and hears when they serve, over a socketpair, in lines of text::

    workers 2 0:4711 1:4712      supervisor -> control: how many there should be, then INDEX:PID of each that lives
    ready                        control -> supervisor, once: every live worker serves the active snapshot
"""

import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from control.log import Log

__all__ = ["CONFIG_REFUSED", "Child", "Supervisor", "restart_delay", "worker_environment"]

CONFIG_REFUSED = 78  # EX_CONFIG: control's exit status when the config it starts with cannot be used
DRAIN = 35.0  # seconds from the first signal to SIGKILL; a worker's own drain ends at 30
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


@dataclass
class Child:
    """One process to keep alive. `worker` is its index, or -1 for the control process; `due` is when to start it."""

    name: str
    arguments: list[str]
    fds: tuple[int, ...]
    environment: dict[str, str]
    worker: int = -1
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    quick_ends: int = 0
    due: float = 0.0


def _bound_to(parent: int) -> Callable[[], None]:
    """Return what a child runs before exec: the kernel kills it when the supervisor dies, however that happens.

    SIGKILL, not SIGTERM: a new supervisor must find the addresses and the workers' cells free at once. prctl, not a
    pipe: it needs no thread in the child and holds even while the child hangs.
    """
    libc = ctypes.CDLL(None, use_errno=True)

    def bind() -> None:
        if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0 or os.getppid() != parent:
            os._exit(1)

    return bind


@dataclass
class Supervisor:
    """Keeps the children alive until a signal ends them all.

    worker_ended: called with a worker's index after it died and before its successor starts.
    on_ready: called once, when control says that every worker serves; with no control child, when all are started.
    """

    children: list[Child]
    log: Log
    worker_ended: Callable[[int], None]
    on_ready: Callable[[], None]
    _line: socket.socket | None = None
    _heard: bytes = b""
    _ready: bool = False
    _deadline: float = 0.0  # when the drain ends; 0.0 while not stopping
    _status: int = 0
    _bind: Callable[[], None] = field(default_factory=lambda: _bound_to(os.getpid()))

    def run(self) -> int:
        """Serve until a signal and every child is gone; return the exit status: 1 if control refused its config
        or a child had to be killed, else 0."""
        wakeup, notify = socket.socketpair()
        wakeup.setblocking(False)
        notify.setblocking(False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(notify.fileno())
        if not any(child.worker < 0 for child in self.children):
            self._become_ready()
        while True:
            self._reap()
            if self._deadline and not self._drain():
                return self._status
            self._start_due()
            watched = [wakeup] if self._line is None else [wakeup, self._line]
            readable, _, _ = select.select(watched, [], [], self._patience())
            if wakeup in readable:
                for byte in wakeup.recv(4096):
                    if byte != signal.SIGCHLD:
                        self._stop(signal.Signals(byte).name)
            if self._line in readable:
                self._listen()

    def _patience(self) -> float | None:
        """Return seconds until something is due, None if only a signal or a line can be next."""
        waiting = [child.due for child in self.children if child.process is None]
        moments = [self._deadline] if self._deadline else waiting
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _start_due(self) -> None:
        if self._deadline:
            return
        now = time.monotonic()
        due = [child for child in self.children if child.process is None and child.due <= now]
        for child in due:
            self._start(child)
        if due:
            self._tell()

    def _start(self, child: Child) -> None:
        arguments, fds = child.arguments, child.fds
        far: socket.socket | None = None
        if child.worker < 0:
            # A new pair for each control process: it must never read lines meant for its predecessor.
            if self._line is not None:
                self._line.close()
            self._line, far = socket.socketpair()
            self._line.setblocking(False)
            self._heard = b""
            arguments, fds = [*arguments, "--supervisor-fd", str(far.fileno())], (*fds, far.fileno())
        child.started = time.monotonic()
        try:
            # -P: the current directory may hold folders named like our packages. A process group of its own: Ctrl-C
            # reaches the supervisor alone, which then drains in order.
            child.process = subprocess.Popen(  # noqa: S603 our own interpreter and arguments
                [sys.executable, "-P", "-m", *arguments],
                pass_fds=fds,
                env=child.environment,
                stdin=subprocess.DEVNULL,
                process_group=0,
                preexec_fn=self._bind,  # noqa: PLW1509 safe here: this process has no threads
            )
            self.log("started", child=child.name, pid=child.process.pid)
        except (OSError, subprocess.SubprocessError) as error:
            self._schedule(child, f"cannot start: {error}")
        finally:
            if far is not None:
                far.close()

    def _reap(self) -> None:
        for child in self.children:
            if child.process is None or (status := child.process.poll()) is None:
                continue
            pid, child.process = child.process.pid, None
            reason = signal.Signals(-status).name if status < 0 else f"status {status}"
            if child.worker >= 0:
                self.worker_ended(child.worker)
            if self._deadline:
                self.log("ended", child=child.name, pid=pid, reason=reason)
                continue
            if status == CONFIG_REFUSED and child.worker < 0 and not self._ready:
                self.log("config-refused", child=child.name, pid=pid)
                self._status = 1
                self._stop("config refused")
                continue
            self._schedule(child, reason, pid)
            self._tell()

    def _schedule(self, child: Child, reason: str, pid: int = 0) -> None:
        now = time.monotonic()
        child.quick_ends = child.quick_ends + 1 if now - child.started < LONG_ENOUGH else 1
        delay = restart_delay(child.quick_ends)
        child.due = now + delay
        self.log("died", child=child.name, pid=pid, reason=reason, restart_in=f"{delay:.2f}s")

    def _tell(self) -> None:
        """Send control the whole list: the next line corrects whatever became of this one."""
        if self._line is None:
            return
        workers = [child for child in self.children if child.worker >= 0]
        alive = [f"{child.worker}:{child.process.pid}" for child in workers if child.process is not None]
        try:
            self._line.send(" ".join(["workers", str(len(workers)), *alive]).encode() + b"\n")
        except OSError:
            # Control is dying (its successor is told everything) or has not read a thousand lines.
            return

    def _listen(self) -> None:
        assert self._line is not None
        try:
            data = self._line.recv(4096)
        except OSError:
            data = b""
        if not data:
            self._line.close()
            self._line = None
            return
        self._heard = (self._heard + data)[-4096:]
        if b"ready\n" in self._heard:
            self._heard = b""
            self._become_ready()

    def _become_ready(self) -> None:
        if not self._ready:
            self._ready = True
            self.on_ready()

    def _stop(self, reason: str) -> None:
        """The first time: begin the drain. Again: kill what is left."""
        if not self._deadline:
            self.log("stopping", reason=reason, deadline=f"{DRAIN:.0f}s")
            self._deadline = time.monotonic() + DRAIN
            for child in self._left(workers=True) or self._left():
                child.send_signal(signal.SIGTERM)
        else:
            self._deadline = time.monotonic()

    def _drain(self) -> bool:
        """Move the drain on; return whether any child is left. Control goes last: it still takes the workers' usage."""
        if not self._left():
            return False
        if time.monotonic() >= self._deadline:
            self.log("killing", pids=",".join(str(process.pid) for process in self._left()))
            self._status = 1
            self._deadline = time.monotonic() + 1.0
            for process in self._left():
                process.kill()
        elif not self._left(workers=True):
            for process in self._left():
                process.terminate()
        return True

    def _left(self, workers: bool = False) -> list[subprocess.Popen[bytes]]:
        return [
            child.process for child in self.children if child.process is not None and (child.worker >= 0 or not workers)
        ]
