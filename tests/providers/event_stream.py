"""Amazon's binary event stream, written as its services write it; `plane.dialects._event_stream` reads it."""

import json
import struct
from typing import Any
from uuid import UUID
from zlib import crc32

HeaderValue = bool | int | bytes | str | UUID


def header(name: str, kind: int, value: HeaderValue = b"") -> bytes:
    """Return one header of type `kind`."""
    match kind:
        case 0 | 1:
            packed = b""
        case 2 | 3 | 4 | 5 | 8:
            packed = struct.pack({2: ">b", 3: ">h", 4: ">i", 5: ">q", 8: ">q"}[kind], value)
        case 9:
            assert isinstance(value, UUID)
            packed = value.bytes
        case _:
            content = value.encode() if isinstance(value, str) else value
            assert isinstance(content, bytes)
            packed = struct.pack(">H", len(content)) + content
    return struct.pack(">B", len(name.encode())) + name.encode() + bytes([kind]) + packed


def message(headers: bytes, payload: bytes) -> bytes:
    """Return one message with headers as `header` makes them."""
    lengths = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    text = lengths + struct.pack(">I", crc32(lengths)) + headers + payload
    return text + struct.pack(">I", crc32(text))


def event(kind: str, payload: dict[str, Any]) -> bytes:
    """Return one event of a Converse stream."""
    headers = header(":event-type", 7, kind) + header(":content-type", 7, "application/json")
    return message(headers + header(":message-type", 7, "event"), json.dumps(payload, separators=(",", ":")).encode())


def exception(kind: str, payload: dict[str, Any]) -> bytes:
    """Return an exception that the service models, such as ``throttlingException``; it ends the stream."""
    headers = header(":exception-type", 7, kind) + header(":content-type", 7, "application/json")
    return message(headers + header(":message-type", 7, "exception"), json.dumps(payload).encode())


def fault(code: str, text: str) -> bytes:
    """Return an error that no service models; it ends the stream."""
    headers = header(":error-code", 7, code) + header(":error-message", 7, text)
    return message(headers + header(":message-type", 7, "error"), b"")
