"""Replacing processes while the gateway serves: the workers one by one, or the control process.

A worker's successor is another process under another index, since an index stands for one living process: its cells and
its ring. The old worker is told to drain only when the successor has said that it serves, so there is never one too
few; and the next is begun while the old one drains, so that long streams do not hold up the rest.
"""

from collections.abc import Callable
from typing import Protocol

from control.child import Child

__all__ = ["INDEXES", "ControlRestart", "Fleet", "Replacement", "Roll"]

INDEXES = 64  # how many workers the tables of a host have room for
START_TIME = 30.0  # seconds a successor has until it serves
STOP_TIME = 10.0  # seconds the control process has to end
DRAINING = 4  # workers that may drain at a time, beside all that serve


class Fleet(Protocol):
    """What a replacement does to the processes; the supervisor."""

    children: list[Child]

    def begin(self, child: Child) -> None:
        """Start a successor; it is not started again if it ends."""

    def retire(self, child: Child) -> None:
        """Tell a child to end, and start it no more; it is killed if it takes too long."""

    def end(self, child: Child, *, kill: bool) -> None:
        """End a child's process, which is then started again at once."""


class Replacement(Protocol):
    """One restart under way. ended: None until it has; then why it failed, or "" where all is replaced."""

    ended: str | None

    def step(self, now: float) -> None:
        """Do what can be done at `now` (seconds, monotonic); called whenever something has happened to a child."""

    def due(self) -> float | None:
        """Return when `step` is to be called at the latest; None: when something happens."""

    def stop(self, reason: str) -> None:
        """Give up."""


class Roll:
    """The replacement of all workers.

    make: makes a worker for an index. say: takes each line of progress. patience: seconds a successor has.
    """

    def __init__(
        self, fleet: Fleet, make: Callable[[int], Child], say: Callable[[str], None], patience: float = START_TIME
    ) -> None:
        self.ended: str | None = None
        self._fleet = fleet
        self._make = make
        self._say = say
        self._patience = patience
        self._old = [child for child in fleet.children if child.worker >= 0 and child.role == "kept"]
        self._count = len(self._old)
        self._retired: list[Child] = []
        self._successor: Child | None = None
        self._deadline = 0.0

    def step(self, now: float) -> None:
        """Judge the successor, begin the next, or see that everything is done."""
        if self._successor is not None:
            self._judge(self._successor, now)
        # One after the other in this pass, if there is room: nothing else may come to wake us.
        if self._successor is None and self.ended is None and self._old:
            self._begin_next(now)
        if self._successor is None and self.ended is None and not self._old:
            self._finish()

    def due(self) -> float | None:
        """Return when the successor's time is up."""
        return self._deadline if self._successor is not None else None

    def stop(self, reason: str) -> None:
        """Give up; what is replaced stays replaced."""
        self.ended = self.ended or reason

    def _begin_next(self, now: float) -> None:
        used = {child.worker for child in self._fleet.children}
        free = [index for index in range(INDEXES) if index not in used]
        draining = sum(child.role == "leaving" for child in self._fleet.children)
        if draining >= DRAINING or not free:
            return
        self._successor = self._make(free[0])
        self._deadline = now + self._patience
        self._fleet.begin(self._successor)

    def _judge(self, successor: Child, now: float) -> None:
        if successor.process is None:
            self._give_up(f"{successor.name} did not start: {successor.said or successor.ended}")
        elif successor.serving:
            self._replace(self._old.pop(0), successor)
        elif now >= self._deadline:
            self._fleet.retire(successor)
            self._give_up(f"{successor.name} did not serve within {self._patience:g} s")

    def _replace(self, old: Child, successor: Child) -> None:
        successor.role = "kept"
        self._successor = None
        self._say(f"{old.name} (process {old.pid}) is replaced by {successor.name} (process {successor.pid})")
        if old.process is not None:
            self._retired.append(old)
        self._fleet.retire(old)

    def _give_up(self, reason: str) -> None:
        self._successor = None
        self.stop(f"{reason}; {len(self._old)} of {self._count} workers are as before")

    def _finish(self) -> None:
        running = [child for child in self._retired if child.process is not None]
        if not running:
            killed = [child.name for child in self._retired if child.ended == "SIGKILL"]
            self.ended = f"had to be killed: {', '.join(killed)}" if killed else ""


class ControlRestart:
    """The replacement of the control process: the old one ends, then the new one starts; the workers serve on."""

    def __init__(self, fleet: Fleet, child: Child, say: Callable[[str], None], now: float) -> None:
        self.ended: str | None = None
        self._fleet = fleet
        self._child = child
        self._say = say
        self._old = child.pid
        self._deadline = now + STOP_TIME
        self._fleet.end(child, kill=False)

    def step(self, now: float) -> None:
        """See how far it is."""
        child = self._child
        if child.process is not None and child.pid == self._old:
            if now >= self._deadline:
                self._deadline = now + STOP_TIME
                self._fleet.end(child, kill=True)
        elif self._old:
            self._say(f"control (process {self._old}) has ended")
            self._old = 0
            self._deadline = now + START_TIME
        elif child.quick_ends:
            self.stop(f"control did not start: {child.ended}")
        elif child.serving:
            self._say(f"control (process {child.pid}) serves")
            self.ended = ""
        elif now >= self._deadline:
            self.stop(f"control did not serve within {START_TIME:g} s")

    def due(self) -> float | None:
        """Return when the present step has taken too long."""
        return self._deadline

    def stop(self, reason: str) -> None:
        """Give up; the supervisor goes on starting it."""
        self.ended = self.ended or reason
