"""What the events of a stream say as a whole, with a look at their order on the way."""

from __future__ import annotations

import json

from plane.canonical import (
    Answer,
    ArgumentsDelta,
    Choice,
    Event,
    Failed,
    Part,
    PartEnded,
    PartStarted,
    Refusal,
    RefusalDelta,
    SignatureDelta,
    Started,
    Stopped,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    UsageCounted,
)

KINDS = {"text": Text, "thinking": Thinking, "refusal": Refusal}
DELTAS = {TextDelta: "text", ThinkingDelta: "thinking", RefusalDelta: "refusal", ArgumentsDelta: "tool_call"}


def gather(events: list[Event]) -> Answer:
    """Return the answer of one choice that `events` tell; AssertionError where they are out of order or not ended."""
    assert isinstance(events[0], Started)
    assert sum(isinstance(event, Started) for event in events) == 1
    answer = Answer(events[0].model, [], events[0].id, events[0].created)
    parts: dict[int, Part] = {}
    kinds: dict[int, str] = {}
    open_parts: set[int] = set()
    for event in events[1:]:
        assert answer.usage is None, "nothing comes after the usage"
        if isinstance(event, UsageCounted):
            assert answer.choices, "usage comes after the stop"
            answer.usage = event.usage
            continue
        assert not answer.choices, f"{event} comes after the stop"
        if isinstance(event, PartStarted):
            assert event.index == len(parts), "parts are counted without gaps"
            assert event.kind == "tool_call" or not open_parts, "one part after the other"
            open_parts.add(event.index)
            kinds[event.index] = event.kind
            if event.kind == "tool_call":
                parts[event.index] = ToolCall(event.id, event.name, "", event.signature, event.family)
            else:
                parts[event.index] = KINDS[event.kind]("")
        elif isinstance(event, PartEnded):
            open_parts.remove(event.index)
        elif isinstance(event, Stopped):
            assert not open_parts, "all parts have ended"
            answer.choices.append(Choice(list(parts.values()), event.stop, event.stop_sequence))
        elif isinstance(event, SignatureDelta):
            thought = parts[event.index]
            assert isinstance(thought, Thinking)
            thought.signature, thought.family = event.signature, event.family
        else:
            assert not isinstance(event, Started | Failed)
            assert event.index in open_parts, f"{event} belongs to no open part"
            assert kinds[event.index] == DELTAS[type(event)]
            part = parts[event.index]
            if isinstance(part, ToolCall):
                part.arguments += event.text
            else:
                assert isinstance(part, Text | Thinking | Refusal)
                part.text += event.text
    assert answer.choices, "the stream has stopped"
    for part in parts.values():
        if isinstance(part, ToolCall):
            part.arguments = part.arguments or "{}"
    return answer


def plain(parts: list[Part]) -> list[tuple[str, ...]]:
    """Return what parts say, without ids and proofs, which not every dialect has, and the white space of arguments."""
    said: list[tuple[str, ...]] = []
    for part in parts:
        if isinstance(part, ToolCall):
            said.append(("call", part.name, json.dumps(json.loads(part.arguments))))
        else:
            assert isinstance(part, Text | Thinking | Refusal)
            said.append((type(part).__name__, part.text))
    return said
