"""What one worker holds at once, and whether it may take more: counted where it is taken, without a look-up.

Both doors and all phases share one `Gauge`. Its counts are plain integers: a worker is one thread. What is refused, and
why, is in docs/overload.md.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Gauge", "Tally"]

ROOM, BYTES = 1, 2
"""Why a request is not let in."""

HIGH, FULL = 80, 95
"""Percent of a cap at which the worker begins to hold back, and at which it holds back more."""

MAX_LATE = 250_000_000
"""Nanoseconds that a tick may be late before the worker counts as behind."""
LATE_TICKS = 3
"""So many late ticks one after the other make `room` smaller."""
MIN_ROOM = 256
"""Requests in flight that a late worker keeps room for, unless its cap is smaller."""


class Tally:
    """What one consumer holds of a worker: requests in flight, and the bytes of their bodies and answers."""

    in_flight: int
    held: int


class Gauge:
    """The counts of one worker and their caps.

    connections: of callers, over all doors. in_flight: requests let in that have not ended; health checks and lists of
    models are not counted. held: bytes in memory of request bodies, of answers that wait to be sent, and of what slow
    callers have not read.
    room: how many may be in flight now: `max_in_flight`, fewer while the worker is behind.
    anonymous: what requests without a consumer hold.
    on_full: all are called when `connections` reaches its cap; the doors then accept no more, until `has_place`.
    """

    connections: int
    in_flight: int
    held: int
    late_ticks: int

    def __init__(self, max_connections: int, max_in_flight: int, max_held: int) -> None:
        self.max_connections = max_connections
        self.max_in_flight = max_in_flight
        self.max_held = max_held
        self.high_connections = mark(max_connections, HIGH)
        self.full_connections = mark(max_connections, FULL)
        self.high_held = mark(max_held, HIGH)
        self.full_held = mark(max_held, FULL)
        self.anonymous = Tally()
        self.on_full: list[Callable[[], None]] = []
        self.make_room(max_in_flight)

    def __repr__(self) -> str:
        return (
            f"<Gauge {self.connections}/{self.max_connections} connections, {self.in_flight}/{self.room} in flight,"
            f" {self.held}/{self.max_held} bytes>"
        )

    # --- connections

    def opened(self) -> None:
        """Count a connection; from the cap on, call `on_full`."""
        self.connections += 1
        if self.connections >= self.max_connections:
            for stop in self.on_full:
                stop()

    def closed(self) -> None:
        """Count a connection that has gone."""
        self.connections -= 1

    def has_place(self) -> bool:
        """Tell whether connections may be accepted again after `on_full`: a few places below the cap, not at each."""
        return self.connections < self.full_connections

    def crowding(self) -> int:
        """Return how crowded the connections are: 0, 1 from `HIGH` percent of the cap on, 2 from `FULL` on."""
        if self.connections < self.high_connections:
            return 0
        return 1 if self.connections < self.full_connections else 2

    # --- requests

    def enter(self, size: int) -> int:
        """Let a request in whose body has `size` bytes as far as is known: 0, or why not (`ROOM`, `BYTES`)."""
        if self.in_flight >= self.room:
            return ROOM
        if self.held >= self.full_held or self.held + size > self.max_held:
            return BYTES
        self.in_flight += 1
        return 0

    def is_fair(self, tally: Tally) -> bool:
        """Tell whether a request that has entered leaves the others their chance; `tally` does not count it yet.

        Below `HIGH` percent of a cap it does. From there on everybody must hold less than what is still free, so that
        whoever holds little finds room, however few or many hold most of it.
        """
        before = self.in_flight - 1
        if before >= self.high_in_flight and tally.in_flight >= self.room - before:
            return False
        return self.held < self.high_held or tally.held < self.max_held - self.held

    def is_over(self) -> bool:
        """Tell whether more bytes are held than may be: bodies that still come are refused."""
        return self.held > self.max_held

    # --- time

    def tick(self, late: int) -> None:
        """Take note of how late (nanoseconds) the worker's regular tick is, and adapt `room`.

        A worker that is late `LATE_TICKS` times in a row has more to do than it can: it keeps three quarters of what
        is in flight. Each tick in time gives an eighth back.
        """
        if late > MAX_LATE:
            self.late_ticks += 1
            if self.late_ticks >= LATE_TICKS:
                self.make_room(max(min(self.room, self.in_flight) * 3 // 4, MIN_ROOM))
        else:
            self.late_ticks = 0
            if self.room < self.max_in_flight:
                self.make_room(self.room + self.room // 8 + 1)

    def make_room(self, room: int) -> None:
        """Let `room` requests be in flight, at most the cap."""
        self.room = min(room, self.max_in_flight)
        self.high_in_flight = mark(self.room, HIGH)


def mark(cap: int, percent: int) -> int:
    """Return `percent` of `cap`, rounded up, so that it is 1 at least."""
    return cap // 100 * percent + (cap % 100 * percent + 99) // 100
