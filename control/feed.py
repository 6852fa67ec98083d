"""The workers' side of control: who is connected, what each holds, what it was sent, what it answered.

A worker has at most one push unanswered: the manifest, then the sections that it asks for. After every answer it is
sent what it should hold now, if that is another snapshot: so a rollback needs no bookkeeping, it is the old snapshot
becoming the goal again.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable, Mapping
from typing import cast

from msgspec import Struct

from control.intake import Intake
from control.log import Log
from control.metrics import WorkerCounts
from control.talk import Listed, Workers
from core.errors import FrameError
from core.wire import (
    FORMAT,
    Ack,
    Counts,
    Draining,
    Frame,
    FrameReader,
    Hello,
    Nack,
    Need,
    Section,
    Usage,
    UsageTaken,
    pack,
)

__all__ = ["Feed", "Offer", "Peer", "WorkerState"]

HELLO_TIME = 10.0  # seconds a connection may stay unnamed
LARGEST_FRAME = 16 * 1024 * 1024  # bytes; workers send answers and usage, nothing large
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid as the kernel saw them at connect


class Offer:
    """One snapshot with its secrets, as bytes for the wire, and each worker's first answer to it.

    generation: of the secrets. frame: the push that announces it. sections: by digest, for those that ask. answers:
    worker index -> ``""`` for an ack, else the reason of its nack.
    """

    def __init__(
        self, version: int, digest: str, generation: int, frame: bytes, sections: Mapping[bytes, bytes]
    ) -> None:
        self.version = version
        self.digest = digest
        self.generation = generation
        self.frame = frame
        self.sections = sections
        self.answers: dict[int, str] = {}

    def is_meant(self, frame: Hello | Need | Ack | Nack) -> bool:
        """Tell whether `frame` is about this offer."""
        numbers = (self.version, self.digest, self.generation)
        return (frame.version, frame.digest, frame.generation) == numbers


class WorkerState(Struct, frozen=True, kw_only=True):
    """One worker as status shows it.

    state: ``serving``, ``starting`` (alive, no snapshot yet), ``refused`` (it has none, for `reason`), ``draining`` (it
    ends when its calls have), or ``absent`` (not running, for `reason`). version, generation of the secrets, digest: of
    what it serves; 0, 0 and "" for nothing. reason: of its last refusal, if the snapshot it refused is still the newest
    it was sent; of an absent one, why it ended. failures: how often in a row an absent one has ended early. next_start:
    when it is tried again (UTC, ISO 8601).
    """

    worker: int
    pid: int
    state: str
    version: int
    generation: int
    digest: str
    reason: str
    failures: int = 0
    next_start: str = ""


class Feed:
    """Every connected worker, and what they should hold.

    active: what a worker is given when it connects. candidate: what all of them are asked to take during an apply.
    """

    def __init__(self, active: Offer, intake: Intake, counts: WorkerCounts, uid: int, log: Log) -> None:
        self.active = active
        self.candidate: Offer | None = None
        self.intake = intake
        self.counts = counts
        self.uid = uid
        self.log = log
        self.peers: dict[int, Peer] = {}
        self.listed: dict[int, Listed] | None = None
        self._changed = asyncio.Event()

    def heard(self, workers: Workers) -> None:
        """Take in the supervisor's list."""
        self.listed = {listed.worker: listed for listed in workers.workers}
        self.changed()

    def propose(self, candidate: Offer) -> None:
        """Send `candidate` to every worker; new ones get the active snapshot first."""
        self.candidate = candidate
        self._advance()

    def settle(self, active: Offer) -> None:
        """Make `active` what every worker should hold, and send it to those that hold something else."""
        self.active = active
        self.candidate = None
        self._advance()

    def expected(self) -> set[int]:
        """Return the workers an answer is owed by: those that serve or are to, by the supervisor's list, and those
        connected; none that drains, nor a successor that is on trial and not connected yet."""
        listed = {index for index, listed in (self.listed or {}).items() if listed.state in ("starting", "serving")}
        connected = {index for index, peer in self.peers.items() if not peer.draining}
        draining = self.peers.keys() - connected
        return (listed | connected) - draining

    def absent(self) -> set[int]:
        """Return the workers there should be that do not run."""
        return {index for index, listed in (self.listed or {}).items() if listed.state == "absent"} - self.expected()

    async def answered(self, offer: Offer, workers: set[int], seconds: float) -> bool:
        """Wait until every one of `workers` has answered `offer` or owes none any more; False if the time ran out."""
        return await self.until(lambda: workers & self.expected() <= offer.answers.keys(), seconds)

    async def holding(self, offer: Offer, workers: set[int], seconds: float) -> bool:
        """Wait until every one of `workers` that is still connected holds `offer`; False if the time ran out first."""
        return await self.until(
            lambda: all(self.peers[index].holds is offer for index in workers if index in self.peers), seconds
        )

    async def all_serving(self) -> None:
        """Wait until there is a list of workers and each one on it holds the active snapshot."""
        await self.until(self._all_serving, None)

    async def until(self, condition: Callable[[], bool], seconds: float | None) -> bool:
        """Wait until `condition`, asked at every change of a worker's state, holds; False if the time ran out first."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def states(self) -> list[WorkerState]:
        """Return every worker known, connected or not, by index."""
        listed = self.listed or {}
        return [
            self.peers[index].state() if index in self.peers else _unconnected(listed[index])
            for index in sorted({*listed, *self.peers})
        ]

    def changed(self) -> None:
        """Wake whoever waits for the workers' state."""
        self._changed.set()

    def close(self) -> None:
        """Close every connection; workers serve on with what they hold."""
        for peer in list(self.peers.values()):
            peer.close()

    def _all_serving(self) -> bool:
        return bool(self.listed) and all(
            index in self.peers and self.peers[index].holds is self.active
            for index, listed in (self.listed or {}).items()
            if listed.state in ("starting", "serving", "absent")
        )

    def _advance(self) -> None:
        for peer in self.peers.values():
            peer.advance()


