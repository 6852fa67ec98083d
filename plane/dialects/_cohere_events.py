"""The stream of Cohere's chat, from and to the hub: server-sent events, named, closed by ``data: [DONE]``."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec

from core.errors import GatewayError
from plane.canonical import (
    ArgumentsDelta,
    Carry,
    Event,
    Failed,
    Fault,
    PartEnded,
    PartStarted,
    RefusalDelta,
    Started,
    Stop,
    Stopped,
    TextDelta,
    ThinkingDelta,
    UsageCounted,
    pack_call_id,
)
from plane.dialects import _cohere_wire as wire
from plane.dialects._cohere_answers import FINISH, STOPS, log_probs, read_log_probs, usage_of, write_usage
from plane.dialects._json import read_answered
from plane.dialects._open_parts import OpenParts
from plane.framing_events import EventSplitter
from plane.usage import Usage

__all__ = ["CohereEventReader", "CohereEventWriter", "failure"]

DONE = b"[DONE]"

_event = msgspec.json.Decoder(wire.Event)


class CohereEventReader:
    """Reads the stream of a provider."""

    def __init__(self, carry: Carry) -> None:
        self.usage: Usage | None = None
        self.carry = carry
        self.splitter = EventSplitter()
        self.parts = OpenParts()
        self.calls: dict[int, int] = {}
        self.started = False
        self.ended = False

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that are whole with these bytes."""
        for _, text in self.splitter.feed(data):
            self._read(text)
        return self.parts.take()

    def flush(self) -> list[Event]:
        """Return what is left at the end of the bytes."""
        with contextlib.suppress(GatewayError):  # What is held may be a piece.
            for _, text in self.splitter.flush():
                self._read(text)
        if not self.ended:
            self._fail("The provider broke the stream off.", 502)
        return self.parts.take()

    def _read(self, text: bytes) -> None:
        """Take in one event; those after the end, and of unknown types, say nothing."""
        if self.ended or text == DONE or not text:
            return
        event = read_answered(_event, text)
        delta = event.delta
        added = delta.message
        if event.type == "message-start":
            self._start(event.id or "")
            return
        self._start("")
        if event.type in ("content-start", "content-delta"):
            content = added.content if added is not None else None
            if isinstance(content, wire.Content):
                self.parts.thinking(content.thinking or "")
                self.parts.text(content.text or "", read_log_probs([event.logprobs]) if event.logprobs else "")
        elif event.type == "content-end":
            self.parts.close()
        elif event.type == "tool-plan-delta":
            self.parts.text(added.tool_plan or "" if added is not None else "")
        elif event.type in ("tool-call-start", "tool-call-delta"):
            self._call(event)
        elif event.type == "tool-call-end":
            self.parts.end_call(self.calls.get(event.index or 0, -1))
        elif event.type == "message-end":
            self._end(delta)
        elif event.message is not None and event.type == "error":
            self._fail(event.message, 502)

    def _start(self, answer_id: str) -> None:
        """Begin the stream, once."""
        if not self.started:
            self.started = True
            self.parts.events.append(Started(answer_id, self.carry.model))

    def _call(self, event: wire.Event) -> None:
        """Begin a tool call, or add to its arguments."""
        added = event.delta.message.tool_calls if event.delta.message is not None else None
        call = added[0] if isinstance(added, list) and added else added
        if not isinstance(call, wire.WireCall):
            return
        function = call.function or wire.Function()
        place = event.index or 0
        if event.type == "tool-call-start":
            self.calls[place] = self.parts.call(call.id or "", function.name or "")
        if place in self.calls:
            self.parts.arguments(self.calls[place], function.arguments or "")

    def _end(self, delta: wire.Delta) -> None:
        """End the answer, or tell of the error that ended it."""
        if delta.error:
            self.usage = usage_of(delta.usage)
            self._fail(delta.error, 502)
            return
        self.ended = True
        self.parts.close()
        self.parts.events.append(Stopped(STOPS.get(delta.finish_reason or "", "end")))
        self.usage = usage_of(delta.usage)
        if self.usage is not None:
            self.parts.events.append(UsageCounted(self.usage))

    def _fail(self, message: str, status: int) -> None:
        """End the stream with an error."""
        self.ended = True
        self.parts.close()
        self.parts.events.append(Failed(Fault(status, message)))


