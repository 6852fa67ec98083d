"""The rings that dead workers left: control drains them itself, until the next worker of the index takes over.

Whoever has a ring holds a lock on its file, so a ring whose lock can be had is nobody's.
"""

import asyncio
import fcntl
import mmap
import os
from collections.abc import Container
from pathlib import Path

from control.intake import Intake
from control.log import Log
from core.records import LARGEST, whole_length
from core.ring import Ring

__all__ = ["Orphans"]

PERIOD = 1.0
"""Seconds between two looks at the rings."""
BATCH = 256 * 1024
"""Bytes taken under one lock: a worker that starts waits for no more than that."""
READ = LARGEST + 8


class Orphans:
    """Looks after the rings in `folder`. connected: the worker indices that send their events themselves."""

    def __init__(self, folder: Path, intake: Intake, connected: Container[int], log: Log) -> None:
        self.folder = folder
        self.intake = intake
        self.connected = connected
        self.log = log
        self._said: set[str] = set()

    async def run(self) -> None:
        """Look after them for as long as control lives."""
        while True:
            for path in self.rings():
                bytes_taken = 0
                while taken := self.drain(path):
                    bytes_taken += taken
                    await asyncio.sleep(0)
                if bytes_taken:
                    self.log("orphan-drained", worker=path.name, bytes=bytes_taken)
            await asyncio.sleep(PERIOD)

    def rings(self) -> list[Path]:
        """Return the rings that no connected worker has."""
        if not self.folder.is_dir():
            return []
        return [path for path in self.folder.iterdir() if path.name.isdigit() and int(path.name) not in self.connected]

    def drain(self, path: Path) -> int:
        """Take one batch, if nobody holds the ring; return its bytes, 0 where there is nothing to take."""
        try:
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                return self._drain_open(file, path)
            finally:
                os.close(file)
        except BlockingIOError:
            return 0
        except (OSError, ValueError) as error:
            if str(error) not in self._said:
                self._said.add(str(error))
                self.log("orphan-kept", file=path, reason=error)
            return 0

    def _drain_open(self, file: int, path: Path) -> int:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            return self._drain_locked(file, path)
        finally:
            # Closing is not enough: while the memory is mapped the lock would stay.
            fcntl.flock(file, fcntl.LOCK_UN)

    def _drain_locked(self, file: int, path: Path) -> int:
        if not os.fstat(file).st_size:
            return 0
        ring = Ring(mmap.mmap(file, 0))
        taken = self._drain_spill(ring, path)
        if not taken and (records := ring.peek(BATCH)):
            self.intake.take(int(path.name), records)
            ring.free(ring.tail + len(records))
            taken = len(records)
        return taken

    def _drain_spill(self, ring: Ring, path: Path) -> int:
        """Take from the spill first: what is in it is older."""
        spill = path.with_suffix(".spill")
        # Where its length is not known, what is in it stands in the ring as well; the next worker measures it.
        if ring.spill_done >= ring.spilled:
            return 0
        with spill.open("r+b", buffering=0) as file:
            size = min(ring.spilled, os.fstat(file.fileno()).st_size)
            data = os.pread(file.fileno(), min(READ, size - ring.spill_done), ring.spill_done)
            records = data[: whole_length(data)]
            if not records:
                self.log("spill-damaged", file=spill, bytes=size - ring.spill_done)
            self.intake.take(int(path.name), records)
            done = ring.spill_done + len(records)
            if records and done < size:
                ring.note_spill(size, done)
                return len(records)
            os.truncate(file.fileno(), 0)
            ring.note_spill(0, 0)
            return len(records)
