"""Amazon's binary event stream (``application/vnd.amazon.eventstream``): its messages, under any split of the bytes.

A message is, with all numbers big-endian: its length and that of its headers (4 bytes each), the CRC32 of these eight
bytes, the headers, the payload, and the CRC32 of all before it. A header is a name (its length in one byte), a type and
a value. Format: "Event stream encoding" in the developer guide of Amazon Transcribe, and smithy.io's page of that name.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct, error
from typing import NamedTuple
from uuid import UUID
from zlib import crc32

from core.errors import GatewayError

__all__ = ["EventStream", "HeaderValue", "Message"]

MAX_MESSAGE = 16 * 1024 * 1024
"""Bytes of one message."""
MAX_HEADERS = 128 * 1024
"""Bytes of the headers of one message, as the format has it."""
MOST_KNOWN = 16
LONG = 1024
"""How many headers are remembered, of how many bytes."""

PRELUDE = Struct(">III")
NUMBER = Struct(">I")
SHORT_LENGTH = Struct(">H")
TRUE, FALSE, BYTES, STRING, UUID_TYPE = 0, 1, 6, 7, 9
INTEGERS = {2: Struct(">b"), 3: Struct(">h"), 4: Struct(">i"), 5: Struct(">q"), 8: Struct(">q")}
"""Integers of one, two, four and eight bytes, and a time in milliseconds since the epoch."""

HeaderValue = bool | int | bytes | str | UUID


class Message(NamedTuple):
    """One message, whole and undamaged. headers: shared by all that have the same; not to be changed."""

    headers: dict[str, HeaderValue]
    payload: bytes


class EventStream:
    """Takes the bytes of one stream apart."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._headers: dict[bytes, dict[str, HeaderValue]] = {}  # Those of most messages are the same: read once.

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield the messages that are whole with these bytes; to be read to its end.

        Raises GatewayError 502 ``upstream_bad_answer`` after the last good message where one is damaged or too long.
        """
        held = self._held
        held += data
        at = 0
        while len(held) - at >= PRELUDE.size:
            prelude = bytes(held[at : at + PRELUDE.size])
            length, headers_length, checksum = PRELUDE.unpack(prelude)
            if crc32(prelude[:8]) != checksum:
                raise damaged("its prelude does not match its checksum")
            if headers_length > MAX_HEADERS or length > MAX_MESSAGE or length < headers_length + 16:
                raise damaged("its lengths are out of bounds")
            if len(held) - at < length:
                break
            message = bytes(held[at : at + length])
            if crc32(message[:-4]) != NUMBER.unpack_from(message, length - 4)[0]:
                raise damaged("it does not match its checksum")
            at += length
            end = PRELUDE.size + headers_length
            text = message[PRELUDE.size : end]
            headers = self._headers.get(text)
            if headers is None:
                headers = headers_of(message, end)
                if len(self._headers) < MOST_KNOWN and len(text) < LONG:
                    self._headers[text] = headers
            yield Message(headers, message[end:-4])
        del held[:at]

    def flush(self) -> None:
        """End the stream; GatewayError 502 ``upstream_bad_answer`` where it ends within a message."""
        if self._held:
            raise damaged("it is cut off")


def headers_of(message: bytes, end: int) -> dict[str, HeaderValue]:
    """Return the headers of a message, which reach from its prelude to `end`."""
    headers: dict[str, HeaderValue] = {}
    at = PRELUDE.size
    try:
        while at < end:
            value_at = at + 2 + message[at]
            name = message[at + 1 : value_at - 1].decode()
            if name in headers:
                raise damaged("a header is there twice")
            headers[name], at = value_of(message, message[value_at - 1], value_at)
    except (IndexError, UnicodeDecodeError, error):
        raise damaged("its headers cannot be read") from None
    if at != end:
        raise damaged("its headers cannot be read")
    return headers


def value_of(message: bytes, kind: int, at: int) -> tuple[HeaderValue, int]:
    """Return the value at `at` and where it ends."""
    if kind in (STRING, BYTES):
        start = at + SHORT_LENGTH.size
        end = start + SHORT_LENGTH.unpack_from(message, at)[0]
        value = message[start:end]
        return (value.decode() if kind == STRING else value), end
    if kind in (TRUE, FALSE):
        return kind == TRUE, at
    integer = INTEGERS.get(kind)
    if integer is not None:
        return integer.unpack_from(message, at)[0], at + integer.size
    if kind == UUID_TYPE and len(message) >= at + 16:
        return UUID(bytes=message[at : at + 16]), at + 16
    raise damaged("a header has no type that is known")


def damaged(reason: str) -> GatewayError:
    """Return the error of a message that cannot be trusted."""
    return GatewayError(
        502,
        "upstream_bad_answer",
        "upstream",
        f"The upstream sent a message of its event stream that is bad: {reason}.",
    )
