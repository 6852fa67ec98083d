"""The end of a worker that serves: it takes no new callers, lets answers end, and cuts short what takes too long."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from core.errors import GatewayError
from plane.http1.door import Door

__all__ = ["drain"]

LAST_WORDS = 2.0
"""Seconds that connections have to take what is written to them, after the deadline."""

log = logging.getLogger("headgate.plane")


async def drain(server: asyncio.Server | None, door: Door, drained: asyncio.Event, seconds: float) -> None:
    """Stop accepting at once, give what is under way `seconds` to end, and end the rest with an error.

    drained: set by the door when it has no connection left. A stream that is cut ends with an error event, without the
    mark of a whole one.
    """
    if server is not None:
        server.close()
    log.info("draining", extra={"fields": {"deadline": f"{seconds:g}s"}})
    # Connections accepted in this turn of the loop come to the door in the next.
    await asyncio.sleep(0)
    door.drain()
    if await emptied(door, drained, seconds):
        return
    cut = door.cut(GatewayError(503, "draining", "gateway", MESSAGE, hint=HINT, retry_after=1.0))
    log.warning("drain-ended", extra={"fields": {"deadline": f"{seconds:g}s", "cut": cut}})
    await emptied(door, drained, LAST_WORDS)


async def emptied(door: Door, drained: asyncio.Event, seconds: float) -> bool:
    """Wait until the last connection has gone; False if the time ran out first."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while door.connections:
                drained.clear()
                await drained.wait()
    return not door.connections


MESSAGE = "The gateway process that serves this call is being replaced, and waits no longer."
HINT = "Send it again: another process serves it."
