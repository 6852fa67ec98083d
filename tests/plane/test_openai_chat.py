"""OpenAI's chat completions, from and to the hub: what compatible servers do differently, and what callers may say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import GatewayError
from plane.canonical import (
    Answer,
    ArgumentsDelta,
    Carry,
    Choice,
    Event,
    Failed,
    Message,
    PartEnded,
    PartStarted,
    Reasoning,
    RefusalDelta,
    Request,
    Started,
    Stopped,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    UsageCounted,
    pack_call_id,
)
from plane.dialects._openai_chat import OpenAIChat
from plane.dialects._openai_wire import Options
from plane.gather import answer_of, events_of
from plane.usage import Usage
from tests.golden.pairs import cases, recorded
from tests.plane.splits import splits

CHAT = OpenAIChat()
ASK = Request("m", [])


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return (
        b"data: " + json.dumps({"id": "c", "created": 1, "model": "r", "choices": [choice], **more}).encode() + b"\n\n"
    )


def read(stream: bytes, **options: Any) -> list[Event]:
    reader = CHAT.event_reader(Carry(options=Options(**options)))
    return [*reader.feed(stream), *reader.flush()]


def kinds(events: list[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


def asked(**members: Any) -> Request:
    return CHAT.read_request(json.dumps({"model": "m", "messages": [], **members}).encode(), "m", False)


def written(request: Request, *, drops: bool = False, **options: Any) -> tuple[dict[str, Any], list[str]]:
    carry = Carry("r", drops=drops, budgets={"low": 1024, "high": 4096}, options=Options(**options))
    return json.loads(CHAT.write_request(request, carry)), carry.names


# --- reading streams


@pytest.mark.parametrize("case", sorted(cases("openai")))
def test_a_stream_is_read_the_same_under_every_split(case: str) -> None:
    data = recorded("openai", case, "stream")
    wanted = repr(read(data))
    for pieces in list(splits(data))[:: max(1, len(data) // 40)]:
        reader = CHAT.event_reader(Carry())
        assert repr([event for piece in pieces for event in reader.feed(piece)] + reader.flush()) == wanted


@pytest.mark.parametrize(
    "tail",
    [
        b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5}}\n\ndata: [DONE]\n\n',
        b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5}}\n\n',
        chunk({}, usage={"prompt_tokens": 3, "completion_tokens": 5}),
        b'data: {"usage":{"prompt_tokens":3,"completion_tokens":5}}\r\n\r\n',
    ],
    ids=["as OpenAI", "no DONE", "choices beside usage", "no choices"],
)
def test_usage_is_read_wherever_it_stands(tail: bytes) -> None:
    events = read(chunk({"role": "assistant", "content": "Hi"}) + b": ping\n\n" + chunk({}, "stop") + tail)
    assert kinds(events) == ["Started", "PartStarted", "TextDelta", "PartEnded", "Stopped", "UsageCounted"]
    last = events[-1]
    assert isinstance(last, UsageCounted)
    assert (last.usage.input_total, last.usage.output_total) == (3, 5)


def test_of_usage_on_every_chunk_the_last_counts_once() -> None:
    first = chunk({"content": "Hi"}, "", usage={"prompt_tokens": 3, "completion_tokens": 1})
    last = chunk({}, "stop", usage={"prompt_tokens": 3, "completion_tokens": 4})
    counted = [event for event in read(first + last + b"data: [DONE]\n\n") if isinstance(event, UsageCounted)]
    assert [event.usage.output_total for event in counted] == [4]


@pytest.mark.parametrize("member", ["reasoning_content", "reasoning"])
def test_thoughts_are_read_by_each_of_their_names(member: str) -> None:
    events = read(chunk({member: "Hm"}) + chunk({"content": "Hi"}, "stop"))
    assert ThinkingDelta(0, "Hm") in events
    assert TextDelta(1, "Hi") in events


def test_thoughts_are_read_from_details() -> None:
    details = [{"type": "reasoning.text", "text": "Hm"}, {"type": "reasoning.summary", "summary": "!"}]
    assert ThinkingDelta(0, "Hm!") in read(chunk({"reasoning_details": details}) + chunk({}, "stop"))


def test_whole_calls_without_id_or_index_are_calls_of_their_own() -> None:
    calls = [{"function": {"name": name, "arguments": "{}"}} for name in ("a", "b")]
    events = read(chunk({"tool_calls": calls}, "stop"))
    started = [event for event in events if isinstance(event, PartStarted)]
    assert [(event.name, event.index) for event in started] == [("a", 0), ("b", 1)]
    assert len({event.id for event in started}) == 2
    assert all(event.id for event in started)
    assert Stopped("tool_calls") in events


def test_pieces_without_index_go_by_their_id() -> None:
    def piece(name: str, arguments: str) -> bytes:
        return chunk({"tool_calls": [{"id": name, "function": {"name": name, "arguments": arguments}}]})

    events = read(piece("a", "{") + piece("a", "}") + piece("b", "{}") + chunk({}, "tool_calls"))
    assert answer_of(events).choices[0].parts == [ToolCall("a", "a", "{}"), ToolCall("b", "b", "{}")]


def test_calls_that_all_have_index_0_are_told_apart_by_their_ids() -> None:
    calls = [{"index": 0, "id": name, "function": {"name": name, "arguments": "{}"}} for name in ("a", "b")]
    events = read(chunk({"tool_calls": [calls[0]]}) + chunk({"tool_calls": [calls[1]]}, "tool_calls"))
    assert [event.id for event in events if isinstance(event, PartStarted)] == ["a", "b"]


def test_pieces_of_parallel_calls_go_by_their_index() -> None:
    def piece(index: int, **more: Any) -> bytes:
        return chunk({"tool_calls": [{"index": index, **more}]})

    stream = (
        piece(0, id="a", function={"name": "f", "arguments": ""})
        + piece(1, id="b", function={"name": "g", "arguments": ""})
        + piece(1, function={"arguments": "{1"})
        + piece(0, function={"arguments": "{0"})
        + chunk({}, "tool_calls")
    )
    deltas = [(event.index, event.text) for event in read(stream) if isinstance(event, ArgumentsDelta)]
    assert deltas == [(1, "{1"), (0, "{0")]


@pytest.mark.parametrize("code", ["null", "502", '"server_error"'])
def test_an_error_amid_a_stream_ends_it(code: str) -> None:
    error = b'data: {"error":{"message":"Gone.","code":%b}}\n\n' % code.encode()
    events = read(chunk({"content": "Hi"}) + error + chunk({"content": "no"}))
    assert kinds(events)[-2:] == ["PartEnded", "Failed"]
    assert isinstance(events[-1], Failed)
    assert events[-1].fault.message == "Gone."
    assert events[-1].fault.status == 502


@pytest.mark.parametrize("stream", [b"", b"data: [DONE]\n\n", chunk({"content": "Hi"}), chunk({"content": "Hi"})[:-9]])
def test_a_stream_without_an_end_has_failed(stream: bytes) -> None:
    assert isinstance(read(stream)[-1], Failed)


def test_choices_are_kept_apart() -> None:
    def of(index: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
        return (
            b'data: {"choices":[%b]}\n\n'
            % json.dumps({"index": index, "delta": delta, "finish_reason": finish}).encode()
        )

    stream = of(0, {"content": "A"}) + of(1, {"content": "B"}) + of(1, {}, "stop") + of(0, {}, "length")
    answer = answer_of(read(stream + b"data: [DONE]\n\n"))
    assert answer.choices == [Choice([Text("A")], "length", index=0), Choice([Text("B")], "end", index=1)]


# --- usage


@pytest.mark.parametrize(
    ("said", "options", "wanted"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 3}, {}, (5, 3, 0, 0)),
        ({"prompt_tokens": 5, "completion_tokens": 3, "prompt_cache_hit_tokens": 4}, {}, (5, 3, 4, 0)),
        (
            {"prompt_tokens": 5, "completion_tokens": 3, "completion_tokens_details": {"reasoning_tokens": 2}},
            {"reasoning_counted": False},
            (5, 5, 0, 2),
        ),
        (
            {
                "prompt_tokens": 5,
                "completion_tokens": 3,
                "total_tokens": 17,
                "completion_tokens_details": {"reasoning_tokens": 9},
            },
            {},
            (5, 12, 0, 9),
        ),
        (
            {
                "prompt_tokens": 5,
                "completion_tokens": 3,
                "total_tokens": 8,
                "completion_tokens_details": {"reasoning_tokens": 2},
            },
            {"reasoning_counted": False},
            (5, 3, 0, 2),
        ),
    ],
)
def test_usage_is_what_the_vendor_means(said: dict[str, Any], options: dict[str, Any], wanted: tuple[int, ...]) -> None:
    body = json.dumps({"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], "usage": said}).encode()
    usage = CHAT.read_answer(body, Carry(options=Options(**options))).usage
    assert usage is not None
    assert (usage.input_total, usage.output_total, usage.cache_read, usage.reasoning) == wanted


# --- requests


def test_legacy_functions_are_tools() -> None:
    request = asked(
        functions=[{"name": "f", "parameters": {"type": "object"}}],
        function_call={"name": "f"},
        messages=[
            {"role": "user", "content": "?"},
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "1"},
        ],
    )
    assert request.tools == [Tool("f", schema='{"type": "object"}')]
    assert request.tool_choice == ToolChoice("tool", ("f",))
    assert request.messages[1:] == [
        Message("assistant", [ToolCall("call_f", "f")]),
        Message("user", [ToolResult("call_f", [Text("1")], "f")]),
    ]


def test_allowed_tools_are_a_choice_among_names() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    request = asked(tool_choice={"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": tools}})
    assert request.tool_choice == ToolChoice("required", ("f",))


def test_instructions_before_the_talk_and_amid_it_are_told_apart() -> None:
    turns = [("developer", "a"), ("system", "b"), ("user", "?"), ("developer", "c")]
    request = asked(messages=[{"role": role, "content": words} for role, words in turns])
    assert request.system == [Text("a"), Text("b")]
    assert request.messages[1:] == [Message("system", [Text("c")])]
    body, _ = written(request)
    assert [message["role"] for message in body["messages"]] == ["system", "user", "system"]


def test_the_proof_of_a_thought_and_of_a_call_comes_back() -> None:
    answer = Answer(
        "r", [Choice([Thinking("Hm", "sig", family="anthropic"), ToolCall("a", "f", "{}", "proof", "gemini")])]
    )
    message = json.loads(CHAT.write_answer(answer, ASK))["choices"][0]["message"]
    assert asked(messages=[message]).messages[0].parts == answer.choices[0].parts


@pytest.mark.parametrize(
    ("options", "member"),
    [({}, "max_completion_tokens"), ({"max_completion_tokens": False}, "max_tokens")],
)
def test_vendors_have_their_own_word_for_the_length(options: dict[str, Any], member: str) -> None:
    assert written(asked(max_tokens=7), **options)[0][member] == 7


def test_a_server_without_stream_options_is_not_given_any() -> None:
    request = asked()
    request.stream = True
    assert "stream_options" not in written(request, stream_options=False)[0]
    assert written(request)[0]["stream_options"] == {"include_usage": True}


def test_thoughts_go_back_only_to_those_who_take_them() -> None:
    request = asked(messages=[{"role": "assistant", "content": "Hi", "reasoning_content": "Hm"}])
    assert written(request)[1] == ["thinking"]
    body, names = written(request, reasoning_content=True)
    assert body["messages"][0]["reasoning_content"] == "Hm"
    assert names == []


@pytest.mark.parametrize(("budget", "effort"), [(0, "none"), (1000, "low"), (4000, "high"), (90000, "high")])
def test_a_budget_of_thinking_is_an_effort(budget: int, effort: str) -> None:
    assert written(Request("m", [], reasoning=Reasoning(budget=budget)))[0]["reasoning_effort"] == effort


def test_what_only_others_have_is_refused_or_dropped() -> None:
    request = Request("m", [], top_k=3, extras={"container": "{}"})
    with pytest.raises(GatewayError) as raised:
        written(request)
    assert raised.value.param == "top_k"
    body, names = written(request, drops=True)
    assert names == ["top_k", "container"]
    assert "container" not in body


@pytest.mark.parametrize(
    "members",
    [
        {"messages": [{"role": "robot", "content": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": "video_url", "video_url": {"url": "x"}}]}]},
        {"messages": "x"},
        {"tool_choice": "some"},
        {"tool_choice": {"type": "function"}},
        {"response_format": {"type": "xml"}},
        {"max_tokens": "7"},
    ],
)
def test_what_is_no_request_is_refused(members: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as raised:
        asked(**members)
    assert raised.value.status == 400


# --- answers and streams to callers


def test_usage_is_told_only_to_those_who_ask() -> None:
    events = events_of(Answer("r", [Choice([Text("Hi")])], usage=Usage(5, 3, 2, 1)))
    quiet = CHAT.event_writer(ASK)
    assert b"usage" not in quiet.write(events)
    asking = CHAT.event_writer(Request("m", [], usage_wanted=True))
    lines = [line for line in asking.write(events).split(b"\n\n") if line]
    assert all(b'"usage":null' in line for line in lines[:-1])
    last = json.loads(lines[-1].removeprefix(b"data: "))
    assert last["choices"] == []
    assert (last["usage"]["prompt_tokens"], last["usage"]["prompt_tokens_details"]["cached_tokens"]) == (5, 2)


def test_a_call_without_arguments_has_an_empty_object() -> None:
    events: list[Event] = [
        Started(),
        PartStarted(0, "tool_call", id="a", name="f"),
        PartEnded(0),
        Stopped("tool_calls"),
    ]
    data = CHAT.event_writer(ASK).write(events)
    assert read(data + b"data: [DONE]\n\n")[2] == ArgumentsDelta(0, "{}")


def test_a_refusal_is_told_as_such() -> None:
    events: list[Event] = [
        Started(),
        PartStarted(0, "refusal"),
        RefusalDelta(0, "No."),
        PartEnded(0),
        Stopped("refusal"),
    ]
    answer = answer_of(read(CHAT.event_writer(ASK).write(events) + b"data: [DONE]\n\n"))
    assert answer.choices[0].stop == "refusal"


def test_a_packed_call_id_is_unpacked_in_calls_and_results() -> None:
    packed = pack_call_id("a", "gemini", "proof")
    call = {"id": packed, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    request = asked(
        messages=[
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": packed, "content": "1"},
        ]
    )
    assert request.messages == [
        Message("assistant", [ToolCall("a", "f", "{}", "proof", "gemini")]),
        Message("user", [ToolResult("a", [Text("1")])]),
    ]


WORDS = st.text(min_size=1, max_size=20)
CALLS = st.builds(
    ToolCall, id=st.from_regex(r"[a-z0-9]{1,9}", fullmatch=True), name=WORDS, arguments=st.just('{"a":1}')
)
PARTS = st.lists(st.builds(Text, WORDS), max_size=1).flatmap(
    lambda words: st.lists(CALLS, max_size=3, unique_by=lambda call: call.id).map(lambda calls: [*words, *calls])
)
TURNS = st.lists(st.builds(Message, role=st.just("assistant"), parts=PARTS.filter(bool)), max_size=4)


@given(TURNS, st.booleans(), st.none() | st.integers(1, 9), st.lists(WORDS, max_size=2))
def test_what_is_written_is_read_as_it_was(
    turns: list[Message], parallel: bool, limit: int | None, stop: list[str]
) -> None:
    request = Request(
        "r", turns, tools=[Tool("f", "g", "{}")], parallel_tools=parallel, max_tokens=limit, stop=stop, seed=3
    )
    assert CHAT.read_request(CHAT.write_request(request, Carry("r")), "r", False) == request


@given(PARTS, st.integers(0, 9), st.integers(0, 9))
def test_an_answer_is_the_same_whole_and_streamed(parts: list[Any], taken: int, given_: int) -> None:
    stop = "tool_calls" if any(isinstance(part, ToolCall) for part in parts) else "end"
    answer = Answer("r", [Choice(parts, stop)], "c", 1, Usage(taken, given_))  # type: ignore[arg-type]
    whole = CHAT.read_answer(CHAT.write_answer(answer, ASK), Carry())
    writer = CHAT.event_writer(Request("m", [], usage_wanted=True))
    streamed = answer_of(read(writer.write(events_of(answer)) + writer.flush()))
    assert whole.choices == streamed.choices == answer.choices
    assert repr(whole.usage) == repr(streamed.usage) == repr(answer.usage)
