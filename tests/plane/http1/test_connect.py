"""plane.http1.connect: dialling real sockets, and every way in which that fails."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.errors import ConfigError, GatewayError
from plane.http1.client import Pool
from plane.http1.connect import acquire, dial
from plane.http1.origin import Origin
from plane.metrics import Metrics
from plane.timers import Timers
from tests.plane.rig import SECOND, TIMEOUTS, make_exchange


@pytest.fixture
async def listener() -> AsyncIterator[socket.socket]:
    """Return a socket that listens; the loop need not accept for a connection to be made."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def pool_to(host: str, port: int, *, scheme: str = "http", ca: str = "") -> Pool:
    return Pool(Origin(scheme, host, port, ca, 4), asyncio.get_running_loop(), Timers(), Metrics(), dial)


class Wait:
    """A wait for a connection, run by hand; `over` is set at its end."""

    def __init__(self, pool: Pool, connect: int = 5 * SECOND) -> None:
        self.pool = pool
        self.result: object = None
        self.over = asyncio.Event()
        self.exchange = make_exchange()
        self.timeouts = TIMEOUTS._replace(connect=connect)
        self.exchange.begin(self.run())

    async def run(self) -> None:
        try:
            self.result = await acquire(self.pool, self.exchange, self.timeouts)
        except GatewayError as error:
            self.result = (error.status, error.code, error.retry)
        self.over.set()

    async def end(self) -> object:
        async with asyncio.timeout(20):
            await self.over.wait()
        return self.result


def is_at_rest(pool: Pool) -> bool:
    return (pool.size, pool.dialling, len(pool.waiters)) == (0, 0, 0)


async def test_a_connection_is_made_kept_and_closed(listener: socket.socket) -> None:
    pool = pool_to(*listener.getsockname())
    wait = Wait(pool)
    connection = await wait.end()
    assert (pool.size, pool.dialling) == (1, 0)
    connection.call(wait.exchange, b"GET / HTTP/1.1\r\n\r\n", b"", TIMEOUTS, False)
    peer, _ = listener.accept()
    with peer:
        assert await asyncio.to_thread(peer.recv, 100) == b"GET / HTTP/1.1\r\n\r\n"
        connection.close()
        assert await asyncio.to_thread(peer.recv, 100) == b""
    await asyncio.sleep(0)  # The loop tells the connection of its end in a pass of its own.
    assert is_at_rest(pool)


async def test_a_refused_connection_is_told_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = listening.getsockname()
    pool = pool_to(*address)
    assert await Wait(pool).end() == (502, "upstream_unreachable", True)
    assert is_at_rest(pool)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 64 + ".test"])
async def test_a_name_without_an_address_is_told_so(host: str) -> None:
    pool = pool_to(host, 80)
    assert await Wait(pool).end() == (502, "upstream_unknown_host", True)
    assert is_at_rest(pool)


async def test_connecting_takes_no_longer_than_it_may(listener: socket.socket) -> None:
    # A peer that accepts and never answers the first words of TLS.
    pool = pool_to(*listener.getsockname(), scheme="https")
    assert await Wait(pool, connect=SECOND // 20).end() == (504, "upstream_connect_timeout", True)
    assert is_at_rest(pool)


async def test_a_peer_that_does_not_speak_tls_is_told_apart(listener: socket.socket) -> None:
    pool = pool_to(*listener.getsockname(), scheme="https")
    wait = Wait(pool)
    peer, _ = await asyncio.get_running_loop().sock_accept(non_blocking(listener))
    with peer:
        peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        assert await wait.end() == (502, "upstream_tls", True)
    assert is_at_rest(pool)


def non_blocking(listening: socket.socket) -> socket.socket:
    listening.setblocking(False)
    return listening


async def test_a_dial_that_is_cancelled_leaves_no_count_and_nobody_waiting(listener: socket.socket) -> None:
    pool = pool_to(*listener.getsockname(), scheme="https")
    wait = Wait(pool)
    await asyncio.sleep(0)
    dials = asyncio.all_tasks() - {asyncio.current_task()}
    for task in dials:
        task.cancel()
    await asyncio.gather(*dials, return_exceptions=True)
    assert await wait.end() == (502, "upstream_unreachable", False)
    assert is_at_rest(pool)


@pytest.mark.parametrize("content", [None, "", "no certificate"])
async def test_a_ca_bundle_that_cannot_be_used_is_named_with_the_reason(content: str | None, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    if content is not None:
        bundle.write_text(content)
    with pytest.raises(ConfigError) as caught:
        pool_to("up.test", 443, scheme="https", ca=str(bundle))
    (problem,) = caught.value.problems
    assert str(bundle) in problem
    assert ("No such file" if content is None else "certificate") in problem


async def test_tls_asks_for_http_1_1_and_verifies_the_peer() -> None:
    context = pool_to("up.test", 443, scheme="https").ssl_context
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
