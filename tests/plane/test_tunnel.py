"""A caller's HTTP/2 connection between scripted ends: what is passed on, counted, and ended."""

import asyncio
from typing import Any

import pytest

from core.errors import GatewayError
from plane.tunnel import Inner, Tunnel
from tests.plane.conftest import Starter
from tests.plane.rig import Gateway


class Side:
    """One side's transport."""

    def __init__(self) -> None:
        self.written = b""
        self.reading = True
        self.end = ""

    def get_extra_info(self, _: str) -> tuple[str, int]:
        return ("127.0.0.1", 1)

    def get_write_buffer_size(self) -> int:
        return 1000

    def write(self, data: bytes) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def close(self) -> None:
        self.end = "closed"

    def abort(self) -> None:
        self.end = "aborted"


class Switchboard:
    """Opens granian's side, or fails to."""

    def __init__(self, side: Side | None) -> None:
        self.side = side
        self.forgotten = 0
        self.inner: Inner

    async def connect(self, tunnel: Tunnel, inner: Inner) -> Any:
        if self.side is None:
            raise BlockingIOError
        self.inner = inner
        return self.side

    def disconnect(self, tunnel: Tunnel) -> None:
        self.forgotten += 1


class Request:
    """A request on the connection."""

    def __init__(self) -> None:
        self.left = False
        self.faults: list[Exception] = []

    def leave(self) -> None:
        self.left = True

    def cut(self, fault: Exception) -> None:
        self.faults.append(fault)


class Ends:
    """A tunnel that has just been made, and both its sides."""

    def __init__(self, gateway: Gateway, *, fails: bool = False) -> None:
        self.caller = Side()
        self.granian = Side()
        self.board = Switchboard(None if fails else self.granian)
        self.tunnel = Tunnel(gateway.door, self.board)
        self.tunnel.connection_made(self.caller)


@pytest.fixture
def gateway(start: Starter) -> Gateway:
    return start({})


async def test_each_side_is_read_as_fast_as_the_other_takes(gateway: Gateway) -> None:
    ends = Ends(gateway)
    assert not ends.caller.reading
    await asyncio.sleep(0)
    assert ends.caller.reading
    ends.tunnel.data_received(b"to granian")
    ends.board.inner.data_received(b"to the caller")
    assert (ends.granian.written, ends.caller.written) == (b"to granian", b"to the caller")
    held = gateway.gauge.held
    ends.tunnel.pause_writing()
    assert not ends.granian.reading
    assert gateway.gauge.held == held + 1000
    ends.tunnel.resume_writing()
    assert ends.granian.reading
    assert gateway.gauge.held == held
    ends.board.inner.pause_writing()
    assert not ends.caller.reading
    ends.board.inner.resume_writing()
    assert ends.caller.reading


async def test_a_lost_connection_ends_every_request_on_it_and_is_counted_no_more(gateway: Gateway) -> None:
    before = gateway.gauge.connections
    ends = Ends(gateway)
    await asyncio.sleep(0)
    requests = [Request(), Request()]
    for one in requests:
        ends.tunnel.begin(one)
    ends.tunnel.pause_writing()
    assert gateway.gauge.connections == before + 1
    ends.tunnel.connection_lost(None)
    assert all(one.left for one in requests)
    assert (ends.granian.end, ends.board.forgotten) == ("aborted", 1)
    assert (gateway.gauge.connections, gateway.gauge.held) == (before, 0)
    assert ends.tunnel not in gateway.door.connections


async def test_a_connection_that_granian_does_not_take_is_ended(gateway: Gateway) -> None:
    ends = Ends(gateway, fails=True)
    await asyncio.sleep(0)
    assert ends.caller.end == "aborted"
    ends.tunnel.connection_lost(None)


async def test_what_granian_ends_is_closed_in_order(gateway: Gateway) -> None:
    ends = Ends(gateway)
    await asyncio.sleep(0)
    ends.board.inner.connection_lost(None)
    assert ends.caller.end == "closed"


async def test_only_an_idle_connection_is_hurried_and_ended_by_time(gateway: Gateway) -> None:
    ends = Ends(gateway)
    await asyncio.sleep(0)
    request = Request()
    ends.tunnel.begin(request)
    assert ends.tunnel.due == 0
    ends.tunnel.hurry(1)
    gateway.timers.run(1 << 62)
    assert ends.caller.end == ""
    ends.tunnel.end(request)
    idle = ends.tunnel.due
    ends.tunnel.hurry(idle - 1)
    assert ends.tunnel.due == idle - 1
    gateway.timers.run(idle)
    assert ends.caller.end == "aborted"


async def test_a_drain_cuts_requests_and_closes_connections_without_any(gateway: Gateway) -> None:
    busy, idle = Ends(gateway), Ends(gateway)
    await asyncio.sleep(0)
    request = Request()
    busy.tunnel.begin(request)
    idle_before = idle.tunnel.due
    gateway.door.draining = True
    for ends in (busy, idle):
        ends.tunnel.drain()
    assert busy.tunnel.due == 0
    assert 0 < idle.tunnel.due < idle_before
    fault = GatewayError(503, "draining", "gateway", "Going.")
    assert [ends.tunnel.cut(fault) for ends in (busy, idle)] == [1, 0]
    assert (request.faults, busy.caller.end, idle.caller.end) == ([fault], "", "closed")
