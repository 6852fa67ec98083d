"""The worker's end of the control socket: snapshots in, acks and usage out.

Control may go away and come back; the worker serves on with what it has and connects again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable

from core.errors import ConfigError, FrameError, SnapshotError
from core.snapshot import decode
from core.wire import FORMAT, Ack, Draining, Frame, FrameReader, Hello, Nack, Push, Usage, pack
from plane.compile import compile_snapshot
from plane.ledger import Ledger
from plane.runtime import Runtime

__all__ = ["Feed"]

log = logging.getLogger("headgate.feed")

RECONNECT = 0.2
"""Seconds between two tries to reach control."""
REPORT = 0.1
"""Seconds between two reports of usage."""
FINISH = 5.0
"""Seconds that the last report may take at most."""
BACKLOG = 64 * 1024
"""Bytes that control may have left unread for counts still to be sent."""
BATCH = 2_000
"""Usage events in one frame."""


class Feed:
    """Keeps the connection to control.

    go_live: takes a compiled runtime and serves with it from then on.
    """

    def __init__(self, path: str, ledger: Ledger, go_live: Callable[[Runtime], None]) -> None:
        self.path = path
        self.ledger = ledger
        self.go_live = go_live
        self.told = 0
        self.writer: asyncio.StreamWriter | None = None
        self.finished = False
        self.draining = False
        self.sending = asyncio.Lock()

    async def run(self) -> None:
        """Stay connected for as long as the worker lives."""
        while not self.finished:
            try:
                reader, writer = await asyncio.open_unix_connection(self.path)
            except OSError:
                await asyncio.sleep(RECONNECT)
                continue
            self.writer = writer
            try:
                writer.write(pack(Hello(FORMAT, self.ledger.worker, os.getpid(), self.ledger.boot)))
                if self.draining:
                    writer.write(pack(Draining()))
                await self.listen(reader, writer)
            except (OSError, FrameError) as error:
                log.warning("control-lost", extra={"fields": {"error": error}})
            finally:
                self.writer = None
                writer.close()
            await asyncio.sleep(RECONNECT)

    async def listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take snapshots until control goes away."""
        frames = FrameReader()
        while data := await reader.read(1 << 18):
            for frame in frames.feed(data):
                if isinstance(frame, Push):
                    writer.write(pack(self.take(frame)))
                    await writer.drain()

    def take(self, push: Push) -> Ack | Nack:
        """Build a snapshot beside the live one and swap; on any fault the live one serves on and control hears why."""
        try:
            snapshot = decode(push.snapshot)
            if snapshot.digest != push.digest or snapshot.version != push.version:
                raise SnapshotError("the snapshot is not the one that was announced")
            self.go_live(compile_snapshot(snapshot, push.secrets))
        except (SnapshotError, ConfigError, OSError) as error:
            return Nack(push.version, push.digest, str(error))
        except Exception as error:
            log.exception("build-failed", extra={"fields": {"version": push.version}})
            return Nack(push.version, push.digest, f"building it failed: {type(error).__name__}")
        return Ack(push.version, push.digest)

    def drain(self) -> None:
        """Tell control, and one that is connected to later, to wait for this worker no more."""
        self.draining = True
        if self.writer is not None and not self.writer.is_closing():
            self.writer.write(pack(Draining()))

    async def report(self) -> None:
        """Send what the ledger holds every `REPORT` seconds, until `finish`."""
        while not self.finished:
            await asyncio.sleep(REPORT)
            await self.flush()

    async def flush(self) -> None:
        """Send what the ledger holds, if control is there; what may not have reached it is kept."""
        async with self.sending:
            writer = self.writer
            if writer is None or writer.is_closing():
                return
            events = self.ledger.take()
            try:
                while events:
                    writer.write(pack(Usage(events[:BATCH])))
                    await writer.drain()
                    events = events[BATCH:]
            except OSError as error:
                log.warning("control-lost", extra={"fields": {"error": error}})
            finally:
                if events:
                    self.ledger.put_back(events)

    def listens(self) -> bool:
        """Tell whether control is there and reads."""
        writer = self.writer
        return writer is not None and not writer.is_closing() and writer.transport.get_write_buffer_size() < BACKLOG

    def tell(self, frame: Frame) -> None:
        """Send a small frame, if control is there."""
        if self.writer is not None:
            self.writer.write(pack(frame))

    async def finish(self) -> None:
        """Send the last of the ledger and close, when the socket has taken all of it or `FINISH` seconds are over."""
        self.finished = True
        writer = self.writer
        if writer is None:
            return
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(FINISH):
                await self.flush()
                writer.close()
                await writer.wait_closed()
