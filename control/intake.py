"""Usage events on their way in: each is taken once, whoever sends it however often, and kept before it is answered for.

A checkpoint beside the segments says how far they are counted, so that a start reads only what came after it.
"""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import msgspec
from msgspec import MsgspecError, Struct

from control.log import Log
from control.once import Once
from control.segments import Position, Segments, events, segments_in
from control.usage import UsageRow, UsageTable
from core.records import cut
from core.tally import Tally
from core.usage import WORKER_SHIFT, UsageEvent, decode_event

__all__ = ["Intake"]

SYNC = 1.0
"""Seconds between two syncs: the most that a loss of power takes of what was kept."""
CHECKPOINT = 5.0
"""Seconds between two checkpoints while events come: a start reads at most what came in that time."""


class Checkpoint(Struct, frozen=True, forbid_unknown_fields=True):
    """What is counted up to `position`. marks: see `Intake`, for `host` alone. once: see `Once.saved`."""

    host: bytes
    position: Position
    marks: dict[int, int]
    rows: list[UsageRow]
    once: bytes = b""


class Intake:
    """Takes batches of records from workers and from the rings that dead ones left, into segments and totals.

    folder: of the segments. host: 16 bytes, see `control.datadir.host_word`.
    marks: worker index -> the highest id taken. The ids of one index only grow and come in order, so an event at or
    below its mark was taken before. damaged: records that could not be read. heard: called with each event, once.
    table: the totals that outlive control. tally: what `/metrics` shows, which starts anew with it.
    OSError, ValueError: the folder cannot be used; the text says why.
    """

    def __init__(self, folder: Path, host: bytes, log: Log) -> None:
        self.folder = folder
        self.log = log
        self.table = UsageTable()
        self.tally = Tally()
        self.once = Once()
        self.marks: dict[int, int] = {}
        self.damaged = 0
        self.heard: Callable[[UsageEvent], None] | None = None
        self.segments = Segments(folder, host, log)
        self._checked = time.monotonic()
        self._counted: Position = ("", 0)
        self._resume(host)

    def take(self, worker: int, records: bytes) -> None:
        """Keep the events in `records`, all of worker index `worker`, that are new.

        OSError: the disk did not take them; nothing is counted, and they have to be sent again.
        """
        mark = self.marks.get(worker, -1)
        fresh: list[UsageEvent] = []
        kept: list[bytes] = []
        start = first = 0
        for end, body in cut(records):
            event = self._read(worker, body)
            if event is not None and event.id > mark:
                mark = event.id
                fresh.append(event)
            else:
                kept.append(records[first:start])
                first = end
            start = end
        if start < len(records):
            self._damage(worker, f"{len(records) - start} bytes at the end of a batch are no record")
        if not fresh:
            return
        # Mostly all of them are new: then the bytes go on as they came.
        self.segments.append(records[:start] if first == 0 else b"".join([*kept, records[first:start]]))
        self.marks[worker] = mark
        for event in fresh:
            if event.detail is not None and event.detail.once:
                event = self.once.counted(event)
            self.table.add(event)
            self.tally.add(event)
            if self.heard is not None:
                self.heard(event)

    async def run(self) -> None:
        """Sync and write checkpoints for as long as control lives."""
        while True:
            await asyncio.sleep(SYNC)
            await self.settle()

    async def settle(self) -> None:
        """Sync what was taken, seal an old segment, and write a checkpoint if there is something new and it is time."""
        try:
            self.segments.roll_if_old()
            await asyncio.to_thread(self.segments.sync)
            if time.monotonic() - self._checked >= CHECKPOINT and self.segments.position != self._counted:
                self._checked, self._counted = time.monotonic(), self.segments.position
                await asyncio.to_thread(self._write, self._checkpoint())
        except OSError as error:
            self.log("usage-sync", reason=error)

    def close(self) -> None:
        """Sync, and write a last checkpoint."""
        try:
            self.segments.close()
            self._write(self._checkpoint())
        except OSError as error:
            self.log("usage-sync", reason=error)

    def _read(self, worker: int, body: bytes | None) -> UsageEvent | None:
        """Return the event in `body`; one that is damaged, or of another worker, is counted and said."""
        reason = "its checksum is wrong"
        if body is not None:
            try:
                event = decode_event(body)
            except MsgspecError as error:
                reason = str(error)
            else:
                if event.id >> WORKER_SHIFT == worker:
                    return event
                reason = f"it is of worker {event.id >> WORKER_SHIFT}"
        self._damage(worker, reason)
        return None

    def _damage(self, worker: int, reason: str) -> None:
        self.damaged += 1
        self.log("usage-damaged", worker=worker, reason=reason)

    def _checkpoint(self) -> bytes:
        body = msgspec.msgpack.encode(
            Checkpoint(self.segments.host, self.segments.position, self.marks, self.table.rows(), self.once.saved())
        )
        return crc32(body).to_bytes(4, "little") + body

    def _write(self, checkpoint: bytes) -> None:
        path = self.folder / "checkpoint"
        fresh = path.with_suffix(".new")
        with open(fresh, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(checkpoint)
            file.flush()
            os.fdatasync(file.fileno())
        fresh.replace(path)

    def _resume(self, host: bytes) -> None:
        """Go on from the checkpoint, and count what came after it; without one, count everything there is."""
        began = time.monotonic()
        name, offset = "", 0
        found = self._saved()
        if found is not None:
            name, offset = found.position
            self.table.resume(found.rows)
            self.once.resume(found.once)
            if found.host == host:
                self.marks = found.marks
        count = 0
        for path in segments_in(self.folder):
            if path.stem >= name:
                try:
                    for origin, _, event in events(path, offset if path.stem == name else 0):
                        self._count_again(event, origin == host)
                        count += 1
                except ValueError as error:
                    self.log("usage-segment", reason=error)
        if count:
            self.log("usage-resumed", events=count, seconds=f"{time.monotonic() - began:.2f}")

    def _count_again(self, event: UsageEvent, ours: bool) -> None:
        self.table.add(self.once.counted(event))
        if ours:
            worker = event.id >> WORKER_SHIFT
            self.marks[worker] = max(event.id, self.marks.get(worker, -1))

    def _saved(self) -> Checkpoint | None:
        path = self.folder / "checkpoint"
        try:
            data = path.read_bytes()
            if int.from_bytes(data[:4], "little") != crc32(data[4:]):
                raise ValueError("its checksum is wrong")
            return msgspec.msgpack.decode(data[4:], type=Checkpoint)
        except FileNotFoundError:
            return None
        except (ValueError, MsgspecError) as error:
            self.log("usage-checkpoint", file=path, reason=error, effect="all segments are counted anew")
            return None
