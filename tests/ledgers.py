"""Ledgers of tests: a small ring in this process's memory with a spill that has no name, and events to put in."""

import os
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from core.records import cut, record
from core.ring import Ring, ring_size
from core.usage import UsageEvent, decode_event, encode_event
from plane.ledger import MEMORY, Ledger
from plane.spill import Spill

__all__ = ["event", "events_in", "make_ledger", "records_of", "take"]

BLANK = UsageEvent(0, 0, "", "", "", "", "", "", 200, "", False, 1, 0, 0, 0, 0, 0, 0, False)


def event(number: int, **fields: Any) -> UsageEvent:
    """Return an event with this id."""
    return msgspec.structs.replace(BLANK, id=number, **fields)


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
