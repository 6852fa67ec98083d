"""Streams in Anthropic's dialect: a provider's read into the hub, a caller's written from it.

A stream is one message: `message_start`, then its blocks one after the other, each from `content_block_start` to
`content_block_stop`, then `message_delta` with the reason of the end and the usage, then `message_stop`.
"""

from __future__ import annotations

import msgspec

from plane.canonical import (
    ArgumentsDelta,
    Carry,
    Event,
    Failed,
    Fault,
    PartEnded,
    PartStarted,
    RefusalDelta,
    SignatureDelta,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    UsageCounted,
    pack_call_id,
)
from plane.dialects._anthropic_answers import ENDED_IN_ERROR, made_id, own, stop_words
from plane.dialects._anthropic_wire import (
    ERROR_TYPES,
    FAMILY,
    STOPS,
    Block,
    Counted,
    Delta,
    Problem,
    WireEvent,
    error_type,
    merged,
    rendered,
    usage_of,
)
from plane.framing_events import EventSplitter
from plane.usage import Usage

__all__ = ["Reader", "Writer", "error_event", "fault_of"]

KINDS = {"text": "text", "thinking": "thinking", "redacted_thinking": "thinking", "tool_use": "tool_call"}
STATUSES = {kind: status for status, kind in sorted(ERROR_TYPES.items(), reverse=True)}
"""The status of an error that came as an event, by its type."""

_event = msgspec.json.Decoder(WireEvent)
_text = msgspec.json.Encoder()


def fault_of(problem: Problem | None, status: int = 0, retry_after: float = -1.0) -> Fault:
    """Return a provider's error; what is Anthropic's own 529 others call 503. status: 0 where an event told it."""
    kind = problem.type if problem is not None else ""
    message = problem.message if problem is not None else ""
    status = status or STATUSES.get(kind, 502)
    if status == 529:
        status = 503
    return Fault(status, message or f"The provider answered with an error ({status}).", kind, retry_after=retry_after)


def broken(message: str) -> Fault:
    """Return the error of a stream that cannot be read to its end."""
    return Fault(status=502, message=message, kind="api_error")


