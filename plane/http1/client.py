"""The client towards upstreams: HTTP/1.1 connections kept in one pool for each origin.

The framing and retry rules are those of RFC 9112 read strictly: one answer per request in flight, no pipelining,
anything ambiguous ends the connection. A connection goes back to its pool only if the answer ended exactly where its
framing says and the whole request was written.

Longer than 600 lines because a pool and its connections are two compiled classes that know each other's fields.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from time import monotonic_ns
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from core.errors import GatewayError
from core.metrics import slot
from plane.exchange import Exchange
from plane.http1.framing import (
    CONNECTION,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    HOP,
    MAX_ANSWER_FIELDS,
    MAX_ANSWER_HEAD,
    TRANSFER_ENCODING,
    kind_of,
)
from plane.http1.origin import Origin, TimeoutsNs, tls_context
from plane.metrics import Metrics
from plane.timers import Timed, Timers

__all__ = ["Pool", "UpstreamConnection"]

SECOND = 1_000_000_000
OPENED = slot("headgate_upstream_dials_total", "opened")
FAILED = slot("headgate_upstream_dials_total", "failed")
MAX_HELD = 1024 * 1024
"""Bytes of an answer held before it is relayed as a stream instead."""
SMALL = 64 * 1024
"""Bytes of an answer that is held whole on a route that otherwise relays at once."""
HIGH_WATER = 64 * 1024
"""Bytes of a stream held for a slow caller before the upstream is made to wait; it reads on when they are taken."""
MAX_INFORMATIONAL = 8
"""1xx answers before the final one."""
SLASH = ord("/")
STREAMS = (b"application/x-ndjson", b"application/vnd.amazon.eventstream")
"""What streams of models are, besides server-sent events."""
PERSISTENCE = frozenset([b"keep-alive", b"Keep-Alive", b"close"])
"""Connection fields that name no other field: nearly all of them."""
DRAIN_TIME = SECOND
"""How long an answer whose content has been relayed may take to end, so that its connection can be kept."""
MAX_DRAINED = 64 * 1024
"""Bytes that may come in that time."""


class Waiter:
    """An exchange's place in the queue for a connection."""

    __slots__ = ("connection", "error", "exchange")

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.connection: UpstreamConnection | None = None
        self.error: GatewayError | None = None