class CohereEventWriter:
    """Writes a stream for a caller. Its last event has the usage, which comes after the stop: it waits for that."""

    def __init__(self) -> None:
        self.answer_id = ""
        self.kinds: dict[int, str] = {}
        self.contents: dict[int, int] = {}
        self.calls: dict[int, int] = {}
        self.stop: Stop | None = None
        self.usage: Usage | None = None
        self.ended = False

    def write(self, events: list[Event]) -> bytes:
        """Return the bytes of these events."""
        return b"".join(self._write(event) for event in events)

    def flush(self) -> bytes:
        """Return the end of the stream; none after a failure."""
        if self.ended or self.stop is None:
            return b""
        self.ended = True
        delta: dict[str, Any] = {"finish_reason": FINISH[self.stop]}
        if self.usage is not None:
            delta["usage"] = write_usage(self.usage)
        return event_of("message-end", {"id": self.answer_id, "delta": delta}) + b"data: [DONE]\n\n"

    def _write(self, event: Event) -> bytes:
        """Return one event's bytes. Answers beyond the first have no place."""
        if getattr(event, "choice", 0):
            return b""
        if isinstance(event, TextDelta | RefusalDelta):
            more = {}
            if isinstance(event, TextDelta) and event.logprobs and (told := log_probs(event.logprobs)):
                more["logprobs"] = told[0]
            return self._content(event.index, "content-delta", {"text": event.text}, more)
        if isinstance(event, ThinkingDelta):
            return self._content(event.index, "content-delta", {"thinking": event.text}, {})
        if isinstance(event, ArgumentsDelta):
            return self._call(event.index, "tool-call-delta", {"function": {"arguments": event.text}})
        if isinstance(event, PartStarted):
            return self._begin(event)
        if isinstance(event, PartEnded):
            if event.index not in self.kinds:
                return b""
            if self.kinds[event.index] == "tool_call":
                return event_of("tool-call-end", {"index": self.calls[event.index]})
            return event_of("content-end", {"index": self.contents[event.index]})
        if isinstance(event, Started):
            self.answer_id = event.id
            empty: dict[str, Any] = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": []}
            return event_of("message-start", {"id": event.id, "delta": {"message": {**empty, "citations": []}}})
        if isinstance(event, Stopped):
            self.stop = event.stop
        elif isinstance(event, UsageCounted):
            self.usage = event.usage
        elif isinstance(event, Failed):
            self.ended = True
            return failure(event.fault.message)
        return b""

    def _begin(self, event: PartStarted) -> bytes:
        """Begin a part. Opaque thoughts have no place."""
        if event.redacted:
            return b""
        self.kinds[event.index] = event.kind
        if event.kind == "tool_call":
            self.calls[event.index] = len(self.calls)
            call = {
                "id": pack_call_id(event.id, event.family, event.signature),
                "type": "function",
                "function": {"name": event.name, "arguments": ""},
            }
            return self._call(event.index, "tool-call-start", call)
        self.contents[event.index] = len(self.contents)
        kind = "thinking" if event.kind == "thinking" else "text"
        return self._content(event.index, "content-start", {"type": kind, kind: ""}, {})

    def _content(self, index: int, kind: str, content: dict[str, Any], more: dict[str, Any]) -> bytes:
        place = self.contents.get(index)
        if place is None:
            return b""
        return event_of(kind, {"index": place, "delta": {"message": {"content": content}}, **more})

    def _call(self, index: int, kind: str, call: dict[str, Any]) -> bytes:
        place = self.calls.get(index)
        if place is None:
            return b""
        return event_of(kind, {"index": place, "delta": {"message": {"tool_calls": call}}})


def event_of(kind: str, members: dict[str, Any]) -> bytes:
    """Return one event."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), msgspec.json.encode({"type": kind, **members}))


def failure(message: str) -> bytes:
    """Return the event that ends a stream which broke off; no ``[DONE]`` follows."""
    return event_of("message-end", {"delta": {"finish_reason": "ERROR", "error": message}})
