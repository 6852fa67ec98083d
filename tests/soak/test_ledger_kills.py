"""The ledger through SIGKILLs at named moments: no finished call is lost, none is counted twice.

Three sets are joined at the end: the calls whose answer came whole to the caller, by request id; the events in the
segments; and the ids of those events. A moment is brought about by stopping a process (SIGSTOP) or an upstream where it
should stand, never by hoping.
"""

import contextlib
import os
import random
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from control.segments import events, segments_in
from tests.conformance.answers import CHUNK, STREAM_HEAD, chunk
from tests.e2e.harness import KEYS, Caller, Gateway, TruncatedError, chat_request, digest, eventually, gateway, post
from tests.providers.scripted import Upstream, awaits, echo_kept, sets
from tests.soak.counts import count

CONFIG = """
providers:
  scripted: {{dialect: openai, base_url: http://127.0.0.1:{port}/v1, credential: env:PROVIDER_KEY}}
models:
  good: {{targets: [{{provider: scripted, model: scripted-small}}]}}
consumers:
  alice: {{keys: [{{sha256: {alice}}}], models: ["*"], limits: {{requests: 1000000/s, concurrent: 1000}}}}
"""
AHEAD = 16  # Requests a caller may have under way on one connection.
FLOOD = 8  # Connections that fill a ring.


def named(request: bytes, name: str) -> bytes:
    """Return `request` with `name` for its id."""
    return request.replace(b"\r\nhost:", f"\r\nx-request-id: {name}\r\nhost:".encode(), 1)


