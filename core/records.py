"""Records, one after the other: how usage events stand in rings, spills, frames and segments alike.

length    4 bytes, little-endian: of the body, 1 to `LARGEST`
checksum  4 bytes, little-endian: CRC-32 of the body, as zlib computes it
body
"""

import struct
from collections.abc import Iterator
from zlib import crc32

__all__ = ["HEAD", "LARGEST", "cut", "good_length", "record", "whole_length"]

HEAD = struct.Struct("<II")
LARGEST = 1 << 20
"""Bytes of the largest body; a length above it is damage."""


def record(body: bytes) -> bytes:
    """Return `body` as a record. ValueError: it is empty or larger than `LARGEST`."""
    if not 0 < len(body) <= LARGEST:
        raise ValueError(f"a record has 1 to {LARGEST} bytes, not {len(body)}")
    return HEAD.pack(len(body), crc32(body)) + body


def cut(data: bytes) -> Iterator[tuple[int, bytes | None]]:
    """Yield (where the record ends, its body) for each record of `data`; the body is None where its checksum is wrong.

    It ends before the end of `data` at a record that is cut short or has no possible length.
    """
    at, size = 0, len(data)
    while size - at > HEAD.size:
        length, checksum = HEAD.unpack_from(data, at)
        start = at + HEAD.size
        at = start + length
        if at > size or not 0 < length <= LARGEST:
            return
        body = data[start:at]
        yield at, body if crc32(body) == checksum else None


def whole_length(data: bytes) -> int:
    """Return how many bytes of `data` are whole records, by their lengths alone."""
    at, size = 0, len(data)
    while size - at > HEAD.size:
        length, _ = HEAD.unpack_from(data, at)
        if at + HEAD.size + length > size or not 0 < length <= LARGEST:
            break
        at += HEAD.size + length
    return at


def good_length(data: bytes) -> int:
    """Return how many bytes of `data` end with its last good record: what follows was torn by a crash."""
    return max((end for end, body in cut(data) if body is not None), default=0)
