"""Frames between control and worker: a 4-byte big-endian length, then one tagged Struct in msgpack.

Control pushes snapshots down; workers send hello, ack or nack, usage and counts up. Both ends are of one build: a frame
with an unknown tag or field is an error, never skipped, and `Hello.format` tells two builds apart before all else.
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
    "Push",
    "Usage",
    "UsageEvent",
    "pack",
]

FORMAT = 1
MAX_FRAME = 256 * 1024 * 1024


class _Frame(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag=str.lower):
    """One message on the control socket."""


class Hello(_Frame, frozen=True):
    """A worker's first words.

    format: the frame format it speaks (`FORMAT`). worker: its index, from 0. boot: a word unlike that of any other run.
    """

    format: int
    worker: int
    pid: int
    boot: str


class Push(_Frame, frozen=True):
    """A whole snapshot, to be built beside the live one and then swapped in.

    snapshot: as `core.snapshot.encode` wrote it. secrets: reference as written in the config -> its value.
    """

    version: int
    digest: str
    snapshot: bytes
    secrets: dict[str, str]

    def __repr__(self) -> str:
        return (
            f"Push(version={self.version}, digest={self.digest!r}, snapshot=<{len(self.snapshot)} bytes>, secrets=***)"
        )


class Ack(_Frame, frozen=True):
    """The worker serves this version from now on."""

    version: int
    digest: str


class Nack(_Frame, frozen=True):
    """The worker refused this version, for this reason, and serves on as before."""

    version: int
    digest: str
    reason: str


class Draining(_Frame, frozen=True):
    """The worker takes no more callers and ends when its calls have: it owes no answer to a push any more."""


class UsageEvent(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One finished call. (worker, boot, seq) is its identity; taking it in twice counts it once.

    time_ms: Unix time of its end, in ms. snapshot: the digest it was served under. target: ``provider/model`` that
    answered, or ``""``. status: as the caller saw it. error: the machine word of a failure, or ``""``. attempts: calls
    made upstream. latency_us: from the head read to just before the last bytes leave; first_us: to the first byte of
    the answer's body. input_total .. reasoning: tokens, meaningful only if usage_known (else 0).
    """

    worker: int
    boot: str
    seq: int
    time_ms: int
    snapshot: str
    request_id: str
    consumer: str
    route: str
    model: str
    target: str
    status: int
    error: str
    stream: bool
    attempts: int
    latency_us: int
    first_us: int
    input_total: int
    output_total: int
    cache_read: int
    reasoning: int
    usage_known: bool


class Usage(_Frame, frozen=True):
    """Usage events, oldest first."""

    events: list[UsageEvent]


class Counts(_Frame, frozen=True):
    """What a worker has counted since its last report, by slot; of gauges, what they stand at.

    layout: `core.metrics.LAYOUT` of the worker's build; the counts of another one mean something else.
    """

    layout: int
    counts: list[int]


Frame = Hello | Push | Ack | Nack | Usage | Counts | Draining

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
