"""The feed and the publisher on a real socket, in the test's own process, with scripted workers."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from control.feed import Feed, Peer
from control.intake import Intake
from control.lastgood import SnapshotFiles
from control.log import Log
from control.metrics import WorkerCounts
from control.publish import Publisher
from control.resume import resume
from core.wire import FORMAT, Frame, Hello
from tests.control.scripted_worker import ScriptedWorker

CONFIG = """
providers:
  openai: {{dialect: openai, base_url: "http://127.0.0.1:9000/v1"}}
models:
  {model}: {{targets: [{{provider: openai, model: {model}}}]}}
"""


class Control:
    """The feed and the publisher as the control process has them, in this process, on a real socket."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.data.mkdir(mode=0o700)
        self.socket = self.data / "control.sock"
        self.config = folder / "headgate.yaml"
        self.write("first")
        self.log = Log("test")
        self.workers: list[ScriptedWorker] = []

    def write(self, model: str) -> Path:
        self.config.write_text(CONFIG.format(model=model))
        return self.config

    async def start(self, patience: float = 5.0) -> None:
        self.files = SnapshotFiles(self.data, self.log)
        active = resume(self.config, self.files, self.log)
        self.feed = Feed(
            active.offer, Intake(self.data / "usage", bytes(16), self.log), WorkerCounts(), os.geteuid(), self.log
        )
        self.publisher = Publisher(self.feed, active, self.config, self.files, self.log, patience)
        self.server = await asyncio.get_running_loop().create_unix_server(lambda: Peer(self.feed), str(self.socket))

    async def worker(self, index: int) -> ScriptedWorker:
        return await self.connection(Hello(FORMAT, index, os.getpid(), f"boot-{index}"))

    async def connection(self, *frames: Frame) -> ScriptedWorker:
        worker = ScriptedWorker(*await asyncio.open_unix_connection(str(self.socket)))
        self.workers.append(worker)
        for frame in frames:
            worker.send(frame)
        return worker

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a change of the workers that makes `condition` hold; fails the test after five seconds."""
        assert await self.feed.until(condition, 5)

    async def serving(self, *indices: int) -> list[ScriptedWorker]:
        """Return workers that have taken the active snapshot."""
        workers = [await self.worker(index) for index in indices]
        for worker in workers:
            await worker.ack()
        await self.until(lambda: {i for i, peer in self.feed.peers.items() if peer.holds} >= set(indices))
        return workers

    async def stop(self) -> None:
        for worker in self.workers:
            worker.close()
        self.server.close()
        self.feed.close()
        await self.until(lambda: not self.feed.peers)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: Unix sockets allow 107 bytes, and pytest's own folders can be longer."""
    with tempfile.TemporaryDirectory(prefix="hg") as path:
        yield Path(path)


@pytest.fixture
async def control(folder: Path) -> AsyncIterator[Control]:
    control = Control(folder)
    await control.start()
    yield control
    await control.stop()
