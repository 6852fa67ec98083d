"""Where a worker's ledger is kept: its ring and its spill in ``DATA/rings``, under the worker's lock."""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import time
from pathlib import Path

from core.ring import Ring, ring_size
from plane.ledger import Ledger
from plane.spill import Spill

__all__ = ["ROOM", "open_ledger"]

log = logging.getLogger("headgate.ledger")

ROOM = 8 * 1024 * 1024
"""Bytes for records in a ring: about 30,000 calls, more than a second of all that a worker can do."""
LOCK_TIME = 10.0
"""Seconds to wait for a ring that control, or a worker on its way out, still reads."""


def open_ledger(folder: Path, worker: int, boot: str) -> Ledger:
    """Open the ledger of the worker with this index, with what its predecessor left in it.

    The ring's lock is held until the process ends. OSError: the ring cannot be made or mapped, or somebody else holds
    it for longer than `LOCK_TIME`.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / str(worker)
    ring = map_ring(path)
    spill = Spill(path.with_suffix(".spill"), ring)
    if lost := ring.begin(int(time.time())):
        log.error("ring-damaged", extra={"fields": {"file": path, "bytes": lost}})
    ledger = Ledger(worker, boot, ring, spill)
    if ledger.backlog():
        log.info("ledger-inherited", extra={"fields": {"worker": worker, "bytes": ledger.backlog()}})
    return ledger


def map_ring(path: Path) -> Ring:
    """Map the ring at `path`, made if it is missing; a file that is no ring of ours is put aside, never overwritten."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    lock(file, path)
    size = ring_size(ROOM)
    try:
        if os.fstat(file).st_size in (0, size):
            # All of it is taken from the disk now: a write into a hole of a full disk would be a SIGBUS.
            os.posix_fallocate(file, 0, size)
            return Ring(mmap.mmap(file, size))
        raise ValueError(f"the file has {os.fstat(file).st_size} bytes, not {size}")
    except ValueError as error:
        aside = path.with_suffix(f".damaged-{time.time_ns()}")
        log.error("ring-put-aside", extra={"fields": {"file": path, "as": aside, "error": error}})
        path.rename(aside)
    os.close(file)
    return map_ring(path)


def lock(file: int, path: Path) -> None:
    """Lock the ring's file for as long as it is open, which is until the process ends."""
    deadline = time.monotonic() + LOCK_TIME
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise OSError(f"{path}: another process holds this ring; stop it") from None
            time.sleep(0.01)
