"""Before phase 2: whether the worker has room for a request, and whether a consumer may take more of it.

What is refused here costs no look-up of a key, no limit, no body and no usage event: refusing has to be much cheaper
than serving, or a worker that refuses does nothing else.
"""

from __future__ import annotations

from time import monotonic_ns

from core.errors import GatewayError
from core.metrics import slot
from plane.exchange import Exchange
from plane.overload import ROOM, Gauge, Tally

__all__ = ["check_growth", "join", "overloaded", "shed"]

NO_ROOM = slot("headgate_shed_requests_total", "in_flight")
NO_BYTES = slot("headgate_shed_requests_total", "bytes")
NO_SHARE = slot("headgate_shed_requests_total", "share")
GROWTH = slot("headgate_shed_requests_total", "growth")


def shed(exchange: Exchange) -> None:
    """Count the request in the worker's gauge; GatewayError 503 where there is no room for it."""
    route = exchange.route
    gauge: Gauge = exchange.runtime.shared.gauge
    size = max(exchange.content_length, exchange.body_size)
    to_hold = size if size <= route.max_body and not route.is_form else 0
    if to_hold > gauge.max_held:
        raise GatewayError(413, "body_too_large", "caller", f"The request body is larger than {gauge.max_held} bytes.")
    refused = gauge.enter(to_hold)
    if refused != 0:
        raise overloaded(exchange, NO_ROOM if refused == ROOM else NO_BYTES)
    exchange.enter(gauge)
    if not route.needs_key:
        join(exchange, gauge.anonymous)


def join(exchange: Exchange, tally: Tally) -> None:
    """Count the request for its consumer; GatewayError 503 where that leaves no room for others."""
    if not exchange.gauge.is_fair(tally):  # type: ignore[union-attr]  # `shed` has seen to it.
        raise overloaded(exchange, NO_SHARE)
    exchange.join(tally)


def check_growth(exchange: Exchange) -> bool:
    """Refuse a request whose body still comes, where the worker holds more than it may; tell whether it did."""
    if not exchange.is_squeezed():
        return False
    exchange.keep_alive = False
    exchange.body_parts = []
    exchange.interrupt(overloaded(exchange, GROWTH))
    return True


def overloaded(exchange: Exchange, reason: int) -> GatewayError:
    """Return the error for a request that may be sent again, after a time that differs from caller to caller.

    reason: the slot that counts it.
    """
    exchange.runtime.shared.metrics.add(reason, 1)
    # The clock's last digits are as good as chance; nobody gains by guessing them.
    jitter = (monotonic_ns() >> 10) % 2000
    return GatewayError(
        503,
        "overloaded",
        "gateway",
        "The gateway is busy. Nothing has been done; send the request again in a moment.",
        retry_after=1.0 + jitter / 1000,
    )
