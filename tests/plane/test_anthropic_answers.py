"""Answers and streams in Anthropic's dialect, into the hub and out of it, under every split of their bytes."""

import json
from pathlib import Path
from typing import Any

import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message as Sdk
from anthropic.types import RawMessageStreamEvent
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from core.errors import GatewayError
from plane.canonical import (
    Answer,
    ArgumentsDelta,
    Carry,
    Choice,
    Event,
    Failed,
    Fault,
    PartEnded,
    PartStarted,
    Refusal,
    RefusalDelta,
    Request,
    SignatureDelta,
    Started,
    Stopped,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    UsageCounted,
    foreign_signature,
    pack_call_id,
)
from plane.dialects.anthropic import Options, build
from plane.usage import Usage
from tests.plane.splits import splits

CHAT = build(Options()).translators["chat"]
CASES = Path(__file__).parents[1] / "golden" / "dialects" / "anthropic"
NAMES = sorted(path.name.split(".")[0] for path in CASES.glob("*.stream"))
WHOLE = [name for name in NAMES if name != "error"]
COUNTS = (
    *("input_total", "output_total", "cache_read", "cache_write_5m", "cache_write_1h", "reasoning", "server_tools"),
    *("service_tier", "input_uncached"),
)


def counts(usage: Usage | None) -> list[Any] | None:
    return None if usage is None else [getattr(usage, name) for name in COUNTS]


def answered(case: str) -> Answer:
    return CHAT.read_answer((CASES / f"{case}.answer.json").read_bytes(), Carry())


def events_of(pieces: list[bytes], carry: Carry | None = None) -> list[Event]:
    reader = CHAT.event_reader(carry or Carry())
    found = [event for piece in pieces for event in reader.feed(piece)]
    return found + reader.flush()


def plain(events: list[Event]) -> list[Any]:
    """Return events in a form that compares by value; counts are objects."""
    shown = []
    for event in events:
        if isinstance(event, Started):
            shown.append(("started", event.id, event.model, counts(event.usage)))
        elif isinstance(event, UsageCounted):
            shown.append(("usage", counts(event.usage)))
        else:
            shown.append(event)
    return shown


def sse(*events: dict[str, Any]) -> bytes:
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


START = {
    "type": "message_start",
    "message": {"id": "m", "model": "p", "usage": {"input_tokens": 3, "output_tokens": 1}},
}
STOP = {"type": "message_stop"}


def delta(reason: str | None = "end_turn", **usage: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}


def text_block(text: str, index: int = 0) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": text}},
        {"type": "content_block_stop", "index": index},
    ]


# --- whole answers


@pytest.mark.parametrize("case", WHOLE)
def test_an_answer_read_and_written_is_the_same(case: str) -> None:
    said = json.loads((CASES / f"{case}.answer.json").read_bytes())
    written = json.loads(CHAT.write_answer(answered(case), Request("m", [])))
    for block in written["content"]:
        if block["type"] == "text":
            assert block.pop("citations") is None
    if case == "refusal":  # What kind of refusal it is no other dialect tells.
        said["stop_details"]["category"] = None
    assert written == said


@pytest.mark.parametrize("case", WHOLE)
def test_a_written_answer_is_one_to_the_official_sdk(case: str) -> None:
    Sdk.model_validate_json(CHAT.write_answer(answered(case), Request("m", [])), strict=False)


def test_usage_counts_the_cache_beside_the_input_and_not_in_it() -> None:
    usage = answered("usage").usage
    assert usage is not None
    assert counts(usage) == [12 + 1536 + 500, 46, 1536, 300, 200, 40, 0, "standard", 12]


