"""What Gemini's side of a translation costs: a request and an answer of 1 KB, and an event of a stream, either way."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from plane.canonical import Carry, Message, PartStarted, Request, Started, Text, TextDelta
from plane.dialects._gemini_chat import GeminiChat

Measure = Callable[..., None]
MODEL = "gemini-3-flash"
WORDS = "word " * 40
ASKED = Request(
    "m",
    [Message("user" if turn % 2 == 0 else "assistant", [Text(WORDS)]) for turn in range(5)],
    system=[Text("Be brief.")],
    max_tokens=500,
    temperature=0.5,
)


def answer(text: str) -> dict[str, Any]:
    """Return an answer, or a chunk of a stream."""
    return {
        "candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 200, "candidatesTokenCount": 200, "totalTokenCount": 400},
        "modelVersion": MODEL,
        "responseId": "mAitaLmkHPPlz7IPvtfUqQ4",
    }


EVENT = b"data: %b\r\n\r\n" % json.dumps(answer(" hello"), separators=(",", ":")).encode()


def write(asked: Request) -> bytes:
    """Write a request."""
    return GeminiChat().write_request(asked, Carry(MODEL))


def test_a_request_to_a_provider(measure: Measure) -> None:
    measure("request to Gemini, 1 KB", write, ASKED)


def test_a_request_of_a_caller(measure: Measure) -> None:
    measure("request of Gemini's caller, 1 KB", GeminiChat().read_request, write(ASKED), "m", False)


def test_an_answer(measure: Measure) -> None:
    measure("answer of Gemini, 1 KB", GeminiChat().read_answer, json.dumps(answer(WORDS * 5)).encode(), Carry(MODEL))


@pytest.mark.parametrize("events", [1, 8])
def test_events_of_a_provider(measure: Measure, events: int) -> None:
    reader = GeminiChat().event_reader(Carry(MODEL))
    measure(f"event of Gemini, {events} per read", reader.feed, EVENT * events, operations=events)


def test_an_event_to_a_caller(measure: Measure) -> None:
    writer = GeminiChat().event_writer(ASKED)
    writer.write([Started("a", MODEL), PartStarted(0, "text")])
    measure("event to Gemini's caller", writer.write, [TextDelta(0, " hello")])
