"""The stream of Mistral's chat, from and to the hub: OpenAI's chunks, with thoughts within the content.

Tool calls come whole, some servers number all of them 0; usage comes with the last chunk, without being asked for.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from typing import Any

import msgspec
from msgspec import Raw

from core.errors import GatewayError
from plane.canonical import (
    ArgumentsDelta,
    Carry,
    Event,
    Failed,
    Fault,
    PartStarted,
    RefusalDelta,
    Request,
    SignatureDelta,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    UsageCounted,
    foreign_signature,
)
from plane.canonical import PartEnded as Ended
from plane.dialects import _mistral_wire as wire
from plane.dialects._carrying import text_of
from plane.dialects._json import one_line, read_answered
from plane.dialects._mistral_answers import (
    FINISH,
    STOPS,
    call_id_of,
    call_of,
    error_body,
    read_fault,
    usage_json,
    usage_of,
)
from plane.dialects._mistral_requests import FAMILY, arguments_of, thinking_of
from plane.dialects._open_parts import OpenParts
from plane.framing_events import EventSplitter
from plane.usage import Usage

__all__ = ["MistralEventReader", "MistralEventWriter", "failure"]

DONE = b"[DONE]"

_told = msgspec.json.Decoder(wire.Told)


class OpenChoice:
    """One choice of a stream."""

    def __init__(self, index: int) -> None:
        self.parts = OpenParts(index)
        self.calls: dict[int, tuple[str, int]] = {}
        self.stopped = False


class MistralEventReader:
    """Reads the stream of a provider."""

    def __init__(self, carry: Carry) -> None:
        self.usage: Usage | None = None
        self.carry = carry
        self.splitter = EventSplitter()
        self.events: list[Event] = []
        self.choices: dict[int, OpenChoice] = {}
        self.started = False
        self.ended = False

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that are whole with these bytes."""
        for _, text in self.splitter.feed(data):
            self._read(text)
        return self._take()

    def flush(self) -> list[Event]:
        """Return what is left at the end of the bytes."""
        with contextlib.suppress(GatewayError):  # What is held may be a piece.
            for _, text in self.splitter.flush():
                self._read(text)
        if not self.ended:
            self._end()
        return self._take()

    def _take(self) -> list[Event]:
        events, self.events = self.events, []
        return events

    def _read(self, text: bytes) -> None:
        """Take in one chunk; those after the end say nothing."""
        if self.ended:
            return
        if text == DONE:
            self._end()
            return
        told = read_answered(_told, text)
        if told.object == "error" or text_of(told.error):
            self._fail(read_fault(502, [], text))
            return
        if not self.started:
            self.started = True
            self.events.append(Started(told.id or "", told.model or self.carry.model, told.created or 0))
        if told.usage is not None:
            self.usage = usage_of(told.usage)
        for choice in told.choices or ():
            self._read_choice(choice)

    def _read_choice(self, choice: wire.Choice) -> None:
        """Take in what a chunk adds to one choice."""
        opened = self.choices.get(choice.index)
        if opened is None:
            opened = self.choices[choice.index] = OpenChoice(choice.index)
        parts = opened.parts
        content = choice.delta.content
        if isinstance(content, str):
            parts.text(content, text_of(choice.logprobs))
        else:
            for chunk in content or ():
                if chunk.type == "thinking":
                    thought = thinking_of(chunk)
                    parts.thinking(thought.text)
                    if thought.signature and parts.kind == "thinking":
                        proof = SignatureDelta(parts.count - 1, thought.signature, thought.family, choice.index)
                        parts.events.append(proof)
                elif chunk.type == "text":
                    parts.text(chunk.text or "")
        for call in choice.delta.tool_calls or ():
            read_call(call, opened)
        if choice.finish_reason and not opened.stopped:
            opened.stopped = True
            parts.close()
            stop = STOPS.get(choice.finish_reason, "end")
            parts.events.append(Stopped("tool_calls" if stop == "end" and opened.calls else stop, choice=choice.index))
        self.events += parts.take()

    def _end(self) -> None:
        """End the stream: well if all that began has stopped."""
        if not self.choices or not all(choice.stopped for choice in self.choices.values()):
            self._fail(Fault(status=502, message="The provider broke the stream off."))
            return
        self.ended = True
        if self.usage is not None:
            self.events.append(UsageCounted(self.usage))

    def _fail(self, fault: Fault) -> None:
        """End the stream with an error."""
        self.ended = True
        for choice in self.choices.values():
            choice.parts.close()
            self.events += choice.parts.take()
        self.events.append(Failed(fault))


