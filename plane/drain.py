"""The end of a worker that serves: it takes no new callers, lets answers end, and cuts short what takes too long."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Protocol

from core.errors import GatewayError
from plane.http1.door import Door

__all__ = ["drain"]

LAST_WORDS = 2.0
"""Seconds that connections have to take what is written to them, after the deadline."""

log = logging.getLogger("headgate.plane")


class Listener(Protocol):
    """What accepts callers."""

    def close(self) -> None:
        """Accept no more."""


async def drain(listeners: Sequence[Listener], doors: Sequence[Door], drained: asyncio.Event, seconds: float) -> None:
    """Stop accepting at once, give what is under way `seconds` to end, and end the rest with an error.

    drained: set by a door when it has no connection left. A stream that is cut ends with an error event, without the
    mark of a whole one.
    """
    for listener in listeners:
        listener.close()
    log.info("draining", extra={"fields": {"deadline": f"{seconds:g}s"}})
    # Connections accepted in this turn of the loop come to the door in the next.
    await asyncio.sleep(0)
    for door in doors:
        door.drain()
    if await emptied(doors, drained, seconds):
        return
    fault = GatewayError(503, "draining", "gateway", MESSAGE, hint=HINT, retry_after=1.0)
    cut = sum(door.cut(fault) for door in doors)
    log.warning("drain-ended", extra={"fields": {"deadline": f"{seconds:g}s", "cut": cut}})
    await emptied(doors, drained, LAST_WORDS)


async def emptied(doors: Sequence[Door], drained: asyncio.Event, seconds: float) -> bool:
    """Wait until the last connection has gone; False if the time ran out first."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while any(door.connections for door in doors):
                drained.clear()
                await drained.wait()
    return not any(door.connections for door in doors)


MESSAGE = "The gateway process that serves this call is being replaced, and waits no longer."
HINT = "Send it again: another process serves it."
