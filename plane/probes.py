"""Health probes: whether a provider or an endpoint is there, asked at regular times, whatever callers do.

Each worker asks for itself, so that it knows what it can reach. A probe is one short connection of its own: it shows
that a new call could be made, and takes nobody's place in a pool.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from random import Random
from time import monotonic_ns
from typing import NamedTuple

from core.metrics import slot
from plane.health import Health
from plane.http1.origin import Origin
from plane.metrics import Metrics
from plane.runtime import Candidate
from plane.timers import Timed

__all__ = ["Probe", "ProbeRule", "Watch", "ask"]

SECOND = 1_000_000_000
MAX_LINE = 4096
"""Bytes of a status line."""
PASSED = slot("headgate_probes_total", "passed")
FAILED = slot("headgate_probes_total", "failed")


class ProbeRule(NamedTuple):
    """When to ask, in nanoseconds, and how many answers in a row, bad or good, make the difference."""

    interval: int
    timeout: int
    failures: int
    successes: int


class Watch(NamedTuple):
    """What is asked, and for whom. request: the whole of it. places: those that the answer is about."""

    origin: Origin
    request: bytes
    rule: ProbeRule
    places: list[Candidate]

    @property
    def key(self) -> tuple[Origin, bytes]:
        """What makes two of them the same probe."""
        return self.origin, self.request


class Probe(Timed):
    """One probe of one worker. down: what it says now. row: answers in a row that say the contrary.

    begin: starts asking; it ends in `answered`.
    """

    def __init__(self, begin: Callable[[Probe], object], random: Random, metrics: Metrics, rule: ProbeRule) -> None:
        self.begin = begin
        self.random = random
        self.metrics = metrics
        self.rule = rule
        self.healths: list[Health] = []
        self.down = False
        self.row = 0
        self.due = monotonic_ns() + int(rule.interval * random.random()) + 1

    def tell(self, healths: list[Health]) -> None:
        """Be about these places from now on, and tell them what is known."""
        self.healths = healths
        for health in healths:
            if health.down != self.down:
                health.probed(monotonic_ns(), self.down)

    def expire(self, now: int) -> None:
        """It is time to ask."""
        self.begin(self)

    def answered(self, good: bool, now: int) -> None:
        """Take an answer, and be due again after the interval, give or take a fifth of it."""
        self.metrics.add(PASSED if good else FAILED, 1)
        self.row = self.row + 1 if good == self.down else 0
        if self.row >= (self.rule.successes if self.down else self.rule.failures):
            self.down = not self.down
            self.row = 0
            self.tell(self.healths)
        self.due = now + int(self.rule.interval * (0.8 + 0.4 * self.random.random()))


async def ask(origin: Origin, context: ssl.SSLContext | None, request: bytes, timeout_ns: int) -> bool:
    """Tell whether `origin` answers a request with a status from 200 to 399 within the time."""
    try:
        async with asyncio.timeout(timeout_ns / SECOND):
            reader, writer = await asyncio.open_connection(
                origin.host,
                origin.port,
                ssl=context,
                server_hostname=origin.host if context is not None else None,
                limit=MAX_LINE,
            )
            try:
                writer.write(request)
                version, _, rest = (await reader.readline()).partition(b" ")
                return version in (b"HTTP/1.1", b"HTTP/1.0") and b"200" <= rest[:3] <= b"399"
            finally:
                writer.transport.abort()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError, ValueError):  # ValueError: a name that cannot be looked up, a line without end.
        return False
