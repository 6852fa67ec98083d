"""The compiled plane between scripted ends: transports and a loop that keep what they are told, and a clock by hand."""

import hashlib
import mmap
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic_ns
from typing import Any

import msgspec

from core.cells import Cells, size_for
from core.errors import GatewayError
from core.model import Config
from core.snapshot import build
from core.usage import UsageEvent
from plane.compile import compile_snapshot
from plane.exchange import Downstream, Exchange
from plane.http1.client import Pool, UpstreamConnection
from plane.http1.door import Door
from plane.http1.origin import Origin, TimeoutsNs
from plane.http1.server import Connection
from plane.metrics import Metrics
from plane.overload import Gauge
from plane.phases import serve
from plane.runtime import Runtime
from plane.shared import Shared
from plane.steps import at_once
from plane.timers import Timers
from tests.ledgers import make_ledger, take

SECOND = 1_000_000_000
KEY = "hg-key-of-a-test"
TIMEOUTS = TimeoutsNs(connect=1 * SECOND, first_token=10 * SECOND, idle=20 * SECOND, total=100 * SECOND)


class ScriptedLoop:
    """Keeps what is to be called soon and what is to be dialled, until the test lets it happen."""

    def __init__(self) -> None:
        self.soon: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()

    def call_soon(self, call: Callable[..., Any], *args: Any) -> None:
        self.soon.append((call, args))

    def create_task(self, dial: Any) -> Any:
        return dial

    def run(self) -> None:
        """Let happen all that is due soon."""
        while self.soon:
            call, args = self.soon.popleft()
            call(*args)


class ScriptedTransport:
    """One end of a connection.

    unsent: what a slow peer has left in the write buffer. noticed: called with each write before it is kept.
    """

    def __init__(self, loop: ScriptedLoop, protocol: Any) -> None:
        self.loop = loop
        self.protocol = protocol
        self.written = b""
        self.unsent = 0
        self.noticed: Callable[[bytes], object] = lambda _: None
        self.paused = False
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.noticed(data)
        self.written += data

    def writelines(self, parts: list[bytes]) -> None:
        self.write(b"".join(parts))

    def take(self) -> bytes:
        """Return what was written since the last call."""
        written, self.written = self.written, b""
        return written

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def get_extra_info(self, name: str) -> tuple[str, int] | None:
        return ("127.0.0.1", 1) if name == "peername" else None

    def pause_reading(self) -> None:
        assert not self.paused
        self.paused = True

    def resume_reading(self) -> None:
        assert self.paused
        self.paused = False

    def abort(self) -> None:
        """Close as the loop does: the protocol hears of it later."""
        if not self.closed:
            self.closed = True
            self.loop.call_soon(self.protocol.connection_lost, None)

    close = abort

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Half-close."""


class Peer:
    """The upstream's end of one connection."""

    def __init__(self, upstream: "Upstream") -> None:
        self.connection = UpstreamConnection(upstream.pool)
        self.transport = ScriptedTransport(upstream.loop, self.connection)
        self.connection.connection_made(self.transport)

    @property
    def is_open(self) -> bool:
        """Tell whether the gateway has not closed."""
        return not self.transport.closed

    def take(self) -> bytes:
        """Return what the gateway sent since the last call."""
        return self.transport.take()

    def say(self, data: bytes) -> None:
        """Send `data`, unless the gateway has closed."""
        if self.is_open:
            self.connection.data_received(data)

    def leave(self, error: Exception | None = None) -> None:
        """Close: with a FIN, or with `error` as the loop reports a reset."""
        if error is None and self.is_open:
            assert not self.connection.eof_received()
        if self.is_open:
            self.transport.closed = True
            self.connection.connection_lost(error)


class Dial:
    """A dial under way; the test decides how it ends.

    connect: the nanoseconds it was given.
    """

    def __init__(self, upstream: "Upstream", connect: int) -> None:
        self.upstream = upstream
        self.connect = connect
        self.ended: Callable[[Any], None] | None = None

    def add_done_callback(self, call: Callable[[Any], None]) -> None:
        self.ended = call

    def cancel(self) -> None:
        raise AssertionError("whoever waits for this dial would never hear of it")

    def succeed(self) -> Peer:
        """Connect."""
        peer = Peer(self.upstream)
        self.upstream.peers.append(peer)
        self.end(lambda: self.upstream.pool.dialled(peer.connection))
        return peer

    def fail(self, code: str = "upstream_unreachable") -> None:
        """End as a refused connection does."""
        error = GatewayError(502, code, "upstream", "No connection.", retry=True)
        self.end(lambda: self.upstream.pool.dial_failed(error))

    def end(self, step: Callable[[], None]) -> None:
        self.upstream.dials.remove(self)
        step()
        assert self.ended is not None
        self.ended(self)
        self.upstream.loop.run()


