"""Callers that ask for much and read nothing: what a worker holds for each is bounded, and its upstream waits."""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import KEYS, Gateway, digest, eventually, gateway, get
from tests.providers.scripted import Connection, Upstream
from tests.soak.counts import count

STREAMS = count(500, 20)
PUSHED = 100 * 1024 * 1024
PIECE = bytes(65536)
ALLOWED = 384 * 1024
"""Bytes of a worker's memory for each stream: one read of the loop's, 256 KiB, 64 KiB before it, its objects."""
FIRST_USE = 8 * 1024 * 1024
"""What a worker takes for itself with its first streams, however many they are."""
BUFFERS = 24 * 1024 * 1024
"""What the kernel's buffers on both ways may take of one stream at most."""
CONFIG = """
consumers: {{alice: {{keys: [{{sha256: {alice}}}]}}}}
upstreams: {{api: {{endpoints: ["http://127.0.0.1:{port}"], max_connections: 4096}}}}
routes: {{api: {{match: {{path: "/api/*"}}, upstream: api}}}}
"""


class Pushed:
    """Counts what the upstream could send, of all streams."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.bytes = 0
        self.ended = 0

    def __call__(self, connection: Connection) -> None:
        """Push until the gateway takes no more for good."""
        with contextlib.suppress(OSError):
            connection.socket.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % PUSHED)
            for _ in range(PUSHED // len(PIECE)):
                connection.socket.sendall(PIECE)
                with self.lock:
                    self.bytes += len(PIECE)
        with self.lock:
            self.ended += 1
        raise ConnectionAbortedError

    def is_still(self) -> bool:
        """Tell whether nothing could be sent for half a second."""
        before = self.bytes
        threading.Event().wait(0.5)
        return self.bytes == before > 0


@contextlib.contextmanager
def readers(running: Gateway) -> Iterator[list[socket.socket]]:
    """Open streams that nobody reads."""
    opened = []
    try:
        for _ in range(STREAMS):
            opened.append(socket.create_connection(("127.0.0.1", running.port), timeout=20))
            opened[-1].sendall(get("/api/large"))
        yield opened
    finally:
        for one in opened:
            one.close()


def resident(pid: int) -> int:
    """Return the bytes of a process that are in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def worker_of(running: Gateway) -> int:
    """Return the process id of the one worker."""
    for child in Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split():
        if b"--listen-fd" in Path(f"/proc/{child}/cmdline").read_bytes():
            return int(child)
    raise AssertionError("there is no worker")


@pytest.fixture
def pushed() -> Pushed:
    return Pushed()


def test_a_stream_nobody_reads_costs_little_and_makes_its_upstream_wait(pushed: Pushed) -> None:
    with Upstream(default=(pushed,)) as upstream:
        config = CONFIG.format(port=upstream.port, alice=digest(KEYS["alice"]))
        with gateway(config) as running:
            worker = worker_of(running)
            before = resident(worker)
            with readers(running):
                eventually(lambda: len(upstream.requests) == STREAMS)
                eventually(pushed.is_still)
                assert pushed.ended == 0
                assert pushed.bytes < STREAMS * BUFFERS < STREAMS * PUSHED
                assert resident(worker) - before < FIRST_USE + STREAMS * ALLOWED
                assert running.call(get("/readyz")).status == 200