@pytest.mark.parametrize(
    ("said", "stop"),
    [
        ("end_turn", "end"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("stop_sequence", "stop_sequence"),
        ("tool_use", "tool_calls"),
        ("pause_turn", "pause"),
        ("refusal", "refusal"),
        ("something_new", "end"),
        (None, "end"),
    ],
)
def test_every_reason_to_stop_has_its_word(said: str | None, stop: str) -> None:
    answer = CHAT.read_answer(json.dumps({"type": "message", "content": [], "stop_reason": said}).encode(), Carry())
    assert answer.choices[0].stop == stop


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"type":"error","error":{"type":"x","message":"no"}}',
        b"<html>",
        b'{"type":"message","content":7}',
    ],
)
def test_what_is_no_answer_is_the_providers_fault(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        CHAT.read_answer(body, Carry())
    assert (caught.value.status, caught.value.code, caught.value.source) == (502, "upstream_bad_answer", "upstream")


def test_blocks_of_the_providers_own_tools_are_left_out_of_a_translation() -> None:
    content = [{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}, {"type": "text", "text": "a"}]
    answer = CHAT.read_answer(json.dumps({"type": "message", "content": content}).encode(), Carry())
    assert answer.choices[0].parts == [Text("a")]


def written(*parts: Any, stop: Any = "end", **rest: Any) -> dict[str, Any]:
    return json.loads(CHAT.write_answer(Answer("p", [Choice(list(parts), stop)], **rest), Request("m", [])))


def test_another_familys_proofs_are_wrapped_into_fields_that_come_back() -> None:
    answer = written(
        Thinking("a", "s1", family="gemini"),
        Thinking(redacted="s2", family="bedrock"),
        Thinking("c"),
        ToolCall("call_1", "f", '{"a":1}', "s3", "gemini"),
        stop="tool_calls",
    )
    assert answer["content"] == [
        {"type": "thinking", "thinking": "a", "signature": foreign_signature("gemini", "s1")},
        {"type": "redacted_thinking", "data": foreign_signature("bedrock", "s2")},
        {"type": "thinking", "thinking": "c", "signature": ""},
        {"type": "tool_use", "id": pack_call_id("call_1", "gemini", "s3"), "name": "f", "input": {"a": 1}},
    ]
    assert answer["stop_reason"] == "tool_use"


def test_a_refusal_of_another_model_is_told_as_anthropic_tells_one() -> None:
    answer = written(Refusal("I will not."))
    assert (answer["content"], answer["stop_reason"]) == ([], "refusal")
    assert answer["stop_details"] == {"type": "refusal", "category": None, "explanation": "I will not."}
    assert written(stop="content_filter")["stop_details"]["explanation"]


def test_an_answer_that_ended_in_an_error_is_not_passed_off_as_one() -> None:
    with pytest.raises(GatewayError) as caught:
        written(Text("half"), stop="error")
    assert caught.value.status == 502


def test_an_answer_without_an_id_or_usage_gets_both() -> None:
    answer = written(Text("a"))
    assert answer["id"].startswith("msg_")
    assert (answer["usage"]["input_tokens"], answer["usage"]["output_tokens"]) == (0, 0)
    assert written(Text("a"), id="chatcmpl-1")["id"] == "chatcmpl-1"


# --- streams of a provider


@pytest.mark.parametrize("case", NAMES)
def test_a_stream_gives_the_same_events_however_its_bytes_are_cut(case: str) -> None:
    stream = (CASES / f"{case}.stream").read_bytes()
    whole = plain(events_of([stream]))
    for pieces in splits(stream):
        assert plain(events_of(pieces)) == whole


@pytest.mark.parametrize("case", WHOLE)
def test_a_stream_says_what_the_whole_answer_says(case: str) -> None:
    answer = answered(case)
    events = events_of([(CASES / f"{case}.stream").read_bytes()])
    assert isinstance(events[0], Started)
    assert (events[0].id, events[0].model) == (answer.id, answer.model)
    parts: list[Any] = []
    for event in events:
        if isinstance(event, PartStarted):
            assert event.index == len(parts)
            parts.append(
                {
                    "text": Text(""),
                    "thinking": Thinking(redacted=event.redacted, family=event.family),
                    "tool_call": ToolCall(event.id, event.name, ""),
                    "refusal": Refusal(""),
                }[event.kind]
            )
        elif isinstance(event, TextDelta | ThinkingDelta | RefusalDelta):
            parts[event.index].text += event.text
        elif isinstance(event, ArgumentsDelta):
            parts[event.index].arguments += event.text
        elif isinstance(event, SignatureDelta):
            parts[event.index].signature = event.signature
    for part, expected in zip(parts, answer.choices[0].parts, strict=True):
        if isinstance(part, ToolCall) and isinstance(expected, ToolCall):
            assert json.loads(part.arguments) == json.loads(expected.arguments)
            part.arguments = expected.arguments
        assert part == expected
    assert events[-2] == Stopped(answer.choices[0].stop, answer.choices[0].stop_sequence)
    assert isinstance(events[-1], UsageCounted)
    assert counts(events[-1].usage) == counts(answer.usage)


def test_an_error_amid_a_stream_ends_it() -> None:
    events = events_of([(CASES / "error.stream").read_bytes()])
    assert events[-1] == Failed(Fault(503, "Overloaded", "overloaded_error"))
    assert not any(isinstance(event, Stopped) for event in events)


@pytest.mark.parametrize("cut", [0, 1, 2])
def test_a_stream_that_breaks_off_without_a_reason_has_failed(cut: int) -> None:
    events = events_of([sse(START, *text_block("a")[:cut])])
    assert isinstance(events[-1], Failed)
    assert events[-1].fault.status == 502


def test_a_stream_without_its_last_event_ends_all_the_same_once_the_reason_has_come() -> None:
    assert [type(event) for event in events_of([sse(START, *text_block("a")[:2], delta(output_tokens=2))])] == [
        Started,
        PartStarted,
        TextDelta,
        PartEnded,
        Stopped,
        UsageCounted,
    ]


def test_an_event_that_is_not_json_fails_the_stream() -> None:
    assert isinstance(events_of([b"event: message_start\ndata: {oops\n\n"])[-1], Failed)


def test_each_usage_object_overwrites_what_it_names_and_nothing_else() -> None:
    stream = sse(
        START,
        delta(None, cache_read_input_tokens=7, input_tokens=None, output_tokens=2),
        delta("end_turn", input_tokens=5, output_tokens=9, server_tool_use={"web_search_requests": 2}),
        delta(None, output_tokens=9, cache_creation_input_tokens=11),
        STOP,
    )
    last = events_of([stream])[-1]
    assert isinstance(last, UsageCounted)
    assert counts(last.usage) == [5 + 7 + 11, 9, 7, 11, 0, 0, 2, "", 5]


def test_unknown_events_pings_blocks_and_citations_leave_no_trace_and_no_gap() -> None:
    unknown = {"type": "content_block_start", "index": 0, "content_block": {"type": "server_tool_use", "id": "s"}}
    stream = sse(
        START,
        {"type": "ping"},
        unknown,
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "brand_new", "index": 3},
        *text_block("a", 1)[:2],
        {"type": "content_block_delta", "index": 1, "delta": {"type": "citations_delta", "citation": {"x": 1}}},
        *text_block("a", 1)[2:],
        delta(),
        STOP,
    )
    assert events_of([stream])[1:4] == [PartStarted(0, "text"), TextDelta(0, "a"), PartEnded(0)]


