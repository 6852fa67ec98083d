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
from core.wire import FORMAT, Ack, FrameReader, Hello, Nack, Push, Usage, pack
from plane.compile import compile_snapshot
from plane.ledger import Ledger
from plane.runtime import Runtime

__all__ = ["Feed"]

log = logging.getLogger("headgate.feed")

RECONNECT = 0.2
"""Seconds between two tries to reach control."""
REPORT = 0.1
"""Seconds between two reports of usage."""
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

    async def run(self) -> None:
        """Stay connected for as long as the worker lives."""
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(self.path)
            except OSError:
                await asyncio.sleep(RECONNECT)
                continue
            self.writer = writer
            try:
                writer.write(pack(Hello(FORMAT, self.ledger.worker, os.getpid(), self.ledger.boot)))
                await self.listen(reader, writer)
            except (OSError, FrameError) as error:
                log.warning("the connection to control broke: %s", error)
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
        except (SnapshotError, ConfigError) as error:
            return Nack(push.version, push.digest, str(error))
        except Exception as error:
            log.exception("version %d cannot be built", push.version)
            return Nack(push.version, push.digest, f"building it failed: {type(error).__name__}")
        return Ack(push.version, push.digest)

    async def report(self) -> None:
        """Send what the ledger holds every `REPORT` seconds."""
        while True:
            await asyncio.sleep(REPORT)
            await self.flush()

    async def flush(self) -> None:
        """Send what the ledger holds, if control is there."""
        if self.ledger.dropped > self.told:
            log.error("%d usage events are lost: control was away for too long", self.ledger.dropped - self.told)
            self.told = self.ledger.dropped
        writer = self.writer
        if writer is None or writer.is_closing():
            return
        events = self.ledger.take()
        for start in range(0, len(events), BATCH):
            try:
                writer.write(pack(Usage(events[start : start + BATCH])))
                await writer.drain()
            except OSError:
                self.ledger.put_back(events[start:])
                return