class Pool:
    """The connections to one origin: idle ones last-in first-out, waiting exchanges first-in first-out.

    idle, waiters, dials, dialling and size are the state that changes; `size` counts dialling, busy and idle
    connections.
    closed: nothing is kept any more; exchanges that still come here are served, each connection is closed behind them.
    dial: opens a connection within so many nanoseconds and gives it to `dialled`, or says `dial_failed`.
    max_idle_time: nanoseconds until an idle connection is closed; below what servers usually allow.
    max_age: nanoseconds until a connection is not used again, so that a changed DNS answer takes hold.
    """

    def __init__(
        self,
        origin: Origin,
        loop: asyncio.AbstractEventLoop,
        timers: Timers,
        metrics: Metrics,
        dial: Callable[[Pool, int], Coroutine[Any, Any, None]],
    ) -> None:
        self.origin = origin
        self.dial = dial
        self.loop = loop
        self.timers = timers
        self.metrics = metrics
        self.ssl_context = tls_context(origin) if origin.scheme == "https" else None
        self.idle: list[UpstreamConnection] = []
        self.waiters: deque[Waiter] = deque()
        self.limit = origin.limit
        self.size = 0
        self.dialling = 0
        self.closed = False
        self.max_idle_time = 30 * SECOND
        self.max_age = 600 * SECOND
        self.dials: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Pool {self.origin}: {self.size} open, {len(self.idle)} idle, {len(self.waiters)} waiting>"

    def take(self) -> UpstreamConnection | None:
        """Return the idle connection used last, or None."""
        while self.idle:
            connection = self.idle.pop()
            if connection.is_usable():
                connection.due = 0
                return connection
            connection.close()
        return None

    def wait(self, exchange: Exchange, deadline: int) -> Waiter:
        """Queue `exchange` for a connection until `deadline` (monotonic nanoseconds), dialling where that helps."""
        waiter = Waiter(exchange)
        self.waiters.append(waiter)
        exchange.due = deadline
        self.timers.add(exchange)
        self.dial_if_wanted()
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """End a wait, however it went."""
        self.timers.discard(waiter.exchange)
        waiter.exchange.due = 0
        if waiter.connection is None and waiter in self.waiters:
            self.waiters.remove(waiter)

    def dial_if_wanted(self) -> None:
        """Dial where more exchanges wait than dials are under way, within the limit."""
        if len(self.waiters) > self.dialling and self.size < self.limit:
            self.size += 1
            self.dialling += 1
            remaining = self.waiters[-1].exchange.due - monotonic_ns()
            dial = self.loop.create_task(self.dial(self, max(remaining, 1)))
            self.dials.add(dial)
            dial.add_done_callback(self.dials.discard)

    def dialled(self, connection: UpstreamConnection) -> None:
        """Take a new connection."""
        if connection.closing:
            self.dial_failed(
                GatewayError(
                    502, "upstream_unreachable", "upstream", "The upstream closed the connection at once.", retry=True
                )
            )
            return
        self.dialling -= 1
        self.metrics.add(OPENED, 1)
        connection.counted = True
        self.release(connection)

    def dial_failed(self, error: GatewayError) -> None:
        """Give up the place of a connection that could not be made; the longest wait ends with the reason."""
        self.dialling -= 1
        self.size -= 1
        self.metrics.add(FAILED, 1)
        if self.waiters:
            waiter = self.waiters.popleft()
            waiter.error = error
            waiter.exchange.resume()
        self.dial_if_wanted()

    def release(self, connection: UpstreamConnection) -> None:
        """Take a connection back: for the exchange that has waited longest, else to the idle ones."""
        now = monotonic_ns()
        if not connection.is_usable() or now - connection.born > self.max_age:
            connection.close()
        elif self.waiters:
            waiter = self.waiters.popleft()
            waiter.connection = connection
            self.loop.call_soon(waiter.exchange.resume)
        elif self.closed:
            connection.close()
        else:
            connection.due = now + (connection.keep_alive_time or self.max_idle_time)
            self.idle.append(connection)

    def discard(self, connection: UpstreamConnection) -> None:
        """Forget a connection that is closed; an exchange waiting for its place may dial."""
        if connection.counted:
            self.size -= 1
            if connection in self.idle:
                self.idle.remove(connection)
            self.dial_if_wanted()

    def close_idle(self) -> None:
        """Close the idle connections."""
        while self.idle:
            self.idle.pop().close()

    def close(self) -> None:
        """Keep no connection from now on; busy ones end with their exchange, and who waits for one still gets it."""
        self.closed = True
        self.close_idle()


