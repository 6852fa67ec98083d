"""plane.feed: snapshots in, acks, nacks and usage out, over real sockets and through every loss of control."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.errors import ConfigError
from core.model import Config
from core.snapshot import Snapshot, build, parse
from core.wire import FORMAT, Ack, Frame, FrameReader, Hello, Nack, Need, Push, Section, Usage, UsageTaken, pack
from plane.delivery import Delivery
from plane.feed import Feed
from plane.ledger import Ledger
from plane.runtime import Runtime
from plane.steps import Steps
from tests.ledgers import events_in, make_ledger, take
from tests.plane.rig import one_model
from tests.usage_events import event

SECRETS = {"env:KEY": "sk-vendor"}


def snapshot_of(config: dict[str, Any], version: int = 1) -> Snapshot:
    return build(msgspec.convert(config, Config), version)


def push_of(snapshot: Snapshot, secrets: dict[str, str] | None = None, generation: int = 1) -> Push:
    values = SECRETS if secrets is None else secrets
    return Push(snapshot.version, snapshot.digest, generation, snapshot.manifest, values)


class Live:
    """What goes live: a runtime, unless `fault` is raised instead."""

    def __init__(self) -> None:
        self.runtimes: list[Runtime] = []
        self.fault: Exception | None = None

    def go_live(self, runtime: Runtime) -> Steps[None]:
        yield
        if self.fault is not None:
            raise self.fault
        self.runtimes.append(runtime)


class Control:
    """The other end: one listening socket, and the connection that a worker makes to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connections: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self.writers: list[asyncio.StreamWriter] = []
        self.frames: list[Frame] = []
        self.asked: list[bytes] = []
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter
        self.decoder: FrameReader

    async def listen(self) -> None:
        async def took(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.writers.append(writer)
            self.connections.put_nowait((reader, writer))

        self.server = await asyncio.start_unix_server(took, self.path)

    async def meet(self) -> Hello:
        """Take the worker's next connection and return its first words."""
        async with asyncio.timeout(20):
            self.reader, self.writer = await self.connections.get()
        self.decoder, self.frames = FrameReader(), []
        hello = await self.next()
        assert isinstance(hello, Hello)
        return hello

    async def next(self) -> Frame:
        async with asyncio.timeout(20):
            while not self.frames:
                data = await self.reader.read(1 << 16)
                assert data, "the worker closed"
                self.frames += self.decoder.feed(data)
        return self.frames.pop(0)

    async def say(self, *frames: Frame) -> Frame:
        for frame in frames:
            self.writer.write(pack(frame))
        return await self.next()

    async def push(self, snapshot: Snapshot, secrets: dict[str, str] | None = None, generation: int = 1) -> Frame:
        """Push as control does, and return the worker's last word on it."""
        self.asked = []
        answer = await self.say(push_of(snapshot, secrets, generation))
        if isinstance(answer, Need):
            self.asked = answer.sections
            answer = await self.say(*(Section(snapshot.sections[digest]) for digest in answer.sections))
        return answer

    async def usage(self, count: int) -> list[int]:
        """Return the ids of the next `count` events, saying of each batch that it was taken."""
        numbers: list[int] = []
        while len(numbers) < count:
            frame = await self.next()
            assert isinstance(frame, Usage)
            numbers += [one.id for one in events_in(frame.records)]
            self.writer.write(pack(UsageTaken(frame.number)))
        return numbers

    async def leave(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


Worker = tuple[Feed, Live, Control, Ledger]


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    control, live, ledger = Control(tmp_path / "s"), Live(), make_ledger(boot="boot-word")
    await control.listen()
    feed = Feed(str(control.path), Delivery(ledger), live.go_live)
    tasks = [asyncio.create_task(job) for job in (feed.run(), feed.delivery.run())]
    yield feed, live, control, ledger
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    control.server.close()
    await control.server.wait_closed()
    for writer in control.writers:
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for writer in control.writers), return_exceptions=True)


async def test_a_worker_says_who_it_is_and_acks_what_it_serves(worker: Worker) -> None:
    _, live, control, _ = worker
    hello = await control.meet()
    assert (hello.format, hello.worker, hello.boot) == (FORMAT, 0, "boot-word")
    snapshot = snapshot_of(one_model(), 7)
    assert await control.push(snapshot) == Ack(7, snapshot.digest, 1)
    assert [(runtime.version, runtime.digest) for runtime in live.runtimes] == [(7, snapshot.digest)]
    await control.leave()


def many(count: int = 6000, **changes: Any) -> dict[str, Any]:
    """Return a config with so many consumers, some of them changed."""
    people = {f"c{number}": {"keys": [{"sha256": f"{number:064x}"}], "models": ["m"]} for number in range(count)}
    return one_model() | {"consumers": people | changes}


