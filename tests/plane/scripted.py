"""A caller's connection without a socket: the transport records, the test plays the loop and the pipeline."""

from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from core.errors import GatewayError
from plane.exchange import Exchange
from plane.http1.door import Door
from plane.http1.server import Connection
from plane.metrics import Metrics
from plane.overload import Gauge
from plane.timers import Timers

LIMIT = 1000
KIB = 1024


class Wire:
    """A transport as uvloop's behaves: it refuses what that refuses, and does nothing by itself.

    events: the calls other than writes, in order.
    sent: what has been written. unsent: what of it a slow caller has not taken. options: set on the socket.
    """

    def __init__(self) -> None:
        self.sent = b""
        self.events: list[str] = []
        self.is_closed = False
        self.is_reading = True
        self.unsent = 0
        self.options: list[Any] = []

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def get_extra_info(self, name: str) -> Any:
        return {"peername": ("192.0.2.7", 4711), "socket": self}.get(name)

    def setsockopt(self, *option: Any) -> None:
        self.options.append(option)

    def write(self, data: bytes) -> None:
        if self.is_closed:
            raise RuntimeError("the handle is closed")
        if "write_eof" in self.events:
            raise RuntimeError("Cannot call write() after write_eof()")
        self.sent += data

    def pause_reading(self) -> None:
        self.is_reading = False
        self.events.append("pause_reading")

    def resume_reading(self) -> None:
        self.is_reading = True
        self.events.append("resume_reading")

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if self.is_closed:
            raise RuntimeError("the handle is closed")
        self.events.append("write_eof")

    def close(self) -> None:
        self.events.append("close")

    def abort(self) -> None:
        self.events.append("abort")

    @property
    def ending(self) -> str:
        """What ends the connection: "close", "abort", "write_eof" or "" while nothing does."""
        return next((event for event in self.events if event in ("close", "abort", "write_eof")), "")


class Live:
    """What a door takes the runtime from."""

    runtime: Any = None


Script = Callable[[Exchange], Coroutine[Any, Any, None]]


class Caller:
    """One connection with a scripted pipeline behind it.

    served: the exchanges that were begun. paths: those of the requests that the door did not refuse. faults: the codes
    that were raised in them.
    script: runs once the body of a request is complete; by default it answers with method, path and body.
    """

    def __init__(self, script: Script | None = None, timers: Timers | None = None, gauge: Gauge | None = None) -> None:
        self.script = script or echo
        self.served: list[Exchange] = []
        self.paths: list[bytes] = []
        self.faults: list[str] = []
        self.drained: list[bool] = []
        self.timers = timers or Timers()
        self.gauge = gauge or Gauge(1000, 1000, 1 << 30)
        self.door = Door(Live(), self.serve, self.timers, Metrics(), self.gauge, lambda: self.drained.append(True))
        self.open()

    def open(self) -> None:
        """Connect."""
        self.wire = Wire()
        self.connection = Connection(self.door)
        self.connection.connection_made(self.wire)  # type: ignore[arg-type]  # it has what is used of a transport.

    async def serve(self, exchange: Exchange) -> None:
        """Serve as `plane.phases.serve` does, as far as the door can tell."""
        self.served.append(exchange)
        try:
            if exchange.fault is not None:
                await exchange
            self.paths.append(exchange.path)
            exchange.downstream.want_body(exchange, LIMIT)
            while not exchange.body_complete:
                await exchange
            await self.script(exchange)
        except GatewayError as error:
            self.faults.append(error.code)
            if error.status != 499:
                exchange.downstream.answer(error.status, b"", error.code.encode())

    def send(self, data: bytes) -> None:
        """Let `data` arrive, if the gateway still reads."""
        self.connection.data_received(data)

    def trickle(self, data: bytes) -> None:
        """Let `data` arrive byte by byte."""
        for byte in data:
            self.connection.data_received(bytes([byte]))

    def take(self) -> bytes:
        """Return what was written since the last call."""
        sent, self.wire.sent = self.wire.sent, b""
        return sent

    def lose(self, error: Exception | None = None) -> None:
        """End the connection, as the loop reports it: after a close of ours, a FIN or a reset."""
        self.wire.is_closed = True
        self.connection.connection_lost(error)

    def fin(self) -> None:
        """The caller's FIN, as the loop reports it; what is buffered for the caller still goes out."""
        assert not self.connection.eof_received()
        self.wire.close()

    def expire(self) -> None:
        """Let the connection's deadline pass."""
        assert self.connection.due > 0
        self.timers.run(self.connection.due)


async def echo(exchange: Exchange) -> None:
    """Answer with what was asked."""
    body = b"".join(exchange.body_parts)
    exchange.downstream.answer(200, b"", b"%b %b %b" % (exchange.method, exchange.path, body))


class Gate:
    """A script that waits until it is let on, one request at a time."""

    def __init__(self, then: Script = echo) -> None:
        self.then = then
        self.waiting: deque[Exchange] = deque()
        self.open: set[int] = set()

    async def __call__(self, exchange: Exchange) -> None:
        self.waiting.append(exchange)
        while id(exchange) not in self.open:
            await exchange
        await self.then(exchange)

    def let_on(self) -> None:
        """Let the request on that has waited longest."""
        exchange = self.waiting.popleft()
        self.open.add(id(exchange))
        exchange.resume()


def request(path: str = "/", *fields: str, method: str = "GET", body: bytes = b"", version: str = "1.1") -> bytes:
    """Return a request with a Host field and, where it has a body, its length."""
    lines = [f"{method} {path} HTTP/{version}", "host: gateway", *fields]
    if body:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunked(*chunks: bytes, trailers: bytes = b"") -> bytes:
    """Return a chunked body."""
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n" + trailers + b"\r\n"


def answer(body: bytes, status: str = "200 OK", close: bool = False) -> bytes:
    """Return a whole answer as the door writes it."""
    end = b"connection: close\r\n" if close else b""
    return b"HTTP/1.1 %b\r\ncontent-length: %d\r\n%b\r\n%b" % (status.encode(), len(body), end, body)


def refusal(status: str, code: str) -> bytes:
    """Return an error answer after which the connection ends."""
    return answer(code.encode(), status, close=True)
