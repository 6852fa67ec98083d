"""What a worker has to tell control of finished calls: in mapped memory before a call ends, until control has it.

Records go through three places, always in this order, oldest first: the spill (a file), the ring (mapped memory), and,
only while the disk is full, `waiting` (this process's memory). A full ring hands its oldest records to the spill, a
batch at a time; so what has just ended is in the ring, and what is in the spill is older.

Control has at most one batch unanswered. A batch may be sent again, or stand in the spill and the ring at once after a
death between the two: the ids of a worker index only grow, so control knows what it has.
"""

from __future__ import annotations

import logging
from collections import deque

from core.ring import Ring
from core.usage import WORKER_SHIFT, UsageEvent, encode_event
from plane.spill import Spill

__all__ = ["BATCH", "Ledger"]

log = logging.getLogger("headgate.ledger")

BATCH = 256 * 1024
"""Bytes of records moved at once: some thousand calls, a tenth of a millisecond of writing into the page cache."""
MEMORY = 16 * 1024 * 1024
"""Bytes of records kept in memory while ring and disk are full; what ends then is dropped, counted and logged."""


class Ledger:
    """The usage events of one worker index that control does not have yet.

    worker: the index. boot: a word unlike that of any other run of it.
    dropped: events lost because ring, disk and memory were full. kept: events taken in by this process.
    """

    def __init__(self, worker: int, boot: str, ring: Ring, spill: Spill, memory: int = MEMORY) -> None:
        self.worker = worker
        self.first_id = worker << WORKER_SHIFT
        self.boot = boot
        self.memory = memory
        self.dropped = 0
        self.kept = 0
        self.ids = 0
        self.ring = ring
        self.spill = spill
        self.disk_full = False
        self.waiting: deque[bytes] = deque()
        self.waiting_size = 0
        self.number = 0
        self.unanswered = 0
        self.position = -1
        self.prefix = f"hg-{boot[:8]}-{worker}-".encode()

    def next_event_id(self) -> int:
        """Return the id of the next event: above every one of this worker index before; see `core.usage.make_id`."""
        return self.first_id + self.ring.next_number()

    def next_id(self) -> bytes:
        """Return a request id unlike any other."""
        self.ids += 1
        return b"%b%x" % (self.prefix, self.ids)

    def append(self, event: UsageEvent) -> None:
        """Keep `event`: when this returns, the death of this process does not lose it."""
        body: bytes = encode_event(event)
        self.kept += 1
        if self.waiting_size or not self.ring.push(body):
            self.overflow(body)

    def overflow(self, body: bytes) -> None:
        """Keep what the ring has no room for."""
        self.waiting.append(body)
        self.waiting_size += len(body)
        if not self.disk_full:
            self.make_room()
        if self.waiting_size > self.memory:
            self.waiting_size -= len(self.waiting.pop())
            self.dropped += 1
            if self.dropped % 1000 == 1:
                log.error("ledger-dropped", extra={"fields": {"worker": self.worker, "events": self.dropped}})

    def make_room(self) -> None:
        """Move the oldest records of the ring into the spill until nothing waits in memory, or the disk is full."""
        while self.waiting:
            if self.ring.push(self.waiting[0]):
                self.waiting_size -= len(self.waiting.popleft())
                continue
            records = self.ring.peek(BATCH)
            # Tried again when the next batch is asked for: not for every call.
            self.disk_full = not self.spill.append(records)
            if self.disk_full:
                return
            self.ring.free(self.ring.tail + len(records))

    def backlog(self) -> int:
        """Return how many bytes of records control does not have."""
        ring = self.ring
        return int(self.spill.size - self.spill.done + ring.head - ring.tail + self.waiting_size)

    def batch(self) -> bytes:
        """Return the next records for control, b"" if there are none; they stay until `taken` with this `number`."""
        self.disk_full = False
        self.make_room()
        records: bytes = self.spill.read(BATCH)
        self.position = -1
        if not records:
            records = self.ring.peek(BATCH)
            self.position = self.ring.tail + len(records)
        self.unanswered = len(records)
        self.number += 1
        return records

    def taken(self, number: int) -> None:
        """Let go of the batch with this number: control has it. One that was given up meanwhile is no longer known."""
        if number != self.number or not self.unanswered:
            return
        if self.position < 0:
            self.spill.free(self.unanswered)
        else:
            self.ring.free(self.position)
        self.unanswered = 0

    def close(self) -> None:
        """Close the spill; the ring is unmapped, and its lock given back, when the process ends."""
        self.spill.close()

    def give_up(self) -> None:
        """Forget that a batch was sent: control may not have had it, and gets it again."""
        self.unanswered = 0
