"""What tests of the Responses API share: its wire files, and OpenAI's client as the judge of streams."""

import json
from pathlib import Path
from typing import Any

from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from plane.canonical import (
    Answer,
    Carry,
    Event,
    Request,
)
from plane.dialects._responses_chat import ResponsesChat

CHAT = ResponsesChat()
FILES = Path("tests/golden/dialects/openai_responses")
CASES = sorted(path.name.removesuffix(".request.json") for path in FILES.glob("*.request.json"))
WHOLE = [case for case in CASES if case != "error"]
EVENT = TypeAdapter(ResponseStreamEvent)


def request_of(case: str) -> Request:
    return CHAT.read_request((FILES / f"{case}.request.json").read_bytes(), "caller-model", False)


def answer_in(case: str) -> Answer:
    return CHAT.read_answer((FILES / f"{case}.answer.json").read_bytes(), Carry())


def read(body: dict[str, Any]) -> Request:
    return CHAT.read_request(json.dumps({"model": "m", **body}).encode(), "m", False)


def written(request: Request, carry: Carry | None = None) -> Any:
    return json.loads(CHAT.write_request(request, carry or Carry("provider-model")))


def events_in(data: bytes) -> list[Any]:
    """Return the events of a stream, checked to be named as their data says, and numbered without gaps."""
    found: list[Any] = []
    for block in data.decode().split("\n\n")[:-1]:
        name, text = block.split("\n")
        event = json.loads(text.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        assert event["sequence_number"] == len(found)
        found.append(event)
    return found


def stream_of(events: list[Event], request: Request | None = None) -> bytes:
    writer = CHAT.event_writer(request or Request("m", []))
    return writer.write(events) + writer.flush()


def accumulated(data: bytes) -> tuple[list[Any], Any]:
    """Return the events and the response that OpenAI's client makes of a stream; it raises for one that is wrong."""
    state: Any = ResponseStreamState(input_tools=omit, text_format=omit)
    events = events_in(data)
    for event in events:
        state.handle_event(EVENT.validate_python(event))
    return events, state._completed_response
