"""A swap of runtimes: it goes in slices, the old one dies without the collector, and nothing is left for it to walk."""

import asyncio
import gc
import weakref
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from core.model import Config
from core.snapshot import Snapshot, build
from plane import steps
from plane.compile import compile_snapshot, compile_steps
from plane.delivery import Delivery
from plane.feed import Feed
from plane.release import Release
from plane.runtime import Route, Runtime
from plane.steps import Steps, at_once, paced
from tests.ledgers import make_ledger

ROUTES = 500


def snapshot_of(version: int, *, team: str = "a", keys: int = 50) -> Snapshot:
    config = {
        "upstreams": {"u": {"endpoints": ["http://a.test"]}},
        "routes": {f"r{n}": {"match": {"path": f"/{team}/r{n}/*"}, "upstream": "u"} for n in range(ROUTES)},
        "consumers": {f"c{n}": {"keys": [{"sha256": f"{n:064x}"}]} for n in range(keys)},
    }
    return build(msgspec.convert(config, Config), version)


def live(_: Runtime) -> Steps[None]:
    yield


@pytest.fixture
def feed() -> Feed:
    return Feed("", Delivery(make_ledger()), live)


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def test_callers_get_a_pass_of_the_loop_whenever_a_slice_is_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "SLICE", -1)
    passes = 0
    building = asyncio.create_task(paced(compile_steps(snapshot_of(1), {})))
    while not building.done():
        passes += 1
        await asyncio.sleep(0)
    # A step for each route and each consumer, at least.
    assert passes >= ROUTES + 50
    assert building.result().version == 1


def test_steps_done_at_once_return_what_they_return() -> None:
    def two() -> Steps[int]:
        yield
        return 2

    assert at_once(two()) == 2


async def test_a_step_that_fails_ends_paced_work_with_its_fault() -> None:
    def failing() -> Steps[None]:
        yield
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await paced(failing())


async def test_an_old_runtime_dies_when_the_last_request_on_it_ends_and_is_taken_apart_in_slices(
    monkeypatch: pytest.MonkeyPatch, no_collector: None
) -> None:
    release = Release()
    runtime: Runtime | None = compile_snapshot(snapshot_of(1), {})
    assert runtime is not None
    site = weakref.ref(runtime.site)
    made = len(runtime.router.made)
    assert made > 3 * ROUTES
    release.watch(runtime.site)
    exchange: Any = runtime.router.match("GET", b"x", b"/a/r7/x")
    await asyncio.sleep(0)
    assert (len(release.waiting), len(release.tasks)) == (1, 0)
    runtime = None
    # Nobody holds it; a route that a request has taken lives on alone.
    assert site() is None
    assert exchange.name == "r7"
    (task,) = release.tasks
    monkeypatch.setattr(steps, "SLICE", -1)
    passes = 0
    while not task.done():
        passes += 1
        await asyncio.sleep(0)
    assert passes > made / 64
    assert release.waiting == set()


async def test_only_consumers_changed_so_all_else_is_taken_over(feed: Feed) -> None:
    await feed.serve(snapshot_of(1), {}, 1)
    first = feed.live
    await feed.serve(snapshot_of(2, keys=51), {}, 1)
    second = feed.live
    assert first is not None
    assert second is not None
    assert second.site is first.site
    assert second.consumers.named("c50") is not None
    assert first.consumers.named("c50") is None
    assert feed.release.waiting == set()
    await feed.serve(snapshot_of(3, team="b", keys=51), {}, 1)
    assert feed.live is not None
    assert feed.live.site is not second.site
    assert len(feed.release.waiting) == 1


async def test_other_secrets_make_another_site(feed: Feed) -> None:
    await feed.serve(snapshot_of(1), {}, 1)
    first = feed.live
    await feed.serve(snapshot_of(1), {"env:KEY": "new"}, 2)
    assert first is not None
    assert feed.live is not None
    assert feed.live.site is not first.site


async def test_no_collection_walks_a_runtime(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def while_going_live(_: Runtime) -> Steps[None]:
        seen.append(gc.isenabled())
        yield

    monkeypatch.setattr(feed, "go_live", while_going_live)
    await feed.serve(snapshot_of(1), {}, 1)
    assert seen == [False]
    assert gc.isenabled()
    # What is frozen is in no generation.
    assert not any(isinstance(item, Route) for item in gc.get_objects())
    assert gc.get_freeze_count() > ROUTES
    gc.unfreeze()
