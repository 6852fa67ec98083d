"""What outlives a snapshot in a worker: pools of connections, the cells of the limits, the ledger."""

from __future__ import annotations

import asyncio
import fcntl
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.cells import CONCURRENCY, RATE, Cells
from core.limits import ConcurrencyLimit, RateLimit, digest_of
from core.units import parse_rate
from plane.http1.client import Origin, Pool
from plane.http1.connect import dial
from plane.ledger import Ledger
from plane.timers import Timers

__all__ = ["Shared"]


class Shared:
    """One worker's lasting state. Made in `main`; a runtime reaches it as `runtime.shared`."""

    def __init__(self, worker: int, limits: Path, timers: Timers, ledger: Ledger) -> None:
        self.worker = worker
        self.timers = timers
        self.ledger = ledger
        self.pools: dict[Origin, Pool] = {}
        self.file = limits.open("r+b")
        self.cells = Cells(mmap.mmap(self.file.fileno(), 0))

    def pool(self, origin: Origin) -> Pool:
        """Return the pool of connections to `origin`."""
        pool = self.pools.get(origin)
        if pool is None:
            pool = self.pools[origin] = Pool(origin, asyncio.get_running_loop(), self.timers, dial)
        return pool

    def retire(self, used: set[Origin]) -> None:
        """Close what no candidate of the live runtime uses; calls under way end on their connections."""
        for origin in [origin for origin in self.pools if origin not in used]:
            self.pools.pop(origin).close()

    def bind_limits(self, consumer: Any) -> None:
        """Give a consumer, at its first request, the cells of its limits: the same in every worker and generation."""
        limits = consumer.limits
        if limits.requests is not None:
            count, period = parse_rate(limits.requests)
            row = self.cells.row(
                digest_of(consumer.name, f"requests {limits.requests} burst {limits.burst}"), RATE, self.lock()
            )
            consumer.rate = RateLimit(self.cells, row, count, period, limits.burst or count)
            consumer.rate_lines = (
                b"x-ratelimit-limit-requests: %d\r\nx-ratelimit-remaining-requests: " % consumer.rate.limit
            )
        if limits.concurrent is not None:
            row = self.cells.row(digest_of(consumer.name, "concurrent"), CONCURRENCY, self.lock())
            consumer.concurrency = ConcurrencyLimit(self.cells, row, self.worker, limits.concurrent)
        consumer.bound = True

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the lock under which rows are added, among all workers of the host."""
        fcntl.flock(self.file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self.file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the pools and the table."""
        for pool in self.pools.values():
            pool.close()
        self.file.close()
