"""What a finished request adds to the worker's metrics; its usage event tells the rest."""

from __future__ import annotations

from core.metrics import slot, slots
from plane.exchange import Exchange

__all__ = ["count_unrecorded", "measure_phases"]

BODY = slot("headgate_phase_seconds", "body")
GATEWAY = slot("headgate_phase_seconds", "gateway")
CONNECTION = slot("headgate_phase_seconds", "connection")
UPSTREAM = slot("headgate_phase_seconds", "upstream")
RELAY = slot("headgate_phase_seconds", "relay")
LOCAL = slot("headgate_local_requests_total")
UNROUTED = slots("headgate_unrouted_requests_total")
OTHER = UNROUTED["other"]


def measure_phases(exchange: Exchange, now: int) -> None:
    """Count where the time of a request went that ends at `now` (monotonic nanoseconds).

    It reads no clock: it takes differences of the times that deadlines and the usage event need anyway. Waits for a
    body and for a connection are counted only where there was one.
    """
    metrics = exchange.runtime.shared.metrics
    if exchange.body_ns:
        metrics.observe(BODY, exchange.body_ns // 1000)
    if exchange.connection_ns:
        metrics.observe(CONNECTION, exchange.connection_ns // 1000)
    end = exchange.asked or now
    metrics.observe(GATEWAY, (end - exchange.started - exchange.body_ns - exchange.connection_ns) // 1000)
    if exchange.asked:
        end = exchange.first_byte or now
        metrics.observe(UPSTREAM, (end - exchange.asked) // 1000)
        if exchange.first_byte:
            metrics.observe(RELAY, (now - end) // 1000)


def count_unrecorded(exchange: Exchange) -> None:
    """Count a request that leaves no usage event."""
    metrics = exchange.runtime.shared.metrics
    if exchange.route is None:
        metrics.add(UNROUTED.get(exchange.error, OTHER), 1)
    else:
        metrics.add(LOCAL, 1)
