"""plane.first: what a new worker serves when control pushes, is away, says nothing, or sends what cannot be served."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import plane.first
from core.model import Config
from core.snapshot import Snapshot, build
from core.wire import Ack, Nack, Need, Section
from plane.delivery import Delivery
from plane.feed import Feed
from plane.first import first_snapshot
from plane.runtime import Runtime
from plane.steps import Steps
from tests.ledgers import make_ledger
from tests.plane.rig import one_model
from tests.plane.saves import save
from tests.plane.test_feed import SECRETS, Control, Live, push_of

VENDOR = {"env:KEY": "sk-saved"}


def snapshot(version: int, **more: Any) -> Snapshot:
    return build(msgspec.convert(one_model(**more), Config), version)


def credential(runtime: Runtime) -> str:
    """Return what a runtime sends the provider."""
    head = runtime.models["m"].targets[0].heads["chat.completions"][0].decode()
    return head.partition("authorization: Bearer ")[2].partition("\r\n")[0]


class Start:
    """One start of a worker, with a control socket that a test may listen on."""

    def __init__(self, folder: Path) -> None:
        self.data = folder
        self.control = Control(folder / "s")
        self.live = Live()
        self.feed = Feed(str(self.control.path), Delivery(make_ledger()), self.live.go_live)
        self.tasks: list[asyncio.Task[None]] = []

    def connect(self) -> None:
        """Have the worker connect to control, and take what that sends."""
        self.tasks.append(asyncio.create_task(self.feed.run()))

    def begin(self) -> None:
        """Have it look for something to serve, connected or not."""
        if not self.tasks:
            self.connect()
        self.tasks.append(asyncio.create_task(first_snapshot(self.feed, self.data)))

    async def serves(self) -> list[tuple[int, str]]:
        """Return version and credential of all that went live, once it serves or has given up."""
        await asyncio.wait_for(asyncio.shield(self.tasks[-1]), 20)
        return [(runtime.version, credential(runtime)) for runtime in self.live.runtimes]

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    start = Start(tmp_path)
    yield start
    await start.end()
    if "server" in vars(start.control):
        start.control.server.close()
    for writer in start.control.writers:
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for writer in start.control.writers), return_exceptions=True)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the time out of it: only what happens ends the wait."""
    monkeypatch.setattr(plane.first, "PATIENCE", 60.0)
    monkeypatch.setattr(plane.first, "UNDER_WAY", 60.0)


async def test_without_a_control_socket_the_newest_saved_snapshot_serves_at_once(start: Start, patient: None) -> None:
    save(start.data, snapshot(1), secrets=SECRETS)
    save(start.data, snapshot(2), 3, VENDOR)
    start.begin()
    assert await start.serves() == [(2, "sk-saved")]
    assert start.feed.generation == 3


async def test_a_control_that_says_nothing_is_not_waited_for_any_longer_than_that(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plane.first, "PATIENCE", 0.01)
    save(start.data, snapshot(1), secrets=VENDOR)
    await start.control.listen()
    start.begin()
    assert await start.serves() == [(1, "sk-saved")]
    # It comes to its senses: it is told what is served, and that is not built again.
    assert (await start.control.meet()).version == 0
    assert (await start.control.meet()).version == 1
    assert await start.control.push(snapshot(1), VENDOR) == Ack(1, snapshot(1).digest, 1)
    assert len(start.live.runtimes) == 1
    assert isinstance(await start.control.push(snapshot(2), VENDOR), Ack)
    assert [runtime.version for runtime in start.live.runtimes] == [1, 2]


async def test_what_control_pushes_in_time_serves_and_the_disk_is_not_looked_at(start: Start, patient: None) -> None:
    save(start.data, snapshot(1), secrets=VENDOR)
    await start.control.listen()
    start.begin()
    await start.control.meet()
    assert isinstance(await start.control.push(snapshot(2)), Ack)
    assert await start.serves() == [(2, "sk-vendor")]


