"""Streams of OpenAI's chat completions, from and to the hub."""

from __future__ import annotations

import secrets
import time
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
    RefusalDelta,
    Request,
    SignatureDelta,
    Started,
    Stopped,
    TextDelta,
    Thinking,
    ThinkingDelta,
    UsageCounted,
    pack_call_id,
)
from plane.dialects._json import one_line
from plane.dialects._openai_answers import (
    Custom,
    Function,
    Piece,
    fault_of,
    joined,
    new_call_id,
    thinking_block,
)
from plane.dialects._openai_usage import Counted, usage_of
from plane.dialects._openai_wire import (
    ENCODER,
    capabilities_of,
    error_body,
    stop_of,
    stop_word,
    text_of,
    usage_json,
)
from plane.framing_events import EventSplitter
from plane.usage import Usage

__all__ = ["EventReader", "EventWriter"]

NULL = Raw(b"null")
DONE = b"[DONE]"
BROKEN = "The provider's stream broke off before its end."
EMPTY = "The provider's stream ended without an answer."
LEGACY = -1
"""The index of a call of the time before calls had one."""


class CallPiece(Struct):
    """A piece of a tool call; index, id and name stand in its first, if at all."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None
    custom: Custom | None = None


class Delta(Struct):
    """What a chunk adds to a choice."""

    content: str | list[Piece] | None = None
    refusal: str | None = None
    tool_calls: list[CallPiece] | None = None
    function_call: Function | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[Piece] | None = None


class ChunkChoice(Struct):
    """A choice in a chunk."""

    index: int | None = None
    delta: Delta | None = None
    finish_reason: str | None = None
    logprobs: Raw = NULL


class Chunk(Struct):
    """One event."""

    choices: list[ChunkChoice] | None = None
    id: str | None = None
    created: float | None = None
    model: str | None = None
    usage: Counted | None = None
    service_tier: str | None = None
    error: Raw = NULL


CHUNK = msgspec.json.Decoder(Chunk)


class CallState:
    """A tool call under way. part: its index, -1 until its name is known; held: arguments that came before that."""

    def __init__(self, call_id: str) -> None:
        self.id = call_id
        self.part = -1
        self.held = ""


class ChoiceState:
    """A choice under way. open: the kind of the part that is, "" for none or tool calls; part: its index."""

    def __init__(self) -> None:
        self.open = ""
        self.part = -1
        self.parts = 0
        self.calls: dict[int, CallState] = {}
        self.refused = False
        self.called = False
        self.stopped = False

    def place_of(self, call_id: str | None, is_named: bool) -> int:
        """Return the index of a call whose pieces have none: by its id, else the last, or a new one if it begins."""
        for index, call in self.calls.items():
            if call_id and call.id == call_id:
                return index
        return len(self.calls) if call_id or is_named else len(self.calls) - 1


class EventReader:
    """Reads a provider's stream, with all that servers that say they are compatible were seen to do."""

    def __init__(self, carry: Carry) -> None:
        self.usage: Usage | None = None
        self._carry = carry
        self._can = capabilities_of(carry)
        self._splitter = EventSplitter()
        self._choices: dict[int, ChoiceState] = {}
        self._started = False
        self._ended = False
        self._counted = False

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that are whole with these bytes."""
        events: list[Event] = []
        for _, text in self._splitter.feed(data):
            self._take(text, events)
        return events

    def flush(self) -> list[Event]:
        """Return what the end of the stream means: without ``[DONE]`` it is whole if all choices are."""
        events: list[Event] = []
        for _, text in self._splitter.flush():
            try:
                self._take(text, events)
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                break  # Cut in the middle of an event.
        if not self._ended:
            choices = self._choices
            if choices and all(choice.stopped for choice in choices.values()):
                self._end(events)
            else:
                self._fail(events, Fault(502, BROKEN))
        return events

    def _take(self, text: bytes, events: list[Event]) -> None:
        """Take one event."""
        if self._ended:
            return
        if text == DONE:
            if self._choices:
                self._end(events)
            else:
                self._fail(events, Fault(502, EMPTY))
            return
        chunk = CHUNK.decode(text)
        if chunk.choices is None and bytes(chunk.error) not in (b"null", b"{}", b'""', b"false"):
            self._fail(events, fault_of(200, text))
            return
        if not self._started:
            self._started = True
            events.append(Started(chunk.id or "", chunk.model or "", int(chunk.created or 0)))
        for place, choice in enumerate(chunk.choices or ()):
            index = choice.index if choice.index is not None else place
            state = self._choices.get(index)
            if state is None:
                state = self._choices[index] = ChoiceState()
            if not state.stopped:
                self._take_choice(choice, index, state, events)
        if bytes(chunk.error) not in (b"null", b"{}", b'""', b"false"):
            self._fail(events, fault_of(200, text))
            return
        if chunk.usage is not None:
            self.usage = usage_of(
                chunk.usage,
                reasoning_counted=self._can.reasoning_counted,
                service_tier=chunk.service_tier or "",
            )
            if not chunk.choices and self._choices and all(choice.stopped for choice in self._choices.values()):
                self._end(events)

    def _take_choice(self, choice: ChunkChoice, index: int, state: ChoiceState, events: list[Event]) -> None:
        """Take what a chunk adds to one choice."""
        delta = choice.delta
        if delta is not None:
            thought = delta.reasoning_content or delta.reasoning or joined(delta.reasoning_details)
            if thought:
                events.append(ThinkingDelta(self._part(state, "thinking", index, events), thought, index))
            words = delta.content if isinstance(delta.content, str) else joined(delta.content)
            if words:
                part = self._part(state, "text", index, events)
                events.append(TextDelta(part, words, text_of(choice.logprobs), index))
            if delta.refusal:
                state.refused = True
                events.append(RefusalDelta(self._part(state, "refusal", index, events), delta.refusal, index))
            for piece in delta.tool_calls or ():
                self._take_call(piece, index, state, events)
            if delta.function_call is not None:
                self._take_call(CallPiece(LEGACY, None, delta.function_call), index, state, events)
        if choice.finish_reason:
            self._stop(choice.finish_reason, index, state, events)

    def _part(self, state: ChoiceState, kind: Any, index: int, events: list[Event]) -> int:
        """Return the part that words of this kind go to; what was open before ends where it is another."""
        if state.open != kind:
            self._close(state, index, events)
            state.open = kind
            state.part = state.parts
            state.parts += 1
            events.append(PartStarted(state.part, kind, choice=index))
        return state.part

    def _close(self, state: ChoiceState, index: int, events: list[Event]) -> None:
        """End all parts that are open."""
        if state.open:
            events.append(PartEnded(state.part, index))
            state.open = ""
        for call in state.calls.values():
            if call.part >= 0:
                events.append(PartEnded(call.part, index))
        state.calls = {}

    def _take_call(self, piece: CallPiece, index: int, state: ChoiceState, events: list[Event]) -> None:
        """Take a piece of a tool call: of a new one where no index or id of a known one says otherwise."""
        told = piece.function or piece.custom
        name = told.name if told is not None else ""
        key = piece.index if piece.index is not None else state.place_of(piece.id, bool(name))
        call = state.calls.get(key)
        if call is not None and piece.id and name and call.part >= 0 and piece.id != call.id:
            key = max(state.calls) + 1  # Every call has index 0 at some servers.
            call = None
        if call is None:
            call = state.calls[max(key, LEGACY)] = CallState(piece.id or new_call_id())
        arguments = ""
        if piece.function is not None:
            arguments = piece.function.arguments or ""
        elif piece.custom is not None:
            arguments = piece.custom.input or ""
        if call.part < 0:
            if not name:
                call.held += arguments
                return
            if state.open:
                events.append(PartEnded(state.part, index))
                state.open = ""
            state.called = True
            call.part = state.parts
            state.parts += 1
            name = self._carry.tool_names.get(name, name)
            custom = piece.custom is not None
            events.append(PartStarted(call.part, "tool_call", id=call.id, name=name, custom=custom, choice=index))
            arguments = call.held + arguments
        if arguments:
            events.append(ArgumentsDelta(call.part, arguments, index))

    def _stop(self, word: str, index: int, state: ChoiceState, events: list[Event]) -> None:
        """End a choice."""
        self._close(state, index, events)
        state.stopped = True
        events.append(Stopped(stop_of(word, calls=state.called, refused=state.refused), choice=index))

    def _end(self, events: list[Event]) -> None:
        """End the stream well."""
        self._ended = True
        for index, state in self._choices.items():
            if not state.stopped:
                self._stop("", index, state, events)
        if self.usage is not None:
            events.append(UsageCounted(self.usage))

    def _fail(self, events: list[Event], fault: Fault) -> None:
        """End the stream with an error."""
        self._ended = True
        for index, state in self._choices.items():
            if not state.stopped:
                self._close(state, index, events)
        events.append(Failed(fault))


class EventWriter:
    """Writes a stream for a caller."""

    def __init__(self, request: Request) -> None:
        self._model = request.model
        self._usage_wanted = request.usage_wanted
        self._head = b""
        self._tail = b""
        self._roles: set[int] = set()
        self._refused: set[int] = set()
        # By (choice, part): of a tool call its place among the calls, and whether it takes free text; of a thought what
        # it holds so far.
        self._calls: dict[tuple[int, int], tuple[int, bool]] = {}
        self._silent: set[tuple[int, int]] = set()
        self._thoughts: dict[tuple[int, int], Thinking] = {}
        self._failed = False

    def write(self, events: list[Event]) -> bytes:
        """Return the bytes of these events."""
        return b"".join([self._one(event) for event in events])

    def flush(self) -> bytes:
        """Return what ends the stream."""
        return b"" if self._failed else b"data: [DONE]\n\n"

    def _one(self, event: Event) -> bytes:
        """Return the bytes of one event."""
        if isinstance(event, TextDelta):
            if event.logprobs:
                return self._chunk(event.choice, {"content": event.text}, logprobs=event.logprobs)
            return self._chunk(event.choice, {"content": event.text})
        if isinstance(event, ArgumentsDelta):
            return self._arguments(event.choice, event.index, event.text)
        if isinstance(event, ThinkingDelta):
            thought = self._thoughts.get((event.choice, event.index))
            if thought is not None:
                thought.text += event.text
            return self._chunk(event.choice, {"reasoning_content": event.text})
        if isinstance(event, PartStarted):
            return self._part_started(event)
        if isinstance(event, PartEnded):
            return self._part_ended(event)
        if isinstance(event, Started):
            self._start(event)
            return self._role(0)
        if isinstance(event, Stopped):
            word = stop_word(event.stop, refused=event.choice in self._refused)
            return self._chunk(event.choice, {}, finish=word)
        if isinstance(event, RefusalDelta):
            return self._chunk(event.choice, {"refusal": event.text})
        if isinstance(event, SignatureDelta):
            thought = self._thoughts.get((event.choice, event.index))
            if thought is not None:
                thought.signature += event.signature
                thought.family = event.family
            return b""
        if isinstance(event, UsageCounted):
            return self._usage(event.usage)
        self._failed = True
        fault = event.fault
        return b"data: %b\n\n" % error_body(
            fault.status, fault.code or "upstream_error", fault.message, fault.param or None
        )

    def _start(self, event: Started) -> None:
        """Make what is the same in all chunks."""
        head = {
            "id": event.id or f"chatcmpl-{secrets.token_hex(12)}",
            "object": "chat.completion.chunk",
            "created": event.created or int(time.time()),
            "model": event.model or self._model,
        }
        self._head = b"data: " + ENCODER.encode(head)[:-1] + b',"choices":['
        self._tail = b'}],"usage":null}\n\n' if self._usage_wanted else b"}]}\n\n"

    def _role(self, choice: int) -> bytes:
        """Return the first chunk of a choice."""
        self._roles.add(choice)
        return self._chunk(choice, {"role": "assistant", "content": ""})

    def _chunk(self, choice: int, delta: dict[str, Any], logprobs: str = "", finish: str = "") -> bytes:
        """Return one chunk."""
        if not self._head:
            self._start(Started())
        first = b"" if choice in self._roles else self._role(choice)
        return b'%b%b{"index":%d,"delta":%b,"logprobs":%b,"finish_reason":%b%b' % (
            first,
            self._head,
            choice,
            ENCODER.encode(delta),
            one_line(logprobs.encode()) if logprobs else b"null",
            b'"%b"' % finish.encode() if finish else b"null",
            self._tail,
        )

    def _part_started(self, event: PartStarted) -> bytes:
        """Return what tells of a part before its words."""
        key = event.choice, event.index
        if event.kind == "tool_call":
            place = sum(choice == event.choice for choice, _ in self._calls)
            self._calls[key] = place, event.custom
            self._silent.add(key)
            call: dict[str, Any] = {
                "index": place,
                "id": pack_call_id(event.id, event.family, event.signature),
                "type": "custom" if event.custom else "function",
            }
            if event.custom:
                call["custom"] = {"name": event.name, "input": ""}
            else:
                call["function"] = {"name": event.name, "arguments": ""}
            return self._chunk(event.choice, {"tool_calls": [call]})
        if event.kind == "thinking":
            self._thoughts[key] = Thinking(redacted=event.redacted, family=event.family)
        elif event.kind == "refusal":
            self._refused.add(event.choice)
        return b""

    def _arguments(self, choice: int, part: int, text: str) -> bytes:
        """Return more of a call's arguments."""
        place, custom = self._calls[choice, part]
        self._silent.discard((choice, part))
        told = {"custom": {"input": text}} if custom else {"function": {"arguments": text}}
        return self._chunk(choice, {"tool_calls": [{"index": place, **told}]})

    def _part_ended(self, event: PartEnded) -> bytes:
        """Return what is known of a part only at its end: the proof of a thought, or that a call has no arguments."""
        key = event.choice, event.index
        if key in self._silent and not self._calls[key][1]:
            return self._arguments(event.choice, event.index, "{}")
        thought = self._thoughts.pop(key, None)
        if thought is not None and (thought.signature or thought.redacted):
            return self._chunk(event.choice, {"thinking_blocks": [thinking_block(thought)]})
        return b""

    def _usage(self, usage: Usage) -> bytes:
        """Return the chunk that tells the usage, where the caller wants it."""
        if not self._usage_wanted:
            return b""
        return b'%b],"usage":%b}\n\n' % (self._head, ENCODER.encode(usage_json(usage)))
