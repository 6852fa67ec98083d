# cython: boundscheck=False, wraparound=False
"""Server-sent events on their way through: whole events out, and what the ledger needs read in passing.

One pass looks for the ends of events and for the keys ``"usage"`` and ``"error"``, spelt without escapes; only an event
that has one of them with a value, or ``[DONE]``, is taken apart. Bytes are never rewritten.
"""

from core.errors import GatewayError
from core.splice import scan

__all__ = ["EventScan"]

_KEYS = (b"choices", b"usage", b"error")
_EMPTY = frozenset({b"", b"null", b"false", b"0", b'""', b"[]", b"{}"})


class EventScan:
    """Follow one stream of events.

    limit: how many bytes of an unfinished event are held back at most.

    strip_usage: set by the owner; events that only carry usage (``"choices":[]``) are then withheld.
    usage: the JSON text of the last data object with a usage object at its top level; ``b""`` if there was none.
    done: ``data: [DONE]`` was seen.
    error: a data object with an ``error`` that is not empty was seen.
    events: how many events with data were seen, withheld ones included.
    """

    def __init__(self, limit: int = 1 << 20) -> None:
        self.strip_usage = False
        self.usage = b""
        self.done = False
        self.error = False
        self.events = 0
        self._limit = limit
        # The event that is not whole yet, how far it was read, and what was seen in it.
        self._held = bytearray()
        self._at = 0
        self._line = 0
        self._data = False
        self._look = False
        # The last byte was a carriage return: a line feed that comes next belongs to it.
        self._cr = False
        self._dropped = False
        self._drops: list[tuple[int, int]] = []

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes of the stream and return those of all events that are whole by now, in order.

        Raises GatewayError 502 ``upstream_bad_answer`` when an event is longer than the limit and not at its end.
        """
        if not chunk:
            return chunk
        if self._held:
            self._held += chunk
            cut = self._scan(self._held, len(self._held))
            out = bytes(self._held[:cut])
            del self._held[:cut]
        else:
            cut = self._scan(chunk, len(chunk))
            out = chunk
            if cut < len(chunk):
                out = chunk[:cut]
                self._held += chunk[cut:]
        self._at -= cut
        self._line -= cut
        if len(self._held) > self._limit:
            raise GatewayError(502, "upstream_bad_answer", "upstream", "The upstream sent an event that is too long.")
        return self._without_drops(out) if self._drops else out

    def flush(self) -> bytes:
        """Return what is held back, at the end of the stream; usage is read from it as from a whole event."""
        tail = bytes(self._held)
        self._held.clear()
        dropped = self._inspect(tail) if tail else False
        return b"" if dropped else tail

    def _scan(self, text: bytes | bytearray, size: int) -> int:
        """Read on from where the last call stopped and return the offset after the last whole event."""
        at, line, data, look = self._at, self._line, self._data, self._look
        begin = 0
        if self._cr:
            self._cr = False
            if text[at] == ord("\n"):
                at += 1
                line = at
                if at == 1:
                    begin = 1
                    if self._dropped:
                        self._drops.append((0, 1))
        while at < size:
            char = text[at]
            if char > ord('"'):
                at += 1
            elif char == ord('"'):
                if at + 1 == size:
                    break
                char = text[at + 1]
                if char == ord("u") or char == ord("e"):
                    found = _key(text, at, size)
                    if found < 0:
                        break
                    look = look or found > 0
                at += 1
            elif char == ord("\n") or char == ord("\r"):
                end = at
                at += 1
                if char == ord("\r"):
                    if at == size:
                        self._cr = True
                    elif text[at] == ord("\n"):
                        at += 1
                if end > line:
                    found = _data_line(text, line, end)
                    data = data or found > 0
                    look = look or found > 1
                else:
                    self._dropped = False
                    if data:
                        self.events += 1
                        if look and self._inspect(bytes(text[begin:at])):
                            self._dropped = True
                            self._drops.append((begin, at))
                    begin = at
                    data = look = False
                line = at
            else:
                at += 1
        self._at, self._line, self._data, self._look = at, line, data, look
        return begin

    def _inspect(self, event: bytes) -> bool:
        """Note what a whole event says, and tell whether it is to be withheld."""
        text = _data_of(event)
        if text == b"[DONE]":
            self.done = True
            return False
        try:
            spans = scan(text, _KEYS)
        except GatewayError:
            return False
        if _part(text, spans[2]) not in _EMPTY:
            self.error = True
        if not _part(text, spans[1]).startswith(b"{"):
            return False
        self.usage = text
        return self.strip_usage and _part(text, spans[0]) == b"[]"

    def _without_drops(self, out: bytes) -> bytes:
        parts, at = [], 0
        for start, end in self._drops:
            parts.append(out[at:start])
            at = end
        parts.append(out[at:])
        self._drops = []
        return b"".join(parts)


def _key(text: bytes | bytearray, at: int, size: int) -> int:
    """Return 1 if ``"usage"`` or ``"error"`` stands at `at` and its value is not null, else 0; -1 if more is needed."""
    name = b'"usage"' if text[at + 1] == ord("u") else b'"error"'
    end = at + 7
    index = 2
    at += 2
    while at < end:
        if at == size:
            return -1
        if text[at] != name[index]:
            return 0
        at += 1
        index += 1
    while at < size and (text[at] == ord(" ") or text[at] == ord(":")):
        at += 1
    return 0 if at < size and text[at] == ord("n") else 1


def _data_line(text: bytes | bytearray, at: int, end: int) -> int:
    """Return 0 if the line is no data field, 1 if it is, 2 if its value starts as ``[DONE]`` does."""
    if end - at < 4 or text[at] != ord("d") or text[at + 1] != ord("a") or text[at + 2] != ord("t"):
        return 0
    if text[at + 3] != ord("a") or (end - at > 4 and text[at + 4] != ord(":")):
        return 0
    at += 5
    if at < end and text[at] == ord(" "):
        at += 1
    return 2 if at < end and text[at] == ord("[") else 1


def _data_of(event: bytes) -> bytes:
    lines = []
    for line in event.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
        name, _, value = line.partition(b":")
        if name == b"data":
            lines.append(value.removeprefix(b" "))
    return b"\n".join(lines)


def _part(text: bytes, span: tuple[int, int]) -> bytes:
    """Return the value at `span` without white space; ``b""`` if the key is absent."""
    return b"".join(text[span[0] : span[1]].split()) if span[0] >= 0 else b""
