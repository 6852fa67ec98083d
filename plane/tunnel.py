"""One caller's HTTP/2 connection: its bytes, between the caller's TLS and granian's end of a Unix socket.

Each side is read only as fast as the other takes what was read.
"""

from __future__ import annotations

import asyncio
from time import monotonic_ns
from typing import Any, Protocol

from plane.http1.door import Door
from plane.timers import Timed

__all__ = ["Switchboard", "Tunnel"]

MAX_UNSENT = 64 * 1024
"""Bytes written to either side that it has not taken yet; more, and the other side is not read."""


class Leaver(Protocol):
    """A request on the connection."""

    def leave(self) -> None:
        """The caller has gone."""

    def cut(self, fault: Exception) -> None:
        """End the answer with `fault`."""


class Switchboard(Protocol):
    """What connects a tunnel with granian."""

    async def connect(self, tunnel: Tunnel, inner: Inner) -> asyncio.Transport:
        """Open granian's side of `tunnel`; OSError if that cannot be done."""

    def disconnect(self, tunnel: Tunnel) -> None:
        """Forget `tunnel`."""


class Tunnel(Timed):
    """The caller's side; made once TLS has agreed on HTTP/2.

    due: until when the first request must have come, the next one, or a caller that reads slowly must have read on.
    """

    def __init__(self, door: Door, switchboard: Switchboard) -> None:
        self.door = door
        self.switchboard = switchboard
        self.peer = b""
        self.name = ""
        self.streams: set[Leaver] = set()
        self.is_full = False
        self.unread = 0
        self.inner: asyncio.Transport | None = None
        self.opening: asyncio.Task[None] | None = None
        self.transport: Any = None

    # --- the loop's callbacks

    def connection_made(self, transport: Any) -> None:
        """Read once granian's side is open."""
        self.transport = transport
        address = transport.get_extra_info("peername")
        self.peer = str(address[0]).encode() if address else b""
        transport.pause_reading()
        self.door.connections.add(self)
        self.door.metrics.add(self.door.accepted, 1)
        self.door.timers.add(self)
        self.door.gauge.opened()
        self.due = monotonic_ns() + self.door.max_head_time
        self.opening = asyncio.get_running_loop().create_task(self.open())

    async def open(self) -> None:
        """Open granian's side."""
        try:
            self.inner = await self.switchboard.connect(self, Inner(self))
            self.transport.resume_reading()
        except OSError:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Hand on what the caller sent."""
        if self.inner is not None:
            self.inner.write(data)

    def eof_received(self) -> bool:
        """Take the end of the caller's bytes for its having left."""
        return False

    def pause_writing(self) -> None:
        """The caller reads slowly: it has `max_stall_time` to read on."""
        self.is_full = True
        self.due = monotonic_ns() + self.door.max_stall_time
        self.unread = self.transport.get_write_buffer_size()
        self.door.gauge.held += self.unread
        if self.inner is not None:
            self.inner.pause_reading()

    def release(self) -> None:
        """What the caller had left unread takes no memory any more."""
        self.door.gauge.held -= self.unread
        self.unread = 0

    def resume_writing(self) -> None:
        """The caller reads again."""
        self.is_full = False
        self.release()
        self.due = 0 if self.streams else self.idle_due()
        if self.inner is not None:
            self.inner.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        """End what is under way: nobody is there to read it."""
        self.due = 0
        self.door.gauge.closed()
        self.release()
        if self.opening is not None:
            self.opening.cancel()
        if self.inner is not None:
            self.inner.abort()
        self.switchboard.disconnect(self)
        for stream in list(self.streams):
            stream.leave()
        self.door.timers.discard(self)
        self.door.connections.discard(self)
        if self.door.draining and not self.door.connections:
            self.door.drained()

    # --- requests on it

    def begin(self, stream: Leaver) -> None:
        """Count a request that has begun."""
        self.streams.add(stream)
        if not self.is_full:
            self.due = 0

    def end(self, stream: Leaver) -> None:
        """Count a request as ended; after the last one the time until the next begins."""
        self.streams.discard(stream)
        if self.is_idle():
            self.due = self.idle_due()

    def expire(self, now: int) -> None:
        """A time is up: end the connection."""
        self.abort()

    def abort(self) -> None:
        """End the connection at once, with everything on it."""
        self.transport.abort()

    def idle_due(self) -> int:
        """Return until when a connection without a request may stay."""
        return monotonic_ns() + (self.door.drain_time if self.door.draining else self.door.idle_time())

    def is_idle(self) -> bool:
        """Tell whether nothing is under way."""
        return not self.streams and not self.is_full

    def hurry(self, latest: int) -> None:
        """If nothing is under way, wait for the next request until `latest` at most."""
        if self.is_idle() and self.due > latest:
            self.due = latest

    def drain(self) -> None:
        """Do without a caller that does not go away: granian asks every one to, and waits for it without end."""
        if self.is_idle():
            self.due = min(self.due, self.idle_due())

    def cut(self, fault: Exception) -> int:
        """End every answer under way with `fault`; return how many that were."""
        streams = list(self.streams)
        for stream in streams:
            stream.cut(fault)
        if not streams:
            self.transport.close()
        return len(streams)


class Inner(asyncio.Protocol):
    """Granian's side."""

    def __init__(self, tunnel: Tunnel) -> None:
        self.tunnel = tunnel

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Bound what may wait for granian."""
        transport.set_write_buffer_limits(MAX_UNSENT)  # type: ignore[attr-defined]  # it is one that writes.

    def data_received(self, data: bytes) -> None:
        """Hand on what granian sent."""
        self.tunnel.transport.write(data)

    def pause_writing(self) -> None:
        """Granian takes no more: read no more from the caller."""
        self.tunnel.transport.pause_reading()

    def resume_writing(self) -> None:
        """Granian takes more."""
        self.tunnel.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        """Granian has ended the connection: what it sent still goes out."""
        self.tunnel.transport.close()
