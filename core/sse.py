# cython: boundscheck=False, wraparound=False
"""Server-sent events on their way through: whole events out, and what the ledger needs read in passing.

One pass looks for the ends of events, for the keys of usage and of errors, spelt without escapes, and for the names of
events; only an event that has one of the keys with a value, a name that means something, or ``[DONE]``, is taken apart.
Bytes are never rewritten.
"""

from typing import Any

import msgspec

from core.errors import GatewayError
from core.splice import scan
from core.stream_scan import StreamScan

__all__ = ["OPENAI", "EventScan", "Marks"]

_EMPTY = frozenset({b"", b"null", b"false", b"0", b'""', b"[]", b"{}"})
_END = 1
_ERROR = 2
_HEAD = -1
_ANNOUNCED = frozenset({"role", "obfuscation"})
_WORDS = b'"delta":{"content":"'
"""How a chunk with words begins to say them, where its server writes no spaces: as most do."""
_MAX_USAGES = 64
"""Objects with usage that are kept where all are wanted; a stream with more of them overwrites the last."""


class Marks:
    """What a dialect's streams say, and where.

    usage: the key of the usage object, at the top level of an event's data. within: the key of an object at the top
    level in which usage and error may stand instead, b"" for none. ends: names of the events that end a stream, beside
    ``data: [DONE]``. heads: names of the events that come before an answer and are no part of it. every: the usage of
    one stream is spread over several events, so that all of them are kept.
    """

    def __init__(
        self,
        usage: bytes = b"usage",
        within: bytes = b"",
        ends: frozenset[bytes] = frozenset(),
        heads: frozenset[bytes] = frozenset(),
        *,
        every: bool = False,
    ) -> None:
        self.needle = b'"' + usage + b'"'
        self.keys = (b"choices", usage, b"error", within) if within else (b"choices", usage, b"error")
        self.names = {**dict.fromkeys(heads, _HEAD), **dict.fromkeys(ends, _END), b"error": _ERROR}
        self.every = every


OPENAI = Marks()


class _Choice(msgspec.Struct, gc=False):
    """One choice of a chunk; `text` is of the old completions."""

    delta: dict[str, Any] | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct, gc=False):
    """An event of OpenAI's, as far as it shows whether an answer has begun."""

    choices: list[_Choice]


_CHUNK = msgspec.json.Decoder(_Chunk)


