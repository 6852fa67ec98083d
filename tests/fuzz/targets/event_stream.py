"""Amazon's binary event stream: the same messages however the bytes are cut; whatever is damaged is told as such."""

from collections.abc import Hashable

from core.errors import GatewayError
from plane.dialects._event_stream import EventStream, Message
from tests.fuzz.engine import cuts
from tests.providers.event_stream import message

WORDS = (
    *(b"\x0d:message-type\x07\x00\x05event", b"\x0b:event-type\x07\x00\x08metadata", b"\x01a\x00", b"\x01b\x01"),
    *(b"\x01c\x02\x7f", b"\x01d\x03\x80\x00", b"\x01e\x04\xff\xff\xff\xff", b"\x01f\x05" + b"\x80" + bytes(7)),
    *(
        b"\x01g\x06\x00\x02\x00\xff",
        b"\x01h\x08" + bytes(8),
        b"\x01i\x09" + bytes(range(16)),
        b"\x01j\x0a",
        b"\x00\x07",
    ),
    *(b"\x00\x00\x00\x10\x00\x00\x00\x00", b"\xff\xff", b"\x00\x00\x00", b"\xc3", b"\n"),
)


def outcome(pieces: list[bytes]) -> tuple[list[Message], str]:
    """Return the good messages, and what was wrong with the one that was not."""
    stream = EventStream()
    found = []
    try:
        for piece in pieces:
            for one in stream.feed(piece):
                found.append(one)
        stream.flush()
    except GatewayError as error:
        return found, error.message
    return found, ""


def check(data: bytes) -> Hashable:
    """Compare one read with many; what begins with a line feed has headers and payload put into sound messages."""
    if data[:1] == b"\n":
        parts = [part.partition(b"\n") for part in data[1:].split(b"\n\n")]
        data = b"".join(message(headers, payload) for headers, _, payload in parts)
    whole = outcome([data])
    assert repr(outcome(cuts(data))) == repr(whole), "another cut, other messages"
    found, wrong = whole
    assert wrong or sum(len(one.payload) for one in found) <= len(data)
    kinds = sorted({type(value).__name__ for one in found for value in one.headers.values()})
    return min(len(found), 4), tuple(kinds), wrong
