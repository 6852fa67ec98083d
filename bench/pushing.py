"""A real worker, and a control of our own on the other end of its socket: pushes are sent, and their answers read.

Control's own end (`control.feed`) sends only what `core.snapshot.build` made; here any bytes can be sent.
"""

import hashlib
import mmap
import os
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from bench.process import BenchError, memory
from core.cells import Cells, size_for
from core.model import Config, Consumer, Key, Limits, Match, Model, Provider, Route, Target, Upstream
from core.snapshot import Snapshot
from core.wire import Ack, Frame, FrameReader, Hello, Nack, Need, Push, Section, pack

__all__ = ["Pushed", "Worker", "key_of", "large", "worker"]

ROOT = Path(__file__).parents[1]
DEADLINE = 60.0
CAPS = '{"limits": {"connections": 1024}}'


def key_of(number: int) -> str:
    """Return the API key of a consumer of `large`."""
    return f"hg-key-{number:06d}"


def large(routes: int, keys: int, *, team: str = "team", changed: int = -1) -> Config:
    """Return a config of so many routes and of so many consumers with a key each.

    team: stands in every path, so that another word makes every route another one. changed: the consumer whose key is
    another than it was.
    """
    upstreams = {f"upstream-{number}": Upstream((f"http://127.0.0.1:{9 + number}",)) for number in range(10)}
    return Config(
        providers={"vendor": Provider(dialect="openai", base_url="http://127.0.0.1:9/v1")},
        models={f"model-{number}": Model((Target("vendor", f"model-{number}"),)) for number in range(10)},
        consumers={
            f"consumer-{number:06d}": Consumer(
                keys=(Key(hashlib.sha256(key_of(number + 10**9 * (number == changed)).encode()).hexdigest()),),
                models=(f"model-{number % 10}",),
                limits=Limits(requests="100/s"),
            )
            for number in range(keys)
        },
        upstreams=upstreams,
        routes={
            f"route-{number:05d}": Route(
                Match(f"/{team}-{number % 100}/service-{number:05d}/*"), f"upstream-{number % 10}"
            )
            for number in range(routes)
        },
    )


class Pushed(NamedTuple):
    """How a push ended. sections, size: what the worker asked for, in bytes. seconds: from the push to its answer."""

    answer: Ack | Nack
    sections: int
    size: int
    seconds: float


class Worker:
    """A worker process, and the connection it made to its control, which is us."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, connection: socket.socket) -> None:
        self.process = process
        self.port = port
        self.connection = connection
        self.frames = FrameReader()
        self.heard: deque[Frame] = deque()
        connection.settimeout(DEADLINE)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.connection.close()
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)

    def say(self, *frames: Frame) -> None:
        """Send frames."""
        for frame in frames:
            self.connection.sendall(pack(frame))

    def hear(self) -> Frame:
        """Return what the worker says next, but for usage and counts."""
        while True:
            while not self.heard:
                data = self.connection.recv(1 << 16)
                if not data:
                    raise ConnectionError("the worker closed its connection")
                self.heard += self.frames.feed(data)
            frame = self.heard.popleft()
            if isinstance(frame, Hello | Ack | Nack | Need):
                return frame

    def push(
        self,
        snapshot: Snapshot,
        secrets: Mapping[str, str] | None = None,
        change: Callable[[list[bytes]], list[bytes]] = lambda sections: sections,
    ) -> Pushed:
        """Push a snapshot as control does; `change` alters the sections that are sent."""
        began = time.perf_counter()
        self.say(Push(snapshot.version, snapshot.digest, 1, snapshot.manifest, dict(secrets or {})))
        answer = self.hear()
        sent: list[bytes] = []
        if isinstance(answer, Need):
            sent = change([snapshot.sections[digest] for digest in answer.sections])
            self.say(*(Section(section) for section in sent))
            answer = self.hear()
        if not isinstance(answer, Ack | Nack):
            raise ConnectionError(f"the worker said {type(answer).__name__} where it owed an answer")
        return Pushed(answer, len(sent), sum(map(len, sent)), time.perf_counter() - began)

    def private(self) -> int:
        """Return the worker's proportional share of memory in bytes."""
        return memory(self.process.pid)["pss"]


@contextmanager
def worker(folder: Path) -> Iterator[Worker]:
    """Start a worker with its files in `folder`, whose path is short for a Unix socket; yields it once connected."""
    with (folder / "limits").open("w+b") as file:
        file.truncate(size_for(1024))
        with mmap.mmap(file.fileno(), 0) as table:
            Cells(table).prepare(bytes(16))
    (folder / "rings").mkdir(mode=0o700, exist_ok=True)
    with socket.socket() as door, socket.socket(socket.AF_UNIX) as control, (folder / "log").open("wb") as log:
        door.bind(("127.0.0.1", 0))
        door.listen(1024)
        control.bind(str(folder / "control.sock"))
        control.listen(8)
        control.settimeout(DEADLINE)
        reading, writing = os.pipe()
        command = [sys.executable, "-m", "plane", "--worker", "0", "--drain", "1", "--data", str(folder)]
        command += ["--control", str(folder / "control.sock"), "--listen", CAPS]
        command += ["--listen-fd", str(door.fileno()), "--notify-fd", str(writing)]
        process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
            pass_fds=(door.fileno(), writing),
            stderr=log,
            start_new_session=True,
        )
        os.close(writing)
        try:
            connection, _ = control.accept()
        except BaseException as error:
            process.kill()
            process.wait()
            said = (folder / "log").read_text(errors="replace")[-2000:]
            raise BenchError(f"the worker did not connect: {said}") from error
        finally:
            os.close(reading)
        with Worker(process, door.getsockname()[1], connection) as made:
            made.hear()
            yield made
