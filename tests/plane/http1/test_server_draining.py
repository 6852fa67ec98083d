"""A door that drains: what still comes is served, what is idle goes, what takes too long is cut."""

from time import monotonic_ns

import pytest

from core.errors import GatewayError
from plane.exchange import Exchange
from tests.plane.scripted import Caller, Gate, answer, refusal, request

SECOND = 1_000_000_000


def test_a_drain_closes_idle_connections_soon_and_tells_when_the_last_has_gone() -> None:
    caller = Caller()
    caller.send(request("/a"))
    before = monotonic_ns()
    caller.door.drain()
    assert before + 5 * SECOND <= caller.connection.due <= monotonic_ns() + 5 * SECOND
    assert caller.wire.events == []
    caller.expire()
    assert caller.wire.events == ["close"]
    assert caller.drained == []
    caller.lose()
    assert caller.drained == [True]


@pytest.mark.parametrize("before", [b"", request("/before")], ids=["new", "idle"])
def test_a_request_that_comes_to_an_idle_connection_of_a_draining_door_is_served_with_a_close(before: bytes) -> None:
    caller = Caller()
    if before:
        caller.send(before)
        caller.take()
    caller.door.drain()
    caller.send(request("/a"))
    assert caller.take() == answer(b"GET /a ", close=True)
    assert caller.wire.events == ["close"]


def test_a_drain_does_not_shorten_what_a_slow_reader_has_for_the_last_answer() -> None:
    caller = Caller()
    caller.send(request("/a"))
    caller.connection.pause_writing()
    due = caller.connection.due
    caller.door.drain()
    assert caller.connection.due == due
    caller.connection.resume_writing()
    caller.expire()
    assert caller.wire.events == ["close"]


def test_what_is_under_way_is_cut_with_an_error_and_a_close_and_the_idle_is_closed() -> None:
    gate = Gate()
    caller = Caller(gate)
    fault = GatewayError(503, "draining", "gateway", "The end.")
    assert caller.door.cut(fault) == 0
    assert caller.wire.events == ["close"]
    caller.open()
    caller.send(request("/a"))
    assert caller.door.cut(fault) == 1
    assert caller.faults == ["draining"]
    assert caller.take() == refusal("503 Service Unavailable", "draining")
    assert caller.wire.events == ["close"]


def test_a_drain_without_connections_is_over_at_once() -> None:
    caller = Caller()
    caller.lose()
    caller.door.drain()
    assert caller.drained == [True]


def test_a_drain_lets_the_request_under_way_end_with_a_close() -> None:
    gate = Gate()
    caller = Caller(gate)
    caller.send(request("/a") + request("/never"))
    caller.door.drain()
    assert caller.wire.events == []
    gate.let_on()
    assert caller.take() == answer(b"GET /a ", close=True)
    assert caller.wire.events == ["close"]
    assert caller.paths == [b"/a"]


def test_a_drain_lets_a_head_under_way_become_a_request() -> None:
    caller = Caller()
    caller.send(b"GET /a HTTP/1.1\r\n")
    caller.door.drain()
    assert caller.wire.events == []
    caller.send(b"host: a\r\n\r\n")
    assert caller.take() == answer(b"GET /a ", close=True)
    assert caller.wire.events == ["close"]


def test_a_drain_in_the_middle_of_a_stream_that_promised_more_closes_soon_after_it() -> None:
    async def stream(exchange: Exchange) -> None:
        exchange.downstream.start(200, b"", -1)
        await gate(exchange)

    async def end(exchange: Exchange) -> None:
        exchange.downstream.finish(b"end")

    gate = Gate(end)
    caller = Caller(stream)
    caller.send(request("/"))
    caller.door.drain()
    before = monotonic_ns()
    gate.let_on()
    assert caller.take().endswith(b"\r\n3\r\nend\r\n0\r\n\r\n")
    assert caller.wire.events == []
    assert before + 5 * SECOND <= caller.connection.due <= monotonic_ns() + 5 * SECOND
