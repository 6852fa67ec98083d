"""Streams of the Responses API through the hub: understood however they come, and accepted by OpenAI's client."""

import json
from typing import Any

import pytest

from plane.canonical import (
    ArgumentsDelta,
    Carry,
    Choice,
    Event,
    Failed,
    Fault,
    PartEnded,
    PartStarted,
    Request,
    SignatureDelta,
    Started,
    Stopped,
    Text,
    TextDelta,
    ThinkingDelta,
    Tool,
    ToolCall,
    UsageCounted,
)
from plane.gather import answer_of
from plane.usage import Usage
from tests.plane.responses import (
    CASES,
    CHAT,
    FILES,
    WHOLE,
    accumulated,
    answer_in,
    events_in,
    request_of,
    stream_of,
)
from tests.plane.splits import splits


@pytest.mark.parametrize("case", CASES)
def test_a_stream_says_the_same_however_its_bytes_come(case: str) -> None:
    data = (FILES / f"{case}.stream").read_bytes()
    whole = events_from([data])
    # Every cut of every stream takes long, as events hold much that is not read: of most every 23rd is tried.
    step = 1 if case == "plain" else 23
    for number, pieces in enumerate(splits(data)):
        if number < 2 or number % step == 0:
            assert events_from(pieces) == whole


def events_from(pieces: list[bytes]) -> list[str]:
    reader = CHAT.event_reader(Carry())
    events: list[Event] = []
    for piece in pieces:
        events += reader.feed(piece)
    return [repr(event) for event in events + reader.flush()]


def stream_in(case: str) -> list[Event]:
    reader = CHAT.event_reader(Carry())
    return reader.feed((FILES / f"{case}.stream").read_bytes()) + reader.flush()


@pytest.mark.parametrize("case", WHOLE)
def test_a_stream_says_what_the_whole_answer_does(case: str) -> None:
    streamed, whole = answer_of(stream_in(case)), answer_in(case)
    assert (streamed.choices, str(streamed.usage), streamed.id, streamed.model) == (
        whole.choices,
        str(whole.usage),
        whole.id,
        whole.model,
    )


def test_a_response_that_fails_amid_its_stream_is_told() -> None:
    last = stream_in("error")[-1]
    assert last == Failed(Fault(502, "The server had an error while processing your request.", code="server_error"))


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"type":"error","code":"server_error","message":"Broken.","param":null,"sequence_number":3}\n\n',
        b'event: error\ndata: {"error":{"code":"server_error","message":"Broken."}}\n\n',
    ],
)
def test_an_error_event_ends_a_stream(event: bytes) -> None:
    reader = CHAT.event_reader(Carry())
    reader.feed(b'data: {"type":"response.created","response":{"id":"r"}}\n\n')
    assert reader.feed(event) == [Failed(Fault(502, "Broken.", code="server_error"))]
    assert reader.flush() == []


def test_a_stream_without_its_last_event_has_broken_off() -> None:
    data = (FILES / "tools.stream").read_bytes()
    reader = CHAT.event_reader(Carry())
    events = reader.feed(data[: data.index(b"event: response.function_call_arguments.done")]) + reader.flush()
    assert [type(event) for event in events[-2:]] == [PartEnded, Failed]


def test_a_server_that_leaves_out_what_was_added_and_done_is_understood() -> None:
    reader = CHAT.event_reader(Carry())
    events = reader.feed(
        b'data: {"type":"response.output_text.delta","delta":"Hel","output_index":0,"content_index":0}\n\n'
        b'data: {"type":"response.output_text.done","text":"Hello","output_index":0,"content_index":0}\n\n'
        b'data: {"type":"response.something_new","x":1}\n\n'
        b'data: {"type":"response.output_item.done","output_index":1,'
        b'"item":{"type":"function_call","call_id":"c","name":"f","arguments":"{\\"a\\":1}"}}\n\n'
        b'data: {"type":"response.completed","response":{"id":"r","output":[]}}\n\n'
    )
    assert answer_of(events).choices == [Choice([Text("Hello"), ToolCall("c", "f", '{"a":1}')], "tool_calls")]


def test_what_stands_in_the_last_event_alone_is_told_all_the_same() -> None:
    body = (FILES / "parallel_tools.answer.json").read_bytes()
    data = json.dumps({"type": "response.completed", "response": json.loads(body)}).encode()
    events = CHAT.event_reader(Carry()).feed(b"data: %b\n\n" % data)
    assert answer_of(events).choices == answer_in("parallel_tools").choices


@pytest.mark.parametrize("case", WHOLE)
def test_openai_s_client_accepts_a_stream_that_was_translated(case: str) -> None:
    request = request_of(case)
    data = stream_of(stream_in(case), request)
    events, response = accumulated(data)
    last = events[-1]
    assert last["type"] == ("response.incomplete" if case == "length" else "response.completed")
    if case != "length":
        assert response.usage.total_tokens == last["response"]["usage"]["total_tokens"]
    assert last["response"]["output"] == outputs_done(events)
    again = CHAT.event_reader(Carry())
    assert answer_of(again.feed(data)).choices == answer_in(case).choices


