"""Records of usage events: what is cut from any bytes are whole records, and an event reads back as it was written."""

from collections.abc import Hashable

import msgspec

from core.records import LARGEST, cut, good_length, record, whole_length
from core.usage import decode_event, encode_event

WORDS = (
    *(b"\x00\x00\x00\x00", b"\x01\x00\x00\x00", b"\xff\xff\xff\xff", LARGEST.to_bytes(4, "little")),
    *(record(b"x"), record(b"\x90"), b"\x99", b"\xdc\x00\x19", b"\xc2", b"\xc3", b"\xc0", b"\xa0", b"\xa4http"),
    *(b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00", b"\xcb\x7f\xf8\x00\x00"),
)


def check(data: bytes) -> Hashable:
    """Cut `data` as records, and read it as an event."""
    found = list(cut(data))
    ends = [end for end, _ in found]
    assert whole_length(data) == max(ends, default=0)
    assert good_length(data) == max((end for end, body in found if body is not None), default=0)
    start = 0
    for end, body in found:
        assert start < end <= len(data)
        if body is not None:
            assert record(body) == data[start:end]
        start = end
    shorter = len(data) * 2 // 3
    assert list(cut(data[:shorter])) == [each for each in found if each[0] <= shorter], (
        "a cut changes what is before it"
    )
    return len(found), sum(body is None for _, body in found), event(data)


def event(data: bytes) -> Hashable:
    """Return whether `data` is an event; fail where it does not come back as it was."""
    try:
        read = decode_event(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        return str(error)[:30]
    assert repr(decode_event(encode_event(read))) == repr(read)
    return "an event"
