"""What outlives a snapshot in a worker: pools, the cells of the limits, the ledger, the metrics, the gauge."""

from __future__ import annotations

import asyncio
import fcntl
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from random import Random
from time import monotonic_ns
from typing import Any
from weakref import WeakValueDictionary

from core.cells import CONCURRENCY, RATE, Cells, TableFullError
from core.errors import GatewayError
from core.limits import ConcurrencyLimit, RateLimit, digest_of
from core.metrics import MAX_TARGETS, OTHER
from core.model import Limits
from core.retry_budget import RetryBudget
from core.units import parse_rate
from plane.care import Care
from plane.health import Health, Standing
from plane.http1.client import Pool
from plane.http1.connect import dial
from plane.http1.origin import Origin
from plane.latency import Latency
from plane.ledger import Ledger
from plane.metrics import Metrics
from plane.overload import Gauge, Tally
from plane.pins import Pins
from plane.probes import Probe, Watch, ask
from plane.retries import RetryRule
from plane.runtime import Candidate
from plane.steps import Steps
from plane.target_counts import TargetCounts
from plane.timers import Timers

__all__ = ["Shared"]

MAX_PROBING = 16
"""Probes under way at once."""


class Shared:
    """One worker's lasting state. Made in `main`; a runtime reaches it as `runtime.shared`.

    pins: what names the things that providers keep; its key is read when it is needed.
    draining: the worker is about to end; callers should go elsewhere.
    """

    def __init__(
        self, worker: int, limits: Path, timers: Timers, ledger: Ledger, metrics: Metrics, gauge: Gauge
    ) -> None:
        self.worker = worker
        self.timers = timers
        self.ledger = ledger
        self.metrics = metrics
        self.gauge = gauge
        self.tallies: WeakValueDictionary[str, Tally] = WeakValueDictionary()
        self.draining = False
        self.pins = Pins(limits.parent / "key")
        self.pools: dict[Origin, Pool] = {}
        self.endpoints: dict[tuple[str, Origin], Candidate] = {}
        self.latencies: WeakValueDictionary[str, Latency] = WeakValueDictionary()
        self.counts: WeakValueDictionary[str, TargetCounts] = WeakValueDictionary()
        self.healths: WeakValueDictionary[tuple[str, str, Origin, bytes], Health] = WeakValueDictionary()
        self.standings: WeakValueDictionary[tuple[Origin, bytes], Standing] = WeakValueDictionary()
        self.budgets: WeakValueDictionary[str, RetryBudget] = WeakValueDictionary()
        self.probes: dict[tuple[Origin, bytes], Probe] = {}
        self.probing: set[asyncio.Task[None]] = set()
        self.random = Random()  # noqa: S311 it spreads retries in time, no secret hangs on it.
        self.file = limits.open("r+b")
        try:
            self.cells = Cells(mmap.mmap(self.file.fileno(), 0))
        except ValueError as error:
            raise ValueError(f"{limits} cannot be used: {error}") from error

    def pool(self, origin: Origin) -> Pool:
        """Return the pool of connections to `origin`."""
        pool = self.pools.get(origin)
        if pool is None:
            pool = self.pools[origin] = Pool(origin, asyncio.get_running_loop(), self.timers, self.metrics, dial)
        return pool

    def endpoint(self, endpoint: Candidate) -> Candidate:
        """Return the one known already for an endpoint, with its new weight: its calls in flight stay counted."""
        known = self.endpoints.setdefault((endpoint.name, endpoint.origin), endpoint)
        known.weight = endpoint.weight
        known.health = None  # Until it is looked after.
        return known

    def latency(self, target: str) -> Latency:
        """Return what was measured of a target, by its name; kept as long as a runtime has such a target."""
        return self.latencies.setdefault(target, Latency())

    def counted(self, name: str) -> TargetCounts:
        """Return the counts of a target or endpoint, by its name; those beyond `MAX_TARGETS` are counted together."""
        found = self.counts.get(name)
        if found is None:
            found = self.counts.setdefault(name if len(self.counts) < MAX_TARGETS else OTHER, TargetCounts())
        return found

    def look_after(self, care: Care) -> None:
        """Give places their health: what was known of them goes on, a place that joins others begins slowly."""
        credentials = [sha256(getattr(place, "secret", b"")).digest() for place in care.places]
        keys = [
            (care.name, place.name, place.origin, secret)
            for place, secret in zip(care.places, credentials, strict=True)
        ]
        joins = any(key in self.healths for key in keys)
        for place, key in zip(care.places, keys, strict=True):
            health = self.healths.get(key)
            if health is None:
                standing = self.standings.setdefault((place.origin, key[3]), Standing())
                health = self.healths[key] = Health(standing)
                if joins:
                    health.begin_slowly(monotonic_ns())
            place.health = health
        for place in care.places:
            place.health.obey(care.rule, [other.health for other in care.places])

    def watch(self, watches: list[Watch]) -> None:
        """Have these probed, and nothing else; what a probe said before still holds."""
        wanted: dict[tuple[Origin, bytes], list[Health]] = {}
        for watch in watches:
            probe = self.probes.get(watch.key)
            if probe is None:
                probe = self.probes[watch.key] = Probe(partial(self.ask, watch), self.random, self.metrics, watch.rule)
                self.timers.add(probe)
            probe.rule = watch.rule
            places = [self.endpoints.get((place.name, place.origin), place) for place in watch.places]
            wanted.setdefault(watch.key, []).extend(place.health for place in places)
        for key in [key for key in self.probes if key not in wanted]:
            self.timers.discard(self.probes.pop(key))
        for key, healths in wanted.items():
            self.probes[key].tell(healths)

    def ask(self, watch: Watch, probe: Probe) -> None:
        """Start asking; where too many are being asked already, a little later."""
        if len(self.probing) >= MAX_PROBING:
            probe.due = monotonic_ns() + 1
            return
        task = asyncio.get_running_loop().create_task(self.asked(watch, probe))
        self.probing.add(task)
        task.add_done_callback(self.probing.discard)

    async def asked(self, watch: Watch, probe: Probe) -> None:
        """Ask once."""
        good = await ask(watch.origin, self.pool(watch.origin).ssl_context, watch.request, probe.rule.timeout)
        if self.probes.get(watch.key) is probe:
            probe.answered(good, monotonic_ns())

    def budget(self, rule: RetryRule) -> None:
        """Give a rule the budget that rules of its name have had before it."""
        known = self.budgets.setdefault(rule.name, rule.budget)
        known.percent = rule.budget.percent
        rule.budget = known

    def retire(self, used: set[Origin]) -> Steps[None]:
        """Close in small steps what no candidate of the live runtime uses; calls under way end on their connections."""
        for origin in [origin for origin in self.pools if origin not in used]:
            self.pools.pop(origin).close()
            yield
        for key in [key for key, known in self.endpoints.items() if known.origin not in used]:
            del self.endpoints[key]
            yield

    def bind_limits(self, consumer: Any) -> None:
        """Give a consumer, at its first request, its tally and the cells of its limits: the same in every generation.

        GatewayError 503 where the table has no row left: a limit that cannot be kept lets nobody in.
        """
        # Held by the consumers of all generations, and by what is in flight: it goes with the last of them.
        consumer.tally = self.tallies.setdefault(consumer.name, Tally())
        if consumer.limits is None:
            consumer.bound = True
            return
        try:
            self.find_cells(consumer, consumer.limits)
        except TableFullError:
            raise GatewayError(
                503,
                "limits_full",
                "gateway",
                "The gateway has no room to count this key's limits.",
                hint="The operator of the gateway has to restart it with a fresh limits table.",
            ) from None
        consumer.bound = True

    def find_cells(self, consumer: Any, limits: Limits) -> None:
        """Bind `limits` to rows of the table, made where they are new."""
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

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the lock under which rows are added, among all workers of the host."""
        fcntl.flock(self.file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self.file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the pools, the table and the ledger."""
        for pool in self.pools.values():
            pool.close()
        self.file.close()
        self.ledger.close()