def read_call(call: wire.WireCall, opened: OpenChoice) -> None:
    """Take in a tool call, or more of the arguments of one."""
    place = call.index if call.index is not None else len(opened.calls)
    known = opened.calls.get(place)
    call_id = call.id if call.id and call.id != "null" else ""
    if known is None or (call_id and call_id != known[0]):
        made = call_id or call_id_of(call)
        known = opened.calls[place] = (made, opened.parts.call(made, call.function.name))
    opened.parts.arguments(known[1], arguments_of(call))


class MistralEventWriter:
    """Writes a stream for a caller. Calls are held until they are whole, and the last chunk until usage has come."""

    def __init__(self, request: Request) -> None:
        self.head: dict[str, Any] = {"id": "", "object": "chat.completion.chunk", "created": 0, "model": request.model}
        self.calls: dict[tuple[int, int], ToolCall] = {}
        self.counts: dict[int, int] = {}
        self.stops: list[Stopped] = []
        self.usage: Usage | None = None
        self.ended = False

    def write(self, events: list[Event]) -> bytes:
        """Return the bytes of these events."""
        return b"".join(self._write(event) for event in events)

    def flush(self) -> bytes:
        """Return the last chunk and the end; nothing after a failure."""
        if self.ended or not self.stops:
            return b""
        self.ended = True
        last = self.stops.pop()
        more = {"usage": usage_json(self.usage)} if self.usage is not None else {}
        return self._chunk({"content": ""}, last.choice, FINISH.get(last.stop, "stop"), more) + b"data: [DONE]\n\n"

    def _write(self, event: Event) -> bytes:
        """Return one event's bytes. Opaque thoughts have no place."""
        if isinstance(event, TextDelta | RefusalDelta):
            told = event.logprobs if isinstance(event, TextDelta) else ""
            return self._chunk({"content": event.text}, event.choice, None, {}, told)
        if isinstance(event, ThinkingDelta):
            return self._thought({"thinking": [{"type": "text", "text": event.text}]}, event.choice)
        if isinstance(event, SignatureDelta):
            own = event.family == FAMILY
            signature = event.signature if own else foreign_signature(event.family, event.signature)
            return self._thought({"thinking": [], "signature": signature}, event.choice)
        if isinstance(event, PartStarted) and event.kind == "tool_call":
            call = ToolCall(event.id, event.name, "", event.signature, event.family)
            self.calls[event.choice, event.index] = call
        elif isinstance(event, ArgumentsDelta):
            self.calls[event.choice, event.index].arguments += event.text
        elif isinstance(event, Ended):
            return self._called(event)
        elif isinstance(event, Started):
            self.head["id"] = event.id or secrets.token_hex(16)
            self.head["created"] = event.created or int(time.time())
            return self._chunk({"role": "assistant", "content": ""}, 0)
        elif isinstance(event, Stopped):
            return self._stopped(event)
        elif isinstance(event, UsageCounted):
            self.usage = event.usage
        elif isinstance(event, Failed):
            self.ended = True
            return failure(event.fault.status, event.fault.code, event.fault.message)
        return b""

    def _called(self, event: Ended) -> bytes:
        """Return a tool call that is whole."""
        call = self.calls.pop((event.choice, event.index), None)
        if call is None:
            return b""
        call.arguments = call.arguments or "{}"
        place = self.counts.get(event.choice, 0)
        self.counts[event.choice] = place + 1
        return self._chunk({"content": "", "tool_calls": [call_of(call, place)]}, event.choice)

    def _stopped(self, event: Stopped) -> bytes:
        """Return the ends of the choices before this one, whose own waits for the usage."""
        before, self.stops = self.stops, [event]
        return b"".join(self._chunk({"content": ""}, one.choice, FINISH.get(one.stop, "stop")) for one in before)

    def _thought(self, chunk: dict[str, Any], choice: int) -> bytes:
        """Return a chunk that adds to a thought."""
        return self._chunk({"content": [{"type": "thinking", **chunk}]}, choice)

    def _chunk(
        self,
        delta: dict[str, Any],
        choice: int,
        finish: str | None = None,
        more: dict[str, Any] | None = None,
        logprobs: str = "",
    ) -> bytes:
        """Return one chunk."""
        told: dict[str, Any] = {"index": choice, "delta": delta, "finish_reason": finish}
        if logprobs:
            told["logprobs"] = Raw(one_line(logprobs.encode()))
        return b"data: %b\n\n" % msgspec.json.encode({**self.head, "choices": [told], **(more or {})})


def failure(status: int, code: str, message: str, param: str | None = None) -> bytes:
    """Return the event that ends a stream which broke off; no ``[DONE]`` follows."""
    return b"data: %b\n\n" % error_body(status, code, message, param)