class Stage:
    """One gateway with one worker, its upstream, and the ids of the calls whose answers came whole."""

    def __init__(self, running: Gateway, upstream: Upstream, text: str) -> None:
        self.running = running
        self.upstream = upstream
        self.text = text
        self.answered: list[str] = []
        self.kills = 0

    # --- the processes

    @property
    def worker(self) -> int:
        """The process id of the worker."""
        return self.running.admin("GET", "/v1/status")[1]["workers"][0]["pid"]

    @property
    def control(self) -> int:
        """The process id of control."""
        return self.running.admin("GET", "/v1/status")[1]["pid"]

    def kill(self, *pids: int) -> None:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            self.kills += 1

    @contextlib.contextmanager
    def stopped(self, pid: int) -> Iterator[None]:
        """Let a process stand still meanwhile."""
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def serves_again(self, *dead: int) -> None:
        """Wait until others serve in the place of the `dead`."""

        def serves() -> bool:
            with contextlib.suppress(OSError, AssertionError, ValueError, KeyError):
                status = self.running.admin("GET", "/v1/status")[1]
                (row,) = status["workers"]
                return row["state"] == "serving" and not {row["pid"], status["pid"]} & set(dead)
            return False

        eventually(serves)

    # --- the calls

    def call(self, caller: Caller, number: int = 0) -> str:
        """Make one call to its end and return its id; every second one is streamed."""
        name = uuid.uuid4().hex
        caller.send(named(chat_request(name, stream=bool(number % 2)), name))
        assert caller.receive().status == 200
        self.answered.append(name)
        return name

    def calls(self, seconds: float = 0.0, least: int = 5) -> set[str]:
        """Make calls one after the other; return their ids."""
        begun, made = time.monotonic(), set[str]()
        with self.running.connect() as caller:
            while len(made) < least or time.monotonic() - begun < seconds:
                made.add(self.call(caller, len(made)))
        return made

    @contextlib.contextmanager
    def load(self, work: Callable[[Caller], None], callers: int) -> Iterator[None]:
        """Keep `callers` at `work` meanwhile; a connection that is lost is made anew."""
        stop = threading.Event()

        def keep() -> None:
            while not stop.is_set():
                with contextlib.suppress(OSError, TruncatedError), self.running.connect() as caller:
                    while not stop.is_set():
                        work(caller)

        threads = [threading.Thread(target=keep) for _ in range(callers)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def flood(self, caller: Caller) -> None:
        """Make as many calls at once as a connection may have; they end in an error that needs no upstream."""
        names = [uuid.uuid4().hex * 4 for _ in range(AHEAD)]
        request = post("/v1/chat/completions", b'{"model":"unknown"}')
        caller.send(b"".join(named(request, name) for name in names))
        for name in names:
            assert caller.receive().status == 404
            self.answered.append(name)

    def until_answered(self, more: int) -> None:
        """Wait until the load has got `more` answers."""
        goal = len(self.answered) + more
        eventually(lambda: len(self.answered) >= goal)

    # --- the record

    def events(self) -> list[tuple[int, str]]:
        """Return (id, request id) of every event in the segments."""
        folder = self.running.data / "usage"
        return [(one.id, one.request_id) for path in segments_in(folder) for _, _, one in events(path)]

    def recorded(self) -> set[str]:
        # A segment that is sealed between the listing and the reading is looked for again.
        with contextlib.suppress(FileNotFoundError):
            return {name for _, name in self.events()}
        return set()

    def is_recorded(self) -> None:
        """Wait until every answered call is."""
        eventually(lambda: self.recorded() >= set(self.answered))


def worker_before_settle(stage: Stage) -> None:
    """The upstream stands still in the middle of an answer."""
    stage.calls()
    stage.upstream.script(STREAM_HEAD, chunk(CHUNK), sets("begun"), awaits("killed"))
    with stage.running.connect() as caller:
        caller.send(named(chat_request("x", stream=True), uuid.uuid4().hex))
        assert stage.upstream.event("begun").wait(20)
        worker = stage.worker
        stage.kill(worker)
        with pytest.raises((TruncatedError, AssertionError)):
            caller.receive()
    stage.upstream.event("killed").set()
    stage.serves_again(worker)
    stage.upstream.forget()


def worker_between_last_byte_and_ack(stage: Stage) -> None:
    """Callers have their answers, control is stopped: it has seen nothing of them, or at least answered nothing."""
    worker, control = stage.worker, stage.control
    with stage.stopped(control):
        stage.calls(0.3)
        stage.kill(worker)
    stage.serves_again(worker)


def kill_with_an_unread_answer(stage: Stage, *, control_as_well: bool) -> None:
    """Kill the worker when control has written a batch and answered, and the answer is not read."""
    stage.is_recorded()
    worker, control = stage.worker, stage.control
    with stage.stopped(control):
        # Long enough for a report to be sent; none is unanswered from before.
        made = stage.calls(0.5)
        os.kill(worker, signal.SIGSTOP)
    try:
        eventually(lambda: bool(stage.recorded() & made))
    finally:
        stage.kill(*((control, worker) if control_as_well else (worker,)))
    stage.serves_again(worker, *((control,) if control_as_well else ()))


def worker_that_has_not_heard_the_ack(stage: Stage) -> None:
    """Control has written a batch and answered, and the worker never reads the answer."""
    kill_with_an_unread_answer(stage, control_as_well=False)


def control_and_worker_after_a_write(stage: Stage) -> None:
    """As before, and control forgets what it has: it has to read that from its segments."""
    kill_with_an_unread_answer(stage, control_as_well=True)


def control_under_load(stage: Stage) -> None:
    """Ten batches a second are under way."""
    control = stage.control
    with stage.load(stage.call, 4):
        stage.until_answered(100)
        stage.kill(control)
        stage.serves_again(control)
        stage.until_answered(100)


def worker_in_the_middle_of_a_push(stage: Stage) -> None:
    """A new config is on its way to it, under load."""
    worker = stage.worker
    model = f"  m{uuid.uuid4().hex}: {{targets: [{{provider: scripted, model: m}}]}}\nconsumers:"

    def push() -> None:
        # It may be refused: the worker was lost while building it.
        with contextlib.suppress(OSError, AssertionError):
            stage.running.push(stage.text.replace("consumers:", model))

    with stage.load(stage.call, 4):
        stage.until_answered(50)
        pushing = threading.Thread(target=push)
        pushing.start()
        # A push takes some hundred calls: anywhere in it.
        stage.until_answered(random.randrange(100))
        stage.kill(worker)
        pushing.join()
        stage.serves_again(worker)
        stage.until_answered(50)


def worker_while_it_spills(stage: Stage) -> None:
    """Control is stopped until the ring is full and more comes."""
    worker, control = stage.worker, stage.control
    spill = stage.running.data / "rings" / "0.spill"
    with stage.stopped(control), stage.load(stage.flood, FLOOD):
        eventually_spills(spill)
        stage.until_answered(100)
        stage.kill(worker)
    stage.serves_again(worker)
    eventually(lambda: spill.stat().st_size == 0)


def eventually_spills(spill: Path) -> None:
    """Wait for a ring to be full: longer than for what should come at once."""
    deadline = time.monotonic() + 120
    while spill.stat().st_size == 0:
        assert time.monotonic() < deadline, "the ring was not filled"
        time.sleep(0.02)  # A poll of another process, with a deadline.


MOMENTS = (
    worker_before_settle,
    worker_between_last_byte_and_ack,
    worker_that_has_not_heard_the_ack,
    control_and_worker_after_a_write,
    control_under_load,
    worker_in_the_middle_of_a_push,
    worker_while_it_spills,
)


def run_all_moments() -> tuple[int, int, int, int]:
    """Run every moment against one gateway; return how many kills, answers, losses and doubles there were."""
    with Upstream(default=(echo_kept,)) as upstream:
        text = CONFIG.format(port=upstream.port, alice=digest(KEYS["alice"]))
        with gateway(text) as running:
            stage = Stage(running, upstream, text)
            for moment in MOMENTS:
                moment(stage)
                stage.calls()
            answered = set(stage.answered)
            assert len(answered) == len(stage.answered)
            stage.is_recorded()
            found = stage.events()
            rows = running.admin("GET", "/v1/status")[1]["usage"]
            lost = len(answered - {name for _, name in found})
            doubled = sum(times - 1 for kind in zip(*found, strict=True) for times in Counter(kind).values())
            assert sum(row["requests"] for row in rows) == len(found)
    return stage.kills, len(answered), lost, doubled


def test_no_kill_at_any_moment_loses_or_doubles_a_finished_call(capsys: pytest.CaptureFixture[str]) -> None:
    runs = [run_all_moments() for _ in range(count(13, 1))]
    kills, answered, lost, doubled = (sum(column) for column in zip(*runs, strict=True))
    with capsys.disabled():
        print(f"\n  {kills} kills, {answered} answered calls, {lost} lost, {doubled} doubled")  # noqa: T201 a soak run reports it
    assert kills >= count(100, 5)
    assert (lost, doubled) == (0, 0)
