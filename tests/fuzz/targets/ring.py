"""The mapped ring over any bytes: refused, or what is read are whole records and what is added then is read back."""

from collections.abc import Hashable

from core.records import record, whole_length
from core.ring import Ring, ring_size

HEADER = ring_size(0)
WORDS = (
    *(record(b"x"), record(b"y" * 30), b"\x00" * 8, b"\xff" * 8, b"\x01" + b"\x00" * 7, b"\x00" * 7 + b"\x40"),
    *(b"\x10\x00\x00\x00\x00\x00\x00\x00", b"\xff\xff\x0f\x00", b"\x00\x00\x10\x00", b"\x01\x00\x00\x00"),
)


def check(data: bytes) -> Hashable:
    """Map `data`; unless its length is odd, with the magic, the format and the room that it should have."""
    mapped = bytearray(data)
    if len(data) > HEADER + 16 and len(data) % 2 == 0:
        empty = bytearray(len(data))
        Ring(empty)
        mapped[:24] = empty[:24]
    try:
        ring = Ring(mapped)
    except ValueError as error:
        return str(error)[:24]
    room = len(data) - HEADER
    lost = ring.begin(1)
    assert 0 <= lost <= room
    assert 0 <= ring.head - ring.tail <= room
    read = batches = 0
    while found := ring.peek(100):
        assert whole_length(found) == len(found)
        ring.free(ring.tail + len(found))
        read += len(found)
        batches += 1
    assert ring.tail == ring.head, "something is left that cannot be read"
    assert read <= room
    added = b"added" * (room // 16)
    if added:
        assert ring.push(added)
        assert ring.peek(room) == record(added)
    return min(batches, 8), bool(lost), bool(read)
