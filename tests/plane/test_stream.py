"""A request of HTTP/2 between a scripted granian and the real pipeline."""

import asyncio
import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import pytest

from core.errors import GatewayError
from plane.exchange import Exchange
from plane.stream import CutShortError, Stream, headers_of
from plane.tunnel import Tunnel
from tests.plane.conftest import Starter
from tests.plane.rig import KEY, SECOND, Gateway

HEADERS = [(b"host", b"gateway"), (b"authorization", b"Bearer " + KEY.encode())]
CONFIG: Mapping[str, Any] = {
    "providers": {"p": {"dialect": "openai", "base_url": "http://127.0.0.1:1001/v1", "credential": "env:KEY"}},
    "models": {"m": {"targets": [{"provider": "p", "model": "real"}], "max_body": "1KiB"}},
    "consumers": {
        "alice": {
            "keys": [{"sha256": sha256(KEY.encode()).hexdigest()}],
            "models": ["*"],
        }
    },
}


class Granian:
    """What granian gives an application: messages in, messages out, each when the test lets it."""

    def __init__(self) -> None:
        self.coming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        self.takes = asyncio.Event()
        self.takes.set()

    async def receive(self) -> dict[str, Any]:
        return await self.coming.get()

    async def send(self, message: Any) -> None:
        await self.takes.wait()
        self.sent.append(message)

    def body(self, data: bytes, *, more: bool = False) -> None:
        """Let a part of the body come."""
        self.coming.put_nowait({"type": "http.request", "body": data, "more_body": more})

    def leave(self) -> None:
        """Let the caller leave."""
        self.coming.put_nowait({"type": "http.disconnect"})

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def answer(self) -> Any:
        return json.loads(b"".join(message.get("body", b"") for message in self.sent))


class Transport:
    """The caller's side of a tunnel."""

    aborted = False

    def abort(self) -> None:
        self.aborted = True


class Call:
    """One request under way."""

    def __init__(self, gateway: Gateway, serve: Any = None) -> None:
        self.gateway = gateway
        if serve is not None:
            gateway.door.serve = serve
        self.granian = Granian()
        self.tunnel = Tunnel(gateway.door, None)  # type: ignore[arg-type]  # nothing is dialled here.
        self.tunnel.transport = Transport()
        self.stream = Stream(gateway.door, self.tunnel, self.granian.receive)

    def begin(self, *headers: tuple[bytes, bytes], path: bytes = b"/v1/chat/completions", method: str = "POST") -> None:
        """Let the request come."""
        scope = {"method": method, "raw_path": path, "query_string": b"", "headers": [*HEADERS, *headers]}
        self.task = asyncio.get_running_loop().create_task(self.stream.run(scope, self.granian.send))

    async def turns(self) -> None:
        """Let everything happen that can."""
        for _ in range(10):
            await asyncio.sleep(0)


@pytest.fixture
def gateway(start: Starter) -> Gateway:
    return start(CONFIG)


async def test_a_head_beyond_its_bounds_is_refused_as_at_the_other_door(gateway: Gateway) -> None:
    for headers, path, status in (
        ([(b"x", b"v" * 20_000)], b"/v1/models", 431),
        ([(b"x", b"v")] * 65, b"/v1/models", 431),
        ([], b"/" + b"x" * 5000, 414),
        ([(b"host", b"other")], b"/v1/models", 400),
        ([], b"v1/models", 400),
        ([(b"content-length", b"1_0")], b"/v1/models", 400),
    ):
        call = Call(gateway)
        call.begin(*headers, path=path, method="GET")
        await call.task
        assert call.granian.status == status
    assert gateway.is_at_rest()


@pytest.mark.parametrize("known", [True, False])
async def test_a_body_beyond_its_bound_is_refused(known: bool, gateway: Gateway) -> None:
    call = Call(gateway)
    call.begin(*[(b"content-length", b"2000")] * known)
    if not known:
        call.granian.body(b"x" * 1000, more=True)
        call.granian.body(b"x" * 1000, more=True)
    await call.task
    assert (call.granian.status, call.granian.answer["error"]["code"]) == (413, "body_too_large")
    assert gateway.is_at_rest()


async def test_small_parts_of_a_body_are_joined(gateway: Gateway) -> None:
    call = Call(gateway)
    call.begin()
    for _ in range(200):
        call.granian.body(b"x", more=True)
    await call.turns()
    while not call.granian.coming.empty():
        await call.turns()
    assert call.stream.exchange.body_size == 200
    assert len(call.stream.exchange.body_parts) < 80
    call.granian.body(b"")
    await call.task
    assert (call.granian.status, call.granian.answer["error"]["code"]) == (400, "invalid_json")


