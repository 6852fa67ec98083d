"""Callers with TLS that do not read: the worker holds little for them, and their upstreams wait."""

import contextlib
import hashlib
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.answers import CHUNK, DONE, LAST_CHUNK, STREAM_HEAD, chunk
from tests.e2e.conftest import Stage
from tests.e2e.harness import chat_request, nonce
from tests.e2e.http2 import chat_body, request_fields
from tests.providers.scripted import Connection

MIB = 1024 * 1024
HELD = 2 * MIB
"""What a worker may grow by for each of them; the stream is sixteen times that."""
CALLERS = 4
EVENT = CHUNK.replace(b"scripted", b"x" * 60_000)
TOTAL = 32 * MIB // len(EVENT)
WHOLE = hashlib.sha256(EVENT * TOTAL + DONE).hexdigest()


class Flood:
    """A script that sends until the gateway takes no more, and the rest once the caller reads.

    left: how much of each stream was still to be sent when it came to a stop for the first time.
    """

    def __init__(self) -> None:
        self.left: list[int] = []
        self.stalled = threading.Semaphore(0)

    def __call__(self, connection: Connection) -> None:
        connection.socket.settimeout(1.0)
        data = memoryview(chunk(EVENT) * TOTAL)
        told = False
        while data:
            try:
                data = data[connection.socket.send(data[:MIB]) :]
            except TimeoutError:
                if not told:
                    told = True
                    self.left.append(len(data))
                    self.stalled.release()
                    connection.socket.settimeout(20)

    def wait(self) -> None:
        """Wait until every stream has come to a stop."""
        for _ in range(CALLERS):
            assert self.stalled.acquire(timeout=20)


def resident(stage: Stage) -> int:
    """Return the bytes of memory of the only worker."""
    return int(Path(f"/proc/{stage.gateway.pids()[0]}/statm").read_text().split()[1]) * 4096


def digest_of(parts: Any) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()


@pytest.fixture
def flood(stage: Stage) -> Flood:
    made = Flood()
    for _ in range(CALLERS):
        stage.upstream.script(STREAM_HEAD, made, chunk(DONE) + LAST_CHUNK)
    return made


def test_over_http1(stage: Stage, flood: Flood) -> None:
    with contextlib.ExitStack() as opened:
        callers = [opened.enter_context(stage.connect("https", receive_buffer=65536)) for _ in range(CALLERS)]
        before = resident(stage)
        for caller in callers:
            caller.send(chat_request(nonce(), stream=True))
        flood.wait()
        assert min(flood.left) > 6 * MIB  # The kernel holds the rest, for the four sockets of each stream.
        assert resident(stage) - before < CALLERS * HELD
        for caller in callers:
            caller.receive_head()
            assert digest_of(caller.chunks()) == WHOLE


@pytest.mark.parametrize("closed_window", [True, False])
def test_over_http2(closed_window: bool, stage: Stage, flood: Flood) -> None:
    """One connection, many streams: whether it is the windows that are not opened, or the socket that is not read."""
    with stage.connect_http2(acknowledge=False, receive_buffer=65536) as caller:
        if not closed_window:
            caller.connection.increment_flow_control_window(2**30)
            caller.connection.update_settings({4: 2**30})  # INITIAL_WINDOW_SIZE
            caller.flush()
        before = resident(stage)
        streams = [caller.send(request_fields(), chat_body(nonce(), stream=True)) for _ in range(CALLERS)]
        flood.wait()
        assert min(flood.left) > 6 * MIB  # The kernel holds the rest, for the four sockets of each stream.
        assert resident(stage) - before < CALLERS * HELD
        caller.acknowledge = True
        if closed_window:
            while not all(caller.replies[stream].parts for stream in streams):
                caller.read()
            caller.connection.increment_flow_control_window(2**30)
            for stream in streams:
                caller.connection.increment_flow_control_window(2**29, stream)
            caller.flush()
        for stream in streams:
            assert digest_of(caller.receive(stream).parts) == WHOLE
