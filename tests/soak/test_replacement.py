"""Replacing and killing processes under load: a new connection for each request, and streams that go on meanwhile.

Each test prints its counts; ``python -m pytest tests/soak -s`` shows them.
"""

import contextlib
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance.answers import CHUNK, DONE, LAST_CHUNK, STREAM_HEAD, chunk
from tests.e2e.harness import KEYS, Gateway, chat_request, digest, events_of, eventually, gateway, headgate, nonce
from tests.providers.scripted import Upstream, echo_kept, paced
from tests.soak.counts import count

CALLERS = 8
STREAMS = 4
PIECES = 30  # of a stream: a second and a half
WORKERS = 3
CONFIG = """
providers:
  quick: {{dialect: openai, base_url: http://127.0.0.1:{quick}/v1, credential: env:PROVIDER_KEY}}
  slow: {{dialect: openai, base_url: http://127.0.0.1:{slow}/v1, credential: env:PROVIDER_KEY}}
models:
  good: {{targets: [{{provider: quick, model: scripted-small}}]}}
  slow: {{targets: [{{provider: slow, model: scripted-small}}]}}
consumers:
  alice: {{keys: [{{sha256: {alice}}}], models: ["*"]}}
"""


@dataclass
class Load:
    """What the callers saw: whole answers, whole streams, and what was lost."""

    running: Gateway
    stop: threading.Event = field(default_factory=threading.Event)
    seen: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def repeat(self, kind: str, once: Callable[[], None]) -> None:
        """Do one call after another until told to stop."""
        while not self.stop.is_set():
            try:
                once()
            except Exception as error:
                with self.lock:
                    self.lost.append(f"{kind}: {error!r}")
            else:
                with self.lock:
                    self.seen[kind] += 1

    def call(self) -> None:
        """Make one call on a connection of its own."""
        word = nonce()
        answer = self.running.call(chat_request(word))
        if answer.status != 200 or answer.text != f"You said: {word}":
            raise AssertionError(f"{answer.status} {answer.body[:200]!r}")

    def stream(self) -> None:
        """Have one long stream on a connection of its own."""
        with self.running.connect() as caller:
            caller.send(chat_request("slow", model="slow", stream=True))
            events = events_of(caller.receive().body)
        if len(events) != PIECES + 1 or events[-1] != b"[DONE]":
            raise AssertionError(f"{len(events)} events, the last is {events[-1]!r}")

    def at_least(self, more: int) -> None:
        """Wait until `more` further calls have been answered."""
        before = self.seen["call"]
        eventually(lambda: self.seen["call"] >= before + more)


@contextlib.contextmanager
def loaded() -> Iterator[tuple[Gateway, Load]]:
    """Run a gateway under load; at the end every caller has had its last answer."""
    stream = (STREAM_HEAD, paced(chunk(CHUNK), PIECES), chunk(DONE) + LAST_CHUNK)
    with Upstream(default=(echo_kept,)) as quick, Upstream(default=stream) as slow:
        text = CONFIG.format(quick=quick.port, slow=slow.port, alice=digest(KEYS["alice"]))
        with gateway(text, workers=WORKERS) as running:
            load = Load(running)
            callers = [threading.Thread(target=load.repeat, args=("call", load.call)) for _ in range(CALLERS)]
            callers += [threading.Thread(target=load.repeat, args=("stream", load.stream)) for _ in range(STREAMS)]
            for caller in callers:
                caller.start()
            try:
                load.at_least(CALLERS)
                yield running, load
                load.at_least(CALLERS)
            finally:
                load.stop.set()
                for caller in callers:
                    caller.join()


def workers(running: Gateway) -> dict[int, int]:
    """Return index and process of the workers that serve."""
    rows = running.admin("GET", "/v1/status")[1]["workers"]
    return {row["worker"]: row["pid"] for row in rows if row["state"] == "serving"}


def connections(pid: int, port: int) -> int:
    """Return how many callers' connections a process holds."""
    held = set()
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            held.add(os.readlink(handle))
    # After the heading: local address as hexadecimal ADDRESS:PORT, ..., state (01 is established), ..., inode.
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] != "0A" and f"socket:[{row[9]}]" in held for row in rows)


def show(what: str, load: Load, **more: object) -> None:
    """Print the counts of a test."""
    counts = {**load.seen, "lost": len(load.lost), **more}
    print(f"\n{what}: " + ", ".join(f"{name} {value}" for name, value in counts.items()))  # noqa: T201 for a person


def kill(running: Gateway, index: int, pid: int) -> int:
    """Kill a worker and wait for its successor; return how many connections it held."""
    # Stopped first, so that what it holds can be counted before it is killed.
    os.kill(pid, signal.SIGSTOP)
    held = connections(pid, running.port)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: workers(running).get(index, pid) != pid)
    return held


def kill_control(running: Gateway) -> None:
    """Kill the control process and wait until its successor has every worker."""
    served = running.log.count("process=control event=serving")
    os.kill(running.admin("GET", "/v1/status")[1]["pid"], signal.SIGKILL)
    # Kills in quick succession are a crash loop, in which the next start is up to half a minute away.
    eventually(lambda: running.log.count("process=control event=serving") > served, 60)
    eventually(lambda: len(workers(running)) == WORKERS)


def test_rolling_replacements_under_load_lose_nothing() -> None:
    rolls = count(20, 2)
    with loaded() as (running, load):
        for _ in range(rolls):
            before = workers(running)
            rolled = headgate("restart", "--data", str(running.data))
            assert rolled.returncode == 0, rolled.stdout + rolled.stderr
            assert rolled.stdout.count("is replaced by") == WORKERS
            after = workers(running)
            assert len(after) == WORKERS
            assert not {*before.values()} & {*after.values()}
            load.at_least(CALLERS)
        assert "event=drain-ended" not in running.log
    show(f"{rolls} rolling replacements of {WORKERS} workers", load)
    assert load.lost == []
    assert load.seen["stream"] > 0


def test_a_killed_worker_loses_at_most_what_was_in_flight_on_it() -> None:
    kills, in_flight = count(20, 2), 0
    with loaded() as (running, load):
        for number in range(kills):
            eventually(lambda: len(workers(running)) == WORKERS)
            index, pid = sorted(workers(running).items())[number % WORKERS]
            in_flight += kill(running, index, pid)
            load.at_least(CALLERS)
    refused = [reason for reason in load.lost if "ConnectionRefused" in reason]
    show(f"{kills} killed workers", load, in_flight=in_flight, refused=len(refused))
    assert refused == []
    assert len(load.lost) <= in_flight


def test_a_killed_control_process_loses_nothing() -> None:
    kills = count(20, 2)
    with loaded() as (running, load):
        for _ in range(kills):
            kill_control(running)
            load.at_least(CALLERS)
    show(f"{kills} killed control processes", load)
    assert load.lost == []