class UpstreamConnection(Timed):
    """One connection to an upstream, and the call under way on it."""

    transport: asyncio.Transport
    exchange: Exchange | None
    reused: bool
    first_token: int
    idle_time: int
    total_due: int
    call_due: int
    first_due: int
    replayable: bool
    is_head: bool
    any_byte: bool
    says_11: bool
    until_close: bool
    informational: bool
    informationals: int
    fields: int
    head_bytes: int
    lengths: int
    connection_options: bytes
    paused: bool
    draining: bool
    reusable: bool
    full: bool
    unsent: bool
    lost: bool
    closing: bool
    counted: bool
    field_bytes: int
    drained: int
    keep_alive_time: int

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.parser: Any = HttpResponseParser(self)
        self.born = monotonic_ns()
        self.complete = True
        self.transfer_encoding = b""

    # --- the loop's callbacks

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Join the timers."""
        self.transport = transport
        self.pool.timers.add(self)

    def data_received(self, data: bytes) -> None:
        """Parse what came and wake the exchange when it has something to act on."""
        exchange = self.exchange
        if exchange is None:
            self.drained += len(data)
            if not self.draining or self.drained > MAX_DRAINED:
                self.close()  # Bytes nobody asked for: a bug of the peer's or an attempt to answer the next request.
                return
        if not self.any_byte:
            self.any_byte = True
            self.says_11 = data.startswith(b"HTTP/1.1 ")
        held = exchange.answer_held if exchange is not None else 0
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade:
            if not self.complete:
                self.fail(502, "upstream_bad_answer", "The upstream switched protocols unasked.", False)
        except HttpParserError:
            if not self.complete:
                self.fail(502, "upstream_bad_answer", "The upstream's answer is not valid HTTP/1.1.", False)
            self.reusable = False
        if self.complete:
            self.done()
            return
        if exchange is None or self.exchange is None:
            return
        if exchange.answer_held == held:
            # A head, chunk extensions or trailers: nothing of it reaches the caller, so nothing else would bound it.
            self.head_bytes += len(data)
            if self.head_bytes > MAX_ANSWER_HEAD:
                self.fail(502, "upstream_bad_answer", "The framing of the upstream's answer is too large.", False)
                return
        else:
            self.head_bytes = 0
        if not exchange.answer_head:
            return
        if exchange.answer_held != held and not exchange.is_held:
            self.due = self.until(monotonic_ns(), self.idle_time)
        if exchange.answer_streams:
            if exchange.answer_held > HIGH_WATER:
                self.pause()
            exchange.resume()
        elif exchange.answer_held > MAX_HELD or exchange.is_squeezed():
            exchange.answer_streams = True
            exchange.resume()

    def eof_received(self) -> bool:
        """Close: a peer that has sent FIN answers nothing more."""
        if self.exchange is None:
            self.close()  # `connection_lost` comes later; until then nobody may take this connection.
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """End the call under way: with its answer if that lasts until close, else as a failure."""
        self.lost = True
        self.closing = True
        self.due = 0
        self.pool.timers.discard(self)
        if self.exchange is not None:
            if error is None and self.until_close and self.exchange.answer_head:
                self.complete = True
                self.done()
            elif self.any_byte:
                self.fail(
                    502, "upstream_reset", "The upstream closed the connection in the middle of its answer.", False
                )
            else:
                if self.reused:
                    self.pool.close_idle()  # A peer that ends one idle connection has ended them all.
                self.fail(
                    502,
                    "upstream_reset",
                    "The upstream closed the connection without an answer.",
                    self.replayable and self.reused,
                )
        self.parser = None
        self.pool.discard(self)

    def pause_writing(self) -> None:
        """The upstream takes the request slowly; who has more of it to send looks at `full`."""
        self.full = True

    def resume_writing(self) -> None:
        """The upstream takes more of the request."""
        self.full = False
        if self.unsent and self.exchange is not None:
            self.exchange.resume()

    def expire(self, now: int) -> None:
        """A time is up: of the answer's first byte, of a silence, of the whole call, or of being idle."""
        exchange = self.exchange
        if exchange is None:
            self.close()
        elif now >= self.total_due:
            what = "call took longer than its total" if now >= self.call_due else "attempt took longer than its"
            self.fail(504, "upstream_timeout", f"The {what} timeout.", False)
        elif not exchange.answer_head or exchange.is_held:
            self.fail(504, "upstream_timeout", "The upstream did not begin its answer in time.", False)
        else:
            self.fail(504, "upstream_timeout", "The upstream fell silent in the middle of its answer.", False)

    # --- what the parser calls

    def on_message_begin(self) -> None:
        """Begin an answer; one more than was asked for means that the connection cannot be trusted."""
        if self.complete:
            self.reusable = False
            return
        self.fields = 0
        self.head_bytes = 0
        self.field_bytes = 0
        self.lengths = 0
        self.connection_options = b""
        self.transfer_encoding = b""
        self.informational = False
        exchange = self.exchange
        if exchange is not None:
            exchange.answer_headers = []
            exchange.answer_type = b""
            exchange.answer_length = -1

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field; trailers come here too, after the body, and are ignored."""
        exchange = self.exchange
        self.fields += 1
        if exchange is None or exchange.answer_head or self.fields > MAX_ANSWER_FIELDS:
            return
        self.field_bytes += len(name) + len(value)
        kind = kind_of(name)
        if kind == CONTENT_LENGTH:
            self.lengths += 1
            exchange.answer_length = int(value) if len(value) < 19 else 1 << 62
        elif kind == TRANSFER_ENCODING:
            value = value.rstrip(b" \t").lower()
            self.transfer_encoding = self.transfer_encoding + b"," + value if self.transfer_encoding else value
        elif kind == CONTENT_TYPE:
            exchange.answer_type = value
        elif kind == CONNECTION:
            self.connection_options = self.connection_options + b"," + value if self.connection_options else value
        elif kind == HOP:
            if name.lower() == b"keep-alive":
                self.keep_alive_time = keep_alive_time(value)
        else:
            exchange.answer_headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Check the head and decide whether the answer is held until it is whole or relayed as it comes."""
        exchange = self.exchange
        if exchange is None or self.complete:
            return
        status = self.parser.get_status_code()
        if 100 <= status < 200:
            self.informational = True
            self.says_11 = False  # Only the version of the interim answer was seen.
            self.informationals += 1
            if status == 101 or self.informationals > MAX_INFORMATIONAL:
                self.fail(502, "upstream_bad_answer", "The upstream sent an interim answer nobody asked for.", False)
            return
        self.reusable = self.parser.should_keep_alive()
        # PERF: the parser formats text for its answer, so it is asked only where the version was not seen.
        version = "1.1" if self.says_11 else self.parser.get_http_version()
        if not 200 <= status < 600:
            self.fail(502, "upstream_bad_answer", "The upstream's status is not one of HTTP's.", False)
            return
        if version != "1.1" and version != "1.0":
            self.fail(502, "upstream_bad_answer", "The upstream's answer is not HTTP/1.1 or HTTP/1.0.", False)
            return
        if self.fields > MAX_ANSWER_FIELDS or self.field_bytes > MAX_ANSWER_HEAD:
            self.fail(502, "upstream_bad_answer", "The head of the upstream's answer is too large.", False)
            return
        if self.transfer_encoding and (self.transfer_encoding != b"chunked" or version == "1.0" or self.lengths):
            self.fail(502, "upstream_bad_answer", "The upstream's transfer encoding is not plain chunked.", False)
            return
        if self.connection_options and self.connection_options not in PERSISTENCE:
            exchange.answer_headers = end_to_end(exchange.answer_headers, self.connection_options)
        exchange.answer_status = status
        exchange.answer_head = True
        self.until_close = not self.transfer_encoding and self.lengths == 0
        exchange.answer_streams = is_stream(exchange.answer_type) or (
            exchange.relay_at_once and not 0 <= exchange.answer_length <= SMALL
        )
        if self.is_head:
            self.reusable = False
            self.complete = True

    def on_body(self, body: bytes) -> None:
        """Take a part of the answer's body."""
        exchange = self.exchange
        if exchange is None or self.complete:
            return
        if exchange.first_byte == 0:
            exchange.first_byte = monotonic_ns()
        exchange.answer_parts.append(body)
        exchange.answer_held += len(body)
        exchange.hold(len(body))

    def on_message_complete(self) -> None:
        """The answer is whole, unless it was an interim one."""
        if self.informational:
            self.informational = False
        else:
            self.complete = True

    # --- the call

    def is_usable(self) -> bool:
        """Tell whether the next request may go out here."""
        return not self.closing and self.exchange is None and not self.draining

    def call(self, exchange: Exchange, head: bytes, body: bytes, timeouts: TimeoutsNs, replayable: bool) -> None:
        """Send a request for `exchange`; its answer fields are filled as the answer comes, failures interrupt it.

        replayable: a failure before the first byte of an answer on a reused connection may be tried again.
        """
        now = monotonic_ns()
        self.exchange = exchange
        self.first_token = timeouts.first_token
        self.idle_time = timeouts.idle
        self.call_due = exchange.deadline(timeouts.total)
        self.total_due = min(self.call_due, now + timeouts.attempt) if timeouts.attempt else self.call_due
        self.first_due = now + self.first_token
        self.replayable = replayable
        self.is_head = exchange.method == b"HEAD"
        self.any_byte = False
        self.complete = False
        self.unsent = False
        self.until_close = False
        self.informationals = 0
        self.head_bytes = 0
        if exchange.asked == 0:
            exchange.asked = now
        exchange.upstream = self
        exchange.answer_head = False
        exchange.answer_ended = False
        exchange.answer_parts = []
        exchange.hold(-exchange.answer_held)
        exchange.answer_held = 0
        self.due = min(self.first_due, self.total_due)
        if len(body) > 65536:
            self.transport.writelines([head, body])
        else:
            self.transport.write(head + body)

    def await_content(self) -> None:
        """Let the time until the first token run on: what has come of the answer says nothing yet."""
        self.due = min(self.first_due, self.total_due)

    def begun(self) -> None:
        """The answer has begun for good: from here on it may take as long as the call may, and fall silent for less."""
        self.total_due = self.call_due
        self.due = self.until(monotonic_ns(), self.idle_time)

    def send_more(self, data: bytes, last: bool) -> None:
        """Send a further part of a request whose `unsent` was set after `call`; the time to its answer counts anew."""
        self.unsent = not last
        if data and not self.closing:
            self.transport.write(data)
        if not self.complete:
            now = monotonic_ns()
            self.first_due = now + self.first_token
            self.due = self.until(now, self.first_token)

    def until(self, now: int, span: int) -> int:
        """Return the nearer of `span` from now and the end of the whole call."""
        return min(now + span, self.total_due)

    def pause(self) -> None:
        """Read no more until `unpause`: the caller has not taken what came before."""
        if not self.paused and not self.closing:
            self.paused = True
            if self.exchange is not None:
                self.exchange.answer_stopped = True
            self.due = self.total_due  # The upstream is not to blame for the silence.
            self.transport.pause_reading()

    def unpause(self) -> None:
        """Read on: what was held has been taken."""
        if self.paused:
            self.paused = False
            if self.exchange is not None:
                self.exchange.answer_stopped = False
            if not self.closing:
                self.due = self.until(monotonic_ns(), self.idle_time)
                self.transport.resume_reading()

    def detach(self, drain: bool) -> None:
        """Let go of the exchange before the answer has ended.

        drain: everything that matters has come; the connection is kept if the rest comes soon.
        """
        exchange = self.exchange
        if exchange is None:
            return
        self.exchange = None
        exchange.upstream = None
        if drain and not self.closing:
            self.draining = True
            self.drained = 0
            self.unpause()
            self.due = monotonic_ns() + DRAIN_TIME
        else:
            self.close()

    def done(self) -> None:
        """The answer is whole: free the connection, then run the exchange on."""
        exchange = self.exchange
        self.exchange = None
        self.draining = False
        self.due = 0
        if self.paused:
            self.paused = False
            if not self.closing:
                self.transport.resume_reading()
        if not self.lost:
            if self.reusable and not self.unsent and self.transport.get_write_buffer_size() == 0:
                self.reused = True
                self.pool.release(self)
            else:
                self.close()
        if exchange is not None:
            exchange.upstream = None
            exchange.answer_ended = True
            exchange.resume()

    def fail(self, status: int, code: str, message: str, retry: bool) -> None:
        """End the call with an error and the connection with it."""
        exchange = self.exchange
        self.exchange = None
        self.due = 0
        self.close()
        if exchange is not None:
            exchange.upstream = None
            exchange.interrupt(GatewayError(status, code, "upstream", message, retry=retry))

    def close(self) -> None:
        """Close at once."""
        if not self.closing:
            self.closing = True
            self.transport.abort()