class Upstream:
    """A pool, with the peers and the dials it leads to."""

    def __init__(self, origin: Origin, timers: Timers, loop: ScriptedLoop, metrics: Metrics | None = None) -> None:
        self.loop = loop
        self.timers = timers
        self.dials: list[Dial] = []
        self.peers: list[Peer] = []
        self.pool = Pool(origin, loop, timers, metrics or Metrics(), self.dial)

    def dial(self, _: Pool, connect: int) -> Dial:
        self.dials.append(Dial(self, connect))
        return self.dials[-1]

    def connect(self) -> Peer:
        """Return an idle connection that has not been used."""
        self.pool.size += 1
        self.pool.dialling += 1
        self.dial(self.pool, SECOND).add_done_callback(lambda _: None)
        return self.dials[-1].succeed()

    def counts_are_true(self) -> bool:
        """Tell whether `size` and `dialling` are what is really open and under way."""
        self.loop.run()
        still = sum(peer.is_open for peer in self.peers)
        return self.pool.size == still + len(self.dials) and self.pool.dialling == len(self.dials)


class Caller(Downstream):
    """A caller that keeps what it gets; `full` is set by the test."""

    def __init__(self) -> None:
        self.full = False
        self.ends: list[Exchange] = []

    def ended(self, exchange: Exchange) -> None:
        self.ends.append(exchange)


def make_exchange(method: bytes = b"POST") -> Exchange:
    """Return an exchange as the door makes it."""
    exchange = Exchange(Caller())
    exchange.method = method
    exchange.started = monotonic_ns()
    return exchange


class Call:
    """One call over one connection, run as `plane.call` runs it.

    body: what has come so far. error: what interrupted it. ended: the answer was whole. takes: a stream is taken as it
    comes. then: called after a failure.
    """

    def __init__(
        self,
        peer: Peer,
        *,
        method: bytes = b"POST",
        body: bytes = b"",
        timeouts: TimeoutsNs = TIMEOUTS,
        replayable: bool = False,
        at_once: bool = False,
    ) -> None:
        self.exchange = make_exchange(method)
        self.exchange.relay_at_once = at_once
        self.parts: list[bytes] = []
        self.error: GatewayError | None = None
        self.ended = False
        self.takes = True
        self.then: Callable[[], object] = lambda: None
        self.peer = peer
        self.exchange.begin(self.run(body, timeouts, replayable))

    async def run(self, body: bytes, timeouts: TimeoutsNs, replayable: bool) -> None:
        exchange = self.exchange
        exchange.downstream.full = False
        taken = self.peer.connection.pool.take()
        assert taken is self.peer.connection
        try:
            taken.call(exchange, b"HEAD", body, timeouts, replayable)
            while not exchange.answer_ended:
                if exchange.answer_head and exchange.answer_streams and self.takes:
                    self.parts.append(exchange.take_answer())
                await exchange
            self.parts.append(exchange.take_answer())
            self.ended = True
        except GatewayError as error:
            self.error = error
            self.then()

    @property
    def body(self) -> bytes:
        """Return what has come of the answer's body."""
        return b"".join(self.parts)

    @property
    def outcome(self) -> tuple[Any, ...]:
        """Return everything that a caller could tell apart."""
        exchange = self.exchange
        if self.error is not None:
            return (self.error.status, self.error.code, self.error.message, self.error.retry)
        assert self.ended
        return (
            exchange.answer_status,
            exchange.answer_type,
            exchange.answer_headers,
            exchange.answer_length,
            self.body,
        )


