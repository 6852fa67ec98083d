"""Accepts connections on one inherited socket, and stops for a while when the worker holds as many as it may.

Nobody is turned away: who is not accepted here waits in the socket's queue, from which every other worker accepts too.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any

from plane.overload import Gauge

__all__ = ["Acceptor"]

BACKLOG = 4096
"""Connections that may wait in the socket's queue."""

log = logging.getLogger("headgate.plane")


class Acceptor:
    """Gives each new connection of `listener` a protocol, while `gauge` has a place for it.

    options: more of `create_server`, for TLS.

    A burst can be a few connections more than the cap: those the loop had accepted before it could be stopped.
    """

    def __init__(self, listener: socket.socket, gauge: Gauge, make: Callable[[], Any]) -> None:
        self.listener = listener
        self.gauge = gauge
        self.make = make
        self.options: dict[str, Any] = {}
        self.server: asyncio.Server | None = None
        self.is_paused = False
        gauge.on_full.append(self.pause)

    async def start(self) -> None:
        """Accept from now on, with the options of now; connections accepted before keep theirs."""
        before = self.server
        # A copy, as the loop closes what it was given when it is to stop.
        copy = self.listener.dup()
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(self.make, sock=copy, backlog=BACKLOG, **self.options)
        if before is not None:
            before.close()

    def pause(self) -> None:
        """Accept no more for now."""
        if self.server is not None:
            self.server.close()
            self.server = None
            self.is_paused = True
            log.warning("full", extra={"fields": {"connections": self.gauge.connections}})

    async def look(self) -> None:
        """Accept again, after a pause, if there is a place."""
        if self.is_paused and self.gauge.has_place():
            self.is_paused = False
            await self.start()

    def close(self) -> None:
        """Accept no more."""
        self.is_paused = False
        if self.server is not None:
            self.server.close()
            self.server = None
        self.listener.close()