async def test_a_body_that_comes_too_slowly_is_refused(gateway: Gateway) -> None:
    call = Call(gateway)
    call.begin()
    await call.turns()
    gateway.timers.run(call.stream.due - 1)
    assert not call.granian.sent
    gateway.timers.run(call.stream.due)
    await call.task
    assert (call.granian.status, call.granian.answer["error"]["code"]) == (408, "body_timeout")


async def test_a_caller_that_leaves_gets_nothing_and_holds_nothing(gateway: Gateway) -> None:
    call = Call(gateway)
    call.begin()
    call.granian.body(b"{", more=True)
    await call.turns()
    assert gateway.gauge.in_flight == 1
    call.granian.leave()
    await call.task
    assert call.granian.sent == []
    assert gateway.is_at_rest()
    assert call.tunnel.streams == set()


async def test_what_granian_cannot_send_is_an_error_of_ours(gateway: Gateway) -> None:
    for status, fields in ((200, b"x-nul: a\0b\r\n"), (200, b"x y: 1\r\n"), (200, b"x: 1"), (99, b""), (1000, b"")):

        async def serve(exchange: Exchange, status: int = status, fields: bytes = fields) -> None:
            exchange.downstream.answer(status, fields, b"never")

        call = Call(gateway, serve)
        call.begin()
        with pytest.raises(CutShortError):
            await call.task
        assert call.granian.sent == []


async def test_an_answer_waits_while_granian_takes_no_more(gateway: Gateway) -> None:
    async def serve(exchange: Exchange) -> None:
        downstream = exchange.downstream
        downstream.start(200, b"content-type: text/plain\r\n", -1)
        for _ in range(10):
            while downstream.full:
                await exchange
            downstream.write(b"x" * 50_000)
        downstream.finish(b"end")

    call = Call(gateway, serve)
    call.granian.takes.clear()
    call.begin()
    await call.turns()
    assert call.stream.full
    assert 64 * 1024 < call.stream.held <= 100_000
    call.granian.takes.set()
    await call.task
    assert b"".join(message.get("body", b"") for message in call.granian.sent) == b"x" * 500_000 + b"end"
    assert max(len(message.get("body", b"")) for message in call.granian.sent) <= 32 * 1024
    assert [message.get("more_body") for message in call.granian.sent[1:]][-2:] == [True, False]
    assert call.stream.held == 0


async def test_a_stalled_caller_loses_the_connection(gateway: Gateway) -> None:
    async def serve(exchange: Exchange) -> None:
        exchange.downstream.answer(200, b"", b"x")

    call = Call(gateway, serve)
    call.granian.takes.clear()
    call.begin()
    await call.turns()
    gateway.timers.run(call.stream.due + 100 * SECOND)
    assert call.tunnel.transport.aborted
    call.granian.takes.set()
    await call.task


@pytest.mark.parametrize(("status", "method"), [(204, "GET"), (304, "GET"), (200, "HEAD")])
async def test_an_answer_without_body_is_a_head_alone(status: int, method: str, gateway: Gateway) -> None:
    async def serve(exchange: Exchange) -> None:
        exchange.answer_length = 7
        exchange.downstream.start(status, b"", 7)
        exchange.downstream.write(b"never")
        exchange.downstream.finish(b"never")

    call = Call(gateway, serve)
    call.begin(method=method)
    await call.task
    head, body = call.granian.sent
    assert dict(head["headers"]).get(b"content-length") == (None if status == 204 else b"7")
    assert (body["body"], body["more_body"]) == (b"", False)


async def test_a_drain_ends_what_is_under_way_with_its_error(gateway: Gateway) -> None:
    call = Call(gateway)
    call.begin()
    await call.turns()
    assert call.tunnel.cut(GatewayError(503, "draining", "gateway", "Going.", retry_after=1.0)) == 1
    await call.task
    assert (call.granian.status, call.granian.answer["error"]["code"]) == (503, "draining")


def test_header_lines_become_pairs_with_names_in_small_letters() -> None:
    assert headers_of(b"Content-Type: a: b\r\nx-empty: \r\nx-high: \xff\r\n") == [
        (b"content-type", b"a: b"),
        (b"x-empty", b""),
        (b"x-high", b"\xff"),
    ]
    assert headers_of(b"") == []
