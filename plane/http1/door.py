"""What the connections of one listener share: the plain one, or the one with TLS."""

from collections.abc import Callable, Coroutine
from typing import Any

from core.metrics import slot
from core.model import CallerTimeouts
from core.units import parse_duration
from plane.exchange import Exchange
from plane.http1.framing import is_valid_host
from plane.metrics import Metrics
from plane.overload import Gauge
from plane.timers import Timers

__all__ = ["Door"]

SECOND = 1_000_000_000
MAX_HOSTS = 256


class Door:
    """What the connections of one listener share.

    name: ``http`` or ``https``, in metrics and usage events.
    live: has the current `runtime` as an attribute; each request takes it once.
    serve: makes the coroutine that serves one exchange.
    gauge: counts the connections, and says when they are too many.
    date: the Date field line, renewed once a second by whoever owns the clock.
    drained: called when the last connection of a draining door has gone.
    draining: answer what is under way with ``connection: close`` and take nothing new.
    Times are nanoseconds: for a whole head, between requests, for a stalled reader, the start of a body before
    `body_rate` (bytes per second) is asked of it, for a caller to read a last answer, and, while draining, for an idle
    connection to begin one more request.
    """

    def __init__(
        self,
        live: Any,
        serve: Callable[[Exchange], Coroutine[Any, Any, None]],
        timers: Timers,
        metrics: Metrics,
        gauge: Gauge,
        drained: Callable[[], None],
        name: str = "http",
    ) -> None:
        self.live = live
        self.serve = serve
        self.timers = timers
        self.metrics = metrics
        self.gauge = gauge
        self.drained = drained
        self.name = name
        self.accepted = slot("headgate_connections_accepted_total", name)
        self.hosts: set[bytes] = set()
        self.connections: set[Any] = set()
        self.date = b""
        self.draining = False
        self.max_head_time = 10 * SECOND
        self.max_idle_time = 75 * SECOND
        self.max_stall_time = 60 * SECOND
        self.body_grace = 10 * SECOND
        self.body_rate = 1024
        self.linger_time = 2 * SECOND
        self.drain_time = 5 * SECOND

    def is_known_host(self, host: bytes) -> bool:
        """Tell whether a Host field is valid; the valid ones are remembered, up to `MAX_HOSTS`."""
        if host in self.hosts:
            return True
        if not is_valid_host(host):
            return False
        if len(self.hosts) < MAX_HOSTS:
            self.hosts.add(host)
        return True

    def allow(self, timeouts: CallerTimeouts) -> None:
        """Take over the times that the config allows callers."""
        self.max_head_time = parse_duration(timeouts.head)
        self.body_grace = parse_duration(timeouts.body)
        self.max_idle_time = parse_duration(timeouts.idle)
        self.max_stall_time = parse_duration(timeouts.stall)

    def hurry(self, now: int) -> None:
        """While connections are crowded, let those that are idle go sooner than they were promised."""
        if self.gauge.crowding() > 0:
            latest = now + self.idle_time()
            for connection in self.connections:
                connection.hurry(latest)

    def idle_time(self) -> int:
        """Return how long a connection may be idle now: a tenth of `max_idle_time` if crowded, a hundredth if very."""
        crowding = self.gauge.crowding()
        if crowding == 0:
            return self.max_idle_time
        return self.max_idle_time // (10 if crowding == 1 else 100)

    def drain(self) -> None:
        """Close idle connections soon and the others after the answer they are at."""
        self.draining = True
        for connection in list(self.connections):
            connection.drain()
        if not self.connections:
            self.drained()

    def cut(self, fault: Exception) -> int:
        """End every answer under way with `fault`, and close every connection; return how many answers that were."""
        return sum(connection.cut(fault) for connection in list(self.connections))
