"""What idle connections cost: the memory of a worker that holds thousands, each used once, and afterwards."""

import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

from bench.payload import CHAT
from bench.process import BenchError, memory, wait_until
from bench.servers import Arm

__all__ = ["hold", "room", "used_once"]

COUNT = 10_000
CAP = 15_000
"""The cap with which a worker keeps `COUNT` of them: from 80 % of it on, connections end after their answer."""
SETTLING = 2.5
"""Seconds after which a connection rests, and a worker has given back what it can."""
BATCH = 100
"""Connections that are used at the same time."""
WARM = 4 * BATCH


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


def room() -> int:
    """Return the worker's cap: `CAP`, or what the system's limit of open files allows, raised where it may be.

    A worker wants two files for each connection.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError):  # Only root may raise the hard limit, and not root in every container.
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, max(hard, 2 * CAP)))
        hard = max(hard, 2 * CAP)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(CAP, hard // 2)


def hold(arm: Arm, key: str) -> dict[str, float]:
    """Return the bytes of the worker's memory that each of `count` connections takes, and leaves when it has gone.

    count: `COUNT`, or as many as the worker keeps within its cap.
    """
    (pid,) = arm.workers
    count = min(COUNT, room() * 3 // 4)
    # Buffers, pools and the upstream's connections have their size before anything is counted.
    for one in list(used_once(arm.chat_port, key, WARM)):
        one.close()
    before, few = memory(pid)["rss"], open_files(pid) + BATCH
    held = list(used_once(arm.chat_port, key, count))
    time.sleep(SETTLING)
    if open_files(pid) < count:
        raise BenchError("the worker did not keep the idle connections")
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
