"""Streams of events: the same bytes and findings however they are cut; where nothing is withheld, the bytes as sent."""

from collections.abc import Hashable

from core.sse import OPENAI, EventScan, Marks
from tests.fuzz.engine import cuts

NESTED = Marks(b"usageMetadata", b"message", frozenset({b"message_stop"}), every=True)

WORDS = (
    *(b"data: ", b"data:", b"data", b"event: x\n", b"id: 1\r\n", b"\n\n", b"\r\n\r\n", b"\r\r", b"\n", b"\r", b":\n"),
    *(
        b"data: [DONE]\n\n",
        b'"usage":',
        b'"usage":null',
        b'"error":{}',
        b'"error":{"a":1}',
        b'"choices":[]',
        b"\xef\xbb\xbf",
    ),
    *(b"event: error\n", b"event:message_stop\n", b'{"message":{"usageMetadata":{"a":1}}}', b'"usageMetadata":{"a":2}'),
    *(b'{"choices":[],"usage":{"prompt_tokens":1}}', b'\\"usage\\"', b"{", b"}", b"[", b"]", b'"', b"\\"),
)


def outcome(pieces: list[bytes], strip: bool, marks: Marks = OPENAI) -> tuple[bytes, bytes, bool, bool, int, int]:
    """Return what went through, and what was seen in it."""
    scan = EventScan(marks=marks)
    scan.strip_usage = strip
    passed = b"".join(scan.feed(piece) for piece in pieces)
    return passed + scan.flush(), scan.usage, scan.done, scan.error, scan.events, len(scan.usages)


def check(data: bytes) -> Hashable:
    """Compare one read with many, and what comes out with what went in."""
    pieces = cuts(data)
    kept = outcome([data], False)
    assert kept[0] == data, "bytes were changed"
    assert outcome(pieces, False) == kept, "another cut, another outcome"
    nested = outcome([data], False, NESTED)
    assert nested[0] == data, "bytes were changed for another dialect"
    assert outcome(pieces, False, NESTED) == nested, "another cut, another outcome for another dialect"
    stripped = outcome([data], True)
    assert outcome(pieces, True) == stripped, "another cut, another outcome where usage is withheld"
    assert stripped[1:] == kept[1:], "withholding changed what was seen"
    assert len(stripped[0]) <= len(data)
    return (
        bool(kept[1]),
        *kept[2:4],
        min(kept[4], 8),
        len(stripped[0]) < len(data),
        bool(data) and data[-1],
        nested[2:4],
    )