class Reader:
    """Reads one stream of a provider; see `plane.dialect.EventReader`."""

    def __init__(self, carry: Carry) -> None:
        self.usage: Usage | None = None
        self._names = carry.tool_names
        self._splitter = EventSplitter()
        self._counted: Counted | None = None
        # Index of an open block -> index and kind of its part; blocks that nobody knows have none.
        self._places: dict[int, tuple[int, str]] = {}
        self._input: dict[int, str] = {}  # Arguments that came with the start of a call, until others come.
        self._parts = 0
        self._begun = False
        self._end: Delta | None = None
        self._over = False

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that are whole with these bytes."""
        found: list[Event] = []
        for _, text in self._splitter.feed(data):
            self._take(text, found)
        return found

    def flush(self) -> list[Event]:
        """Return what is left at the end of the bytes: a stream without its reason to end has broken off."""
        found: list[Event] = []
        for _, text in self._splitter.flush():
            self._take(text, found)
        if not self._over:
            if self._end is not None:
                self._stop(found)
            else:
                self._fail(broken("The provider's stream broke off."), found)
        return found

    def _take(self, text: bytes, found: list[Event]) -> None:
        if self._over:
            return
        try:
            event = _event.decode(text)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            self._fail(broken("The provider sent an event that is not valid."), found)
            return
        kind = event.type
        if kind == "content_block_delta":
            if event.delta is not None:
                self._delta(event.index, event.delta, found)
        elif kind == "content_block_start":
            if event.content_block is not None:
                self._begin(event.index, event.content_block, found)
        elif kind == "content_block_stop":
            self._close(event.index, found)
        elif kind == "message_start" and event.message is not None:
            message = event.message
            if message.usage is not None:
                self._count(message.usage)
            self._start(message.id, message.model, found)
        elif kind == "message_delta":
            if event.usage is not None:
                self._count(event.usage)
            if event.delta is not None and event.delta.stop_reason is not None:
                self._end = event.delta
        elif kind == "message_stop":
            self._stop(found)
        elif kind == "error":
            self._fail(fault_of(event.error), found)

    def _count(self, counted: Counted) -> None:
        self._counted = merged(self._counted, counted)
        self.usage = usage_of(self._counted)

    def _start(self, message_id: str, model: str, found: list[Event]) -> None:
        if not self._begun:
            self._begun = True
            found.append(Started(message_id, model, 0, self.usage))

    def _begin(self, index: int, block: Block, found: list[Event]) -> None:
        self._start("", "", found)
        self._close(index, found)
        kind = KINDS.get(block.type)
        if kind is None:
            return
        place = self._parts
        self._places[index] = (place, kind)
        self._parts += 1
        if kind == "tool_call":
            name = self._names.get(block.name, block.name)
            found.append(PartStarted(place, "tool_call", block.id, name))
            given = bytes(block.input).decode().strip()
            if given not in ("{}", "null"):
                self._input[place] = given
        elif kind == "text":
            found.append(PartStarted(place, "text"))
            if block.text:
                found.append(TextDelta(place, block.text))
        else:
            found.append(PartStarted(place, "thinking", redacted=block.data, family=FAMILY))
            if block.thinking:
                found.append(ThinkingDelta(place, block.thinking))
            if block.signature:
                found.append(SignatureDelta(place, block.signature, FAMILY))

    def _delta(self, index: int, delta: Delta, found: list[Event]) -> None:
        place, kind = self._places.get(index, (-1, ""))
        if kind == "text":
            if delta.text:
                found.append(TextDelta(place, delta.text))
        elif kind == "tool_call":
            if delta.partial_json:
                self._input.pop(place, None)
                found.append(ArgumentsDelta(place, delta.partial_json))
        elif kind == "thinking":
            if delta.thinking:
                found.append(ThinkingDelta(place, delta.thinking))
            elif delta.signature:
                found.append(SignatureDelta(place, delta.signature, FAMILY))

    def _close(self, index: int, found: list[Event]) -> None:
        if index in self._places:
            place, _ = self._places.pop(index)
            if place in self._input:
                found.append(ArgumentsDelta(place, self._input.pop(place)))
            found.append(PartEnded(place))

    def _stop(self, found: list[Event]) -> None:
        self._over = True
        self._start("", "", found)
        for index in list(self._places):
            self._close(index, found)
        end = self._end or Delta()
        details = end.stop_details
        if details is not None and details.explanation:
            place = self._parts
            found += [
                PartStarted(place, "refusal"),
                RefusalDelta(place, details.explanation),
                PartEnded(place),
            ]
        found.append(Stopped(STOPS.get(end.stop_reason or "end_turn", "end"), end.stop_sequence or ""))
        if self.usage is not None:
            found.append(UsageCounted(self.usage))

    def _fail(self, fault: Fault, found: list[Event]) -> None:
        self._over = True
        found.append(Failed(fault))


class Writer:
    """Writes one stream for a caller; see `plane.dialect.EventWriter`.

    One block is open at a time: events of a part that begins while another is open wait until that has ended.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._current = -1  # The part whose block is open, -1 for none.
        self._index = -1  # Of that block.
        self._kind = ""
        self._custom = False
        self._signature = ""
        self._waiting: dict[int, list[Event]] = {}  # Events of parts that have begun meanwhile, in their order.
        self._refused: list[str] = []
        self._refusals: set[int] = set()
        self._stopped: Stopped | None = None
        self._usage: Usage | None = None
        self._failed = False

    def write(self, events: list[Event]) -> bytes:
        """Return the bytes of these events."""
        out: list[bytes] = []
        for event in events:
            if self._failed:
                break
            if isinstance(event, Started):
                out.append(started(event, self._model))
            elif isinstance(event, UsageCounted):
                self._usage = event.usage
            elif isinstance(event, Failed):
                self._failed = True
                out.append(error_event(event.fault.status, event.fault.message))
            elif event.choice == 0:
                if isinstance(event, Stopped):
                    self._stopped = event
                else:
                    self._part(event, out)
        return b"".join(out)

    def flush(self) -> bytes:
        """Return the end of the message; nothing where it has none."""
        stopped = self._stopped
        if self._failed or stopped is None:
            return b""
        if stopped.stop == "error":
            self._failed = True
            return error_event(502, ENDED_IN_ERROR)
        words = stop_words(stopped.stop, stopped.stop_sequence, "".join(self._refused))
        delta = {"type": "message_delta", "delta": words, "usage": rendered(self._usage)}
        return (
            b"event: message_delta\ndata: %b\n\n" % msgspec.json.encode(delta)
            + b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
        )

    def _part(self, event: Event, out: list[bytes]) -> None:
        """Write an event of a part, or let it wait."""
        index = event.index  # type: ignore[union-attr]  # What has no part was taken before.
        if self._refusals and index in self._refusals:
            if isinstance(event, RefusalDelta):
                self._refused.append(event.text)
            return
        if isinstance(event, PartStarted) and event.kind == "refusal":
            self._refusals.add(index)
            return
        if self._current >= 0 and index != self._current:
            self._waiting.setdefault(index, []).append(event)
            return
        self._now(event, out)
        while self._current < 0 and self._waiting:
            following = next(iter(self._waiting))
            for waited in self._waiting.pop(following):
                self._now(waited, out)

    def _now(self, event: Event, out: list[bytes]) -> None:
        """Write an event of the part whose turn it is."""
        if isinstance(event, TextDelta):
            out.append(self._delta(b"text_delta", b"text", event.text))
        elif isinstance(event, ThinkingDelta):
            out.append(self._delta(b"thinking_delta", b"thinking", event.text))
        elif isinstance(event, ArgumentsDelta):
            text = event.text
            if self._custom:
                text = _text.encode(text)[1:-1].decode()
            out.append(self._delta(b"input_json_delta", b"partial_json", text))
        elif isinstance(event, SignatureDelta):
            self._signature += own(event.family, event.signature)
        elif isinstance(event, PartStarted):
            self._start(event, out)
        elif isinstance(event, PartEnded):
            self._stop(out)

    def _start(self, event: PartStarted, out: list[bytes]) -> None:
        self._current = event.index
        self._index += 1
        self._signature = ""
        self._custom = event.custom
        if event.kind == "text":
            block: dict[str, object] = {"type": "text", "text": "", "citations": None}
        elif event.kind == "tool_call":
            call_id = pack_call_id(event.id, event.family, event.signature)
            block = {"type": "tool_use", "id": call_id, "name": event.name, "input": {}}
        elif event.redacted:
            block = {"type": "redacted_thinking", "data": own(event.family, event.redacted)}
        else:
            block = {"type": "thinking", "thinking": "", "signature": ""}
        text = {"type": "content_block_start", "index": self._index, "content_block": block}
        out.append(b"event: content_block_start\ndata: %b\n\n" % msgspec.json.encode(text))
        if self._custom:
            out.append(self._delta(b"input_json_delta", b"partial_json", '{"input":"'))

    def _stop(self, out: list[bytes]) -> None:
        if self._signature:
            out.append(self._delta(b"signature_delta", b"signature", self._signature))
        if self._custom:
            out.append(self._delta(b"input_json_delta", b"partial_json", '"}'))
        out.append(b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % self._index)
        self._current = -1
        self._custom = False

    def _delta(self, kind: bytes, name: bytes, text: str) -> bytes:
        return (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
            b'"delta":{"type":"%b","%b":%b}}\n\n' % (self._index, kind, name, _text.encode(text))
        )


def started(event: Started, model: str) -> bytes:
    """Return the event that begins a message."""
    message: dict[str, object] = {
        "id": event.id or made_id(),
        "type": "message",
        "role": "assistant",
        "model": event.model or model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "usage": rendered(event.usage),
    }
    return b"event: message_start\ndata: %b\n\n" % msgspec.json.encode({"type": "message_start", "message": message})


def error_event(status: int, message: str) -> bytes:
    """Return the event that ends a stream which broke off."""
    error = {"type": error_type(status), "message": message}
    return b"event: error\ndata: %b\n\n" % msgspec.json.encode({"type": "error", "error": error})
