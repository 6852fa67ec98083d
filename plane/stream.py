"""One HTTP/2 request at the granian door: what granian tells in ASGI's words, as the `Downstream` of an exchange."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from time import monotonic_ns
from typing import Any

from core.errors import GatewayError
from plane.exchange import Downstream, Exchange
from plane.head import bad_host, over_bounds, take_field, take_url, too_large, wrong_target
from plane.http1.door import Door
from plane.http1.framing import HOST
from plane.shed import check_growth
from plane.tunnel import Tunnel

__all__ = ["CutShortError", "Stream"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

SECOND = 1_000_000_000
MAX_HELD = 64 * 1024
"""Bytes of an answer that wait for granian to take them; more, and the upstream is not read."""
PIECE = 32 * 1024
"""Bytes handed to granian at once, which holds up to four such for a stream."""
MAX_PARTS = 64
"""Small parts of a body kept before they are joined."""
METHODS = frozenset([b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"HEAD", b"TRACE", b"CONNECT"])
SERVER = (b"server", b"headgate")
FIELDS = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t -~\x80-\xff]*\r\n)*")
FIELD = re.compile(rb"([^:\r\n]+): ([^\r\n]*)\r\n")


class CutShortError(Exception):
    """Raised towards granian, which then resets the stream: the caller sees that the answer is not whole."""


class Stream(Downstream):
    """One request and its answer.

    What phases send is kept in `outbox` until granian takes it; `full` while more than `MAX_HELD` bytes are in it.
    """

    def __init__(self, door: Door, tunnel: Tunnel, receive: Receive) -> None:
        self.door = door
        self.secure = True
        self.tunnel = tunnel
        self.receive = receive
        self.outbox: deque[Message] = deque()
        self.held = 0
        self.sending = False
        self.over = False
        self.is_cut = False
        self.is_head = False
        self.gone = False
        self.body_started = 0
        self.body_held: asyncio.Event | None = None
        self.joined = 0
        self.wake: asyncio.Future[None] | None = None
        self.reader: asyncio.Task[None] | None = None
        self.exchange: Exchange = Exchange(self)

    async def run(self, scope: MutableMapping[str, Any], send: Send) -> None:
        """Serve the request; CutShortError if its answer has to end before it is whole."""
        exchange = self.exchange
        self.read_head(scope)
        self.tunnel.begin(self)
        self.door.timers.add(self)
        try:
            exchange.runtime = self.door.live.runtime
            exchange.begin(self.door.serve(exchange))
            await self.deliver(send)
        finally:
            self.leave()
            if self.reader is not None:
                self.reader.cancel()
            self.door.timers.discard(self)
            self.tunnel.end(self)
        if self.is_cut:
            raise CutShortError

    # --- the head

    def read_head(self, scope: MutableMapping[str, Any]) -> None:
        """Fill in the exchange; what its head may not have becomes its first fault."""
        exchange = self.exchange
        exchange.started = monotonic_ns()
        exchange.peer = self.tunnel.peer
        exchange.method = scope["method"].encode()
        query = scope["query_string"]
        path = scope["raw_path"]
        take_url(exchange, path + b"?" + query if query else path)
        hosts = lengths = size = 0
        fault = None if exchange.method in METHODS else not_valid()
        for name, value in scope["headers"]:
            if name == b"content-length":
                lengths += 1
                if lengths > 1 or not value.isdigit():
                    fault = not_valid()
                    continue
            hosts += take_field(exchange, name, value) == HOST
            size += len(name) + len(value) + 4
        fault = fault or over_bounds(exchange, len(exchange.headers), size)
        # Where there is no authority granian writes an empty Host, and HTTP/2 has no use for one.
        if fault is None and (hosts != 1 or not exchange.host or not self.door.is_known_host(exchange.host)):
            fault = bad_host()
        exchange.fault = fault or wrong_target(exchange)
        exchange.body_complete = exchange.content_length == 0

    # --- the body

    def want_body(self, exchange: Exchange, limit: int) -> None:
        """Let the body in, up to `limit` bytes; from its end on, hear of the caller's leaving."""
        exchange.body_limit = limit
        if exchange.content_length > limit:
            raise too_large(limit)
        if not exchange.body_complete:
            self.body_started = monotonic_ns()
            self.due = self.body_due()
        self.reader = asyncio.get_running_loop().create_task(self.read())

    async def read(self) -> None:
        """Take in the body, then wait until the caller leaves or the answer is out."""
        exchange = self.exchange
        while True:
            if self.body_held is not None:
                await self.body_held.wait()
            message = await self.receive()
            if message["type"] != "http.request":
                self.leave()
                return
            if exchange.body_complete:
                continue
            if data := message["body"]:
                self.take_part(data)
            if exchange.body_size > exchange.body_limit:
                exchange.interrupt(too_large(exchange.body_limit))
                return
            if check_growth(exchange):
                return
            if not message["more_body"]:
                exchange.body_complete = True
                if not self.sending:
                    self.due = 0
                exchange.resume()
            else:
                if not self.sending:
                    self.due = self.body_due()
                if exchange.upload is not None:
                    exchange.resume()

    def take_part(self, data: bytes) -> None:
        """Keep a part of the body; many small ones are joined."""
        exchange = self.exchange
        exchange.body_size += len(data)
        parts = exchange.body_parts
        parts.append(data)
        exchange.hold(len(data))
        if len(parts) - self.joined > MAX_PARTS:
            parts[self.joined :] = [b"".join(parts[self.joined :])]
            self.joined += 1

    def body_due(self) -> int:
        """Return when the next part of the body has to be there."""
        return self.body_started + self.door.body_grace + self.exchange.body_size * SECOND // self.door.body_rate

    def expire(self, now: int) -> None:
        """A time is up: for the body, or for the caller to take the answer."""
        if self.sending:
            # Granian keeps what a stream does not take until the connection ends, so it is the connection that ends.
            self.tunnel.abort()
        elif not self.exchange.body_complete:
            self.exchange.interrupt(GatewayError(408, "body_timeout", "caller", "The request body came too slowly."))

    def hold_body(self) -> None:
        """Take in no more: the caller need not hurry meanwhile."""
        if self.body_held is None:
            self.body_held = asyncio.Event()
            self.due = 0

    def let_body(self) -> None:
        """Take in more; the caller's pace counts from now."""
        if self.body_held is not None:
            self.body_held.set()
            self.body_held = None
            self.body_started = monotonic_ns() - self.exchange.body_size * SECOND // self.door.body_rate
            self.due = self.body_due()

    def leave(self) -> None:
        """The caller has gone: end what is under way."""
        if not self.gone and not self.over:
            self.gone = True
            self.exchange.interrupt(GatewayError(499, "caller_gone", "caller", "The caller closed the connection."))

    def cut(self, fault: Exception) -> None:
        """End what is under way with `fault`."""
        self.exchange.interrupt(fault)

    # --- the answer

    async def deliver(self, send: Send) -> None:
        """Hand what is in the outbox to granian, for as long as the exchange runs."""
        loop = asyncio.get_running_loop()
        while True:
            while self.outbox:
                message = self.outbox.popleft()
                self.sending = True
                self.due = monotonic_ns() + self.door.max_stall_time
                await send(message)
                self.sending = False
                self.hold(-len(message.get("body", b"")))
            self.due = 0 if self.exchange.body_complete or self.exchange.body_limit < 0 else self.body_due()
            if self.full:
                self.full = False
                self.exchange.resume()
            elif self.over:
                return
            else:
                self.wake = loop.create_future()
                await self.wake

    def put(self, message: Message) -> None:
        """Put a message into the outbox."""
        self.outbox.append(message)
        self.rouse()

    def rouse(self) -> None:
        """Let `deliver` look again."""
        if self.wake is not None and not self.wake.done():
            self.wake.set_result(None)

    def put_body(self, data: bytes, more: bool) -> None:
        """Put a part of the body into the outbox."""
        self.hold(len(data))
        self.full = more and self.held > MAX_HELD
        for start in range(0, len(data) - PIECE, PIECE):
            self.outbox.append({"type": "http.response.body", "body": data[start : start + PIECE], "more_body": True})
        if len(data) > PIECE:
            data = data[(len(data) - 1) // PIECE * PIECE :]
        self.put({"type": "http.response.body", "body": data, "more_body": more})

    def hold(self, size: int) -> None:
        """Count bytes of the answer that wait for granian."""
        self.held += size
        self.exchange.hold(size)

    def put_head(self, status: int, fields: bytes, length: int) -> None:
        """Put the head of an answer into the outbox, with its length where that is known.

        ValueError for what granian could not send: it drops such a field in silence, or ends the process.
        """
        if not 200 <= status <= 599:
            raise ValueError(f"{status} is no status of an answer")
        headers = headers_of(fields)
        if not any(name == b"server" for name, _ in headers):
            headers.append(SERVER)  # Else granian adds one that names itself.
        if length >= 0 and status != 204:
            headers.append((b"content-length", b"%d" % length))
        self.put({"type": "http.response.start", "status": status, "headers": headers})

    def has_no_body(self, status: int) -> bool:
        """Tell whether the answer is a head alone."""
        return self.exchange.method == b"HEAD" or status == 204 or status == 304

    def answer(self, status: int, fields: bytes, body: bytes) -> None:
        """Send head and body."""
        if self.has_no_body(status):
            self.put_head(status, fields, len(body) if body else self.exchange.answer_length)
            self.put_body(b"", more=False)
        else:
            self.put_head(status, fields, len(body))
            self.put_body(body, more=False)

    def start(self, status: int, fields: bytes, length: int) -> None:
        """Send the head."""
        self.is_head = self.has_no_body(status)
        self.put_head(status, fields, length)

    def write(self, data: bytes) -> None:
        """Send a part of the body."""
        if data and not self.is_head:
            self.put_body(data, more=True)

    def finish(self, data: bytes) -> None:
        """Send the last part of the body and its end."""
        self.put_body(b"" if self.is_head else data, more=False)

    def abort(self) -> None:
        """Reset the stream once what was sent is with granian."""
        self.is_cut = True

    def ended(self, exchange: Exchange) -> None:
        """Let `deliver` end."""
        self.over = True
        self.rouse()


def not_valid() -> GatewayError:
    """Return the error of a head that granian lets through and nobody should send."""
    return GatewayError(400, "bad_request", "caller", "The request is not valid HTTP/2.")


def headers_of(fields: bytes) -> list[tuple[bytes, bytes]]:
    """Return header lines as ASGI wants them; ValueError if one is not valid."""
    if FIELDS.fullmatch(fields) is None:
        raise ValueError("a header field of an answer is not valid")
    return [(name.lower(), value) for name, value in FIELD.findall(fields)]
