"""Frames between control and worker: the same ones however they are cut; whatever is none is a FrameError."""

from collections.abc import Hashable

from core.errors import FrameError
from core.wire import FrameReader, pack
from tests.fuzz.engine import cuts

WORDS = (
    *(b"\xa4type", b"\xa5hello", b"\xa4push", b"\xa3ack", b"\xa4nack", b"\xa5usage", b"\xa7version", b"\xa6digest"),
    *(b"\xa6format\x01", b"\xa6worker\x00", b"\xa3pid\x01", b"\xa4boot\xa1b", b"\xa6events\x90", b"\xa7secrets\x80"),
    *(b"\x00\x00\x00", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\xc0", b"\xc3", b"\xcb\x7f\xf8", b"\x81", b"\x95"),
    *(b"\xdc\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xc4\x01\x00", b"\xa8snapshot\xc4\x00", b"\x91" * 200),
)


def outcome(pieces: list[bytes]) -> tuple[list[object], bool]:
    """Return the frames, and whether the stream was broken."""
    reader = FrameReader(1 << 16)
    frames: list[object] = []
    for piece in pieces:
        try:
            frames += reader.feed(piece)
        except FrameError:
            return frames, True
    return frames, False


def check(data: bytes) -> Hashable:
    """Compare one read with many, and each frame with its own bytes."""
    frames, broken = outcome([data])
    cut, cut_broken = outcome(cuts(data))
    assert broken == cut_broken
    assert broken or repr(cut) == repr(frames), "another cut, other frames"
    for frame in cut:
        assert repr(FrameReader().feed(pack(frame))) == repr([frame]), "a frame does not come back as it went"  # type: ignore[arg-type]
    return tuple(type(frame).__name__ for frame in cut[:4]), broken
