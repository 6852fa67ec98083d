"""A worker of a test: it speaks the control socket's frames, and answers pushes only when it is told to."""

import asyncio

from control.talk import Listed, Workers
from core.snapshot import Snapshot, assemble, parse
from core.wire import Ack, Frame, FrameReader, Nack, Need, Push, Section, pack

__all__ = ["ScriptedWorker", "workers"]


def workers(*states: str) -> Workers:
    """Return the supervisor's list of workers 0, 1 ... in these states."""
    return Workers(tuple(Listed(index, 7, state) for index, state in enumerate(states)))  # type: ignore[arg-type]


class ScriptedWorker:
    """One connection to the control socket, as a worker has it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.frames = FrameReader()
        self.queue: list[Frame] = []

    def send(self, frame: Frame) -> None:
        self.writer.write(pack(frame))

    async def next(self) -> Frame:
        """Return what control says next; fails the test if nothing comes."""
        async with asyncio.timeout(5):
            while not self.queue:
                data = await self.reader.read(65536)
                assert data, "control closed the connection"
                self.queue += self.frames.feed(data)
        return self.queue.pop(0)

    async def push(self) -> Push:
        """Return the next push; fails the test if something else comes."""
        frame = await self.next()
        assert isinstance(frame, Push)
        return frame

    async def sections(self, push: Push, digests: list[bytes]) -> list[bytes]:
        """Ask for sections of a push and return them, in the order asked for."""
        self.send(Need(push.version, push.digest, push.generation, digests))
        frames = [await self.next() for _ in digests]
        return [frame.data for frame in frames if isinstance(frame, Section)]

    async def snapshot(self, push: Push) -> Snapshot:
        """Ask for all sections of a push, and return what they make up."""
        digests = [part.digest for part in parse(push.manifest).parts]
        return assemble(push.manifest, dict(zip(digests, await self.sections(push, digests), strict=True)))

    def answer(self, push: Push) -> None:
        self.send(Ack(push.version, push.digest, push.generation))

    async def ack(self) -> Push:
        push = await self.push()
        self.answer(push)
        return push

    async def nack(self, reason: str) -> Push:
        push = await self.push()
        self.send(Nack(push.version, push.digest, push.generation, reason))
        return push

    async def closed(self) -> bool:
        """Return True once control has closed the connection."""
        async with asyncio.timeout(5):
            try:
                while await self.reader.read(65536):
                    pass
            except ConnectionResetError:
                pass
        return True

    def close(self) -> None:
        self.writer.close()
