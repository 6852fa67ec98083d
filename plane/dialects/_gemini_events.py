"""Gemini's streams, from and to the hub.

Each message is a whole GenerateContentResponse with what is new; usage is counted up from message to message, and
nothing but the end of the bytes ends the stream. With ``alt=sse`` the messages are server-sent events, else the
elements of one JSON array.
"""

from __future__ import annotations

from typing import Any

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
    Request,
    SignatureDelta,
    Started,
    Stopped,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    UsageCounted,
)
from plane.dialects._gemini_answers import (
    arguments_of,
    call_id,
    finish_of,
    from_logprobs,
    made_id,
    shows,
    stop_of,
    to_logprobs,
    write_call,
)
from plane.dialects._gemini_wire import (
    FAMILY,
    Candidate,
    Counted,
    FunctionCall,
    decode_response,
    error_body,
    fault_of,
    rendered_usage,
    usage_of,
    write_thought,
)
from plane.framing_events import EventSplitter
from plane.usage import Usage

__all__ = ["GeminiReader", "GeminiWriter"]


class Reading:
    """One candidate of a stream.

    index: of the next part; kind: of the part that is open, "" for none; calls: how many there were.
    reason: why it ended, None as long as it did not say.
    """

    def __init__(self) -> None:
        self.index = 0
        self.kind = ""
        self.calls = 0
        self.reason: str | None = None


