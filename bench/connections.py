"""What idle connections cost: the memory of a worker that holds thousands, each used once, and afterwards."""

import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.payload import CHAT
from bench.process import BenchError, memory, wait_until
from bench.servers import Arm

__all__ = ["hold", "used_once"]

SETTLING = 2.5
"""Seconds after which a connection rests, and a worker has given back what it can."""
BATCH = 100
"""Connections that are used at the same time."""


def used_once(port: int, key: str, count: int) -> Iterator[socket.socket]:
    """Yield keep-alive connections, each after one call that was answered."""
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {key}\r\n"
    request = f"{head}content-type: application/json\r\ncontent-length: {len(CHAT)}\r\n\r\n".encode() + CHAT
    for first in range(0, count, BATCH):
        batch = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(min(BATCH, count - first))]
        yield from batch
        for one in batch:
            one.sendall(request)
        for one in batch:
            if not one.recv(65536).startswith(b"HTTP/1.1 200 "):
                raise BenchError("a connection was opened and its call not answered")


@contextmanager
def many_files(count: int) -> Iterator[None]:
    """Let this process have `count` open files, and some more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count + 500:
        raise BenchError(f"{count} connections need as many open files; the system allows {hard} (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 500), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def hold(arm: Arm, key: str, count: int) -> dict[str, float]:
    """Return the bytes of the worker's memory that each of `count` connections takes, and leaves when it has gone."""
    (pid,) = arm.workers
    with many_files(count):
        # Buffers, pools and the upstream's connections have their size before anything is counted.
        for one in list(used_once(arm.chat_port, key, 4 * BATCH)):
            one.close()
        before, few = memory(pid)["rss"], open_files(pid) + BATCH
        held = list(used_once(arm.chat_port, key, count))
        time.sleep(SETTLING)
        during = memory(pid)["rss"]
        for one in held:
            one.close()
        wait_until(lambda: open_files(pid) <= few, "the worker's connections to be closed")
        time.sleep(SETTLING)
    left = memory(pid)["rss"] - before
    return {"count": count, "bytes_each": (during - before) / count, "bytes_each_left": left / count}


def open_files(pid: int) -> int:
    """Return how many files a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))