class Gateway:
    """A worker with one caller and scripted upstreams, on a clock moved by hand."""

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        secrets: Mapping[str, str] | None = None,
        gauge: Gauge | None = None,
    ) -> None:
        self.loop = ScriptedLoop()
        self.timers = Timers()
        self.ledger = make_ledger()
        self.metrics = Metrics()
        self.gauge = gauge or Gauge(1000, 1000, 1 << 30)
        limits = folder / "limits"
        if not limits.exists():
            with limits.open("wb") as file:
                file.truncate(size_for(16))
            with limits.open("r+b") as file, mmap.mmap(file.fileno(), 0) as table:
                Cells(table).prepare(b"b" * 16)
        self.shared = Shared(0, limits, self.timers, self.ledger, self.metrics, self.gauge)
        self.upstreams: dict[int, Upstream] = {}
        self.version = 0
        self.runtime: Runtime
        self.apply(config, secrets)
        self.door = Door(self, serve, self.timers, self.metrics, self.gauge, lambda: None)

    def apply(self, config: Mapping[str, Any], secrets: Mapping[str, str] | None = None) -> None:
        """Swap to `config`, as the worker does."""
        self.version += 1
        runtime = compile_snapshot(
            build(msgspec.convert(config, Config), self.version), secrets or {"env:KEY": "sk-vendor"}
        )
        for candidate in runtime.candidates:
            origin = candidate.origin
            if origin not in self.shared.pools:
                self.upstreams[origin.port] = Upstream(origin, self.timers, self.loop, self.metrics)
                self.shared.pools[origin] = self.upstreams[origin.port].pool
        at_once(runtime.bind(self.shared))
        self.runtime = runtime
        at_once(self.shared.retire(runtime.site.origins))

    def rest(self) -> None:
        """Let the pause before an attempt pass."""
        self.timers.run(monotonic_ns() + 10 * SECOND)
        self.loop.run()

    def caller(self) -> "CallerEnd":
        """Return a caller's new connection."""
        return CallerEnd(self)

    def events(self) -> list[UsageEvent]:
        """Return the usage events since the last call."""
        return take(self.ledger)

    def concurrent(self) -> int:
        """Return how many requests hold the concurrency of the consumers that were seen."""
        seen = [consumer.concurrency for consumer in self.runtime.consumers.by_name.values()]
        return sum(limit.cells.load(limit.row) for limit in seen if limit is not None)

    def is_at_rest(self) -> bool:
        """Tell whether nothing is held any more: no call in flight, no place taken, true counts in every pool."""
        self.loop.run()
        return (
            (self.gauge.in_flight, self.gauge.held) == (0, 0)
            and all(candidate.in_flight == 0 for candidate in self.runtime.candidates)
            and self.concurrent() == 0
            and all(upstream.counts_are_true() for upstream in self.upstreams.values())
            and all(not upstream.pool.waiters for upstream in self.upstreams.values())
        )


class CallerEnd:
    """The caller's end of one connection."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.connection = Connection(gateway.door)
        self.transport = ScriptedTransport(gateway.loop, self.connection)
        self.connection.connection_made(self.transport)

    def say(self, data: bytes) -> None:
        """Send bytes."""
        self.connection.data_received(data)
        self.gateway.loop.run()

    def ask(self, path: str, body: bytes = b"", method: str = "POST", fields: bytes = b"") -> None:
        """Send one request."""
        self.say(
            b"%b %b HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer %b\r\n%bContent-Length: %d\r\n\r\n%b"
            % (method.encode(), path.encode(), KEY.encode(), fields, len(body), body)
        )

    def chat(self, body: bytes = b'{"model":"m","messages":[]}') -> None:
        """Ask for a chat completion."""
        self.ask("/v1/chat/completions", body)

    def leave(self) -> None:
        """Close the connection."""
        if not self.transport.closed:
            self.transport.closed = True
            self.connection.connection_lost(None)
        self.gateway.loop.run()

    def take(self) -> bytes:
        """Return what the gateway answered since the last call."""
        return self.transport.take()


def hashed(key: str = KEY) -> str:
    """Return what a config says of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def consumer(**more: Any) -> dict[str, Any]:
    """Return the consumer that `CallerEnd` calls as."""
    return {"keys": [{"sha256": hashed()}], "models": ["*"], "limits": {"requests": "1000/s", "concurrent": 8}, **more}


def one_model(**more: Any) -> dict[str, Any]:
    """Return a config with a model ``m`` at a provider on port 9001."""
    return {
        "providers": {"p": {"dialect": "openai", "base_url": "http://p.test:9001/v1", "credential": "env:KEY"}},
        "models": {"m": {"targets": [{"provider": "p", "model": "real"}], **more}},
        "consumers": {"c": consumer()},
    }


def answer(body: bytes, *, status: bytes = b"200 OK", kind: bytes = b"application/json", fields: bytes = b"") -> bytes:
    """Return a whole answer of an upstream."""
    return b"HTTP/1.1 %b\r\nContent-Type: %b\r\n%bContent-Length: %d\r\n\r\n%b" % (
        status,
        kind,
        fields,
        len(body),
        body,
    )


def body_of(raw: bytes) -> bytes:
    """Return the body of one answer that the door sent, its chunks joined; fails where it has no end."""
    head, _, rest = raw.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" not in head:
        return rest
    body = b""
    while True:
        line, _, rest = rest.partition(b"\r\n")
        size = int(line, 16)
        body += rest[:size]
        assert rest[size : size + 2] == b"\r\n"
        rest = rest[size + 2 :]
        if size == 0:
            return body
