"""What a swap carries over: pools, and the calls in flight at an endpoint."""

import mmap
from pathlib import Path

import msgspec
import pytest

from core.cells import Cells, size_for
from core.errors import GatewayError
from core.model import Config
from core.snapshot import build
from plane.compile import compile_snapshot
from plane.metrics import Metrics
from plane.overload import Gauge
from plane.runtime import Runtime
from plane.shared import Shared
from plane.steps import at_once
from plane.timers import Timers
from tests.ledgers import make_ledger


def shared_of(directory: Path, rows: int = 16) -> Shared:
    path = directory / "limits"
    path.write_bytes(bytes(size_for(rows)))
    with path.open("r+b") as file:
        Cells(mmap.mmap(file.fileno(), 0)).prepare(bytes(16))
    return Shared(0, path, Timers(), make_ledger(), Metrics(), Gauge(8, 8, 1024))


def runtime_of(weights: list[int]) -> Runtime:
    config = {
        "upstreams": {"a": {"endpoints": ["http://127.0.0.1:1", "http://127.0.0.1:2"], "weights": weights}},
        "routes": {"a": {"match": {"path": "/a/*"}, "upstream": "a"}, "b": {"match": {"path": "/b"}, "upstream": "a"}},
    }
    return compile_snapshot(build(msgspec.convert(config, Config), 1), {})


async def test_calls_in_flight_at_an_endpoint_stay_counted_through_a_swap(tmp_path: Path) -> None:
    shared = shared_of(tmp_path)
    before, after = runtime_of([1, 1]), runtime_of([1, 5])
    at_once(before.bind(shared))
    endpoint = before.groups[0][1]
    endpoint.in_flight += 1
    at_once(after.bind(shared))
    assert after.groups[0][1] is endpoint
    assert endpoint.weight == 5
    for path in (b"/a/x", b"/b"):
        assert after.router.match("GET", b"x", path).endpoints[1].in_flight == 1
    shared.close()


async def test_an_endpoint_that_no_runtime_uses_is_forgotten(tmp_path: Path) -> None:
    shared = shared_of(tmp_path)
    at_once(runtime_of([1, 1]).bind(shared))
    at_once(shared.retire(set()))
    assert (shared.pools, shared.endpoints) == ({}, {})
    shared.close()


def test_a_limit_for_which_there_is_no_cell_lets_nobody_in(tmp_path: Path) -> None:
    shared = shared_of(tmp_path, rows=2)
    config = {
        "consumers": {
            name: {"keys": [{"sha256": f"{index:064x}"}], "limits": {"requests": "1/s"}}
            for index, name in enumerate(["a", "b", "c", "d"])
        }
    }
    runtime = compile_snapshot(build(msgspec.convert(config, Config), 1), {})
    consumers = [runtime.consumers.named(name) for name in "abcd"]
    for consumer in consumers[: shared.cells.capacity]:
        shared.bind_limits(consumer)
    with pytest.raises(GatewayError) as refused:
        shared.bind_limits(consumers[-1])
    assert (refused.value.status, refused.value.code) == (503, "limits_full")
    assert not consumers[-1].bound
    shared.close()


async def test_pools_are_shared_by_all_that_lead_to_one_origin(tmp_path: Path) -> None:
    shared = shared_of(tmp_path)
    runtime = runtime_of([1, 1])
    at_once(runtime.bind(shared))
    first, second = runtime.groups[0]
    assert first.pool is shared.pool(first.origin)
    assert first.pool is not second.pool
    shared.close()
