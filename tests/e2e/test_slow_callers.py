"""Callers that hold connections and give nothing for them: each is ended at its time, and nobody else notices.

The times are those of `listen.timeouts`, short ones here. That each is kept to the tick is tested with chosen times in
`tests/plane/http1/test_server_turns.py`.
"""

import contextlib
import http.client
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from tests.conformance.callers import CHUNKED, call
from tests.e2e.harness import KEYS, Gateway, chat_request, digest, gateway, get
from tests.providers.scripted import Connection, Upstream, echo_kept, until_closed_unread
from tests.soak.counts import count

ATTACKERS = count(2000, 50)
RATE = 100  # legitimate calls per second
DEADLINE = 40.0  # seconds for all attackers to be ended, each of whom has a second or two
CONFIG = """
providers: {{p: {{dialect: openai, base_url: "http://127.0.0.1:{port}/v1", credential: env:PROVIDER_KEY}}}}
models: {{good: {{targets: [{{provider: p, model: real}}]}}}}
consumers: {{alice: {{keys: [{{sha256: {alice}}}], models: ["*"]}}}}
upstreams: {{api: {{endpoints: ["http://127.0.0.1:{port}"], max_connections: 4096}}}}
routes: {{api: {{match: {{path: "/api/*"}}, upstream: api}}}}
"""
LISTEN = ", timeouts: {head: 1s, body: 1s, idle: 1s, stall: 1s}, limits: {connections: 4000}"
LARGE = 16 * 1024 * 1024
"""Bytes of an answer that no socket's buffers can take."""


@dataclass(frozen=True)
class Stage:
    """A gateway that waits a second for anything, and the upstream behind it."""

    gateway: Gateway
    upstream: Upstream


def large(connection: Connection) -> None:
    """Answer with more than a caller that does not read can be sent."""
    connection.socket.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % LARGE)
    with contextlib.suppress(OSError):
        for _ in range(LARGE // 65536):
            connection.socket.sendall(bytes(65536))
    until_closed_unread(connection)


def by_path(connection: Connection) -> None:
    """Answer a chat call as a provider does, and everything else at length."""
    step = echo_kept if connection.upstream.requests[-1].path.startswith("/v1/") else large
    step(connection)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Upstream(default=(by_path,)) as upstream:
        config = CONFIG.format(port=upstream.port, alice=digest(KEYS["alice"]))
        with gateway(config, listen=LISTEN) as running:
            yield Stage(running, upstream)


@dataclass
class Legitimate:
    """A caller that asks at a steady pace, once at least, whatever else goes on; a context manager."""

    port: int
    answered: int = 0
    failures: list[str] = field(default_factory=list)

    def __enter__(self) -> "Legitimate":
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def run(self) -> None:
        is_over = False
        while not is_over:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
            try:
                connection.request("GET", "/v1/models", headers={"authorization": f"Bearer {KEYS['alice']}"})
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    raise OSError(f"status {answer.status}")
                self.answered += 1
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
            finally:
                connection.close()
            is_over = self.over.wait(1 / RATE)


@dataclass
class Attack:
    """Many connections of one kind.

    said: what each gets before it is ended.
    """

    port: int
    sockets: dict[int, socket.socket] = field(default_factory=dict)
    said: dict[int, bytes] = field(default_factory=dict)

    def open(self, attackers: int, first: bytes) -> None:
        """Connect all of them, and send the same bytes on each."""
        for _ in range(attackers):
            one = socket.create_connection(("127.0.0.1", self.port), timeout=20)
            if first:
                one.sendall(first)
            one.setblocking(False)
            self.sockets[one.fileno()] = one
            self.said[one.fileno()] = b""

    def drip(self, data: bytes) -> None:
        """Send a little on each that is still open."""
        for one in self.sockets.values():
            with contextlib.suppress(OSError):
                one.send(data)

    def until_ended(self, drip: bytes, reads: bool) -> None:
        """Go on until the gateway has ended every connection."""
        deadline = time.monotonic() + DEADLINE
        poll = select.poll()
        for handle in self.sockets:
            poll.register(handle, select.POLLIN if reads else select.POLLRDHUP)
        while self.sockets:
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(self.sockets)} of {len(self.said)} were not ended")
            for handle, _ in poll.poll(100):
                self.look(handle, poll, reads)
            if drip:
                self.drip(drip)

    def look(self, handle: int, poll: select.poll, reads: bool) -> None:
        """Take what came on one connection, or its end."""
        try:
            data = self.sockets[handle].recv(65536) if reads else b""
        except ConnectionResetError:
            data = b""
        if data:
            self.said[handle] += data
            return
        poll.unregister(handle)
        self.sockets.pop(handle).close()

    def close(self) -> None:
        for one in self.sockets.values():
            one.close()