def _unconnected(listed: Listed) -> WorkerState:
    """Return a worker that the supervisor alone knows."""
    state = listed.state if listed.state in ("absent", "draining") else "starting"
    return WorkerState(
        worker=listed.worker,
        pid=listed.pid,
        state=state,
        version=0,
        generation=0,
        digest="",
        reason=listed.reason,
        failures=listed.failures,
        next_start=listed.next_start,
    )


class Peer(asyncio.Protocol):
    """One connection on the control socket; after its hello, one worker."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.index = -1
        self.pid = 0
        self.draining = False
        self.holds: Offer | None = None
        self.refused: Offer | None = None
        self.pending: Offer | None = None
        self._understood = True
        self.wanted: deque[bytes] = deque()
        self._full = False
        self._reader = FrameReader(LARGEST_FRAME)
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit only our own user, by the kernel's word; refuse when the kernel gives none."""
        self._transport = cast(asyncio.Transport, transport)
        try:
            peer = transport.get_extra_info("socket")
            credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            self.pid, uid, _ = _CREDENTIALS.unpack(credentials)
        except (OSError, struct.error, AttributeError) as error:
            self._refuse(f"its credentials cannot be read: {error}")
            return
        if uid != self.feed.uid:
            self._refuse(f"user {uid} is not {self.feed.uid}")
            return
        self._patience = asyncio.get_running_loop().call_later(HELLO_TIME, self._refuse, "no hello")

    def data_received(self, data: bytes) -> None:
        """Take in frames; a broken or unexpected one ends the connection."""
        if self._transport.is_closing():
            return
        try:
            for frame in self._reader.feed(data):
                self._received(frame)
        except FrameError as error:
            self._refuse(str(error))

    def connection_lost(self, error: Exception | None) -> None:
        """Forget the worker; what it was building when it went counts as refused."""
        if self._patience is not None:
            self._patience.cancel()
        if self.index >= 0 and self.feed.peers.get(self.index) is self:
            del self.feed.peers[self.index]
            self.feed.counts.forget(self.index)
            self.feed.log("disconnected", worker=self.index, pid=self.pid)
        if self.pending is not None and not self.draining:
            self.pending.answers.setdefault(self.index, "its connection was lost before it answered")
        self.feed.changed()

    def advance(self) -> None:
        """Send what the worker should hold now, unless it does, refused just that, or still owes an answer."""
        fresh = self.holds is None and self.refused is None
        goal = self.feed.active if fresh else self.feed.candidate or self.feed.active
        if self.pending is None and goal is not self.holds and goal is not self.refused:
            self.pending = goal
            self._transport.write(goal.frame)

    def pause_writing(self) -> None:
        """Hold the next sections back: the worker reads more slowly than they come."""
        self._full = True

    def resume_writing(self) -> None:
        """Go on with the sections it asked for."""
        self._full = False
        self._send_wanted()

    def state(self) -> WorkerState:
        """Return this worker as status shows it."""
        refused = self.refused is not None
        return WorkerState(
            worker=self.index,
            pid=self.pid,
            state="draining" if self.draining else "serving" if self.holds else "refused" if refused else "starting",
            version=self.holds.version if self.holds else 0,
            generation=self.holds.generation if self.holds else 0,
            digest=self.holds.digest if self.holds else "",
            reason=self.refused.answers.get(self.index, "") if self.refused else "",
        )

    def close(self) -> None:
        """End the connection."""
        self._transport.close()

    def _received(self, frame: Frame) -> None:
        match frame:
            case Hello():
                self._hello(frame)
            case Usage() if self.index >= 0:
                self._used(frame)
            case Counts() if self.index >= 0:
                self._counted(frame)
            case Draining() if self.index >= 0:
                self.draining = True
                self.feed.changed()
            case Need() if self._answers_pending(frame) and not self.wanted:
                self._needed(frame)
            case Ack() | Nack() if self._answers_pending(frame) and not self.wanted:
                self._answered(frame)
            case _:
                raise FrameError(f"an unexpected {type(frame).__name__}")

    def _used(self, usage: Usage) -> None:
        """Keep a worker's events, then say so; where that fails the worker keeps them, and sends them again later."""
        try:
            self.feed.intake.take(self.index, usage.records)
        except OSError as error:
            self.feed.log("usage-not-kept", worker=self.index, reason=error)
        else:
            self._transport.write(pack(UsageTaken(usage.number)))

    def _hello(self, hello: Hello) -> None:
        if self.index >= 0:
            raise FrameError("a second Hello")
        if hello.format != FORMAT:
            raise FrameError(f"wire format {hello.format}; this build speaks {FORMAT}")
        if not 0 <= hello.worker < 64:
            raise FrameError(f"worker {hello.worker} is out of range")
        if self._patience is not None:
            self._patience.cancel()
        self.index = hello.worker
        before = self.feed.peers.get(self.index)
        self.feed.peers[self.index] = self
        if before is not None:
            # Its successor is here: an end of file that is still under way must not remove the new one.
            before.close()
        self.holds = self._held(hello)
        self.feed.log("connected", worker=self.index, pid=self.pid, version=hello.version)
        self.advance()
        self.feed.changed()

    def _held(self, hello: Hello) -> Offer | None:
        """Return what the worker serves already, from disk or from control's predecessor: it is not sent again."""
        for offer in (self.feed.active, self.feed.candidate):
            if offer is not None and offer.is_meant(hello):
                return offer
        return Offer(hello.version, hello.digest, hello.generation, b"", {}) if hello.version else None

    def _counted(self, frame: Counts) -> None:
        if not self.feed.counts.add(self.index, frame) and self._understood:
            self._understood = False
            self.feed.log("metrics-unknown", worker=self.index, reason="the worker is of another build")

    def _needed(self, need: Need) -> None:
        assert self.pending is not None
        if not need.sections or not self.pending.sections.keys() >= set(need.sections):
            raise FrameError("a Need of what was not offered")
        self.wanted.extend(need.sections)
        self._send_wanted()

    def _send_wanted(self) -> None:
        offer = self.pending
        while self.wanted and offer is not None and not self._full and not self._transport.is_closing():
            self._transport.write(pack(Section(offer.sections[self.wanted.popleft()])))

    def _answers_pending(self, frame: Ack | Nack | Need) -> bool:
        return self.pending is not None and self.pending.is_meant(frame)

    def _answered(self, frame: Ack | Nack) -> None:
        offer, self.pending = self.pending, None
        assert offer is not None
        if isinstance(frame, Ack):
            self.holds, self.refused = offer, None
            offer.answers.setdefault(self.index, "")
        else:
            reason = frame.reason or "it gave no reason"
            self.refused = offer
            offer.answers.setdefault(self.index, reason)
            self.feed.log("nack", worker=self.index, version=offer.version, reason=reason)
        self.advance()
        self.feed.changed()

    def _refuse(self, reason: str) -> None:
        self.feed.log("refused", worker=self.index, pid=self.pid, reason=reason)
        self._transport.abort()
