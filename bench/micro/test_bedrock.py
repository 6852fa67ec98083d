"""What Bedrock's side of a translation costs: a request and an answer of 1 KB, and an event of a stream."""

import json
from collections.abc import Callable

import pytest

from plane.canonical import Carry, Message, Request, Text
from plane.dialects._bedrock_chat import Chat
from tests.providers.bedrock import converse
from tests.providers.event_stream import event

Measure = Callable[..., None]
MODEL = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
WORDS = "word " * 40
COUNTS = {"inputTokens": 200, "outputTokens": 200, "totalTokens": 400}
EVENT = event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": " hello"}, "p": "abcdefghijklmnop"})


def test_a_request(measure: Measure) -> None:
    turns = [Message("user" if turn % 2 == 0 else "assistant", [Text(WORDS)]) for turn in range(5)]
    request = Request("m", turns, system=[Text("Be brief.")], max_tokens=500, temperature=0.5)
    chat = Chat()

    def write(asked: Request) -> None:
        chat.write_request(asked, Carry(MODEL))

    measure("request to Converse, 1 KB", write, request)


def test_an_answer(measure: Measure) -> None:
    body = json.dumps(converse([{"text": WORDS * 5}], "end_turn", COUNTS)).encode()
    measure("answer of Converse, 1 KB", Chat().read_answer, body, Carry(MODEL))


@pytest.mark.parametrize("events", [1, 8])
def test_events(measure: Measure, events: int) -> None:
    reader = Chat().event_reader(Carry(MODEL))
    measure(f"event of Converse, {events} per read", reader.feed, EVENT * events, operations=events)
