"""Where callers speak TLS: HTTP/1.1 goes on as at the plain door, HTTP/2 through a tunnel to granian."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any

from core.errors import ConfigError
from plane.accept import Acceptor
from plane.certificate import CertificateFiles
from plane.granian_door import GranianDoor
from plane.http1.door import Door
from plane.http1.server import Connection
from plane.tunnel import Tunnel

__all__ = ["TlsDoor"]

MAX_UNSENT = 64 * 1024
"""Bytes that a caller has not read yet, beyond which its exchange waits; the loop's default is eight times that."""
SECOND = 1_000_000_000
LOOK_EVERY = 0.5
"""Seconds between two looks at the certificate's files."""

log = logging.getLogger("headgate.plane")


class TlsDoor:
    """One worker's TLS on the inherited socket; shares the connections, times and draining of `door`."""

    def __init__(self, door: Door, http2: GranianDoor, listener: socket.socket, files: CertificateFiles) -> None:
        """ConfigError if the files cannot be used."""
        self.door = door
        self.http2 = http2
        self.acceptor = Acceptor(listener, door.gauge, lambda: Greeting(self))
        self.files = files
        self.stamp = files.stamp()
        self.context = files.context()

    async def open(self) -> None:
        """Accept callers, with the context of now; those accepted before keep theirs."""
        self.offer()
        await self.acceptor.start()

    def offer(self) -> None:
        """Set what callers accepted from here on get: also the times for the handshake, and for its like at the end."""
        self.acceptor.options = {
            "ssl": self.context,
            "ssl_handshake_timeout": self.door.max_head_time / SECOND,
            "ssl_shutdown_timeout": self.door.max_stall_time / SECOND,
        }

    async def follow(self) -> None:
        """Take up files that have changed, once they have stopped changing; those that cannot be used are reported."""
        seen = self.stamp
        while True:
            await asyncio.sleep(LOOK_EVERY)
            now = self.files.stamp()
            if now != self.stamp and now == seen:
                self.stamp = now
                await self.reload()
            seen = now

    async def reload(self) -> None:
        """Read the files and serve new callers with what they hold."""
        try:
            self.context = self.files.context()
        except ConfigError as error:
            log.error("certificate-unusable", extra={"fields": {"reason": error, "effect": "the old one serves on"}})
            return
        self.offer()
        if self.acceptor.server is not None:  # Else it does not accept now, and will with these.
            await self.acceptor.start()
        log.info("certificate-renewed", extra={"fields": {"certificate": self.files.certificate}})

    def close(self) -> None:
        """Stop accepting, and ask callers of HTTP/2 to go away; the door's own draining does the rest."""
        self.acceptor.close()
        self.http2.drain()


class Greeting(asyncio.Protocol):
    """A connection whose handshake is not over yet."""

    def __init__(self, tls: TlsDoor) -> None:
        self.tls = tls

    def connection_made(self, transport: Any) -> None:
        """Hand the connection over to what speaks the protocol that was agreed upon."""
        transport.set_write_buffer_limits(MAX_UNSENT)
        tls = self.tls
        agreed = transport.get_extra_info("ssl_object").selected_alpn_protocol()
        if agreed == "h2" and tls.door.draining:
            transport.abort()
            return
        protocol = Tunnel(tls.door, tls.http2) if agreed == "h2" else Connection(tls.door)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