def outputs_done(events: list[Any]) -> list[Any]:
    """Return the items that were done, each checked to have been added and to be made of parts that were, too."""
    added: dict[int, Any] = {}
    done: dict[int, Any] = {}
    parts: set[tuple[Any, ...]] = set()
    for event in events:
        kind = event["type"]
        if kind == "response.output_item.added":
            assert event["output_index"] == len(added)
            added[event["output_index"]] = event["item"]
        elif kind == "response.output_item.done":
            assert event["item"]["id"] == added[event["output_index"]]["id"]
            done[event["output_index"]] = event["item"]
        elif "output_index" in event:
            assert event["item_id"] == added[event["output_index"]]["id"]
            assert event["output_index"] not in done
            place = (event["output_index"], event.get("content_index"), event.get("summary_index"))
            if kind.endswith("part.added"):
                parts.add(place)
            elif kind.endswith("part.done"):
                parts.remove(place)
            elif "function_call" not in kind and "custom_tool" not in kind:
                assert place in parts
    assert not parts
    assert done.keys() == added.keys()
    return [done[place] for place in sorted(done)]


def test_a_schema_that_its_author_laid_out_in_lines_does_not_break_the_stream() -> None:
    request = Request("m", [], tools=[Tool("f", "", '{\n "type":\r\n "object"\n}')])
    assert events_in(stream_of([Started("r", "m", 1), Stopped("end")], request))[0]["response"]["tools"][0][
        "parameters"
    ] == {"type": "object"}


def test_calls_that_grow_beside_each_other_are_items_of_their_own() -> None:
    data = stream_of(
        [
            Started("chatcmpl-1", "m", 5),
            PartStarted(0, "tool_call", "a", "f"),
            PartStarted(1, "tool_call", "b", "g"),
            ArgumentsDelta(0, '{"x"'),
            ArgumentsDelta(1, '{"y":2}'),
            ArgumentsDelta(0, ":1}"),
            PartEnded(0),
            PartEnded(1),
            PartStarted(2, "tool_call", "c", "h"),
            PartEnded(2),
            Stopped("tool_calls"),
            UsageCounted(Usage(3, 4)),
        ]
    )
    events, response = accumulated(data)
    outputs_done(events)
    assert [(item.call_id, item.name, item.arguments) for item in response.output] == [
        ("a", "f", '{"x":1}'),
        ("b", "g", '{"y":2}'),
        ("c", "h", "{}"),
    ]


def test_custom_calls_logprobs_and_words_after_a_call_have_events_of_their_own() -> None:
    logprobs = '{"content":[{"token":"Hi","logprob":-0.5,"bytes":[72],"top_logprobs":[]}]}'
    data = stream_of(
        [
            Started("r", "m", 5),
            PartStarted(0, "text"),
            TextDelta(0, "Hi", logprobs),
            PartEnded(0),
            PartStarted(1, "tool_call", "a", "sql", custom=True),
            ArgumentsDelta(1, "select 1"),
            PartEnded(1),
            PartStarted(2, "text"),
            TextDelta(2, "Done"),
            PartEnded(2),
            Stopped("end"),
        ]
    )
    events, response = accumulated(data)
    outputs_done(events)
    assert [item.type for item in response.output] == ["message", "custom_tool_call", "message"]
    assert response.output[0].content[0].logprobs[0].token == "Hi"
    assert response.output[1].input == "select 1"


@pytest.mark.parametrize("before", [[], [Started("r", "m", 1)], [Started("r"), PartStarted(0, "text")]])
def test_a_stream_that_breaks_off_ends_in_a_response_that_failed(before: list[Event]) -> None:
    events = events_in(stream_of([*before, Failed(Fault(429, "Slow down."))]))
    assert events[0]["type"] == "response.created"
    assert events[-1]["type"] == "response.failed"
    assert events[-1]["response"]["error"] == {"code": "rate_limit_exceeded", "message": "Slow down."}


def test_a_thought_is_told_as_its_summary() -> None:
    data = stream_of(
        [
            Started("r", "m", 1),
            PartStarted(0, "thinking"),
            ThinkingDelta(0, "Let me "),
            ThinkingDelta(0, "see."),
            SignatureDelta(0, "sig", "anthropic"),
            PartEnded(0),
            PartStarted(1, "thinking", redacted="opaque", family="anthropic"),
            PartEnded(1),
            Stopped("end"),
        ]
    )
    events, response = accumulated(data)
    outputs_done(events)
    assert [item.summary[0].text if item.summary else None for item in response.output] == ["Let me see.", None]
    assert response.output[0].encrypted_content == "hg1.anthropic.sig"
