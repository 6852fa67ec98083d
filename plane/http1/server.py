"""One caller's connection at the HTTP/1.1 door: one `Connection` for each socket.

httptools (llhttp, strict) parses; here is what it leaves open: versions, Host, Transfer-Encoding, bounds, times,
pipelining, Upgrade, and when a connection may live on. Longer than 600 lines because all of it is one state machine.
"""

from asyncio import Transport
from collections.abc import Callable
from socket import SO_LINGER, SOL_SOCKET
from struct import pack
from time import monotonic_ns
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from core.errors import GatewayError
from plane.exchange import Downstream, Exchange
from plane.head import bad_host, over_bounds, take_absolute, take_field, take_url, too_large, wrong_target
from plane.http1.door import Door
from plane.http1.framing import (
    CONNECTION,
    HOST,
    MAX_FIELDS,
    MAX_HEAD,
    MAX_URL,
    TRANSFER_ENCODING,
    chunk,
    status_line,
)
from plane.shed import check_growth

__all__ = ["Connection"]

SECOND = 1_000_000_000
SPACE = 0x20
MAX_AHEAD = 64 * 1024
"""Bytes read beyond the exchange being served: enough to see a caller's FIN behind a pipelined request."""
MAX_PARTS = 64
"""Small parts of a body kept before they are joined: an object for every two bytes would take eight times the body."""
REST_TIME = SECOND
"""Nanoseconds after which an idle connection gives back what it can."""
NO_LINGER = pack("ii", 1, 0)
MAX_WAITING = 16
"""Pipelined request heads; a caller that sends more is disconnected."""