def kinds(snapshot: Snapshot, digests: list[bytes]) -> list[str]:
    return [part.kind for part in parse(snapshot.manifest).parts if part.digest in digests]


async def test_only_what_a_worker_has_not_is_asked_for(worker: Worker) -> None:
    _, live, control, _ = worker
    await control.meet()
    first = snapshot_of(many())
    assert isinstance(await control.push(first), Ack)
    assert control.asked == list(first.sections)
    assert isinstance(await control.push(first), Ack)
    assert control.asked == []
    changed = snapshot_of(many(c77={"keys": [{"sha256": "f" * 64}]}), 2)
    assert isinstance(await control.push(changed), Ack)
    # The key that went and the key that came stand in the index wherever their tags belong.
    assert sorted(set(kinds(changed, control.asked))) == ["consumers", "keys"]
    assert len(control.asked) <= 3 < len(changed.sections)
    before, after = live.runtimes
    assert after.site is before.site
    assert sum(before.parts.get(digest) is part for digest, part in after.parts.items()) == len(after.parts) - len(
        control.asked
    )
    found = after.consumers.find(b"\xff" * 32)
    assert found is not None
    assert (found.name, found.models) == ("c77", frozenset())
    assert after.consumers.find((77).to_bytes(32, "big")) is None
    assert before.consumers.find((77).to_bytes(32, "big")) is not None
    await control.leave()


async def test_consumers_are_looked_at_again_where_a_model_of_theirs_is_gone(worker: Worker) -> None:
    _, live, control, _ = worker
    await control.meet()
    two = one_model()
    two["models"]["n"] = two["models"]["m"]
    two["consumers"]["c"]["models"] = ["n"]
    assert isinstance(await control.push(snapshot_of(two)), Ack)
    del two["models"]["n"]
    answer = await control.push(snapshot_of(two, 2))
    assert isinstance(answer, Nack)
    assert answer.reason == "consumers.c.models[0]: no model is named 'n'"
    assert len(live.runtimes) == 1
    await control.leave()


Damage = Callable[[Push], Push]


def but(**changes: Any) -> Damage:
    return lambda push: msgspec.structs.replace(push, **changes)


def damaged(change: Callable[[bytes], bytes]) -> Damage:
    return lambda push: msgspec.structs.replace(push, manifest=change(push.manifest))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (damaged(lambda data: data[:-1]), "and it says that it lists 4 sections"),
        (damaged(lambda data: data[:40]), "truncated: a manifest of 40 bytes"),
        (damaged(lambda data: b""), "truncated: a manifest of 0 bytes"),
        (damaged(lambda data: data[:-1] + bytes([data[-1] ^ 1])), "the manifest was altered"),
        (damaged(lambda data: data[:8] + b"\0\1" + data[10:]), "format 1; this build reads format 2"),
        (damaged(lambda data: b"x" + data[1:]), "not a snapshot"),
        (but(version=2), "not the one that was announced"),
        (but(digest="0" * 64), "not the one that was announced"),
    ],
)
async def test_a_manifest_that_is_not_the_one_that_was_built_is_nacked_with_the_reason(
    worker: Worker, damage: Damage, reason: str
) -> None:
    _, live, control, _ = worker
    await control.meet()
    push = damage(push_of(snapshot_of(one_model())))
    answer = await control.say(push)
    assert isinstance(answer, Nack)
    assert (answer.version, answer.digest) == (push.version, push.digest)
    assert reason in answer.reason
    assert live.runtimes == []
    await control.leave()


@pytest.mark.parametrize(
    ("secrets", "reason"),
    [({}, "providers.p.credential: no value for env:KEY"), ({"env:KEY": "a\r\nb"}, "cannot stand in a header")],
)
async def test_secrets_that_cannot_be_used_are_nacked_and_not_quoted(
    worker: Worker, secrets: dict[str, str], reason: str
) -> None:
    _, live, control, _ = worker
    await control.meet()
    answer = await control.push(snapshot_of(one_model()), secrets)
    assert isinstance(answer, Nack)
    assert reason in answer.reason
    assert "a\r\nb" not in answer.reason
    assert live.runtimes == []
    await control.leave()


