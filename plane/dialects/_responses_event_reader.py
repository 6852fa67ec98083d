"""Streams of OpenAI's Responses API, read from a provider. Wire format: the types of its Python SDK.

Of some 55 types of events those are read that say what the hub knows; what a provider's own tools do is not among it. A
server that leaves out what has been added or done is understood all the same: a part begins with its first word, and
what its end says beyond what came before is the rest of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw, Struct

from plane.canonical import (
    ArgumentsDelta,
    Carry,
    Event,
    Failed,
    Fault,
    PartEnded,
    PartStarted,
    Refusal,
    RefusalDelta,
    SignatureDelta,
    Started,
    Stop,
    Stopped,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    UsageCounted,
)
from plane.dialects._responses_answers import (
    ITEMS,
    KIND,
    Ended,
    MessageItem,
    Trouble,
    chat_logprobs,
    fault_of,
    parts_of,
    stop_of,
    usage_of,
)
from plane.dialects._responses_reading import CallItem, CustomCallItem, ReasoningItem, thought_of
from plane.framing_events import EventSplitter
from plane.usage import Usage

__all__ = ["EventReader"]


class Told(Struct):
    """An event, of whatever type."""

    type: str = ""
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0
    delta: Any = None
    text: str | None = None
    refusal: str | None = None
    arguments: Any = None
    input: Any = None
    item: Raw = Raw(b"null")
    part: Any = None
    logprobs: list[Raw] | None = None
    response: Ended | None = None
    error: Trouble | None = None
    message: str | None = None
    code: str | int | None = None
    param: str | None = None


class Part:
    """A part under way: which of the hub's it is, and how much of it came."""

    __slots__ = ("index", "kind", "place", "section", "size")

    def __init__(self, index: int, kind: str, place: int) -> None:
        self.index = index
        self.kind = kind
        self.place = place
        self.size = 0
        self.section = 0


Key = tuple[int, int]
"""Where a part stands: in which item of the output, and where in its content; -1 for an item that is one part."""

WHOLE = -1


