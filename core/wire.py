"""Frames between control and worker: a 4-byte big-endian length, then one tagged Struct in msgpack.

Control pushes snapshots down and says which usage it has; workers send hello, ack or nack, usage and counts up. Both
ends are of one build: a frame with an unknown tag or field is an error, never skipped, and `Hello.format` tells two
builds apart before all else.

A snapshot goes in three steps: `Push` with the manifest and the secrets; `Need` with the digests of the sections that
the worker does not have, left out if it has all; then one `Section` for each of them, in the order asked for. Ack or
Nack ends it, and until then there is no other push.
"""

import msgspec
from msgspec import Struct

from core.errors import FrameError

__all__ = [
    "FORMAT",
    "MAX_FRAME",
    "Ack",
    "Counts",
    "Draining",
    "Frame",
    "FrameReader",
    "Hello",
    "Nack",
    "Need",
    "Push",
    "Section",
    "Usage",
    "UsageTaken",
    "pack",
]

FORMAT = 2
MAX_FRAME = 16 * 1024 * 1024


class _Frame(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag=str.lower):
    """One message on the control socket."""


class Hello(_Frame, frozen=True):
    """A worker's first words.

    format: the frame format it speaks (`FORMAT`). worker: its index, from 0. boot: a word unlike that of any other run.
    version, digest, generation: of what it serves already, from disk or from a connection before; 0, "", 0 for nothing.
    """

    format: int
    worker: int
    pid: int
    boot: str
    version: int = 0
    digest: str = ""
    generation: int = 0


class Push(_Frame, frozen=True):
    """A snapshot, to be built beside the live one and then swapped in.

    generation: of the secrets; it rises with every change of a value, under the same version and digest.
    manifest: as in `core.snapshot.Snapshot`. secrets: reference as written in the config -> its value.
    """

    version: int
    digest: str
    generation: int
    manifest: bytes
    secrets: dict[str, str]

    def __repr__(self) -> str:
        return (
            f"Push(version={self.version}, digest={self.digest!r}, generation={self.generation}, "
            f"manifest=<{len(self.manifest)} bytes>, secrets=***)"
        )


class Need(_Frame, frozen=True):
    """The sections of this version that the worker does not have: digests of 32 bytes, at least one."""

    version: int
    digest: str
    generation: int
    sections: list[bytes]


class Section(_Frame, frozen=True):
    """One of the sections asked for."""

    data: bytes

    def __repr__(self) -> str:
        return f"Section(<{len(self.data)} bytes>)"


class Ack(_Frame, frozen=True):
    """The worker serves this version with these secrets from now on."""

    version: int
    digest: str
    generation: int


class Nack(_Frame, frozen=True):
    """The worker refused this version, for this reason, and serves on as before."""

    version: int
    digest: str
    generation: int
    reason: str


class Draining(_Frame, frozen=True):
    """The worker takes no more callers and ends when its calls have: it owes no answer to a push any more."""


class Usage(_Frame, frozen=True):
    """Usage events, oldest first, as the worker keeps them.

    number: of this batch; control answers with it. records: as in `core.records`, each a `core.usage.UsageEvent`.
    """

    number: int
    records: bytes


class UsageTaken(_Frame, frozen=True):
    """Control has the batch of this number, for good: the worker need not keep it."""

    number: int


class Counts(_Frame, frozen=True):
    """What a worker has counted since its last report, by slot; of gauges, what they stand at.

    layout: `core.metrics.LAYOUT` of the worker's build; the counts of another one mean something else. targets: the
    same of each target by name, in the columns of `core.metrics.TARGET`; what has nothing to tell is left out.
    """

    layout: int
    counts: list[int]
    targets: dict[str, list[int]] = {}


Frame = Hello | Push | Need | Section | Ack | Nack | Usage | UsageTaken | Counts | Draining

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Frame] = msgspec.msgpack.Decoder(Frame)


def pack(frame: Frame) -> bytes:
    """Return `frame` as the bytes to send; FrameError if it is larger than `MAX_FRAME`."""
    body = _encoder.encode(frame)
    if len(body) > MAX_FRAME:
        raise FrameError(f"a frame of {len(body)} bytes is over the limit of {MAX_FRAME}")
    return len(body).to_bytes(4, "big") + body


class FrameReader:
    """Cuts a byte stream into frames.

    limit: the largest frame accepted, in bytes; a longer one is refused as soon as its length is read.
    """

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._broken = False

    def feed(self, data: bytes) -> list[Frame]:
        """Take in the next bytes and return the frames they complete; FrameError ends this reader for good."""
        if self._broken:
            raise FrameError("the stream was broken before")
        self._buffer += data
        try:
            return self._complete()
        except FrameError:
            self._broken = True
            self._buffer.clear()
            raise

    def _complete(self) -> list[Frame]:
        frames: list[Frame] = []
        start = 0
        while len(self._buffer) - start >= 4:
            size = int.from_bytes(self._buffer[start : start + 4], "big")
            if size > self._limit:
                raise FrameError(f"a frame of {size} bytes is over the limit of {self._limit}")
            if len(self._buffer) - start - 4 < size:
                break
            # A copy: a view would keep the bytearray from shrinking below.
            frames.append(_decode(bytes(self._buffer[start + 4 : start + 4 + size])))
            start += 4 + size
        del self._buffer[:start]
        return frames


def _decode(body: bytes) -> Frame:
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        # Cut short, because the text may quote what the peer sent.
        raise FrameError(f"not a frame: {str(error)[:200]}") from None
