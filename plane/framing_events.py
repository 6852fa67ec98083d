"""Where the messages of a stream end: server-sent events and lines of JSON, under any split of their bytes.

What passes through is followed by `core.sse`, which rewrites nothing; these take a stream apart for its translation.
Format of server-sent events: the HTML standard, section 9.2.
"""

from __future__ import annotations

from core.errors import GatewayError

__all__ = ["EventSplitter", "LineSplitter"]

MAX_EVENT = 16 * 1024 * 1024
"""Bytes of one message that are held until it is whole."""

MARK = b"\xef\xbb\xbf"
"""A byte order mark, which a stream may begin with."""


class EventSplitter:
    """Server-sent events. Every line end counts (LF, CR LF, CR); comments, ids and retry times are left out.

    limit: bytes of an event that is not whole; more is GatewayError 502 ``upstream_bad_answer``.
    """

    def __init__(self, limit: int = MAX_EVENT) -> None:
        self._limit = limit
        self._held = bytearray()
        self._at = 0  # Up to where no end was found.
        self._return = False  # The last byte was a carriage return: a line feed that comes next belongs to it.
        self._begun = False

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """Return (event, data) of each event that is whole with these bytes and has data; event b"" if it has no name.

        The lines of data of one event are joined by a line feed.
        """
        if self._return or b"\r" in data:
            data = self._line_feeds(data)
        held = self._held
        held += data
        end = held.find(b"\n\n", self._at)
        if end < 0:
            self._at = max(len(held) - 1, 0)
            if len(held) > self._limit:
                raise too_long()
            return []
        begin = 0
        found = []
        while end >= 0:
            event = self._event(bytes(held[begin:end]))
            if event is not None:
                found.append(event)
            begin = end + 2
            end = held.find(b"\n\n", begin)
        del held[:begin]
        self._at = max(len(held) - 1, 0)
        if len(held) > self._limit:
            raise too_long()
        return found

    def flush(self) -> list[tuple[bytes, bytes]]:
        """Return the event that the end of the stream ended, if one was held: servers forget the last empty line."""
        event = self._event(bytes(self._held))
        self._held.clear()
        self._at = 0
        return [] if event is None else [event]

    def _line_feeds(self, data: bytes) -> bytes:
        """Return `data` with a line feed for each line end."""
        if self._return and data[:1] == b"\n":
            data = data[1:]
            self._return = False
        if data:
            self._return = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _event(self, text: bytes) -> tuple[bytes, bytes] | None:
        """Return what the lines of one event say, None if they have no data."""
        if not self._begun:
            self._begun = True
            text = text.removeprefix(MARK)
        if text[:6] == b"data: " and b"\n" not in text:
            return b"", text[6:]
        name = b""
        lines: list[bytes] = []
        for line in text.split(b"\n"):
            field, _, value = line.partition(b":")
            if field == b"data":
                lines.append(value.removeprefix(b" "))
            elif field == b"event":
                name = value.removeprefix(b" ")
        return (name, b"\n".join(lines)) if lines else None


class LineSplitter:
    """Lines of JSON (NDJSON); empty ones are left out.

    limit: bytes of a line that is not whole; more is GatewayError 502 ``upstream_bad_answer``.
    """

    def __init__(self, limit: int = MAX_EVENT) -> None:
        self._limit = limit
        self._held = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that are whole with these bytes, without their ends."""
        held = self._held
        cut = data.rfind(b"\n") + 1
        if cut == 0:
            held += data
            if len(held) > self._limit:
                raise too_long()
            return []
        held += data[:cut]
        lines = [line for line in map(bytes.strip, bytes(held).split(b"\n")) if line]
        held[:] = data[cut:]
        if len(held) > self._limit:
            raise too_long()
        return lines

    def flush(self) -> list[bytes]:
        """Return the line that the end of the stream ended, if one was held."""
        line = bytes(self._held).strip()
        self._held.clear()
        return [line] if line else []


def too_long() -> GatewayError:
    """Return the error of a message that does not end."""
    return GatewayError(502, "upstream_bad_answer", "upstream", "The upstream sent an event that is too long.")