async def test_a_push_that_has_begun_is_waited_for(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plane.first, "PATIENCE", 0.0)
    save(start.data, snapshot(1), secrets=VENDOR)
    await start.control.listen()
    start.connect()
    await start.control.meet()
    need = await start.control.say(push_of(snapshot(2)))
    assert isinstance(need, Need)
    start.begin()
    answer = await start.control.say(*(Section(snapshot(2).sections[digest]) for digest in need.sections))
    assert isinstance(answer, Ack)
    assert await start.serves() == [(2, "sk-vendor")]


async def test_a_push_that_cannot_be_served_leads_to_the_disk(start: Start, patient: None) -> None:
    save(start.data, snapshot(1), secrets=VENDOR)
    await start.control.listen()
    start.begin()
    await start.control.meet()
    assert isinstance(await start.control.push(snapshot(2), {}), Nack)
    assert await start.serves() == [(1, "sk-saved")]
    # And control, which saw it refuse, is told that it serves.
    hello = await start.control.meet()
    assert (hello.version, hello.digest, hello.generation) == (1, snapshot(1).digest, 1)


async def test_a_control_that_dies_in_the_middle_of_a_push_leads_to_the_disk(start: Start, patient: None) -> None:
    save(start.data, snapshot(1), secrets=VENDOR)
    await start.control.listen()
    start.begin()
    await start.control.meet()
    start.control.server.close()
    await start.control.leave()
    assert await start.serves() == [(1, "sk-saved")]


async def test_a_saved_snapshot_that_cannot_be_built_leads_to_the_one_before(
    start: Start, patient: None, caplog: pytest.LogCaptureFixture
) -> None:
    save(start.data, snapshot(1), secrets=VENDOR)
    save(start.data, snapshot(2, strategy="luck"), secrets=VENDOR)
    save(start.data, snapshot(3), secrets={})
    start.begin()
    assert await start.serves() == [(1, "sk-saved")]
    said = [record.fields for record in caplog.records if record.message == "saved-unusable"]  # type: ignore[attr-defined]
    assert [fields["file"] for fields in said] == ["3-1", "2-1"]
    assert "no value for env:KEY" in said[0]["reason"]
    assert "luck" in said[1]["reason"]


async def test_a_fault_of_ours_with_the_newest_leads_to_the_one_before(
    start: Start, patient: None, caplog: pytest.LogCaptureFixture
) -> None:
    for version in (1, 2):
        save(start.data, snapshot(version), secrets=VENDOR)
    caplog.set_level(logging.CRITICAL)
    go_live = start.live.go_live

    def failing(runtime: Runtime) -> Steps[None]:
        start.live.fault = KeyError("inside") if runtime.version == 2 else None
        yield from go_live(runtime)

    start.feed.go_live = failing
    start.begin()
    assert await start.serves() == [(1, "sk-saved")]


async def test_with_nothing_to_serve_the_reason_is_logged_and_control_is_waited_for(
    start: Start, patient: None, caplog: pytest.LogCaptureFixture
) -> None:
    save(start.data, snapshot(1), secrets=VENDOR).write_bytes(b"")
    start.begin()
    assert await start.serves() == []
    assert [(record.message, record.levelname) for record in caplog.records] == [
        ("saved-unusable", "WARNING"),
        ("nothing-saved", "ERROR"),
    ]
    await start.control.listen()
    await start.control.meet()
    assert isinstance(await start.control.push(snapshot(2)), Ack)
    assert [runtime.version for runtime in start.live.runtimes] == [2]


async def test_a_first_start_of_all_is_no_fault(start: Start, patient: None, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    start.begin()
    assert await start.serves() == []
    (record,) = [record for record in caplog.records if record.message == "nothing-saved"]
    assert record.levelname == "INFO"
    assert record.fields["reason"] == "control has never published here"  # type: ignore[attr-defined]


async def test_no_secret_is_logged_whatever_is_wrong_with_what_was_saved(
    start: Start, patient: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    save(start.data, snapshot(1), secrets=VENDOR)
    save(start.data, snapshot(2), secrets={"env:KEY": "sk-canary\r\n"})
    path = save(start.data, snapshot(3), secrets=VENDOR)
    path.write_bytes(path.read_bytes()[:-1])
    start.begin()
    assert await start.serves() == [(1, "sk-saved")]
    assert not [record for record in caplog.records if "sk-" in str(record.__dict__)]
