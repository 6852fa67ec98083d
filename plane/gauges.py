"""What a worker's metrics say of now, looked up once a second, and the sending of all of them to control."""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from time import monotonic_ns

from core.metrics import LAYOUT, OTHER, TARGET_COUNTERS, TARGET_SIZE, slot
from core.wire import Counts
from plane.feed import Feed
from plane.health import STATES
from plane.http1.door import Door
from plane.shared import Shared

__all__ = ["Reporter"]

REPORT = 1.0
"""Seconds between two reports."""

CONNECTIONS = {name: slot("headgate_connections", name) for name in ("http", "https")}
IN_FLIGHT = slot("headgate_in_flight")
ROOM = slot("headgate_in_flight_room")
HELD = slot("headgate_held_bytes")
BUSY = slot("headgate_upstream_connections", "busy")
IDLE = slot("headgate_upstream_connections", "idle")
DIALLING = slot("headgate_upstream_connections", "dialling")
WAITING = slot("headgate_upstream_waiting")
PLACES = [slot("headgate_places", state) for state in STATES]
BACKLOG = slot("headgate_ring_backlog_bytes")
DROPPED = slot("headgate_usage_dropped_total")
PROCESSOR = slot("headgate_worker_cpu_seconds_total")
RESIDENT = slot("headgate_worker_resident_bytes")


class Reporter:
    """Tells control, once a second, what a worker has counted.

    A report is the difference to the one before, so that control only adds: nothing is counted twice when control
    starts anew, and what is counted while it is away comes with the first report after that. A killed worker loses its
    last second.
    """

    def __init__(self, shared: Shared, doors: Sequence[Door], feed: Feed) -> None:
        self.metrics = shared.metrics
        self.shared = shared
        self.doors = doors
        self.feed = feed
        self.page = resource.getpagesize()

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            await asyncio.sleep(REPORT)
            self.report()

    def report(self) -> None:
        """Send what has been counted since the last report; it is kept for the next one if control does not listen."""
        if self.feed.listens():
            self.look()
            self.feed.tell(Counts(LAYOUT, self.metrics.take(), self.targets()))

    def targets(self) -> dict[str, list[int]]:
        """Return the rows of all targets that have something to tell; see `core.metrics.TARGET`."""
        states = [0] * (TARGET_SIZE - TARGET_COUNTERS)
        rows = {name: [*counts.take(), *states] for name, counts in list(self.shared.counts.items())}
        now = monotonic_ns()
        for (_, name, _, _), health in list(self.shared.healths.items()):
            row = rows.get(name) or rows.get(OTHER)
            if row is not None:
                row[TARGET_COUNTERS + health.state(now)] += 1
        return {name: row for name, row in rows.items() if any(row)}

    def look(self) -> None:
        """Set the gauges to what is true now."""
        metrics = self.metrics
        pools = self.shared.pools.values()
        idle = sum(len(pool.idle) for pool in pools)
        dialling = sum(pool.dialling for pool in pools)
        for door in self.doors:
            metrics.set(CONNECTIONS[door.name], len(door.connections))
        gauge = self.shared.gauge
        metrics.set(IN_FLIGHT, gauge.in_flight)
        metrics.set(ROOM, gauge.room)
        metrics.set(HELD, gauge.held)
        metrics.set(IDLE, idle)
        metrics.set(DIALLING, dialling)
        metrics.set(BUSY, sum(pool.size for pool in pools) - idle - dialling)
        metrics.set(WAITING, sum(len(pool.waiters) for pool in pools))
        now = monotonic_ns()
        states = Counter(health.state(now) for health in list(self.shared.healths.values()))
        for state, place in enumerate(PLACES):
            metrics.set(place, states[state])
        metrics.set(BACKLOG, self.shared.ledger.backlog())
        metrics.set(DROPPED, self.shared.ledger.dropped)
        used = resource.getrusage(resource.RUSAGE_SELF)
        metrics.set(PROCESSOR, int((used.ru_utime + used.ru_stime) * 1e6))
        metrics.set(RESIDENT, int(Path("/proc/self/statm").read_text().split()[1]) * self.page)
