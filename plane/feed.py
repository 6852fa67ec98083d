"""The worker's end of the control socket: snapshots in, acks and usage out.

Control may go away and come back; the worker serves on with what it has and connects again.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable

from core.errors import ConfigError, FrameError, SnapshotError
from core.snapshot import decode
from core.wire import FORMAT, Ack, Draining, Frame, FrameReader, Hello, Nack, Push, UsageTaken, pack
from plane.compile import compile_snapshot
from plane.delivery import Delivery
from plane.runtime import Runtime

__all__ = ["Feed"]

log = logging.getLogger("headgate.feed")

RECONNECT = 0.2
"""Seconds between two tries to reach control."""
FINISH = 5.0
"""Seconds that the last report may take at most."""
BACKLOG = 64 * 1024
"""Bytes that control may have left unread for counts still to be sent."""


class Feed:
    """Keeps the connection to control.

    go_live: takes a compiled runtime and serves with it from then on.
    """

    def __init__(self, path: str, delivery: Delivery, go_live: Callable[[Runtime], None]) -> None:
        self.path = path
        self.delivery = delivery
        self.ledger = delivery.ledger
        self.go_live = go_live
        self.writer: asyncio.StreamWriter | None = None
        self.finished = False
        self.draining = False

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
                self.delivery.connected(writer)
                await self.listen(reader, writer)
            except (OSError, FrameError) as error:
                log.warning("control-lost", extra={"fields": {"error": error}})
            finally:
                self.writer = None
                self.delivery.lost()
                writer.close()
            await asyncio.sleep(RECONNECT)

    async def listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take what control says until it goes away."""
        frames = FrameReader()
        while data := await reader.read(1 << 18):
            for frame in frames.feed(data):
                if isinstance(frame, Push):
                    writer.write(pack(self.take(frame)))
                    await writer.drain()
                elif isinstance(frame, UsageTaken):
                    self.delivery.taken(frame.number)

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