def test_arguments_that_came_with_the_start_of_a_call_are_not_lost_nor_doubled() -> None:
    def stream(*partial: str) -> bytes:
        block = {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}
        deltas = [
            {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": text}}
            for text in partial
        ]
        return sse(
            START,
            {"type": "content_block_start", "index": 0, "content_block": block},
            *deltas,
            {"type": "content_block_stop", "index": 0},
            delta("tool_use"),
            STOP,
        )

    for partial in ([], [""], ['{"x":', "1}"]):
        found = [event.text for event in events_of([stream(*partial)]) if isinstance(event, ArgumentsDelta)]
        assert json.loads("".join(found)) == {"x": 1}


def test_what_follows_the_end_is_not_read() -> None:
    once = sse(START, *text_block("a"), delta(), STOP)
    assert plain(events_of([once + once])) == plain(events_of([once]))


# --- streams for a caller

EVENTS = TypeAdapter(RawMessageStreamEvent)


def accumulated(stream: bytes) -> Sdk:
    """Return what the official SDK makes of a stream, after a look at the order of its events."""
    snapshot: Any = None
    arguments: dict[int, bytes] = {}
    order = []
    for block in stream.decode().split("\n\n")[:-1]:
        name, data = block.split("\n")
        event = EVENTS.validate_json(data.removeprefix("data: "))
        assert name == f"event: {event.type}"
        order.append((event.type, getattr(event, "index", None)))
        snapshot = accumulate_event(event=event, current_snapshot=snapshot, json_bufs=arguments)
    check_order(order)
    return snapshot


def check_order(order: list[tuple[str, int | None]]) -> None:
    """Fail unless these are the events of one message, block after block."""
    assert order[0] == ("message_start", None)
    assert order[-2:] == [("message_delta", None), ("message_stop", None)]
    open_block, count = None, 0
    for kind, index in order[1:-2]:
        if kind == "content_block_start":
            assert open_block is None
            assert index == count
            open_block = index
            count += 1
        else:
            assert index == open_block
            if kind == "content_block_stop":
                open_block = None
    assert open_block is None


def streamed(events: list[Event]) -> bytes:
    writer = CHAT.event_writer(Request("caller-model", []))
    return b"".join(writer.write([event]) for event in events) + writer.flush()


@pytest.mark.parametrize("case", WHOLE)
def test_a_stream_read_and_written_is_to_the_sdk_what_the_whole_answer_is(case: str) -> None:
    events = events_of([(CASES / f"{case}.stream").read_bytes()])
    stream = streamed(events)
    writer = CHAT.event_writer(Request("caller-model", []))
    assert writer.write(events) + writer.flush() == stream
    message = accumulated(stream)
    expected = Sdk.model_validate_json(CHAT.write_answer(answered(case), Request("m", [])))
    assert [block.model_dump(exclude={"parsed_output"}) for block in message.content] == [
        block.model_dump() for block in expected.content
    ]
    assert (message.stop_reason, message.stop_sequence) == (expected.stop_reason, expected.stop_sequence)
    assert message.stop_details == expected.stop_details
    assert message.usage.output_tokens == expected.usage.output_tokens
    assert message.usage.input_tokens == expected.usage.input_tokens


def test_parallel_calls_that_interleave_become_one_block_after_the_other() -> None:
    message = accumulated(
        streamed(
            [
                Started("c", "p"),
                PartStarted(0, "text"),
                PartStarted(1, "tool_call", "a", "f"),
                TextDelta(0, "look"),
                ArgumentsDelta(1, '{"x"'),
                PartEnded(0),
                PartStarted(2, "tool_call", "b", "g"),
                ArgumentsDelta(2, '{"y":'),
                ArgumentsDelta(1, ":1}"),
                ArgumentsDelta(2, "2}"),
                PartStarted(3, "tool_call", "c", "h"),
                PartEnded(2),
                PartEnded(3),
                PartEnded(1),
                Stopped("tool_calls"),
                UsageCounted(Usage(9, 5, 4)),
            ]
        )
    )
    assert [(block.type, getattr(block, "input", None)) for block in message.content] == [
        ("text", None),
        ("tool_use", {"x": 1}),
        ("tool_use", {"y": 2}),
        ("tool_use", {}),
    ]
    assert (message.usage.input_tokens, message.usage.cache_read_input_tokens) == (5, 4)


@given(st.permutations([0, 0, 0, 1, 1, 1, 2, 2, 2]))
@settings(max_examples=100, deadline=None)
def test_any_interleaving_of_parts_keeps_each_of_them_whole(order: list[int]) -> None:
    seen = [0, 0, 0]
    events: list[Event] = [Started("c", "p")]
    for part in order:
        step = seen[part]
        seen[part] += 1
        events.append(
            (
                PartStarted(part, "tool_call", f"id{part}", "f"),
                ArgumentsDelta(part, json.dumps({"part": part})),
                PartEnded(part),
            )[step]
        )
    message = accumulated(streamed([*events, Stopped("tool_calls"), UsageCounted(Usage(1, 1))]))
    assert sorted((block.id, block.input["part"]) for block in message.content) == [("id0", 0), ("id1", 1), ("id2", 2)]


def test_free_text_of_a_custom_tool_is_one_json_string() -> None:
    message = accumulated(
        streamed(
            [
                Started("c", "p"),
                PartStarted(0, "tool_call", "a", "f", custom=True),
                ArgumentsDelta(0, 'print("'),
                ArgumentsDelta(0, 'é\n")'),
                PartEnded(0),
                Stopped("tool_calls"),
            ]
        )
    )
    assert message.content[0].input == {"input": 'print("é\n")'}


def test_proofs_in_pieces_and_of_other_families_are_one_field() -> None:
    message = accumulated(
        streamed(
            [
                Started("c", "p"),
                PartStarted(0, "thinking"),
                ThinkingDelta(0, "hm"),
                SignatureDelta(0, "abc", "gemini"),
                PartEnded(0),
                PartStarted(1, "tool_call", "a", "f", signature="s", family="gemini"),
                PartEnded(1),
                Stopped("tool_calls"),
            ]
        )
    )
    assert message.content[0].signature == foreign_signature("gemini", "abc")
    assert message.content[1].id == pack_call_id("a", "gemini", "s")


def test_a_refusal_in_a_stream_is_told_at_its_end() -> None:
    message = accumulated(
        streamed(
            [
                Started("c", "p"),
                PartStarted(0, "refusal"),
                RefusalDelta(0, "I will "),
                RefusalDelta(0, "not."),
                PartEnded(0),
                Stopped("end"),
            ]
        )
    )
    assert (message.stop_reason, message.stop_details.explanation) == ("refusal", "I will not.")


def test_of_several_choices_the_first_is_written() -> None:
    events: list[Event] = [Started("c", "p")]
    for choice in (0, 1):
        events += [
            PartStarted(0, "text", choice=choice),
            TextDelta(0, str(choice), choice=choice),
            PartEnded(0, choice),
        ]
    message = accumulated(streamed([*events, Stopped("end"), Stopped("length", choice=1)]))
    assert ([block.text for block in message.content], message.stop_reason) == (["0"], "end_turn")


@pytest.mark.parametrize(
    ("status", "kind"),
    [(429, "rate_limit_error"), (503, "overloaded_error"), (502, "api_error"), (504, "timeout_error")],
)
def test_a_failed_stream_ends_in_an_error_event_and_in_nothing_else(status: int, kind: str) -> None:
    stream = streamed([Started("c", "p"), PartStarted(0, "text"), Failed(Fault(status, "gone"))])
    last = stream.decode().split("\n\n")[-2]
    assert last.startswith("event: error\n")
    assert json.loads(last.split("data: ")[1])["error"] == {"type": kind, "message": "gone"}
    assert b"message_stop" not in stream


def test_a_stream_that_the_provider_ended_in_an_error_has_no_good_end() -> None:
    stream = streamed([Started("c", "p"), Stopped("error")])
    assert b"event: error" in stream
    assert b"message_stop" not in stream


def test_a_stream_without_an_end_gets_none() -> None:
    writer = CHAT.event_writer(Request("m", []))
    writer.write([Started("c", "p")])
    assert writer.flush() == b""