@dataclass(frozen=True)
class Kind:
    """A way to hold a connection: what is sent first, what again and again, and what the gateway says at the end."""

    first: Callable[[], bytes]
    drip: bytes = b""
    reads: bool = True
    ends_with: bytes = b""
    attackers: int = ATTACKERS


KINDS = {
    "nothing sent": Kind(lambda: b""),
    "slow heads": Kind(lambda: b"GET /v1/models HTTP/1.1\r\n", b"x: y\r\n", ends_with=b"HTTP/1.1 408 "),
    "slow bodies": Kind(lambda: call("content-length: 1000000", body=b"{"), b" ", ends_with=b"HTTP/1.1 408 "),
    "slow chunks": Kind(lambda: call(CHUNKED, body=b""), b"1\r\n \r\n", ends_with=b"HTTP/1.1 408 "),
    "bodies never begun": Kind(lambda: call("content-length: 1000000", body=b""), ends_with=b"HTTP/1.1 408 "),
    "idle after a request": Kind(lambda: get("/v1/models"), ends_with=b"HTTP/1.1 200 "),
    # Fewer: each fills the kernel's buffers, and the scripted upstream has to do that.
    "stalled readers": Kind(lambda: get("/api/large"), reads=False, attackers=count(500, 50)),
    "floods of requests": Kind(lambda: get("/v1/models") * 200),
    "half a head behind a request": Kind(lambda: get("/v1/models") + b"GET /", ends_with=b"HTTP/1.1 200 "),
}


@pytest.mark.parametrize("name", KINDS)
def test_attackers_of_each_kind_are_ended_while_others_are_served(name: str, stage: Stage) -> None:
    kind = KINDS[name]
    attack = Attack(stage.gateway.port)
    with Legitimate(stage.gateway.port) as legitimate:
        try:
            attack.open(kind.attackers, kind.first())
            attack.until_ended(kind.drip, kind.reads)
        finally:
            attack.close()
    assert legitimate.answered > 0
    assert len(legitimate.failures) <= legitimate.answered // 1000, legitimate.failures[:5]
    assert [said[:80] for said in attack.said.values() if not said.startswith(kind.ends_with)] == []


def test_a_head_that_came_too_slowly_is_refused_with_the_reason(stage: Stage) -> None:
    with stage.gateway.connect() as nothing, stage.gateway.connect() as half:
        half.send(chat_request("slow")[:50])
        answer = half.receive()
        assert (answer.status, answer.error["code"], answer.get("x-should-retry")) == (408, "head_timeout", "true")
        assert half.is_closed()
        assert nothing.is_closed()


@pytest.mark.parametrize("body", [call("content-length: 1000000", body=b"{"), call(CHUNKED, body=b"ff\r\nabc")])
def test_a_body_that_came_too_slowly_is_refused_with_the_reason(body: bytes, stage: Stage) -> None:
    stage.upstream.forget()
    with stage.gateway.connect() as caller:
        caller.send(body)
        answer = caller.receive()
        assert (answer.status, answer.error["code"]) == (408, "body_timeout")
        assert caller.is_closed()
    assert stage.upstream.requests == []