class GeminiReader:
    """Reads a provider's stream; see `plane.dialect.EventReader`.

    What ends a candidate is told at the end of the bytes: usage still grows behind its last words.
    """

    def __init__(self, carry: Carry) -> None:
        self.counted: Counted | None = None
        self.carry = carry
        self.splitter = EventSplitter()
        self.started = False
        self.failed = False
        self.blocked = False
        self.id = ""
        self.candidates: dict[int, Reading] = {}

    @property
    def usage(self) -> Usage | None:
        """What the call used so far, None as long as nothing was counted."""
        return usage_of(self.counted)

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that are whole with these bytes."""
        return self.read(self.splitter.feed(data))

    def flush(self) -> list[Event]:
        """Return the end of the stream. A candidate that did not say why it ended was cut off."""
        events = self.read(self.splitter.flush())
        if self.failed:
            return events
        readings = sorted(self.candidates.items())
        if not readings and self.blocked:
            events.append(Stopped("content_filter"))
        elif not readings or any(reading.reason is None for _, reading in readings):
            fault = Fault(status=502, message="The provider's stream ended before the answer was whole.")
            return [*events, Failed(fault)]
        for choice, reading in readings:
            end_part(reading, choice, events)
            events.append(Stopped(stop_of(reading.reason or "", reading.calls > 0), choice=choice))
        usage = self.usage
        if usage is not None:
            events.append(UsageCounted(usage))
        return events

    def read(self, messages: list[tuple[bytes, bytes]]) -> list[Event]:
        """Return what these messages say."""
        events: list[Event] = []
        for _, message in messages:
            if self.failed:
                break
            response = decode_response(message)
            if response.usage_metadata is not None and response.usage_metadata.prompt_token_count is not None:
                self.counted = response.usage_metadata
            if error := bytes(response.error):
                self.failed = True
                events.append(Failed(fault_of(200, error)))
                break
            if not self.started:
                self.started = True
                self.id = response.response_id or made_id()
                events.append(Started(response.response_id, response.model_version or self.carry.model))
            if response.prompt_feedback is not None and response.prompt_feedback.block_reason:
                self.blocked = True
            for candidate in response.candidates or ():
                self.read_candidate(candidate, events)
        return events

    def read_candidate(self, candidate: Candidate, events: list[Event]) -> None:
        """Add what is new of one candidate."""
        choice = candidate.index
        reading = self.candidates.get(choice)
        if reading is None:
            reading = self.candidates[choice] = Reading()
        logprobs = "" if candidate.logprobs_result is None else from_logprobs(candidate.logprobs_result)
        for part in candidate.content.parts if candidate.content is not None else ():
            signature = part.thought_signature
            if part.function_call is not None:
                self.read_call(part.function_call, signature, reading, choice, events)
            elif part.thought:
                index = open_part(reading, "thinking", choice, events)
                if part.text:
                    events.append(ThinkingDelta(index, part.text, choice))
                if signature:
                    events.append(SignatureDelta(index, signature, FAMILY, choice))
                    end_part(reading, choice, events)
            else:
                if part.text:
                    index = open_part(reading, "text", choice, events)
                    events.append(TextDelta(index, part.text, logprobs, choice))
                    logprobs = ""
                if signature:  # Of the text before: a thought of its own, without words.
                    end_part(reading, choice, events)
                    index = open_part(reading, "thinking", choice, events)
                    events.append(SignatureDelta(index, signature, FAMILY, choice))
                    end_part(reading, choice, events)
        reading.reason = candidate.finish_reason or reading.reason

    def read_call(self, call: FunctionCall, signature: str, reading: Reading, choice: int, events: list[Event]) -> None:
        """Add a call of a function, which always comes whole."""
        end_part(reading, choice, events)
        index = reading.index
        reading.index += 1
        events.append(
            PartStarted(
                index,
                "tool_call",
                id=call_id(call, self.id, choice, reading.calls),
                name=self.carry.tool_names.get(call.name, call.name),
                signature=signature,
                family=FAMILY if signature else "",
                choice=choice,
            )
        )
        reading.calls += 1
        events.append(ArgumentsDelta(index, arguments_of(call), choice))
        events.append(PartEnded(index, choice))


def open_part(reading: Reading, kind: Any, choice: int, events: list[Event]) -> int:
    """Return the index of the open part of that kind, which begins if need be."""
    if reading.kind != kind:
        end_part(reading, choice, events)
        events.append(PartStarted(reading.index, kind, choice=choice, family=FAMILY if kind == "thinking" else ""))
        reading.kind = kind
        reading.index += 1
    return reading.index - 1


def end_part(reading: Reading, choice: int, events: list[Event]) -> None:
    """End the part that is open, if one is."""
    if reading.kind:
        events.append(PartEnded(reading.index - 1, choice))
        reading.kind = ""


class GeminiWriter:
    """Writes a stream for a caller; see `plane.dialect.EventWriter`.

    array: as one JSON array, else as server-sent events. Calls of functions are held until they are whole, and why a
    candidate ended until the usage is known, which the last message has with it.
    """

    def __init__(self, request: Request, *, array: bool = False) -> None:
        self.thoughts = shows(request)
        self.array = array
        self.begun = False
        self.failed = False
        self.tail = b""
        self.held: dict[tuple[int, int], list[str]] = {}  # Thoughts, by choice and index.
        self.calls: dict[tuple[int, int], tuple[ToolCall, list[str]]] = {}
        self.stops: list[dict[str, Any]] = []
        self.out: list[bytes] = []

    def write(self, events: list[Event]) -> bytes:
        """Return the messages of these events."""
        for event in events:
            kind = type(event)
            if kind is TextDelta or kind is RefusalDelta:
                self.words(event)  # type: ignore[arg-type]  # `kind` says so.
            elif isinstance(event, ThinkingDelta):
                self.thought(event)
            elif isinstance(event, SignatureDelta):
                text = "".join(self.held.pop((event.choice, event.index), ()))
                part = write_thought(Thinking(text, event.signature, family=event.family))
                self.part(msgspec.json.encode(part), event.choice)
            elif isinstance(event, ArgumentsDelta):
                self.calls[event.choice, event.index][1].append(event.text)
            elif isinstance(event, PartStarted):
                self.part_started(event)
            elif isinstance(event, PartEnded):
                self.part_ended(event)
            elif isinstance(event, Started):
                self.name(event)
            elif isinstance(event, Stopped):
                self.stops.append(candidate_end(event))
            elif isinstance(event, UsageCounted):
                self.end(event.usage)
            elif isinstance(event, Failed):
                self.failed = True
                fault = event.fault
                self.message(error_body(fault.status, fault.message, fault.code, fault.retry_after))
        out = b"".join(self.out)
        self.out.clear()
        return out

    def flush(self) -> bytes:
        """Return what ends the stream."""
        if self.stops and not self.failed:
            self.end(None)
        if self.array:
            self.out.append(b"\n]" if self.begun else b"[]")
        out = b"".join(self.out)
        self.out.clear()
        return out

    def name(self, event: Started) -> None:
        """Note what every message repeats."""
        names = {"modelVersion": event.model, "responseId": event.id or made_id()}
        self.tail = b"," + msgspec.json.encode(names)[1:]

    def message(self, text: bytes) -> None:
        """Add a message."""
        if self.array:
            self.out += (b",\r\n" if self.begun else b"[", text)
        else:
            self.out += (b"data: ", text, b"\r\n\r\n")
        self.begun = True

    def part(self, part: bytes, choice: int, more: bytes = b"") -> None:
        """Add a message with one part; more: further members of its candidate."""
        self.message(
            b'{"candidates":[{"content":{"parts":[%b],"role":"model"},"index":%d%b}]%b'
            % (part, choice, more, self.tail or b"}")
        )

    def words(self, event: TextDelta | RefusalDelta) -> None:
        """Add words of the answer, or of why there is none."""
        logprobs = event.logprobs if isinstance(event, TextDelta) else ""
        more = b',"logprobsResult":' + msgspec.json.encode(to_logprobs(logprobs)) if logprobs else b""
        self.part(b'{"text":%b}' % msgspec.json.encode(event.text), event.choice, more)

    def thought(self, event: ThinkingDelta) -> None:
        """Add words of a thought; for a caller that asked for none they wait until it is known whether it is signed."""
        if self.thoughts:
            self.part(b'{"text":%b,"thought":true}' % msgspec.json.encode(event.text), event.choice)
        else:
            self.held.setdefault((event.choice, event.index), []).append(event.text)

    def part_started(self, event: PartStarted) -> None:
        """Begin a call of a function, or tell of a thought that is opaque."""
        if event.kind == "tool_call":
            call = ToolCall(event.id, event.name, "", event.signature, event.family, event.custom)
            self.calls[event.choice, event.index] = (call, [])
        elif event.redacted:
            part = write_thought(Thinking(redacted=event.redacted, family=event.family))
            self.part(msgspec.json.encode(part), event.choice)

    def part_ended(self, event: PartEnded) -> None:
        """Tell of a call that is whole; forget a thought that nobody signed."""
        self.held.pop((event.choice, event.index), None)
        whole = self.calls.pop((event.choice, event.index), None)
        if whole is not None:
            call, pieces = whole
            call.arguments = "".join(pieces) or ("" if call.custom else "{}")
            self.part(msgspec.json.encode(write_call(call)), event.choice)

    def end(self, usage: Usage | None) -> None:
        """Tell why the candidates ended, and what it used."""
        body: dict[str, Any] = {"candidates": self.stops}
        if usage is not None:
            body["usageMetadata"] = rendered_usage(usage)
        self.message(msgspec.json.encode(body)[:-1] + (self.tail or b"}"))
        self.stops = []


def candidate_end(event: Stopped) -> dict[str, Any]:
    """Return the last message's candidate. It has a part, as Google's SDK takes one without any for a broken answer."""
    return {
        "content": {"parts": [{"text": ""}], "role": "model"},
        "finishReason": finish_of(event.stop),
        "index": event.choice,
    }
