"""Getting a connection to an upstream: from the pool, by dialling, or by waiting one's turn."""

from __future__ import annotations

import asyncio
import ssl
import time
from socket import gaierror

from core.errors import GatewayError
from plane.exchange import Exchange
from plane.http1.client import Pool, UpstreamConnection
from plane.http1.origin import TimeoutsNs

__all__ = ["acquire", "dial"]

SECOND = 1_000_000_000


async def acquire(pool: Pool, exchange: Exchange, timeouts: TimeoutsNs) -> UpstreamConnection:
    """Return a connection for `exchange`: an idle one, a new one, or one that another exchange gives back.

    Raises GatewayError 502, 503 or 504, with `retry` since nothing has been sent, unless the time of the whole call is
    up.
    """
    now = time.monotonic_ns()
    end = exchange.deadline(timeouts.total)
    if now >= end:
        raise GatewayError(504, "upstream_timeout", "upstream", "The call took longer than its total timeout.")
    deadline = min(now + timeouts.connect, end)
    while True:
        connection = pool.take()
        if connection is not None:
            return connection
        began = time.monotonic_ns()
        waiter = pool.wait(exchange, deadline)
        try:
            while waiter.connection is None and waiter.error is None:
                if exchange.due == 0:
                    raise too_late(pool)
                await exchange
        except BaseException:
            if waiter.connection is not None:
                pool.release(waiter.connection)
            raise
        finally:
            pool.leave(waiter)
            exchange.connection_ns += time.monotonic_ns() - began
        if waiter.error is not None:
            try:
                raise waiter.error
            finally:
                waiter.error = None  # Its traceback holds this frame, which holds the waiter.
        connection = waiter.connection
        if connection is not None and connection.is_usable():
            return connection


def too_late(pool: Pool) -> GatewayError:
    """Return the error of a wait that found no connection in time."""
    if pool.dialling:
        return GatewayError(
            504, "upstream_connect_timeout", "upstream", "Connecting to the upstream took too long.", retry=True
        )
    return GatewayError(
        503, "upstream_busy", "upstream", "No connection to the upstream became free in time.", retry=True
    )


async def dial(pool: Pool, connect: int) -> None:
    """Open a connection, within `connect` nanoseconds, for whoever has waited longest."""
    error: GatewayError
    try:
        async with asyncio.timeout(connect / SECOND):
            origin = pool.origin
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: UpstreamConnection(pool),  # type: ignore[type-var]  # a compiled class has no Python base.
                origin.host,
                origin.port,
                ssl=pool.ssl_context,
                server_hostname=origin.host if pool.ssl_context is not None else None,
            )
    except TimeoutError:
        error = GatewayError(
            504, "upstream_connect_timeout", "upstream", "Connecting to the upstream took too long.", retry=True
        )
    except ssl.SSLError:
        error = GatewayError(502, "upstream_tls", "upstream", "The upstream's TLS could not be agreed.", retry=True)
    except (gaierror, UnicodeError):
        error = GatewayError(
            502, "upstream_unknown_host", "upstream", "The upstream's name has no address.", retry=True
        )
    except OSError:
        error = GatewayError(
            502, "upstream_unreachable", "upstream", "The upstream refused the connection.", retry=True
        )
    except BaseException:  # Cancelled, at the end of the worker: whoever waits must not wait for nothing.
        pool.dial_failed(GatewayError(502, "upstream_unreachable", "gateway", "Connecting to the upstream failed."))
        raise
    else:
        pool.dialled(connection)
        return
    pool.dial_failed(error)