class Connection(Downstream):
    """One caller's connection: parses requests, serves them in order, writes the answers."""

    transport: Transport
    send: Callable[[bytes], None]
    incoming: Any  # Exchange being read; None between requests.
    head_bytes: int
    head_fed: int
    fields: int
    hosts: int
    begun: int
    in_head: bool
    says_connection: bool
    broken: bool
    paused: bool
    ahead: int
    body_started: int
    body_seen: int
    framing_fed: int
    joined: int
    unread: int
    active: Any  # Exchange being served; None while there is none.
    serving: bool
    chunked: bool
    is_head: bool
    closing: bool
    lingering: bool
    gone: bool

    def __init__(self, door: Door) -> None:
        self.door = door
        self.secure = door.name == "https"
        self.waiting: list[Exchange] = []  # At most `MAX_WAITING`; a deque would take ten times the memory, empty.
        self.parser: Any = None
        self.transfer_encoding = b""
        self.peer = b""

    # --- the loop's callbacks

    def connection_made(self, transport: Transport) -> None:
        """Start the clock for the first head."""
        self.transport = transport
        self.send = transport.write
        address = transport.get_extra_info("peername")
        if address:
            self.peer = str(address[0]).encode()
        self.due = monotonic_ns() + self.door.max_head_time
        self.door.connections.add(self)
        self.door.metrics.add(self.door.accepted, 1)
        self.door.timers.add(self)
        self.door.gauge.opened()

    def data_received(self, data: bytes) -> None:
        """Parse what came and serve the requests that are complete as far as their heads."""
        if self.closing or self.broken:
            return  # What follows a fault is not looked at; the connection closes behind the answer.
        active = self.active
        is_behind = active is not self.incoming and (active is not None or self.full)
        self.feed(data)
        if is_behind:
            self.ahead += len(data)
            if self.ahead > MAX_AHEAD and not self.paused:
                self.paused = True
                self.transport.pause_reading()
        elif active is not None:
            active.resume()
        elif self.waiting:
            self.serve_next()

    def eof_received(self) -> bool:
        """Take a FIN for the caller having left, as nginx does: nobody is there to read an answer."""
        self.due = monotonic_ns() + self.door.max_stall_time
        self.leave()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Let go of everything; what is under way may still write, to nobody."""
        self.send = nowhere
        self.due = 0
        self.door.gauge.closed()
        self.release()
        self.door.connections.discard(self)
        if self.door.draining and not self.door.connections:
            self.door.drained()
        self.door.timers.discard(self)
        self.parser = None
        self.leave()

    def leave(self) -> None:
        """The caller has gone: end what is under way and forget what waits."""
        self.closing = True
        self.waiting.clear()
        self.incoming = None
        if self.active is not None and not self.gone:
            self.gone = True
            self.active.interrupt(GatewayError(499, "caller_gone", "caller", "The caller closed the connection."))

    def pause_writing(self) -> None:
        """The caller reads slowly: it has `max_stall_time` to read on."""
        self.full = True
        self.due = monotonic_ns() + self.door.max_stall_time
        self.unread = self.transport.get_write_buffer_size()
        self.door.gauge.held += self.unread

    def release(self) -> None:
        """What the caller had left unread takes no memory any more."""
        self.door.gauge.held -= self.unread
        self.unread = 0

    def resume_writing(self) -> None:
        """The caller reads again."""
        self.full = False
        self.release()
        active = self.active
        if self.closing:
            self.due = self.last_due()
        elif active is None:
            self.serve_next()
        else:
            self.due = 0 if active.body_complete or active.body_limit < 0 else self.body_due()
            active.resume()

    def expire(self, now: int) -> None:
        """A time is up; which one follows from what the connection is doing."""
        if self.full or self.closing:
            self.drop()
        elif self.active is not None:
            if not self.active.body_complete:
                self.active.interrupt(GatewayError(408, "body_timeout", "caller", "The request body came too slowly."))
        elif self.in_head:
            self.refuse(408, "head_timeout", "The request head came too slowly.")
            self.serve_next()
        elif self.parser is None or self.door.draining or self.door.idle_time() <= REST_TIME:
            self.close()
        else:
            self.rest(now)

    def rest(self, now: int) -> None:
        """Give back what an idle connection can do without: a parser is most of its memory, and soon made again."""
        self.parser = None
        self.due = now + self.door.idle_time() - REST_TIME

    # --- what the parser calls

    def on_message_begin(self) -> None:
        """Begin a request; while one is being read, this is only `read_on` making the parser go on with it."""
        if self.incoming is not None:
            return
        if len(self.waiting) >= MAX_WAITING:
            self.drop()
            raise HttpParserError("too many requests wait")
        self.incoming = Exchange(self)
        self.begun += 1
        self.in_head = True
        self.head_bytes = 0
        self.head_fed = 0
        self.fields = 0
        self.hosts = 0
        self.says_connection = False
        self.transfer_encoding = b""

    def on_url(self, url: bytes) -> None:
        """Take a part of the request target."""
        if not self.in_head:
            return
        self.incoming.url = self.incoming.url + url if self.incoming.url else url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field; trailers come here too, after the body, and are ignored."""
        size = len(value)
        self.fields += 1
        self.head_bytes += len(name) + size + 4
        if not self.in_head or self.fields > MAX_FIELDS:
            return
        if size > 0 and value[size - 1] <= SPACE:
            value = value.rstrip(b" \t")  # The parser leaves it, RFC 9110 5.5 does not count it.
        kind = take_field(self.incoming, name, value)
        if kind == HOST:
            self.hosts += 1
        elif kind == TRANSFER_ENCODING:
            self.transfer_encoding = self.transfer_encoding + b"," + value if self.transfer_encoding else value.lower()
        elif kind == CONNECTION:
            self.says_connection = True

    def on_headers_complete(self) -> None:
        """Check the head and queue the request for serving."""
        if not self.in_head:
            return
        exchange = self.incoming
        self.in_head = False
        exchange.started = monotonic_ns()
        exchange.peer = self.peer
        exchange.method = self.parser.get_method()
        exchange.keep_alive = self.parser.should_keep_alive()
        take_url(exchange, exchange.url)
        self.waiting.append(exchange)
        self.check_head(exchange)

    def on_body(self, body: bytes) -> None:
        """Take a part of the body; beyond its bound, the exchange ends with 413."""
        exchange = self.incoming
        exchange.body_size += len(body)
        if 0 <= exchange.body_limit < exchange.body_size:
            if not self.broken:
                self.broken = True
                exchange.body_parts = []
                exchange.keep_alive = False
                exchange.interrupt(too_large(exchange.body_limit))
        elif not self.broken:
            exchange.body_parts.append(body)
        exchange.hold(len(body))

    def on_message_complete(self) -> None:
        """The request is whole, unless the parser thinks so because it asked for an upgrade."""
        exchange = self.incoming
        has_body = exchange.content_length > 0 or self.transfer_encoding != b""
        if has_body and self.says_connection and self.parser.should_upgrade():
            return
        exchange.body_complete = True
        self.incoming = None

    # --- reading

    def feed(self, data: bytes) -> None:
        """Run the parser over `data`; what it refuses becomes a refused exchange, in its place in the order."""
        fed = len(data)
        was_reading = self.incoming is not None
        self.begun = 0
        if self.parser is None:
            self.parser = HttpRequestParser(self)
        try:
            while True:
                try:
                    self.parser.feed_data(data)
                    break
                except HttpParserUpgrade as upgrade:
                    data = data[upgrade.args[0] :]
                    if self.incoming is not None:
                        self.read_on(self.incoming)
                    if not data:
                        break
        except HttpParserError:
            if not self.broken:
                self.refuse(400, "bad_request", "The request is not valid HTTP/1.1.")
        else:
            if self.in_head:
                if self.begun > 0 and self.active is None and not self.full:
                    self.due = monotonic_ns() + self.door.max_head_time
                # What was read together with the end of another request is counted only once the head is whole.
                is_alone = self.begun == (0 if was_reading else 1)
                self.check_bounds(fed if is_alone else 0)
            elif self.incoming is not None and self.incoming is self.active:
                self.check_body(fed, self.incoming)

    def read_on(self, exchange: Exchange) -> None:
        """Read the body of a request that asked for an upgrade.

        The parser takes what follows the head for another protocol; read as a request, it would be a smuggled one. So a
        new parser is brought to where the body begins.
        """
        framing = b"content-length: %d" % exchange.content_length
        if self.transfer_encoding:
            framing = b"transfer-encoding: chunked"
        self.parser = HttpRequestParser(self)
        self.parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n\r\n" % framing)

    def check_bounds(self, fed: int) -> None:
        """Refuse a head that outgrows its bounds before it is complete."""
        self.head_fed += fed
        if len(self.incoming.url) > MAX_URL:
            self.refuse(414, "uri_too_long", f"The request target is longer than {MAX_URL} bytes.")
        elif self.head_fed > MAX_HEAD or self.fields > MAX_FIELDS:
            self.refuse(
                431, "head_too_large", f"The request head is larger than {MAX_HEAD} bytes or {MAX_FIELDS} fields."
            )

    def check_body(self, fed: int, exchange: Exchange) -> None:
        """Move the deadline on by what came, and join it; refuse what is only framing: extensions, trailers."""
        if exchange.body_size > self.body_seen:
            self.body_seen = exchange.body_size
            self.framing_fed = 0
        else:
            self.framing_fed += fed
            if self.framing_fed > MAX_HEAD:
                self.refuse(400, "bad_request", f"More than {MAX_HEAD} bytes of the body's framing came at a stretch.")
                return
        parts = exchange.body_parts
        if len(parts) - self.joined > MAX_PARTS:
            parts[self.joined :] = [b"".join(parts[self.joined :])]
            self.joined += 1
        if check_growth(exchange):
            self.broken = True
            return
        if not self.full:
            self.due = self.body_due()

    def body_due(self) -> int:
        """Return when the next part of the body has to be there."""
        grace: int = self.door.body_grace + self.active.body_size * SECOND // self.door.body_rate
        return self.body_started + grace

    def refuse(self, status: int, code: str, message: str) -> None:
        """Answer the request being read with an error, after those before it, and read no more."""
        self.broken = True
        fault = GatewayError(status, code, "caller", message)
        exchange = self.incoming
        if exchange is not None and exchange is self.active:
            exchange.interrupt(fault)
            return
        if exchange is None:
            exchange = Exchange(self)
        exchange.fault = fault
        exchange.keep_alive = False
        if not exchange.started:
            exchange.started = monotonic_ns()
            exchange.method = b""
            exchange.path = b""
            exchange.query = b""
            exchange.peer = self.peer
            self.waiting.append(exchange)
        self.incoming = None
        self.in_head = False

    def check_head(self, exchange: Exchange) -> None:
        """Apply the rules that the parser leaves to the door; a broken one is the exchange's first fault."""
        # Without a Connection field only HTTP/1.1 is kept alive, so the parser is not asked (PERF: it formats text).
        version = "1.1"
        if self.says_connection or not exchange.keep_alive:
            version = self.parser.get_http_version()
        exchange.is_http10 = version == "1.0"
        fault = over_bounds(exchange, self.fields, self.head_bytes)
        if fault is None:
            fault = self.wrong_head(exchange, version)
        if fault is None:
            fault = wrong_target(exchange)
            if fault is not None and take_absolute(exchange):
                known = exchange.host and self.door.is_known_host(exchange.host)
                fault = wrong_target(exchange) if known else bad_host()
        if fault is not None:
            exchange.fault = fault
            exchange.keep_alive = False

    def wrong_head(self, exchange: Exchange, version: str) -> GatewayError | None:
        """Return the error of what only HTTP/1 has in its heads: a version, Host fields, a transfer encoding."""
        if version != "1.1" and version != "1.0":
            return GatewayError(400, "bad_version", "caller", "Only HTTP/1.1 and HTTP/1.0 are served here.")
        if self.hosts > 1 or (self.hosts == 0 and version == "1.1") or not self.door.is_known_host(exchange.host):
            return bad_host()
        if self.transfer_encoding and (self.transfer_encoding != b"chunked" or version == "1.0"):
            return GatewayError(
                501,
                "bad_transfer_encoding",
                "caller",
                "The only transfer encoding served here is chunked, on HTTP/1.1.",
            )
        return None

    # --- Downstream

    def want_body(self, exchange: Exchange, limit: int) -> None:
        """Let the body in: ask for it where the caller waits to be asked."""
        exchange.body_limit = limit
        if exchange.content_length > limit or exchange.body_size > limit:
            self.broken = True
            exchange.keep_alive = False
            raise too_large(limit)
        if exchange.body_complete:
            return
        self.body_started = monotonic_ns()
        self.due = self.body_started + self.door.body_grace
        self.body_seen = exchange.body_size
        self.framing_fed = 0
        self.joined = 0
        self.read_again()
        if exchange.expects_continue and exchange.body_size == 0 and not exchange.is_http10:
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def hold_body(self) -> None:
        """Read no more: the caller need not hurry meanwhile."""
        if not self.paused and not self.closing:
            self.paused = True
            self.due = 0
            self.transport.pause_reading()

    def let_body(self) -> None:
        """Read on; the caller's pace counts from now."""
        if self.paused and not self.closing:
            self.paused = False
            self.body_started = monotonic_ns() - self.active.body_size * SECOND // self.door.body_rate
            self.due = self.body_due()
            self.transport.resume_reading()

    def answer(self, status: int, fields: bytes, body: bytes) -> None:
        """Send head and body in one write."""
        exchange = self.active
        if exchange.method == b"HEAD" or status == 304 or status == 204:
            self.is_head = True
            self.send(self.head(status, fields, len(body) if body else exchange.answer_length))
        else:
            self.send(self.head(status, fields, len(body)) + body)
        self.finished()

    def start(self, status: int, fields: bytes, length: int) -> None:
        """Send the head; a body of unknown length goes out chunked, to HTTP/1.0 until close."""
        self.is_head = self.active.method == b"HEAD" or status == 304 or status == 204
        self.send(self.head(status, fields, length))

    def write(self, data: bytes) -> None:
        """Send a part of the body, as one chunk if the length was not given."""
        if self.is_head or not data:
            return
        if self.chunked:
            self.send(chunk(data))
        else:
            self.send(data)

    def finish(self, data: bytes) -> None:
        """Send the last part of the body and its end."""
        if not self.is_head:
            if self.chunked:
                if data:
                    self.send(chunk(data) + b"0\r\n\r\n")
                else:
                    self.send(b"0\r\n\r\n")
            elif data:
                self.send(data)
        self.finished()

    def abort(self) -> None:
        """Close without the end of the body: what was sent is flushed, the framing stays incomplete."""
        self.active.keep_alive = False
        self.finished()

    def ended(self, exchange: Exchange) -> None:
        """Go on with the next request, or close."""
        if self.active is exchange:
            self.active = None
            if not self.serving:
                self.serve_next()

    # --- serving

    def serve_next(self) -> None:
        """Start the waiting requests in order, each when the answer before it has gone out."""
        if self.serving:
            return
        self.serving = True
        try:
            while self.active is None and self.waiting and not self.closing and not self.full:
                exchange = self.waiting.pop(0)
                self.active = exchange
                self.due = 0
                self.chunked = False
                exchange.runtime = self.door.live.runtime
                exchange.begin(self.door.serve(exchange))
        finally:
            self.serving = False
        if self.active is None and not self.closing and not self.full:
            self.settle_reading()

    def settle_reading(self) -> None:
        """Everything is answered: read on, with the time that the next bytes have."""
        self.read_again()
        if self.in_head:
            self.due = monotonic_ns() + self.door.max_head_time
        elif self.door.draining:
            self.due = monotonic_ns() + self.door.drain_time
        else:
            self.due = monotonic_ns() + min(self.door.idle_time(), REST_TIME)

    def read_again(self) -> None:
        """Nothing that was read ahead waits any longer but for more: read on."""
        self.ahead = 0
        if self.paused:
            self.paused = False
            self.transport.resume_reading()

    def head(self, status: int, fields: bytes, length: int) -> bytes:
        """Return the head of an answer with our framing: the last thing that may still decide to close."""
        exchange = self.active
        if self.door.draining or not exchange.body_complete or self.door.gauge.crowding() > 0:
            exchange.keep_alive = False
        elif exchange.is_http10 and length < 0 and not self.is_head:
            exchange.keep_alive = False  # Only its end can say where the answer ends.
        end = b"connection: close\r\n\r\n"
        if exchange.keep_alive:
            end = b"connection: keep-alive\r\n\r\n" if exchange.is_http10 else b"\r\n"
        if length >= 0 and status != 204:
            return b"".join((status_line(status), fields, self.door.date, b"content-length: %d\r\n" % length, end))
        if self.is_head or exchange.is_http10:
            return b"".join((status_line(status), fields, self.door.date, end))
        self.chunked = True
        return b"".join((status_line(status), fields, self.door.date, b"transfer-encoding: chunked\r\n", end))

    def finished(self) -> None:
        """The answer is out. Close where the connection cannot be used again."""
        if not self.active.keep_alive:
            self.close()

    def close(self) -> None:
        """Close after what is written has gone out; unread input is given time, else a reset would eat the answer."""
        if self.closing:
            return
        self.closing = True
        self.waiting.clear()
        self.lingering = self.active is not None and not self.active.body_complete
        self.due = self.last_due()
        if self.lingering and self.transport.can_write_eof():
            if self.paused:
                self.transport.resume_reading()
            self.transport.write_eof()
        else:
            self.transport.close()  # TLS says its own goodbye, and reads until the caller has.

    def last_due(self) -> int:
        """Return until when a closing connection may take to get rid of what is written, or to be closed from there."""
        span = self.door.linger_time if self.lingering and not self.full else self.door.max_stall_time
        return monotonic_ns() + span

    def drop(self) -> None:
        """End the connection at once; what is under way hears of it when the loop reports the loss.

        It ends with a reset: else the kernel would keep what a caller does not read, for minutes.
        """
        self.closing = True
        self.waiting.clear()
        handle = self.transport.get_extra_info("socket")
        if handle is not None:
            handle.setsockopt(SOL_SOCKET, SO_LINGER, NO_LINGER)
        self.transport.abort()

    def hurry(self, latest: int) -> None:
        """If nothing is under way, wait for the next request until `latest` at most."""
        if self.active is None and not self.in_head and not self.closing and not self.full and self.due > latest:
            self.due = latest

    def drain(self) -> None:
        """Close soon if idle, not at once: a request may be on its way. Otherwise the next answer says we close."""
        if self.active is None and not self.in_head and not self.closing and not self.full:
            soon = monotonic_ns() + self.door.drain_time
            self.due = soon if self.parser is not None else min(self.due, soon)  # Of the first, `due` is when it rests.

    def cut(self, fault: Exception) -> bool:
        """End what is under way with `fault`, and close; tell whether there was anything under way."""
        exchange = self.active
        if exchange is None or self.gone:
            self.close()
            return False
        exchange.keep_alive = False
        exchange.interrupt(fault)
        return True


def nowhere(_: bytes) -> None:
    """Write to a caller that has gone."""