async def test_a_wrong_section_is_nacked_when_the_last_one_has_come_and_the_next_push_is_taken(worker: Worker) -> None:
    _, live, control, _ = worker
    await control.meet()
    good = snapshot_of(one_model(), 2)
    need = await control.say(push_of(good))
    assert isinstance(need, Need)
    data = [good.sections[digest] for digest in need.sections]
    for wrong, reason in (
        ([data[0][:-1], *data[1:]], "a section of providers has"),
        ([*data[:-1], data[-1][:-1] + bytes([data[-1][-1] ^ 1])], "a section of keys was altered"),
        (data[::-1], "a section of providers has"),
    ):
        answer = await control.say(*(Section(one) for one in wrong))
        assert isinstance(answer, Nack)
        assert answer.reason.startswith(reason)
        assert isinstance(await control.say(push_of(good)), Need)
    assert live.runtimes == []
    assert await control.say(*(Section(one) for one in data)) == Ack(2, good.digest, 1)
    assert len(live.runtimes) == 1
    await control.leave()


async def test_a_push_before_the_last_section_of_another_ends_that_one(worker: Worker) -> None:
    _, live, control, _ = worker
    await control.meet()
    first, second = snapshot_of(one_model()), snapshot_of(one_model(), 2)
    need = await control.say(push_of(first))
    assert isinstance(need, Need)
    answer = await control.say(Section(first.sections[need.sections[0]]), push_of(second))
    assert answer == Nack(1, first.digest, 1, "another push came before all of its sections had")
    assert isinstance(await control.next(), Need)
    answer = await control.say(*(Section(second.sections[digest]) for digest in need.sections))
    assert answer == Ack(2, second.digest, 1)
    assert [runtime.version for runtime in live.runtimes] == [2]
    await control.leave()


async def test_a_section_that_nobody_asked_for_ends_the_connection(worker: Worker) -> None:
    _, live, control, _ = worker
    await control.meet()
    control.writer.write(pack(Section(b"x")))
    assert await asyncio.wait_for(control.reader.read(), 20) == b""
    await control.leave()
    await control.meet()
    assert isinstance(await control.push(snapshot_of(one_model())), Ack)
    assert len(live.runtimes) == 1
    await control.leave()


async def test_every_problem_of_a_config_stands_in_the_nack(worker: Worker) -> None:
    _, _, control, _ = worker
    await control.meet()
    config = one_model(strategy="luck")
    config["providers"]["p"]["dialect"] = "latin"
    answer = await control.push(snapshot_of(config))
    assert isinstance(answer, Nack)
    assert [line.split(":")[0] for line in answer.reason.splitlines()] == ["providers.p.dialect", "models.m.strategy"]
    await control.leave()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (FileNotFoundError(2, "No such file or directory", "/x/ca.pem"), "No such file or directory: '/x/ca.pem'"),
        (PermissionError(13, "Permission denied", "/x/ca.pem"), "Permission denied: '/x/ca.pem'"),
        (ConfigError(["the CA certificates in /x/ca.pem cannot be used"]), "the CA certificates in /x/ca.pem"),
        (KeyError("inside"), "building it failed: KeyError"),
    ],
)
async def test_what_goes_wrong_in_going_live_is_told(
    worker: Worker, fault: Exception, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, logger="headgate.feed")
    feed, live, control, _ = worker
    await control.meet()
    live.fault = fault
    answer = await control.push(snapshot_of(one_model()))
    assert isinstance(answer, Nack)
    assert reason in answer.reason
    assert feed.live is None
    assert gc.isenabled()
    await control.leave()


async def test_new_secrets_under_the_same_digest_are_taken(worker: Worker) -> None:
    _, live, control, _ = worker
    await control.meet()
    await control.push(snapshot_of(one_model()))
    await control.push(snapshot_of(one_model()), {"env:KEY": "sk-new"}, 2)
    assert control.asked == []
    heads = [runtime.models["m"].targets[0].heads["chat.completions"][0] for runtime in live.runtimes]
    assert [b"sk-vendor" in heads[0], b"sk-new" in heads[1]] == [True, True]
    await control.leave()


async def test_secrets_older_than_those_served_are_refused(worker: Worker) -> None:
    _, live, control, _ = worker
    await control.meet()
    await control.push(snapshot_of(one_model()), {"env:KEY": "sk-new"}, 5)
    for version in (1, 2):
        answer = await control.push(snapshot_of(one_model(), version), {"env:KEY": "sk-old"}, 4)
        assert isinstance(answer, Nack)
        assert (answer.version, answer.generation) == (version, 4)
        assert answer.reason == "its secrets are of generation 4; 5 is served"
    assert len(live.runtimes) == 1
    await control.leave()


async def test_going_back_to_an_older_version_takes_its_older_secrets_with_it(worker: Worker) -> None:
    """So control takes a version back that another worker has refused."""
    _, live, control, _ = worker
    await control.meet()
    await control.push(snapshot_of(one_model(), 3), generation=5)
    assert isinstance(await control.push(snapshot_of(one_model(), 2), generation=4), Ack)
    assert [runtime.version for runtime in live.runtimes] == [3, 2]
    await control.leave()


