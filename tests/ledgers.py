"""Ledgers of tests: a small ring in this process's memory with a spill that has no name."""

import os
import tempfile
from pathlib import Path

from core.records import cut, record
from core.ring import Ring, ring_size
from core.usage import UsageEvent, decode_event, encode_event
from plane.ledger import MEMORY, Ledger
from plane.spill import Spill

__all__ = ["events_in", "make_ledger", "records_of", "take"]


def make_ledger(worker: int = 0, boot: str = "0123456789abcdef", room: int = 4 << 20, memory: int = MEMORY) -> Ledger:
    """Return a ledger that nobody else sees."""
    ring = Ring(bytearray(ring_size(room)))
    handle, name = tempfile.mkstemp()
    os.close(handle)
    spill = Spill(Path(name), ring)
    os.unlink(name)
    return Ledger(worker, boot, ring, spill, memory)


def records_of(*events: UsageEvent) -> bytes:
    """Return events as they stand in a ring."""
    return b"".join(record(encode_event(one)) for one in events)


def events_in(records: bytes) -> list[UsageEvent]:
    """Return the events in `records`; fails where one is damaged."""
    found = []
    for _, body in cut(records):
        assert body is not None
        found.append(decode_event(body))
    return found


def take(ledger: Ledger) -> list[UsageEvent]:
    """Return what a ledger holds, and leave it empty, as control does."""
    found = []
    while records := ledger.batch():
        found += events_in(records)
        ledger.taken(ledger.number)
    assert ledger.backlog() == 0
    return found