class EventScan(StreamScan):
    """Follow one stream of events.

    limit: how many bytes of an unfinished event are held back at most. marks: what is looked for.

    strip_usage: set by the owner; events that only carry usage (``"choices":[]``) are then withheld.
    usage: the JSON text of the last object with a usage object at its top level: an event's data, or what stands in it
    at `Marks.within`; ``b""`` if there was none. usages: the earlier ones, in order, if `Marks.every`.
    done: ``data: [DONE]``, or an event that ends the stream by its name, was seen.
    error: a data object with an ``error`` that is not empty was seen, or an event of that name.
    events: how many events with data were seen, withheld ones included.
    content: an event was seen that is neither one of `Marks.heads`, nor an error, nor a chunk of OpenAI's without a
    word.
    """

    def __init__(self, limit: int = 1 << 20, marks: Marks = OPENAI) -> None:
        # PERF: set here, since to ask the base class for it costs more than all the rest of this.
        self.done = False
        self.error = False
        self.content = False
        self.events = 0
        self.strip_usage = False
        self.usage = b""
        self.usages: list[bytes] = []
        self._limit = limit
        self._marks = marks
        self._needle = marks.needle
        # The event that is not whole yet, how far it was read, and what was seen in it.
        self._held = bytearray()
        self._at = 0
        self._line = 0
        self._data = False
        self._look = False
        self._name = 0
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
        needle = self._needle
        length = len(self._needle)
        first = needle[1]
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
                if char == first or char == ord("e"):
                    if char == first:
                        found = _key(text, at, size, needle, length)
                    else:
                        found = _key(text, at, size, b'"error"', 7)
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
                    if found:
                        data = True
                        look = look or found > 1
                    elif text[line] == ord("e") and _is_event_line(text, line, end):
                        self._name = self._marks.names.get(bytes(text[min(line + 6, end) : end]).strip(b" "), 0)
                        look = look or self._name > 0
                else:
                    self._dropped = False
                    if data:
                        self.events += 1
                        if look and self._inspect(bytes(text[begin:at])):
                            self._dropped = True
                            self._drops.append((begin, at))
                        if not self.content and not self.error and self._name != _HEAD:
                            self.content = _is_content(bytes(text[begin:at]))
                    begin = at
                    data = look = False
                    self._name = 0
                line = at
            else:
                at += 1
        self._at, self._line, self._data, self._look = at, line, data, look
        return begin

    def _inspect(self, event: bytes) -> bool:
        """Note what a whole event says, and tell whether it is to be withheld."""
        text = _data_of(event)
        if self._name and text:
            self.error = self.error or self._name == _ERROR
            self.done = self.done or self._name == _END
        if text == b"[DONE]":
            self.done = True
            return False
        try:
            spans = scan(text, self._marks.keys)
            if len(spans) == 4 and spans[3][0] >= 0 and text[spans[3][0]] == ord("{"):
                inner = text[spans[3][0] : spans[3][1]]
                self._note(inner, scan(inner, self._marks.keys))
        except GatewayError:
            return False
        return self._note(text, spans) and self.strip_usage and _part(text, spans[0]) == b"[]"

    def _note(self, text: bytes, spans: list[tuple[int, int]]) -> bool:
        """Keep the object if it has usage, and notice an error in it; tell whether it has usage."""
        if spans[2][0] >= 0 and _part(text, spans[2]) not in _EMPTY:
            self.error = True
        if spans[1][0] < 0 or text[spans[1][0]] != ord("{"):
            return False
        if self._marks.every and self.usage and len(self.usages) < _MAX_USAGES:
            self.usages.append(self.usage)
        self.usage = text
        return True

    def _without_drops(self, out: bytes) -> bytes:
        parts, at = [], 0
        for start, end in self._drops:
            parts.append(out[at:start])
            at = end
        parts.append(out[at:])
        self._drops = []
        return b"".join(parts)


def _key(text: bytes | bytearray, at: int, size: int, name: bytes, length: int) -> int:
    """Return 1 if the key `name`, quotes included, stands at `at` with a value other than null, else 0; -1: read on.

    The first two bytes are known to agree.
    """
    end = at + length
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


def _is_event_line(text: bytes | bytearray, at: int, end: int) -> bool:
    """Tell whether the line, which begins with an ``e``, names the event; without a colon it takes the name away."""
    if end - at < 5 or text[at + 1] != ord("v") or text[at + 2] != ord("e") or text[at + 3] != ord("n"):
        return False
    return text[at + 4] == ord("t") and (end - at == 5 or text[at + 5] == ord(":"))


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


def _is_content(event: bytes) -> bool:
    """Tell whether an event is more than a chunk of OpenAI's that announces an answer or counts its tokens."""
    at = event.find(_WORDS)
    if at >= 0 and event[at + len(_WORDS)] != ord('"'):
        return True  # PERF: what nearly all streams begin with, told without the decoder.
    try:
        chunk = _CHUNK.decode(_data_of(event))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return True
    for choice in chunk.choices:
        if choice.text or choice.finish_reason:
            return True
        if choice.delta and any(value for name, value in choice.delta.items() if name not in _ANNOUNCED):
            return True
    return False


def _data_of(event: bytes) -> bytes:
    """Return the lines of an event's data, without their names, as one."""
    if event.startswith(b"data: "):
        text = event  # Indexed by C.
        end = len(event)
        while text[end - 1] == ord("\n") or text[end - 1] == ord("\r"):
            end -= 1
        data = text[6:end]
        if ord("\n") not in data and ord("\r") not in data:
            return data  # PERF: nearly all events are one line.
    lines = []
    for line in event.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
        name, _, value = line.partition(b":")
        if name == b"data":
            lines.append(value.removeprefix(b" "))
    return b"\n".join(lines)


def _part(text: bytes, span: tuple[int, int]) -> bytes:
    """Return the value at `span` without white space; ``b""`` if the key is absent."""
    return b"".join(text[span[0] : span[1]].split()) if span[0] >= 0 else b""