class EventReader:
    """Reads one stream; see `plane.dialect.EventReader`."""

    def __init__(self, carry: Carry) -> None:
        self.usage: Usage | None = None
        self._tool_names = carry.tool_names
        self._splitter = EventSplitter()
        self._decoder = TOLD
        self._started = False
        self._over = False
        self._count = 0
        self._open: dict[Key, Part] = {}
        self._closed: set[Key] = set()
        self._called = False
        self._refused = False

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that are whole with these bytes."""
        events: list[Event] = []
        for _, text in self._splitter.feed(data):
            self._take(text, events)
        return events

    def flush(self) -> list[Event]:
        """Return what is left at the end; a stream without its last event has broken off."""
        events: list[Event] = []
        for _, text in self._splitter.flush():
            self._take(text, events)
        if not self._over:
            self._fail(
                Fault(status=502, message="The stream of the provider has broken off.", code="upstream_cut_short"),
                events,
            )
        return events

    def _take(self, text: bytes, events: list[Event]) -> None:
        if self._over or text == b"[DONE]":
            return
        try:
            told = self._decoder.decode(text)
            handler = HANDLERS.get(told.type)
            if handler is not None:
                handler(self, told, events)
            elif told.error is not None:
                self._fail(fault_of(told.error), events)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            fault = Fault(
                status=502, message="The provider sent an event that is not valid.", code="upstream_bad_answer"
            )
            self._fail(fault, events)

    def _start(self, told: Told, events: list[Event]) -> None:
        if not self._started:
            self._started = True
            response = told.response or Ended()
            events.append(Started(response.id, response.model, int(response.created_at)))

    def _part(self, key: Key, kind: Any, events: list[Event], call: ToolCall | None = None) -> Part:
        """Return the part at `key`, begun now if it was not."""
        part = self._open.get(key)
        if part is not None:
            return part
        self._start(Told(), events)
        if kind != "tool_call":
            self._end_words(events)
        part = self._open[key] = Part(self._count, kind, key[0])
        self._count += 1
        if call is None:
            events.append(PartStarted(part.index, kind))
        else:
            self._called = True
            name = self._tool_names.get(call.name, call.name)
            events.append(PartStarted(part.index, kind, call.id, name, call.custom))
        self._refused = self._refused or kind == "refusal"
        return part

    def _end(self, key: Key, events: list[Event]) -> None:
        part = self._open.pop(key, None)
        if part is not None:
            events.append(PartEnded(part.index))
        self._closed.add(key)

    def _end_words(self, events: list[Event]) -> None:
        """End what is open besides calls: only these may be open beside each other."""
        for key in [key for key, part in self._open.items() if part.kind != "tool_call"]:
            self._end(key, events)

    def _text_delta(self, told: Told, events: list[Event]) -> None:
        part = self._part((told.output_index, told.content_index), "text", events)
        text = str(told.delta or "")
        part.size += len(text)
        events.append(TextDelta(part.index, text, chat_logprobs(told.logprobs or [])))

    def _text_done(self, told: Told, events: list[Event]) -> None:
        key = (told.output_index, told.content_index)
        if key not in self._closed:
            part = self._part(key, "text", events)
            if rest := (told.text or "")[part.size :]:
                events.append(TextDelta(part.index, rest))
            self._end(key, events)

    def _refusal_delta(self, told: Told, events: list[Event]) -> None:
        part = self._part((told.output_index, told.content_index), "refusal", events)
        text = str(told.delta or "")
        part.size += len(text)
        events.append(RefusalDelta(part.index, text))

    def _refusal_done(self, told: Told, events: list[Event]) -> None:
        key = (told.output_index, told.content_index)
        if key not in self._closed:
            part = self._part(key, "refusal", events)
            if rest := (told.refusal or "")[part.size :]:
                events.append(RefusalDelta(part.index, rest))
            self._end(key, events)

    def _thinking_delta(self, told: Told, events: list[Event]) -> None:
        part = self._part((told.output_index, WHOLE), "thinking", events)
        text = str(told.delta or "")
        section = told.summary_index or told.content_index
        if section != part.section:
            part.section = section
            if part.size:
                text = f"\n\n{text}"
        part.size += len(text)
        events.append(ThinkingDelta(part.index, text))

    def _arguments_delta(self, told: Told, events: list[Event]) -> None:
        part = self._open.get((told.output_index, WHOLE))
        if part is not None:  # Of a call that was not added nothing is known; its end tells all.
            text = str(told.delta or "")
            part.size += len(text)
            events.append(ArgumentsDelta(part.index, text))

    def _item_added(self, told: Told, events: list[Event]) -> None:
        if KIND.decode(told.item).type in ("function_call", "custom_tool_call"):
            item = ITEMS[KIND.decode(told.item).type].decode(told.item)
            call = ToolCall(item.call_id, item.name, custom=isinstance(item, CustomCallItem))
            self._end_words(events)
            self._part((told.output_index, WHOLE), "tool_call", events, call)

    def _item_done(self, told: Told, events: list[Event]) -> None:
        decoder = ITEMS.get(KIND.decode(told.item).type)
        if decoder is None:
            return
        item = decoder.decode(told.item)
        key = (told.output_index, WHOLE)
        if isinstance(item, MessageItem):
            self._message_done(told.output_index, item, events)
        elif key in self._closed:
            return
        elif isinstance(item, ReasoningItem):
            self._thought_done(key, item, events)
        else:
            self._call_done(key, item, events)

    def _message_done(self, place: int, item: MessageItem, events: list[Event]) -> None:
        for index, content in enumerate(item.content):
            told = Told(output_index=place, content_index=index, text=content.text, refusal=content.refusal)
            if content.type == "refusal":
                self._refusal_done(told, events)
            elif content.type == "output_text":
                self._text_done(told, events)

    def _thought_done(self, key: Key, item: ReasoningItem, events: list[Event]) -> None:
        thought = thought_of(item)
        if thought is None:
            self._end(key, events)
            return
        part = self._part(key, "thinking", events)
        if part.size == 0 and thought.text:
            events.append(ThinkingDelta(part.index, thought.text))
        if thought.signature:
            events.append(SignatureDelta(part.index, thought.signature, thought.family))
        self._end(key, events)

    def _call_done(self, key: Key, item: CallItem | CustomCallItem, events: list[Event]) -> None:
        custom = isinstance(item, CustomCallItem)
        part = self._part(key, "tool_call", events, ToolCall(item.call_id, item.name, custom=custom))
        words = item.input if isinstance(item, CustomCallItem) else item.arguments
        if rest := words[part.size :]:
            events.append(ArgumentsDelta(part.index, rest))
        self._end(key, events)

    def _finish(self, told: Told, events: list[Event]) -> None:
        response = told.response or Ended(status="completed")
        self._start(told, events)
        if self._count == 0:
            self._replay(response, events)
        for key in list(self._open):
            self._end(key, events)
        self.usage = usage_of(response.usage, response.service_tier)
        if told.type == "response.failed":
            self._over = True
            events.append(Failed(fault_of(response.error)))
            return
        stop: Stop = "tool_calls" if self._called else "refusal" if self._refused else "end"
        if told.type == "response.incomplete":
            stop = stop_of(Ended(status="incomplete", incomplete_details=response.incomplete_details), [])
        events.append(Stopped(stop))
        if self.usage is not None:
            events.append(UsageCounted(self.usage))
        self._over = True

    def _replay(self, response: Ended, events: list[Event]) -> None:
        """Tell what stands in the last event alone: some servers stream nothing else."""
        parts, _ = parts_of(response.output)
        for place, one in enumerate(parts):
            key = (place, WHOLE)
            if isinstance(one, ToolCall):
                part = self._part(key, "tool_call", events, one)
                events.append(ArgumentsDelta(part.index, one.arguments))
            elif isinstance(one, Thinking):
                part = self._part(key, "thinking", events)
                events.append(ThinkingDelta(part.index, one.text))
                if one.signature:
                    events.append(SignatureDelta(part.index, one.signature, one.family))
            elif isinstance(one, Refusal):
                events.append(RefusalDelta(self._part(key, "refusal", events).index, one.text))
            elif isinstance(one, Text):
                events.append(TextDelta(self._part(key, "text", events).index, one.text))
            self._end(key, events)

    def _error(self, told: Told, events: list[Event]) -> None:
        trouble = told.error or Trouble(told.message, told.code, None, told.param)
        self._fail(fault_of(trouble), events)

    def _fail(self, fault: Fault, events: list[Event]) -> None:
        self._over = True
        for key in list(self._open):
            self._end(key, events)
        events.append(Failed(fault))


TOLD = msgspec.json.Decoder(Told)
HANDLERS: dict[str, Callable[[EventReader, Told, list[Event]], None]] = {
    "response.created": EventReader._start,
    "response.output_item.added": EventReader._item_added,
    "response.output_item.done": EventReader._item_done,
    "response.output_text.delta": EventReader._text_delta,
    "response.output_text.done": EventReader._text_done,
    "response.refusal.delta": EventReader._refusal_delta,
    "response.refusal.done": EventReader._refusal_done,
    "response.reasoning_summary_text.delta": EventReader._thinking_delta,
    "response.reasoning_text.delta": EventReader._thinking_delta,
    "response.function_call_arguments.delta": EventReader._arguments_delta,
    "response.custom_tool_call_input.delta": EventReader._arguments_delta,
    "response.completed": EventReader._finish,
    "response.incomplete": EventReader._finish,
    "response.failed": EventReader._finish,
    "error": EventReader._error,
}