def is_event_stream(content_type: bytes) -> bool:
    """Tell whether an answer is server-sent events, to be relayed as they come."""
    # PERF: most answers are JSON, whose fifth byte says that they are no text.
    if content_type.startswith(b"text/event-stream"):
        return True
    return len(content_type) > 4 and content_type[4] == SLASH and content_type[:17].lower() == b"text/event-stream"


def is_stream(content_type: bytes) -> bool:
    """Tell whether an answer comes as messages of any kind, which are not to be waited for."""
    return is_event_stream(content_type) or content_type.startswith(STREAMS)


def end_to_end(fields: list[tuple[bytes, bytes]], connection: bytes) -> list[tuple[bytes, bytes]]:
    """Return `fields` without those that a Connection field names as this connection's own."""
    named = [option.strip() for option in connection.lower().split(b",")]
    return [field for field in fields if field[0].lower() not in named]


def keep_alive_time(value: bytes) -> int:
    """Return how long to keep a connection idle by a peer's ``Keep-Alive: timeout=N``: a second less than it says.

    In nanoseconds; 0 where it does not say.
    """
    for part in value.split(b","):
        name, _, seconds = part.strip().partition(b"=")
        if name.lower() == b"timeout" and seconds.isdigit() and len(seconds) < 7:
            return max(int(seconds) * SECOND - SECOND, SECOND // 2)
    return 0