async def test_what_is_served_already_is_acked_and_not_built_again(worker: Worker) -> None:
    _, live, control, _ = worker
    await control.meet()
    snapshot = snapshot_of(one_model())
    for _ in range(2):
        assert await control.push(snapshot) == Ack(1, snapshot.digest, 1)
    assert len(live.runtimes) == 1
    await control.leave()


async def test_a_worker_says_what_it_serves_when_it_comes_back(worker: Worker) -> None:
    _, _, control, _ = worker
    hello = await control.meet()
    assert (hello.version, hello.digest, hello.generation) == (0, "", 0)
    snapshot = snapshot_of(one_model(), 4)
    await control.push(snapshot, generation=3)
    await control.leave()
    hello = await control.meet()
    assert (hello.version, hello.digest, hello.generation) == (4, snapshot.digest, 3)
    await control.leave()


async def test_what_was_on_its_way_when_control_went_is_dropped(worker: Worker) -> None:
    feed, live, control, _ = worker
    await control.meet()
    assert isinstance(await control.say(push_of(snapshot_of(one_model()))), Need)
    await control.leave()
    await control.meet()
    assert feed.incoming is None
    assert isinstance(await control.push(snapshot_of(one_model(), 2)), Ack)
    assert [runtime.version for runtime in live.runtimes] == [2]
    await control.leave()


async def test_a_worker_comes_back_when_control_does_and_serves_on_meanwhile(worker: Worker) -> None:
    _, live, control, _ = worker
    await control.meet()
    await control.push(snapshot_of(one_model()))
    await control.leave()
    await control.meet()
    assert len(live.runtimes) == 1
    assert isinstance(await control.push(snapshot_of(one_model(), 2)), Ack)
    await control.leave()


async def test_bytes_that_are_no_frame_end_the_connection_and_a_new_one_is_made(worker: Worker) -> None:
    _, _, control, _ = worker
    await control.meet()
    control.writer.write(b"\xff" * 16)
    assert await asyncio.wait_for(control.reader.read(), 20) == b""
    await control.leave()
    await control.meet()
    await control.leave()


async def emptied(feed: Feed) -> None:
    """Wait until control's last answer has come: a report finds nothing more to send."""
    feed.delivery.emptied.clear()
    await asyncio.wait_for(feed.delivery.emptied.wait(), 20)


async def test_usage_is_sent_in_order_and_once(worker: Worker) -> None:
    feed, _, control, ledger = worker
    await control.meet()
    for number in range(5_000):
        ledger.append(event(number))
    assert await control.usage(5_000) == list(range(5_000))
    await emptied(feed)
    await control.leave()


async def test_usage_waits_for_control_to_come(tmp_path: Path) -> None:
    ledger = make_ledger()
    delivery = Delivery(ledger)
    ledger.append(event(1))
    delivery.send()
    ledger.append(event(2))
    assert [one.id for one in take(ledger)] == [1, 2]


async def test_usage_that_control_did_not_answer_for_comes_again_before_what_came_since(worker: Worker) -> None:
    feed, _, control, ledger = worker
    await control.meet()
    ledger.append(event(1))
    assert isinstance(await control.next(), Usage)
    ledger.append(event(2))
    await control.leave()
    await control.meet()
    assert await control.usage(2) == [1, 2]
    await emptied(feed)
    await control.leave()


async def test_an_answer_for_a_batch_that_was_given_up_frees_nothing(worker: Worker) -> None:
    _, _, control, ledger = worker
    await control.meet()
    ledger.append(event(1))
    lost = await control.next()
    assert isinstance(lost, Usage)
    await control.leave()
    await control.meet()
    again = await control.next()
    assert isinstance(again, Usage)
    assert again.number != lost.number
    control.writer.write(pack(UsageTaken(lost.number)))
    await control.push(snapshot_of(one_model()))
    assert ledger.backlog() == len(again.records)
    await control.leave()


async def test_the_last_usage_is_out_before_a_worker_ends(worker: Worker) -> None:
    feed, _, control, ledger = worker
    await control.meet()
    for number in range(20_000):
        ledger.append(event(number))
    reading = asyncio.create_task(control.usage(20_000))
    await feed.finish()
    assert await reading == list(range(20_000))
    assert ledger.backlog() == 0
    await control.leave()


async def test_a_worker_that_ends_without_control_does_not_wait(tmp_path: Path) -> None:
    delivery = Delivery(make_ledger())
    delivery.ledger.append(event(1))
    await asyncio.wait_for(Feed(str(tmp_path / "s"), delivery, Live().go_live).finish(), 2)
    assert delivery.ledger.backlog() > 0
