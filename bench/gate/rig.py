"""One worker's compiled path between scripted ends: the door, the phases and the upstream client are real, sockets not.

It stands here and not among the tests because it must cost next to nothing, and because the gates run it from the tree
of another commit as well.
"""

import hashlib
import mmap
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from bench.gate.translated import PROVIDERS
from core.cells import Cells, size_for
from core.model import Config
from core.records import cut
from core.snapshot import build
from plane.compile import compile_snapshot
from plane.http1.client import Pool, UpstreamConnection
from plane.http1.door import Door
from plane.http1.server import Connection
from plane.metrics import Metrics
from plane.overload import Gauge
from plane.phases import serve
from plane.rings import open_ledger
from plane.shared import Shared
from plane.steps import at_once
from plane.timers import Timers

__all__ = ["KEY", "POOR_KEY", "End", "Worker"]

KEY = b"hg-key-of-the-gate"
POOR_KEY = b"hg-key-without-quota"
"""The key of a consumer that may ask once a day."""


def _hashed(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()


CONFIG = {
    "providers": {
        "p": {"dialect": "openai", "base_url": "http://p.test:9001/v1", "credential": "env:KEY"},
        **{
            each.dialect: {"dialect": each.dialect, "base_url": each.base, "credential": "env:KEY"}
            for each in PROVIDERS
        },
    },
    "models": {
        "chat": {"targets": [{"provider": "p", "model": "real"}]},
        **{
            f"chat-{each.dialect}": {"targets": [{"provider": each.dialect, "model": each.model}]} for each in PROVIDERS
        },
    },
    "upstreams": {"orders": {"endpoints": ["http://orders.test:9002"]}},
    "routes": {"orders": {"match": {"path": "/orders/*"}, "upstream": "orders"}},
    "consumers": {
        "rich": {
            "keys": [{"sha256": _hashed(KEY)}],
            "models": ["*"],
            "limits": {"requests": "1000000/s", "concurrent": 64},
        },
        "poor": {"keys": [{"sha256": _hashed(POOR_KEY)}], "models": ["chat"], "limits": {"requests": "1/day"}},
    },
}


class Loop:
    """Keeps what is to be called soon; upstream connections are made beforehand, so nothing is ever dialled."""

    def __init__(self) -> None:
        self.soon: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()

    def call_soon(self, call: Callable[..., Any], *args: Any) -> None:
        self.soon.append((call, args))

    def run(self) -> None:
        while self.soon:
            call, args = self.soon.popleft()
            call(*args)


class End:
    """The transport of one connection, and what lies behind it: feed it with `say`, look at `written`."""

    def __init__(self, loop: Loop, protocol: Any) -> None:
        self.loop = loop
        self.protocol = protocol
        self.written: list[bytes] = []
        self.closed = False
        protocol.connection_made(self)

    def say(self, data: bytes) -> None:
        """Let the gateway read `data`."""
        self.protocol.data_received(data)
        if self.loop.soon:
            self.loop.run()

    def take(self) -> bytes:
        """Return what the gateway has written since the last call."""
        data = b"".join(self.written)
        self.written.clear()
        return data

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def writelines(self, parts: list[bytes]) -> None:
        self.written += parts

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, _: str) -> tuple[str, int]:
        return ("127.0.0.1", 1)

    def pause_reading(self) -> None:
        """Nothing is read but by `say`."""

    resume_reading = pause_reading
    write_eof = pause_reading

    def abort(self) -> None:
        if not self.closed:
            self.closed = True
            self.loop.call_soon(self.protocol.connection_lost, None)

    close = abort


class Worker:
    """A worker with `CONFIG`, one caller, and one idle connection to each of its upstreams.

    folder: where the table of limits is made.
    """

    def __init__(self, folder: Path) -> None:
        self.loop = Loop()
        self.timers = Timers()
        self.ledger = open_ledger(folder / "rings", 0, "0123456789abcdef")
        limits = folder / "limits"
        with limits.open("wb") as file:
            file.truncate(size_for(16))
        with limits.open("r+b") as file, mmap.mmap(file.fileno(), 0) as table:
            Cells(table).prepare(b"b" * 16)
        self.shared = Shared(0, limits, self.timers, self.ledger, Metrics(), Gauge(1000, 1000, 1 << 28))
        self.runtime = compile_snapshot(build(msgspec.convert(CONFIG, Config), 1), {"env:KEY": "sk-vendor"})
        self.upstreams: dict[str, End] = {}
        for candidate in self.runtime.candidates:
            origin = candidate.origin
            pool = Pool(origin, self.loop, self.timers, self.shared.metrics, self.dial)
            self.shared.pools[origin] = pool
            self.upstreams[origin.host] = self.connect(pool)
        at_once(self.runtime.bind(self.shared))
        self.door = Door(self, serve, self.timers, self.shared.metrics, self.shared.gauge, lambda: None)
        self.door.date = b"date: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
        self.caller = End(self.loop, Connection(self.door))

    def connect(self, pool: Pool) -> End:
        """Return the far end of an idle connection of `pool`."""
        connection = UpstreamConnection(pool)
        end = End(self.loop, connection)
        pool.size += 1
        pool.dialling += 1
        pool.dialled(connection)
        return end

    def dial(self, pool: Pool, connect: int) -> Any:
        """Say that a connection was not reused: then the figures would be of something else."""
        raise AssertionError(f"{pool} dials")

    def drain(self) -> int:
        """Take the ledger's events, as control's answers do; return how many there were."""
        events = 0
        while records := self.ledger.batch():
            events += sum(1 for _ in cut(records))
            self.ledger.taken(self.ledger.number)
        return events

    def close(self) -> None:
        """Close the files."""
        self.shared.close()
