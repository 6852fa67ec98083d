"""Limits on requests, exact across the workers of a host: rates by GCRA, and how many are in flight.

Both count in `core.cells` and keep nothing themselves but numbers from the config, so that any number of them, in any
process, may stand for one row. Time is CLOCK_MONOTONIC in nanoseconds, read by the caller: one clock for the host.
"""

import hashlib

from core.cells import CONCURRENCY, RATE, Cells

__all__ = ["MAX_NS", "ConcurrencyLimit", "RateLimit", "digest_of"]

# The latest time and the deepest burst, about 146 years: their sum still fits a cell.
MAX_NS = 2**62 - 1


def digest_of(subject: str, limit: str) -> bytes:
    """Return the 16 bytes that name the row of `limit` for `subject`, the same in every process and version.

    limit: which of the subject's limits. For a rate with its numbers (``"requests 100/s burst 100"``), so that a
    changed rate starts full; for concurrency without, since what is in flight stays in flight.
    """
    name = subject.encode()
    return hashlib.blake2b(len(name).to_bytes(4, "big") + name + limit.encode(), digest_size=16).digest()


class RateLimit:
    """`count` requests per `period_ns`, up to `burst` of them at once, counted in a row of kind `RATE`.

    GCRA (generic cell rate algorithm): the cell holds the time at which the burst is free again, and each request moves
    it on by one interval: the period over the count, rounded up to a whole nanosecond. So it is never more than the
    rate, and less by at most count/period_ns of it (one in 10,000 at 100,000/s).

    limit: the burst, which is what `remaining` counts down from.
    ValueError: a number is out of range, or the burst takes longer than `MAX_NS` to refill.
    """

    def __init__(self, cells: Cells, row: int, count: int, period_ns: int, burst: int) -> None:
        if count < 1 or period_ns < 1 or burst < 1:
            raise ValueError(f"a rate needs count, period and burst above 0, not {count}, {period_ns} ns and {burst}")
        interval = -(-period_ns // count)
        if burst * interval > MAX_NS:
            raise ValueError(
                f"a burst of {burst} refills over more than 146 years at {count} per {period_ns / 1e9:g} s;"
                f" at most {MAX_NS // interval}"
            )
        if cells.kind(row) != RATE:
            raise ValueError(f"row {row} does not hold a rate")
        self.cells = cells
        self.row = row
        self.limit = burst
        self.interval = interval
        self.depth = burst * interval

    def take(self, now_ns: int) -> int:
        """Admit one request: return how many more the burst allows now, or -1 if this one is not admitted.

        now_ns: from 0 to `MAX_NS`, else ValueError. Reading the clock some time before is safe: it admits less.
        """
        if now_ns < 0 or now_ns > MAX_NS:
            raise ValueError(f"{now_ns} ns is no time of the monotonic clock")
        while True:
            tat = self.cells.load(self.row)
            after = (tat if tat > now_ns else now_ns) + self.interval
            if after - now_ns > self.depth:
                return -1
            if self.cells.swap(self.row, tat, after):
                return (self.depth - (after - now_ns)) // self.interval

    def give_back(self, taken_ns: int, now_ns: int) -> None:
        """Undo a `take` whose request was then refused elsewhere.

        taken_ns: what `take` was given. now_ns: the clock now; the share that has refilled meanwhile is not given back,
        for it would be counted twice.
        """
        refund = taken_ns + self.interval - now_ns
        if refund > self.interval:
            refund = self.interval
        if refund > 0:
            self.cells.add(self.row, -refund)

    def remaining(self, now_ns: int) -> int:
        """Return how many requests would be admitted at `now_ns`."""
        ahead = self.reset_ns(now_ns)
        return (self.depth - ahead) // self.interval if ahead < self.depth else 0

    def reset_ns(self, now_ns: int) -> int:
        """Return the nanoseconds until the whole burst is free again."""
        ahead = self.cells.load(self.row) - now_ns
        return ahead if ahead > 0 else 0

    def retry_after_ns(self, now_ns: int) -> int:
        """Return the nanoseconds until one request would be admitted, 0 if it is now."""
        wait = self.reset_ns(now_ns) + self.interval - self.depth
        return wait if wait > 0 else 0


class ConcurrencyLimit:
    """Up to `limit` requests in flight on the host, counted in a row of kind `CONCURRENCY`.

    worker: the index whose column counts this process's own; `Cells.reap` takes back what it held when it dies.
    ValueError: a number is out of range.
    """

    def __init__(self, cells: Cells, row: int, worker: int, limit: int) -> None:
        if not 1 <= limit < 2**31:
            raise ValueError(f"a concurrency limit is from 1 to {2**31 - 1}, not {limit}")
        if not 0 <= worker < cells.workers:
            raise ValueError(f"worker {worker} has no column: the table has {cells.workers}")
        if cells.kind(row) != CONCURRENCY:
            raise ValueError(f"row {row} does not count concurrency")
        self.cells = cells
        self.row = row
        self.worker = worker
        self.limit = limit

    def take(self) -> int:
        """Let one request in: return how many more may enter, or -1 if this one may not."""
        return self.cells.enter(self.row, self.worker, self.limit)

    def release(self) -> None:
        """Say that a request let in has ended. RuntimeError: none was in flight."""
        self.cells.leave(self.row, self.worker)
