"""plane.shared and a worker's swap: what lasts, what ends, and that a config that cannot go live changes nothing."""

import mmap
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.cells import Cells, size_for
from core.errors import ConfigError
from core.model import Config
from core.snapshot import build
from plane.delivery import Delivery
from plane.feed import Feed
from plane.main import Worker
from plane.metrics import Metrics
from plane.overload import Gauge
from plane.shared import Shared
from plane.timers import Timers
from tests.ledgers import make_ledger


@pytest.fixture
def limits(tmp_path: Path) -> Path:
    path = tmp_path / "limits"
    path.write_bytes(bytes(size_for(8)))
    with path.open("r+b") as file:
        Cells(mmap.mmap(file.fileno(), 0)).prepare(bytes(16))
    return path


class Swaps:
    """A worker that takes configs as control pushes them."""

    def __init__(self, limits: Path) -> None:
        self.timers, self.ledger = Timers(), make_ledger()
        self.shared = Shared(0, limits, self.timers, self.ledger, Metrics(), Gauge(8, 8, 1024))
        self.listener = socket.socket()
        self.worker = Worker(self.listener, self.shared, self.timers)
        self.feed = Feed("", Delivery(self.ledger), self.worker.go_live)
        self.version = 0

    async def push(self, config: dict[str, Any]) -> None:
        self.version += 1
        await self.feed.serve(build(msgspec.convert(config, Config), self.version), {}, 1)

    def close(self) -> None:
        self.shared.close()
        self.listener.close()


@pytest.fixture
def swaps(limits: Path) -> Iterator[Swaps]:
    made = Swaps(limits)
    yield made
    made.close()


def config(*urls: str, weights: tuple[int, ...] = (), **more: Any) -> dict[str, Any]:
    return {
        "upstreams": {"u": {"endpoints": urls, "weights": weights}},
        "routes": {"r": {"match": {"path": "/r"}, "upstream": "u"}},
        **more,
    }


async def test_a_config_whose_ca_cannot_be_read_is_refused_by_its_path_and_changes_nothing(
    swaps: Swaps, tmp_path: Path
) -> None:
    await swaps.push(config("http://a.test", "http://b.test", weights=(1, 2)))
    live, pools = swaps.worker.runtime, dict(swaps.shared.pools)
    assert live is not None
    missing = tmp_path / "missing.pem"
    secure = {"providers": {"p": {"dialect": "openai", "base_url": "https://p.test/v1", "ca": str(missing)}}}
    model = {"models": {"m": {"targets": [{"provider": "p", "model": "x"}]}}}
    with pytest.raises(ConfigError, match=f"{missing} cannot be used: No such file or directory"):
        await swaps.push(config("http://a.test", "http://c.test", weights=(7, 0), **secure, **model))
    assert swaps.worker.runtime is live
    assert swaps.shared.pools == pools
    assert [endpoint.weight for endpoint in live.groups[0]] == [1, 2]
    assert all(endpoint.pool in pools.values() for endpoint in live.groups[0])


async def test_a_pool_lives_as_long_as_any_config_leads_there(swaps: Swaps) -> None:
    await swaps.push(config("http://a.test", "http://b.test"))
    first, second = swaps.shared.pools.values()
    await swaps.push(config("http://b.test/other/path", "http://c.test"))
    assert [str(origin) for origin in swaps.shared.pools] == ["http://b.test:80", "http://c.test:80"]
    assert second in swaps.shared.pools.values()
    await swaps.push(config("http://a.test"))
    assert first not in swaps.shared.pools.values()


async def test_what_makes_connections_differ_makes_another_pool(swaps: Swaps, tmp_path: Path) -> None:
    await swaps.push(config("http://a.test", "http://a.test:80/x", "https://a.test", "http://a.test:81"))
    assert len(swaps.shared.pools) == 3
    more = config("http://a.test")
    more["upstreams"]["u"]["max_connections"] = 7
    await swaps.push(more)
    (pool,) = swaps.shared.pools.values()
    assert pool.limit == 7


async def test_workers_count_in_the_same_cells(limits: Path) -> None:
    limited = {"c": {"limits": {"requests": "3/day", "concurrent": 3}}}
    workers = [Swaps(limits), Swaps(limits)]
    taken = []
    for worker in workers:
        await worker.push({"consumers": limited})
        assert worker.worker.runtime is not None
        consumer = worker.worker.runtime.consumers.named("c")
        worker.shared.bind_limits(consumer)
        taken += [consumer.rate.take(10**15) for _ in range(2)]
    assert taken == [2, 1, 0, -1]
    for worker in workers:
        worker.close()
