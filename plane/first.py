"""A worker's first snapshot: what control pushes or, if nothing comes of that in time, what control saved last."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

from core.errors import ConfigError, SnapshotError
from plane.feed import Feed

__all__ = ["PATIENCE", "first_snapshot"]

log = logging.getLogger("headgate.first")

PATIENCE = 1.0
"""Seconds that a new worker waits for control to send something."""
UNDER_WAY = 10.0
"""Seconds that it waits for the rest of it, and for the build: what control sends is never older than what is saved."""


async def first_snapshot(feed: Feed, data: Path) -> None:
    """Return when the worker serves something; if it is not what control pushed, then what is saved in `data`.

    Control is not waited for where it cannot be reached, or where what it sent cannot be served. Where nothing saved
    can be served either, that is logged, and the worker goes on waiting for control: it never serves without a config.
    """
    for seconds in (PATIENCE, UNDER_WAY):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await feed.tried.wait()
        if not feed.under_way:
            break
    if feed.live is None:
        await _from_disk(feed, data)


async def _from_disk(feed: Feed, data: Path) -> None:
    from plane.lastgood import saved  # noqa: PLC0415 the seals cost 7 MB and 10 ms, and most workers never need them

    faults = 0

    def refuse(name: str, reason: str) -> None:
        nonlocal faults
        faults += 1
        log.warning("saved-unusable", extra={"fields": {"file": name, "reason": reason}})

    for found in saved(data, refuse):
        envelope = found.envelope
        fields = {"version": envelope.version, "generation": envelope.generation, "digest": envelope.digest}
        try:
            if await feed.start(found.snapshot, envelope.secrets, envelope.generation):
                log.info("from-disk", extra={"fields": fields})
                # Control, if it is there, takes this worker for one that serves nothing.
                feed.introduce()
            return
        except (SnapshotError, ConfigError, OSError) as error:
            refuse(f"{envelope.version}-{envelope.generation}", str(error))
        except Exception:
            faults += 1
            # A fault of ours with the newest must not keep the one before from serving.
            log.exception("build-failed", extra={"fields": fields})
    reason = f"nothing of {data / 'snapshots'} can be served" if faults else "control has never published here"
    level = logging.ERROR if faults else logging.INFO
    log.log(level, "nothing-saved", extra={"fields": {"reason": reason, "then": "waiting for control"}})
