"""The granian door: HTTP/2, spoken by granian on the worker's own loop, into the same pipeline as the HTTP/1.1 door.

Granian listens on a Unix socket of this worker's own; what reaches it there is what `plane.tls_door` has taken out of a
caller's TLS. docs/adr/0014 tells why.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP2Settings
from granian.log import LogLevels
from granian.net import SocketHolder  # type: ignore[attr-defined]
from granian.server.embed import Server

from plane.http1.door import Door
from plane.stream import Receive, Send, Stream
from plane.tunnel import Inner, Tunnel

__all__ = ["GranianDoor"]

BACKLOG = 4096
CONNECTIONS = 1 << 20
"""Granian's own bound, out of the way: connections are bounded where they are accepted."""
SETTINGS = HTTP2Settings(
    initial_connection_window_size=1024 * 1024,
    initial_stream_window_size=256 * 1024,
    keep_alive_interval=20_000,
    keep_alive_timeout=20,
    max_concurrent_streams=100,
    max_headers_size=32 * 1024,
    max_send_buffer_size=64 * 1024,
)
"""Sizes in bytes; the interval of pings in milliseconds, the time for their answer in seconds."""


class GranianDoor:
    """One worker's HTTP/2 server and the connections that lead to it."""

    def __init__(self, door: Door, folder: Path) -> None:
        """Listen in `folder`, which nobody else may enter; sockets of workers that were killed are removed."""
        self.door = door
        self.tunnels: dict[str, Tunnel] = {}
        self.dialled = 0
        remove_stale(folder)
        # Through the descriptor, a socket's path is short whatever the folder's is.
        self.folder = os.open(folder, os.O_DIRECTORY | os.O_CLOEXEC)
        self.name = f"http2.{os.getpid()}"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path(self.name))
        self.listener.listen(BACKLOG)
        self.server = Embedded(self.serve, self.listener)

    async def run(self) -> None:
        """Serve until `drain`, and until the connections of that moment have ended."""
        try:
            await self.server.serve()
        finally:
            self.listener.close()
            os.unlink(self.name, dir_fd=self.folder)
            os.close(self.folder)

    def drain(self) -> None:
        """Tell every caller to go away once what is under way has ended."""
        self.server.stop()  # type: ignore[no-untyped-call]

    def path(self, name: str) -> str:
        """Return the path of a socket in the folder."""
        return f"/proc/self/fd/{self.folder}/{name}"

    async def connect(self, tunnel: Tunnel, inner: Inner) -> asyncio.Transport:
        """Open granian's side of `tunnel`, under a name by which granian tells whose requests it hands over."""
        self.dialled += 1
        name = f"{self.name}.{self.dialled}"
        path = self.path(name)
        end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            end.bind(path)
            os.unlink(name, dir_fd=self.folder)
            end.connect(self.path(self.name))
            tunnel.name = path
            self.tunnels[path] = tunnel
            transport, _ = await asyncio.get_running_loop().create_unix_connection(lambda: inner, sock=end)
        except BaseException:
            end.close()
            raise
        return transport

    def disconnect(self, tunnel: Tunnel) -> None:
        """Forget `tunnel`."""
        self.tunnels.pop(tunnel.name, None)

    async def serve(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request; granian calls this."""
        tunnel = self.tunnels.get(scope["client"][0])
        if tunnel is not None:  # Else the caller has gone before its request was looked at.
            await Stream(self.door, tunnel, receive).run(scope, send)


class Embedded(Server):
    """granian's server, on a socket that exists already; see docs/adr/0007."""

    def __init__(self, target: Any, listener: socket.socket) -> None:
        super().__init__(
            target,
            interface=Interfaces.ASGINL,
            http=HTTPModes.http2,
            http2_settings=SETTINGS,
            websockets=False,
            backlog=BACKLOG,
            backpressure=CONNECTIONS,
            # Its lines tell of streams that we reset, as errors; what it cannot do it raises.
            log_level=LogLevels.critical,
            log_enabled=False,
        )
        self._inherited = listener.fileno()

    def _init_shared_socket(self) -> None:
        # What granian's own method sets after it has bound; its stubs know neither the arguments nor the attributes.
        self._shd: Any = SocketHolder(self._inherited, True, BACKLOG)  # type: ignore[call-arg]
        self._sfd: Any = self._inherited
        self._ssp = None


def remove_stale(folder: Path) -> None:
    """Remove the sockets of processes that are no more."""
    for path in folder.glob("http2.*"):
        pid = path.name.split(".")[1]
        if pid == str(os.getpid()) or not os.path.exists(f"/proc/{pid}"):
            path.unlink(missing_ok=True)
