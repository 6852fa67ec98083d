"""Claude's events within Amazon's binary event stream, as `InvokeModelWithResponseStream` sends them.

A message has the JSON of one event as base64; an exception of Bedrock's ends the stream. What comes out are the
server-sent events that Anthropic's own API would have sent.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import msgspec
from msgspec import Struct

from core.errors import GatewayError
from core.sse import EventScan, Marks
from plane.canonical import Carry, Event
from plane.dialects._anthropic_events import Reader
from plane.dialects._anthropic_wire import error_type
from plane.dialects._bedrock_faults import fault_of
from plane.dialects._event_stream import EventStream, Message
from plane.dialects._json import one_line

__all__ = ["ChunkReader", "ChunkScan", "Chunks"]


class Chunk(Struct, gc=False):
    """A message with an event."""

    bytes: str = ""


class Typed(Struct, gc=False):
    """An event, as far as its name goes."""

    type: str = ""


_chunk = msgspec.json.Decoder(Chunk)
_typed = msgspec.json.Decoder(Typed)


class Chunks:
    """Makes server-sent events of one stream. Nothing comes out after an error."""

    def __init__(self) -> None:
        self._stream = EventStream()
        self._over = False

    def feed(self, data: bytes) -> bytes:
        """Return the events that are whole with these bytes; a stream that is damaged ends in an error event."""
        found: list[bytes] = []
        if not self._over:
            try:
                for message in self._stream.feed(data):
                    if not self._over:
                        found.append(self._event(message))
            except GatewayError as error:
                found.append(self._error(error.message, error.status))
        return b"".join(found)

    def flush(self) -> bytes:
        """Return what is left to say at the end of the bytes: that they ended within a message."""
        if not self._over:
            try:
                self._stream.flush()
            except GatewayError as error:
                return self._error(error.message, error.status)
        return b""

    def _event(self, message: Message) -> bytes:
        headers = message.headers
        if headers.get(":message-type") != "event":
            kind = headers.get(":exception-type") or headers.get(":error-code") or ""
            fault = fault_of(0, str(kind), message.payload, str(headers.get(":error-message") or ""))
            return self._error(fault.message, fault.status)
        try:
            text = b64decode(_chunk.decode(message.payload).bytes)
            name = _typed.decode(text).type
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return self._error("The provider sent an event that is not valid.", 502)
        return b"event: %b\ndata: %b\n\n" % (name.encode(), one_line(text)) if name else b""

    def _error(self, message: str, status: int) -> bytes:
        self._over = True
        told: dict[str, Any] = {"type": "error", "error": {"type": error_type(status), "message": message}}
        return b"event: error\ndata: %b\n\n" % msgspec.json.encode(told)


class ChunkScan(EventScan):
    """Follows a stream on its way to a caller of Anthropic's dialect, who gets events; see `core.sse.EventScan`."""

    def __init__(self, limit: int, marks: Marks) -> None:
        super().__init__(limit, marks)
        self._chunks = Chunks()

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes and return the events that are whole by now."""
        return super().feed(self._chunks.feed(chunk))

    def flush(self) -> bytes:
        """Return what is left to go out at the end of the stream."""
        return super().feed(self._chunks.flush()) + super().flush()


class ChunkReader(Reader):
    """Reads a stream into the hub."""

    def __init__(self, carry: Carry) -> None:
        super().__init__(carry)
        self._chunks = Chunks()

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that are whole with these bytes."""
        return super().feed(self._chunks.feed(data))

    def flush(self) -> list[Event]:
        """Return what is left at the end of the bytes."""
        return super().feed(self._chunks.flush()) + super().flush()
