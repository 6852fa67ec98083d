"""That a worker which holds all the connections it may leaves new ones in the queue, where others find them."""

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import uvloop

from plane.accept import Acceptor
from plane.overload import Gauge

DEADLINE = 20.0


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


class Held(asyncio.Protocol):
    """A connection that is counted and greeted."""

    def __init__(self, worker: "Worker") -> None:
        self.worker = worker

    def connection_made(self, transport: Any) -> None:
        self.worker.held.append(transport)
        self.worker.gauge.opened()
        transport.write(self.worker.name)

    def connection_lost(self, _: Exception | None) -> None:
        self.worker.gauge.closed()
        self.worker.lost.release()


class Worker:
    """What a worker has to do with accepting."""

    def __init__(self, listener: socket.socket, cap: int, name: bytes = b"!") -> None:
        self.name = name
        self.gauge = Gauge(cap, 1, 1)
        self.lost = asyncio.Semaphore(0)
        self.held: list[Any] = []
        self.acceptor = Acceptor(listener.dup(), self.gauge, lambda: Held(self))

    async def let_go(self, count: int) -> None:
        """Close so many connections, and wait until they have gone."""
        for _ in range(count):
            self.held.pop().abort()
        async with asyncio.timeout(DEADLINE):
            for _ in range(count):
                await self.lost.acquire()


class Callers:
    """Connections that wait for a worker's greeting; a context manager."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.sockets: list[socket.socket] = []
        self.kept: list[socket.socket] = []
        self.greeted: list[bytes] = []

    def __enter__(self) -> "Callers":
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.sockets + self.kept:
            one.close()

    async def connect(self, count: int) -> None:
        """Open connections: the kernel takes them into the queue, whoever accepts them."""
        loop = asyncio.get_running_loop()
        for _ in range(count):
            one = socket.socket()
            self.sockets.append(one)
            one.setblocking(False)
            await loop.sock_connect(one, self.listener.getsockname())

    async def until(self, count: int) -> None:
        """Wait until so many have been greeted in all."""
        async with asyncio.timeout(DEADLINE):
            while len(self.greeted) < count:
                for one in list(self.sockets):
                    try:
                        self.greeted.append(one.recv(1))
                    except BlockingIOError:
                        continue
                    assert self.greeted[-1]
                    self.sockets.remove(one)
                    self.kept.append(one)
                await asyncio.sleep(0)


def test_at_the_cap_nobody_is_accepted_and_nobody_reset_and_later_they_are_served(listener: socket.socket) -> None:
    async def run() -> None:
        worker = Worker(listener, 20)
        with Callers(listener) as callers:
            await worker.acceptor.start()
            await callers.connect(20)
            await callers.until(20)
            await callers.connect(15)
            await worker.acceptor.look()
            assert worker.acceptor.server is None
            assert (worker.gauge.connections, len(callers.greeted)) == (20, 20)
            await worker.let_go(10)
            await worker.acceptor.look()
            await callers.until(30)
        worker.acceptor.close()

    uvloop.run(run())


def test_another_worker_takes_whom_a_full_one_leaves(listener: socket.socket) -> None:
    async def run() -> None:
        full, other = Worker(listener, 5, b"f"), Worker(listener, 100, b"o")
        with Callers(listener) as callers:
            await full.acceptor.start()
            await callers.connect(5)
            await callers.until(5)
            await other.acceptor.start()
            await callers.connect(20)
            await callers.until(25)
            assert sorted(callers.greeted) == [b"f"] * 5 + [b"o"] * 20
        for worker in (full, other):
            worker.acceptor.close()

    uvloop.run(run())


def test_a_closed_acceptor_does_not_begin_again(listener: socket.socket) -> None:
    async def run() -> None:
        worker = Worker(listener, 5)
        await worker.acceptor.start()
        worker.acceptor.close()
        await worker.acceptor.look()
        assert worker.acceptor.server is None
        worker.acceptor.close()

    uvloop.run(run())
