"""Between a whole answer and its stream, where a provider gives the one and the caller asked for the other."""

from __future__ import annotations

from plane.canonical import (
    Answer,
    ArgumentsDelta,
    Audio,
    Choice,
    Document,
    Event,
    Failed,
    Image,
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
    ToolResult,
    UsageCounted,
    fault_error,
)

__all__ = ["answer_of", "events_of"]


def events_of(answer: Answer) -> list[Event]:
    """Return the stream that says the same as `answer`."""
    events: list[Event] = [Started(answer.id, answer.model, answer.created, answer.usage)]
    for choice in answer.choices:
        which = choice.index
        index = 0
        for part in choice.parts:
            if isinstance(part, Image | Document | Audio | ToolResult):
                continue  # No stream of any dialect has a place for these.
            if isinstance(part, Text):
                events.append(PartStarted(index, "text", choice=which))
                events.append(TextDelta(index, part.text, choice.logprobs if index == 0 else "", which))
            elif isinstance(part, Thinking):
                events.append(PartStarted(index, "thinking", redacted=part.redacted, family=part.family, choice=which))
                if part.text:
                    events.append(ThinkingDelta(index, part.text, which))
                if part.signature:
                    events.append(SignatureDelta(index, part.signature, part.family, which))
            elif isinstance(part, ToolCall):
                events.append(
                    PartStarted(
                        index,
                        "tool_call",
                        id=part.id,
                        name=part.name,
                        custom=part.custom,
                        signature=part.signature,
                        family=part.family,
                        choice=which,
                    )
                )
                events.append(ArgumentsDelta(index, part.arguments, which))
            else:
                events.append(PartStarted(index, "refusal", choice=which))
                events.append(RefusalDelta(index, part.text, which))
            events.append(PartEnded(index, which))
            index += 1
        events.append(Stopped(choice.stop, choice.stop_sequence, which))
    if answer.usage is not None:
        events.append(UsageCounted(answer.usage))
    return events


def answer_of(events: list[Event]) -> Answer:
    """Return what a whole stream says; GatewayError if it broke off."""
    answer = Answer("", [])
    choices: dict[int, Choice] = {}
    texts: dict[tuple[int, int], list[str]] = {}
    for event in events:
        if isinstance(event, Failed):
            raise fault_error(event.fault)
        if isinstance(event, Started):
            answer.id, answer.model, answer.created = event.id, event.model, event.created
            answer.usage = event.usage
        elif isinstance(event, UsageCounted):
            answer.usage = event.usage
            answer.service_tier = event.usage.service_tier
        elif isinstance(event, PartStarted):
            choice = choices.setdefault(event.choice, Choice([], index=event.choice))
            choice.parts.append(part_of(event))
            texts[event.choice, event.index] = []
        elif isinstance(event, Stopped):
            choice = choices.setdefault(event.choice, Choice([], index=event.choice))
            choice.stop, choice.stop_sequence = event.stop, event.stop_sequence
        elif isinstance(event, SignatureDelta):
            part = choices[event.choice].parts[event.index]
            if isinstance(part, Thinking):
                part.signature, part.family = event.signature, event.family
        elif isinstance(event, PartEnded):
            fill(choices[event.choice].parts[event.index], "".join(texts.pop((event.choice, event.index))))
        else:
            texts[event.choice, event.index].append(event.text)
    answer.choices = [choices[index] for index in sorted(choices)]
    return answer


def part_of(event: PartStarted) -> Text | Thinking | ToolCall | Refusal:
    """Return the part that begins, still empty."""
    if event.kind == "text":
        return Text("")
    if event.kind == "thinking":
        return Thinking(redacted=event.redacted, family=event.family)
    if event.kind == "tool_call":
        return ToolCall(event.id, event.name, "", event.signature, event.family, event.custom)
    return Refusal("")


def fill(part: object, text: str) -> None:
    """Give a part its words."""
    if isinstance(part, ToolCall):
        part.arguments = text or ("" if part.custom else "{}")
    elif isinstance(part, Text | Thinking | Refusal):
        part.text = text
