"""plane.feed: snapshots in, acks, nacks and usage out, over real sockets and through every loss of control."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.errors import ConfigError
from core.model import Config
from core.snapshot import encode, seal
from core.wire import FORMAT, Ack, Frame, FrameReader, Hello, Nack, Push, Usage, UsageTaken, pack
from plane.delivery import Delivery
from plane.feed import Feed
from plane.ledger import Ledger
from plane.runtime import Runtime
from tests.ledgers import event, events_in, make_ledger, take
from tests.plane.rig import one_model

SECRETS = {"env:KEY": "sk-vendor"}


def push_of(config: dict[str, Any], version: int = 1, secrets: dict[str, str] | None = None) -> Push:
    snapshot = seal(msgspec.convert(config, Config), version)
    return Push(version, snapshot.digest, encode(snapshot), SECRETS if secrets is None else secrets)


class Live:
    """What goes live: a runtime, unless `fault` is raised instead."""

    def __init__(self) -> None:
        self.runtimes: list[Runtime] = []
        self.fault: Exception | None = None

    def go_live(self, runtime: Runtime) -> None:
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

    async def say(self, push: Push) -> Frame:
        self.writer.write(pack(push))
        return await self.next()

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
    push = push_of(one_model(), 7)
    assert await control.say(push) == Ack(7, push.digest)
    assert [(runtime.version, runtime.digest) for runtime in live.runtimes] == [(7, push.digest)]
    await control.leave()


Damage = Callable[[Push], Push]


def but(**changes: Any) -> Damage:
    return lambda push: msgspec.structs.replace(push, **changes)


def damaged(change: Callable[[bytes], bytes]) -> Damage:
    return lambda push: msgspec.structs.replace(push, snapshot=change(push.snapshot))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (damaged(lambda data: data[:-1]), "bytes of config, and the header says"),
        (damaged(lambda data: data[:40]), "truncated: 40 bytes"),
        (damaged(lambda data: b""), "truncated: 0 bytes"),
        (damaged(lambda data: data[:-1] + bytes([data[-1] ^ 1])), "does not have the digest"),
        (damaged(lambda data: data[:12] + b"\1" + data[13:]), "the header was altered"),
        (damaged(lambda data: data[:8] + b"\0\2" + data[10:]), "format 2; this build reads format 1"),
        (damaged(lambda data: b"x" + data[1:]), "not a snapshot"),
        (but(version=2), "not the one that was announced"),
        (but(digest="0" * 64), "not the one that was announced"),
        (but(secrets={}), "providers.p.credential: no value for env:KEY"),
        (but(secrets={"env:KEY": "a\r\nb"}), "cannot stand in a header"),
    ],
)
def test_what_is_not_the_snapshot_that_was_sealed_is_nacked_with_the_reason(damage: Damage, reason: str) -> None:
    live = Live()
    push = damage(push_of(one_model()))
    answer = Feed("", Delivery(make_ledger()), live.go_live).take(push)
    assert isinstance(answer, Nack)
    assert (answer.version, answer.digest) == (push.version, push.digest)
    assert reason in answer.reason
    assert "a\r\nb" not in answer.reason
    assert live.runtimes == []


def test_every_problem_of_a_config_stands_in_the_nack() -> None:
    config = one_model(strategy="luck")
    config["providers"]["p"]["dialect"] = "latin"
    answer = Feed("", Delivery(make_ledger()), Live().go_live).take(push_of(config))
    assert isinstance(answer, Nack)
    assert [line.split(":")[0] for line in answer.reason.splitlines()] == ["providers.p.dialect", "models.m.strategy"]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (FileNotFoundError(2, "No such file or directory", "/x/ca.pem"), "No such file or directory: '/x/ca.pem'"),
        (PermissionError(13, "Permission denied", "/x/ca.pem"), "Permission denied: '/x/ca.pem'"),
        (ConfigError(["the CA certificates in /x/ca.pem cannot be used"]), "the CA certificates in /x/ca.pem"),
        (KeyError("inside"), "building it failed: KeyError"),
    ],
)
def test_what_goes_wrong_in_going_live_is_told(fault: Exception, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="headgate.feed")
    live = Live()
    live.fault = fault
    answer = Feed("", Delivery(make_ledger()), live.go_live).take(push_of(one_model()))
    assert isinstance(answer, Nack)
    assert reason in answer.reason


async def test_after_a_nack_the_next_push_is_taken(worker: Worker) -> None:
    _, live, control, _ = worker
    await control.meet()
    good = push_of(one_model(), 2)
    assert isinstance(await control.say(msgspec.structs.replace(good, snapshot=b"")), Nack)
    assert await control.say(good) == Ack(2, good.digest)
    assert len(live.runtimes) == 1
    await control.leave()


async def test_new_secrets_under_the_same_digest_are_taken(worker: Worker) -> None:
    _, live, control, _ = worker
    await control.meet()
    await control.say(push_of(one_model()))
    await control.say(push_of(one_model(), secrets={"env:KEY": "sk-new"}))
    heads = [runtime.models["m"].targets[0].heads["chat.completions"] for runtime in live.runtimes]
    assert [b"sk-vendor" in heads[0], b"sk-new" in heads[1]] == [True, True]
    await control.leave()


async def test_a_worker_comes_back_when_control_does_and_serves_on_meanwhile(worker: Worker) -> None:
    _, live, control, _ = worker
    await control.meet()
    await control.say(push_of(one_model()))
    await control.leave()
    await control.meet()
    assert len(live.runtimes) == 1
    assert isinstance(await control.say(push_of(one_model(), 2)), Ack)
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
    await control.say(push_of(one_model()))
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
