"""A stream of Converse, read into the hub's events."""

from __future__ import annotations

from typing import Literal, TypeVar

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
    SignatureDelta,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    UsageCounted,
)
from plane.dialects._bedrock_faults import fault_of
from plane.dialects._bedrock_wire import (
    FAMILY,
    STOPS,
    BlockDelta,
    BlockStart,
    BlockStop,
    Counted,
    Ended,
    ReasoningDelta,
    usage_of,
)
from plane.dialects._event_stream import EventStream, Message
from plane.dialects._json import read_answered
from plane.usage import Usage

__all__ = ["Reader"]

T = TypeVar("T")
Kind = Literal["text", "thinking", "tool_call"]

_start = msgspec.json.Decoder(BlockStart)
_delta = msgspec.json.Decoder(BlockDelta)
_stop = msgspec.json.Decoder(BlockStop)
_ended = msgspec.json.Decoder(Ended)
_counted = msgspec.json.Decoder(Counted)


class Reader:
    """Reads one stream. usage: None until its last event, which comes after the one that says why the model stopped.

    Only calls of tools announce themselves: text and thoughts begin with their first piece. A message that is damaged,
    or not what it should be, ends the stream as an exception of Bedrock's does.
    """

    def __init__(self, carry: Carry) -> None:
        self.usage: Usage | None = None
        self._carry = carry
        self._stream = EventStream()
        self._open: dict[int, tuple[int, Kind]] = {}  # By Bedrock's index of the block: the part it is.
        self._parts = 0
        self._started = False
        self._stopped = False
        self._over = False

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that are whole with these bytes, however they were split."""
        events: list[Event] = []
        if self._over:
            return events
        try:
            for message in self._stream.feed(data):
                self._take(message, events)
                if self._over:
                    break
        except GatewayError as error:
            self._fail(fault_from(error), events)
        return events

    def flush(self) -> list[Event]:
        """Return what is left at the end of the bytes; one that came before the model stopped is a failure."""
        events: list[Event] = []
        if self._over:
            return events
        try:
            self._stream.flush()
        except GatewayError as error:
            if not self._stopped:
                self._fail(fault_from(error), events)
        if not self._stopped and not self._over:
            broken = "The provider's stream ended before its answer did."
            self._fail(Fault(502, broken, "api_error", "upstream_bad_answer"), events)
        self._over = True
        return events

    def _take(self, message: Message, events: list[Event]) -> None:
        headers = message.headers
        if headers.get(":message-type") != "event":
            self._fail(fault_in(message), events)
            return
        if not self._started:
            self._started = True
            events.append(Started(model=self._carry.model))
        match headers.get(":event-type"):
            case "contentBlockDelta":
                self._more(read_answered(_delta, message.payload), events)
            case "contentBlockStart":
                self._begin(read_answered(_start, message.payload), events)
            case "contentBlockStop":
                self._end(read_answered(_stop, message.payload).content_block_index, events)
            case "messageStop":
                ended = read_answered(_ended, message.payload)
                self._end_all(events)
                found = ended.additional_model_response_fields
                sequence = (found and found.stop_sequence) or ""
                if not self._stopped:
                    events.append(Stopped(STOPS.get(ended.stop_reason, "end"), sequence))
                self._stopped = True
                self._count(events)
            case "metadata":
                counted = read_answered(_counted, message.payload)
                self.usage = usage_of(counted.usage, counted.service_tier)
                self._count(events)

    def _count(self, events: list[Event]) -> None:
        """Tell the usage once it is known and the model has stopped: that is all."""
        if self.usage is not None and self._stopped:
            events.append(UsageCounted(self.usage))
            self._over = True

    def _begin(self, said: BlockStart, events: list[Event]) -> None:
        call = said.start.tool_use
        if call is None or call.type or self._stopped:
            return
        self._end(said.content_block_index, events)
        self._end_talk(events)
        name = self._carry.tool_names.get(call.name, call.name)
        index = self._part(said.content_block_index, "tool_call")
        events.append(PartStarted(index, "tool_call", id=call.tool_use_id, name=name))

    def _more(self, said: BlockDelta, events: list[Event]) -> None:
        delta = said.delta
        block = said.content_block_index
        if self._stopped:
            return
        if delta.text is not None:
            if delta.text:
                events.append(TextDelta(self._talk(block, "text", events), delta.text))
        elif delta.tool_use is not None:
            part = self._open.get(block)
            if part is not None and part[1] == "tool_call" and delta.tool_use.input:
                events.append(ArgumentsDelta(part[0], delta.tool_use.input))
        elif delta.reasoning_content is not None:
            self._think(block, delta.reasoning_content, events)

    def _think(self, block: int, delta: ReasoningDelta, events: list[Event]) -> None:
        if delta.redacted_content is not None:
            self._end(block, events)
            self._end_talk(events)
            index = self._part(block, "thinking")
            events.append(PartStarted(index, "thinking", redacted=delta.redacted_content, family=FAMILY))
        elif delta.signature:
            events.append(SignatureDelta(self._talk(block, "thinking", events), delta.signature, FAMILY))
        elif delta.text:
            events.append(ThinkingDelta(self._talk(block, "thinking", events), delta.text))

    def _talk(self, block: int, kind: Kind, events: list[Event]) -> int:
        """Return the part of text or thought that a block is, and begin it if need be."""
        part = self._open.get(block)
        if part is not None and part[1] == kind:
            return part[0]
        self._end(block, events)
        self._end_talk(events)
        index = self._part(block, kind)
        events.append(PartStarted(index, "text" if kind == "text" else "thinking"))
        return index

    def _part(self, block: int, kind: Kind) -> int:
        index = self._parts
        self._parts += 1
        self._open[block] = (index, kind)
        return index

    def _end(self, block: int, events: list[Event]) -> None:
        part = self._open.pop(block, None)
        if part is not None:
            events.append(PartEnded(part[0]))

    def _end_talk(self, events: list[Event]) -> None:
        """End what cannot stay open beside another part: all but calls of tools."""
        for block in [block for block, part in self._open.items() if part[1] != "tool_call"]:
            self._end(block, events)

    def _end_all(self, events: list[Event]) -> None:
        for block in list(self._open):
            self._end(block, events)

    def _fail(self, fault: Fault, events: list[Event]) -> None:
        self._end_all(events)
        events.append(Failed(fault))
        self._over = True


def fault_in(message: Message) -> Fault:
    """Return what a message says that is no event: an exception that Bedrock models, or another error."""
    headers = message.headers
    name = headers.get(":exception-type") or headers.get(":error-code") or ""
    return fault_of(0, str(name), message.payload, str(headers.get(":error-message", "")))


def fault_from(error: GatewayError) -> Fault:
    """Return a stream's own damage as a fault."""
    return Fault(error.status, error.message, "api_error", error.code)
