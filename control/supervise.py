"""The supervisor: starts the processes, replaces the dead and those it is asked to, drains all of them at the end.

It has no threads and no event loop: one selector waits for signals (through a wakeup descriptor), for lines from the
other processes, and for the next deadline. So nothing that hangs a child can hang the supervisor.

A worker says once, over a pipe, how its start went::

    serving 7                    it accepts callers, with the snapshot of that version
    failed OSError: ...          it cannot, and ends

It tells the control process which workers there are, and hears when they serve: see `control.talk`.
"""

import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from control.child import Child, bound_to
from control.console import Console
from control.log import Log
from control.notify import ServiceManager
from control.roll import ControlRestart, Replacement, Roll
from control.talk import Ready, Reload, Reloaded, Serving, Workers, from_control, line
from control.wires import Lines
from core.model import Static

__all__ = ["CONFIG_REFUSED", "Supervisor"]

CONFIG_REFUSED = 78  # EX_CONFIG: control's exit status when the config it starts with cannot be used


@dataclass
class Supervisor:
    """Keeps the children alive until a signal ends them all.

    worker_ended: called with a worker's index after it died and before its successor starts.
    on_ready: called once, when control says that every worker serves the active snapshot; with no control child, when
    every worker has said that it serves.
    patience: seconds from SIGTERM to SIGKILL; longer than a worker takes to drain.
    manager: who started us, if it wants to hear of it. static: the static keys in force, for a reload to compare with.
    make_worker: makes a worker for an index. consoles: listening sockets on which a restart may be asked for.
    """

    children: list[Child]
    log: Log
    worker_ended: Callable[[int], None]
    on_ready: Callable[[], None]
    patience: float
    manager: ServiceManager
    static: Static = field(default_factory=Static)
    make_worker: Callable[[int], Child] | None = None
    consoles: Sequence[socket.socket] = ()
    _sign_of_life: float = 0.0  # when the next is due
    _reloads: int = 0  # asked of control and not answered
    _replacement: Replacement | None = None
    _replacing: Lines | None = None  # who asked for it
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _ready: bool = False
    _deadline: float = 0.0  # when the drain ends; 0.0 while not stopping
    _status: int = 0
    _bind: Callable[[], None] = field(default_factory=lambda: bound_to(os.getpid()))

    def run(self) -> int:
        """Serve until a signal and every child is gone; return the exit status: 1 if control refused its config
        or a child had to be killed, else 0."""
        wakeup, notify = socket.socketpair()
        wakeup.setblocking(False)
        notify.setblocking(False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(notify.fileno())
        self._selector.register(wakeup, selectors.EVENT_READ, lambda: self._signalled(wakeup.recv(4096)))
        for console in self.consoles:
            Console(console, self._selector, self._asked, self.log)
        while True:
            self._reap()
            if self._deadline and not self._drain():
                return self._status
            self._start_due()
            self._replace()
            self._report()
            for key, _ in self._selector.select(self._wait()):
                key.data()

    def _signalled(self, numbers: bytes) -> None:
        for number in numbers:
            if number == signal.SIGHUP:
                self._reload()
            elif number != signal.SIGCHLD:
                self._stop(signal.Signals(number).name)

    def _report(self) -> None:
        """Tell the service manager how things are."""
        workers = [child for child in self.children if child.worker >= 0 and child.role == "kept"]
        control = [child for child in self.children if child.worker < 0]
        serving = sum(child.serving for child in workers)
        status = [f"{serving} of {len(workers)} workers serve"] if workers else []
        status += ["control serves" if child.serving else "control does not serve" for child in control]
        self.manager.status(", ".join(status))
        # With workers, they are what counts: they serve with control away, too.
        if not self._deadline and all(child.serving for child in workers or control):
            self.manager.ready()
        if self.manager.watchdog is not None and (now := time.monotonic()) >= self._sign_of_life:
            self._sign_of_life = now + self.manager.watchdog
            self.manager.alive()

    def _reload(self) -> None:
        """Have control read the config again; it answers with `Reloaded`."""
        if self._deadline:
            return
        self.log("reload")
        self.manager.reloading()
        self._reloads += 1
        control = [child.line for child in self.children if child.worker < 0 and child.serving and child.line]
        for end in control:
            end.send(line(Reload(self.static)))
        if not control:
            self._reload_failed("no control process of this supervisor serves")

    def _reloaded(self, answer: Reloaded) -> None:
        self._reloads = max(0, self._reloads - 1)
        keys = {"needs_restart": ",".join(answer.needs_restart)} if answer.needs_restart else {}
        self.log("reloaded", result=answer.result, version=answer.version, **keys)
        if not self._reloads:
            self.manager.reloaded()

    def _reload_failed(self, reason: str) -> None:
        if self._reloads:
            self._reloads = 0
            self.log("reloaded", result="failed", reason=reason)
            self.manager.reloaded()

    def _wait(self) -> float | None:
        """Return seconds until something is due, None if only a signal or a line can be next."""
        moments = [child.due for child in self.children if child.process is None]
        moments += [child.kill_at for child in self.children if child.role == "leaving"]
        if self._replacement is not None and (due := self._replacement.due()) is not None:
            moments.append(due)
        if self._deadline:
            moments = [self._deadline]
        if self.manager.watchdog is not None:
            moments.append(self._sign_of_life)
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
        for child in self.children:
            if child.role == "leaving" and child.process is not None and child.kill_at <= now:
                self.log("killing", pids=child.pid)
                child.kill_at = now + 1.0
                child.process.kill()

    def _start(self, child: Child) -> None:
        # A new pair for each process: it must never read lines meant for its predecessor.
        if child.line is not None:
            child.line.close()
        ours, theirs = socket.socketpair()
        child.line = Lines(ours, self._selector, partial(self._heard, child))
        try:
            child.start(self._bind, "--supervisor-fd" if child.worker < 0 else "--notify-fd", theirs.fileno())
            self.log("started", child=child.name, pid=child.pid)
        except (OSError, subprocess.SubprocessError) as error:
            self._ended(child, f"cannot start: {error}")
        finally:
            theirs.close()

    def _heard(self, child: Child, said: str) -> None:
        if child.worker < 0:
            match from_control(said):
                case Serving():
                    child.serving = True
                case Ready():
                    self._become_ready()
                case Reloaded() as answer:
                    self._reloaded(answer)
            return
        child.hear(said)
        self._tell()
        if child.said:
            self.log("failed", child=child.name, pid=child.pid, reason=child.said)
        if all(child.serving for child in self.children if child.role == "kept"):
            self._become_ready()

    def _reap(self) -> None:
        for child in list(self.children):
            if child.process is None or (status := child.process.poll()) is None:
                continue
            if child.line is not None:
                child.line.read()  # Its last words, before the log says that it ended.
                child.line.close()
            pid, child.process = child.pid, None
            if child.worker >= 0:
                self.worker_ended(child.worker)
            if status == CONFIG_REFUSED and child.worker < 0 and not self._ready and not self._deadline:
                self.log("config-refused", child=child.name, pid=pid)
                self._status = 1
                self._stop("config refused")
            else:
                self._ended(child, signal.Signals(-status).name if status < 0 else f"status {status}", pid)
                self._tell()

    def _ended(self, child: Child, reason: str, pid: int = 0) -> None:
        """Take note of the end of a child; unless it is to be no more, it gets a time for its next start."""
        child.ended = reason
        if child.worker < 0:
            self._reload_failed("the control process ended")
        if child.role != "kept":
            self.children.remove(child)
        if self._deadline or child.role == "leaving" or child.asked:
            self.log("ended", child=child.name, pid=pid, reason=reason)
            child.again()
        elif child.role == "successor":
            self.log("died", child=child.name, pid=pid, reason=reason)
        else:
            delay = child.schedule()
            self.log("died", child=child.name, pid=pid, reason=reason, restart_in=f"{delay:.2f}s")

    def begin(self, child: Child) -> None:
        """Start a successor; it is not started again if it ends."""
        child.role = "successor"
        self.children.append(child)
        self._start(child)
        self._tell()

    def retire(self, child: Child) -> None:
        """Tell a child to end, and start it no more; it is killed if it takes too long."""
        if child.process is None:
            self.children = [other for other in self.children if other is not child]
        else:
            child.role = "leaving"
            child.kill_at = time.monotonic() + self.patience
            child.process.terminate()
        self._tell()

    def end(self, child: Child, *, kill: bool) -> None:
        """End a child's process, which is then started again at once."""
        if child.process is None:
            child.again()
        else:
            child.asked = True
            child.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)

    def _asked(self, command: str, caller: Lines) -> None:
        """Begin what a caller of the console asks for, or say why not."""
        control = [child for child in self.children if child.worker < 0]
        workers = [child for child in self.children if child.worker >= 0]

        def say(progress: str) -> None:
            self.log("restart", progress=progress)
            caller.send(f"progress {progress}")

        if self._deadline:
            refusal = "the gateway is stopping"
        elif self._replacement is not None:
            refusal = "a restart is under way already"
        elif command == "restart workers" and workers and self.make_worker is not None:
            refusal = ""
            self._replacement = Roll(self, self.make_worker, say)
        elif command == "restart control" and control:
            refusal = ""
            self._replacement = ControlRestart(self, control[0], say, time.monotonic())
        else:
            refusal = f"this supervisor cannot {command!r}"
        if refusal:
            caller.send(f"failed {refusal}")
            caller.close()
        else:
            self.log("restart", command=command)
            self._replacing = caller

    def _replace(self) -> None:
        """Move a restart on, and tell who asked for it when it has ended."""
        replacement, caller = self._replacement, self._replacing
        if replacement is None or caller is None:
            return
        if self._deadline:
            replacement.stop("the gateway is stopping")
        replacement.step(time.monotonic())
        if replacement.ended is None:
            return
        self._replacement = self._replacing = None
        self.log("restart", result=replacement.ended or "done")
        caller.send(f"failed {replacement.ended}" if replacement.ended else "done")
        caller.close()

    def _tell(self) -> None:
        """Send control the whole list: the next line corrects whatever became of this one."""
        workers = line(Workers(tuple(child.listed() for child in self.children if child.worker >= 0)))
        for child in self.children:
            if child.worker < 0 and child.line is not None:
                child.line.send(workers)

    def _become_ready(self) -> None:
        if not self._ready:
            self._ready = True
            self.on_ready()

    def _stop(self, reason: str) -> None:
        """The first time: begin the drain. Again: kill what is left."""
        if not self._deadline:
            self.log("stopping", reason=reason, deadline=f"{self.patience:g}s")
            self.manager.stopping()
            self._deadline = time.monotonic() + self.patience
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
