"""The worker's end of the control socket: it keeps the connection, and takes snapshots in.

Control may go away and come back; the worker serves on with what it has and connects again.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import Callable, Mapping

from core.errors import ConfigError, FrameError, SnapshotError
from core.snapshot import Snapshot
from core.wire import FORMAT, Ack, Draining, Frame, FrameReader, Hello, Nack, Need, Push, Section, UsageTaken, pack
from plane.compile import compile_steps
from plane.delivery import Delivery
from plane.incoming import Incoming
from plane.memory import malloc_trim
from plane.release import Release
from plane.runtime import Runtime
from plane.steps import Steps, paced

__all__ = ["Feed"]

log = logging.getLogger("headgate.feed")

RECONNECT = 0.2
"""Seconds between two tries to reach control."""
PIECE = 1 << 16
"""Bytes that are read in one go."""
REASON = 64 * 1024
"""Characters of a nack at most."""
FINISH = 5.0
"""Seconds that the last report may take at most."""
BACKLOG = 64 * 1024
"""Bytes that control may have left unread for counts still to be sent."""


class Feed:
    """Keeps the connection to control, and what came over it.

    go_live: the steps by which a worker goes over to a runtime; the last one is the swap. live: the runtime it has now.
    generation: of the secrets in it. tried: set once control could not be reached, or a push of it has ended.
    """

    def __init__(self, path: str, delivery: Delivery, go_live: Callable[[Runtime], Steps[None]]) -> None:
        self.path = path
        self.delivery = delivery
        self.ledger = delivery.ledger
        self.go_live = go_live
        self.live: Runtime | None = None
        self.generation = 0
        self.tried = asyncio.Event()
        self.turn = asyncio.Lock()
        self.swapping = False
        self.release = Release()
        self.incoming: Incoming | None = None
        self.building: asyncio.Task[None] | None = None
        self.writer: asyncio.StreamWriter | None = None
        self.finished = False
        self.draining = False

    async def run(self) -> None:
        """Stay connected for as long as the worker lives."""
        while not self.finished:
            try:
                reader, writer = await asyncio.open_unix_connection(self.path)
            except OSError:
                self.tried.set()
                await asyncio.sleep(RECONNECT)
                continue
            self.writer = writer
            try:
                writer.write(pack(self.hello()))
                if self.draining:
                    writer.write(pack(Draining()))
                self.delivery.connected(writer)
                await self.listen(reader, writer)
            except (OSError, FrameError) as error:
                log.warning("control-lost", extra={"fields": {"error": error}})
            finally:
                self.writer = None
                self.delivery.lost()
                writer.close()
                await self.give_up()
            await asyncio.sleep(RECONNECT)

    def hello(self) -> Hello:
        """Return the worker's first words: who it is, and what it serves already."""
        ledger, live = self.ledger, self.live
        version, digest = (live.version, live.digest) if live is not None else (0, "")
        return Hello(FORMAT, ledger.worker, os.getpid(), ledger.boot, version, digest, self.generation)

    async def listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take in frames until control goes away; callers get their turn between two of them."""
        frames = FrameReader()
        while data := await reader.read(PIECE):
            for frame in frames.feed(data):
                await self.received(frame, writer)
                await asyncio.sleep(0)

    async def received(self, frame: Frame, writer: asyncio.StreamWriter) -> None:
        """Take in one frame; FrameError if it has no place here."""
        match frame:
            case Push():
                await self.offered(frame, writer)
            case UsageTaken():
                self.delivery.taken(frame.number)
            case Section() if self.incoming is not None:
                self.incoming.take(frame.data)
            case _:
                raise FrameError(f"an unexpected {type(frame).__name__}")
        incoming = self.incoming
        if incoming is not None and not incoming.missing:
            self.incoming = None
            self.building = asyncio.create_task(self.answer(incoming, writer))

    async def offered(self, push: Push, writer: asyncio.StreamWriter) -> None:
        """Ask for what is missing of a new push. One before it that has not all come is refused; a build is awaited."""
        if self.incoming is not None:
            writer.write(pack(refusal(self.incoming.push, "another push came before all of its sections had")))
            self.incoming = None
        if self.building is not None:
            await self.building
        try:
            self.incoming = Incoming(push, self.live.snapshot.sections if self.live is not None else {})
        except SnapshotError as error:
            writer.write(pack(refusal(push, str(error))))
            self.tried.set()
            return
        if missing := [part.digest for part in self.incoming.missing]:
            writer.write(pack(Need(push.version, push.digest, push.generation, missing)))

    async def give_up(self) -> None:
        """Drop what was on its way: control offers it again, or something else."""
        self.incoming = None
        self.tried.set()
        if self.building is not None:
            # A swap is a matter of a moment, and half of one would leave `live` behind what is served.
            if not self.swapping:
                self.building.cancel()
            await asyncio.wait([self.building])
            self.building = None

    async def answer(self, incoming: Incoming, writer: asyncio.StreamWriter) -> None:
        """Build what came in and tell control; on any fault the live runtime serves on, and control hears why."""
        push = incoming.push
        try:
            snapshot = incoming.snapshot()
            async with self.turn:
                if not self.serves(push):
                    await self.serve(snapshot, push.secrets, push.generation)
        except (SnapshotError, ConfigError, OSError) as error:
            writer.write(pack(refusal(push, str(error)[:REASON])))
        except Exception as error:
            log.exception("build-failed", extra={"fields": {"version": push.version}})
            writer.write(pack(refusal(push, f"building it failed: {type(error).__name__}")))
        else:
            writer.write(pack(Ack(push.version, push.digest, push.generation)))
        finally:
            self.tried.set()

    def serves(self, push: Push) -> bool:
        """Tell whether the live runtime is just this; SnapshotError if its secrets are newer than those of `push`.

        Control goes back to an older version when another worker has refused the newer one; its secrets may be older
        then. In all other cases older secrets are what somebody kept.
        """
        live = self.live
        if live is None:
            return False
        if push.generation < self.generation and push.version >= live.version:
            raise SnapshotError(f"its secrets are of generation {push.generation}; {self.generation} is served")
        return (push.version, push.digest, push.generation) == (live.version, live.digest, self.generation)

    async def start(self, snapshot: Snapshot, secrets: Mapping[str, str], generation: int) -> bool:
        """Serve a snapshot that did not come from control, unless something is served by now; else as `serve`."""
        async with self.turn:
            if self.live is not None:
                return False
            await self.serve(snapshot, secrets, generation)
        return True

    @property
    def under_way(self) -> bool:
        """Whether a push has come and is not answered yet."""
        return self.incoming is not None or (self.building is not None and not self.building.done())

    async def serve(self, snapshot: Snapshot, secrets: Mapping[str, str], generation: int) -> None:
        """Build `snapshot` beside the live runtime, in slices, and go over to it. For whoever has the `turn`.

        snapshot: its sections have the digests that its manifest says. SnapshotError, ConfigError or OSError where it
        cannot be served; nothing has changed then.
        """
        # A collection of all that is being made would be a pause; nothing in it is ever to be collected.
        gc.disable()
        try:
            runtime = await paced(compile_steps(snapshot, secrets, self.live))
            self.swapping = True
            await paced(self.go_live(runtime))
            if self.live is not None and self.live.site is not runtime.site:
                self.release.watch(self.live.site)
            self.live, self.generation = runtime, generation
            gc.freeze()
            malloc_trim()
        finally:
            self.swapping = False
            gc.enable()

    def introduce(self) -> None:
        """Connect anew, so that control hears what is served by now, unless the answer to a push will say it."""
        if self.writer is not None and not self.under_way:
            self.writer.close()

    def drain(self) -> None:
        """Tell control, and one that is connected to later, to wait for this worker no more."""
        self.draining = True
        if self.writer is not None and not self.writer.is_closing():
            self.writer.write(pack(Draining()))

    def listens(self) -> bool:
        """Tell whether control is there and reads."""
        writer = self.writer
        return writer is not None and not writer.is_closing() and writer.transport.get_write_buffer_size() < BACKLOG

    def tell(self, frame: Frame) -> None:
        """Send a small frame, if control is there."""
        if self.writer is not None:
            self.writer.write(pack(frame))

    async def finish(self) -> None:
        """Send the last of the ledger, in at most `FINISH` seconds, and close."""
        self.finished = True
        await self.delivery.finish(FINISH)
        if self.writer is not None:
            self.writer.close()


def refusal(push: Push, reason: str) -> Nack:
    """Return the answer to a push that is not served."""
    return Nack(push.version, push.digest, push.generation, reason)
