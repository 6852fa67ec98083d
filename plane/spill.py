"""The file that takes the oldest records of a full ring, until control has them."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from core.records import good_length, whole_length
from core.ring import Ring

__all__ = ["Spill"]

log = logging.getLogger("headgate.ledger")


class Spill:
    """Records in a file, appended at its end and read from its start. It is emptied once all of it was read.

    size: bytes in the file. done: bytes that control has. Both stand in the ring's header as well, so that the next to
    open the file knows where its last whole write ended: what was torn behind it is in the ring still.
    """

    def __init__(self, path: Path, ring: Ring) -> None:
        self.path = path
        self.ring = ring
        self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        found = os.fstat(self.file).st_size
        self.size = min(found, ring.spilled) if ring.spilled else self.measure()
        self.done = min(ring.spill_done, self.size)
        os.truncate(self.file, self.size)
        ring.note_spill(self.size, self.done)

    def measure(self) -> int:
        """Return where the last good record ends: the ring is new, or died in the first write of a spill."""
        good = at = 0
        while data := os.pread(self.file, 4 << 20, at):
            good = max(good, at + good_length(data))
            if not (step := whole_length(data)):
                break
            at += step
        return good

    def append(self, records: bytes) -> bool:
        """Write `records` at the end; False if the disk would not take all of them, and then none are there."""
        left = memoryview(records)
        try:
            while left:
                left = left[os.write(self.file, left) :]
        except OSError as error:
            log.error("spill-failed", extra={"fields": {"file": self.path, "error": error}})
            os.truncate(self.file, self.size)
            return False
        self.size += len(records)
        self.ring.note_spill(self.size, self.done)
        return True

    def read(self, limit: int) -> bytes:
        """Return the oldest records that control does not have, whole, in about `limit` bytes; b"" if there is none."""
        while self.done < self.size:
            data = os.pread(self.file, min(limit, self.size - self.done), self.done)
            if whole := whole_length(data):
                return data[:whole]
            if len(data) < limit:
                # Only a host that crashed leaves this: where the next record would begin is not known.
                log.error("spill-damaged", extra={"fields": {"file": self.path, "bytes": self.size - self.done}})
                self.free(self.size - self.done)
            limit *= 2
        return b""

    def free(self, length: int) -> None:
        """Take note that control has the next `length` bytes."""
        self.done += length
        if self.done >= self.size:
            os.truncate(self.file, 0)
            self.size = self.done = 0
        self.ring.note_spill(self.size, self.done)

    def close(self) -> None:
        """Close the file."""
        os.close(self.file)
