"""plane.dialects.mistral: in what its requests, answers, streams and errors differ from OpenAI's."""

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import GatewayError
from plane.canonical import (
    Audio,
    Carry,
    Document,
    Event,
    Failed,
    Image,
    Message,
    Output,
    Part,
    Reasoning,
    Request,
    SignatureDelta,
    Stopped,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    foreign_signature,
)
from plane.dialects.mistral import Options, build
from plane.embedding import EmbeddingRequest
from tests.plane.gathered import gather, plain
from tests.plane.passing import answered, asked, sent, streamed, told

DIALECT = build(Options())
CHAT = DIALECT.translators["chat"]
EMBED = DIALECT.translators["embeddings"]
FILES = Path(__file__).parents[1] / "golden" / "dialects" / "mistral"
USAGE = {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16}


def request(*parts: Part, **more: Any) -> Request:
    return Request("m", [Message("user", [*parts] or [Text("hi")])], **more)


def written(asked_for: Request, carry: Carry | None = None) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(CHAT.write_request(asked_for, carry or Carry("real")))
    return body


def answer(message: dict[str, Any], **more: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop", **more}
    return json.dumps({"id": "a", "model": "real", "created": 1, "choices": [choice], "usage": USAGE}).encode()


def chunks(*deltas: dict[str, Any]) -> list[Event]:
    reader = CHAT.event_reader(Carry("real"))
    told_chunks = [{"id": "a", "choices": [{"index": 0, "delta": {}, **delta}]} for delta in deltas]
    data = b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in told_chunks)
    events: list[Event] = reader.feed(data + b"data: [DONE]\n\n")
    return events + reader.flush()


# --- requests


def test_the_seed_and_the_required_choice_have_other_names() -> None:
    body = written(request(seed=7, tools=[Tool("f")], tool_choice=ToolChoice("required")))
    assert body["random_seed"] == 7
    assert body["tool_choice"] == "any"
    assert "seed" not in body


@pytest.mark.parametrize(
    ("choice", "wanted", "offered"),
    [
        (ToolChoice("auto"), "auto", ["a", "b"]),
        (ToolChoice("none"), "none", ["a", "b"]),
        (ToolChoice("tool", ("b",)), {"type": "function", "function": {"name": "b"}}, ["b"]),
        (ToolChoice("required", ("a",)), "any", ["a"]),
    ],
)
def test_a_choice_among_some_tools_offers_only_those(choice: ToolChoice, wanted: Any, offered: list[str]) -> None:
    body = written(request(tools=[Tool("a"), Tool("b")], tool_choice=choice))
    assert body["tool_choice"] == wanted
    assert [tool["function"]["name"] for tool in body["tools"]] == offered


def test_ids_of_calls_are_nine_letters_and_digits_and_results_fit_them() -> None:
    calls = [ToolCall("call_68f1c0ffee02", "f"), ToolCall("D681PevKs", "g")]
    results = [ToolResult("call_68f1c0ffee02", [Text("1")]), ToolResult("D681PevKs", [Text("2")])]
    talk = [Message("user", [Text("?")]), Message("assistant", [*calls]), Message("user", [*results])]
    _, turn, first, second = written(Request("m", talk))["messages"]
    made, kept = (call["id"] for call in turn["tool_calls"])
    assert (len(made), made.isalnum(), kept) == (9, True, "D681PevKs")
    assert (first["tool_call_id"], first["name"]) == (made, "f")
    assert (second["tool_call_id"], second["name"]) == (kept, "g")


def test_the_models_own_words_at_the_end_are_a_prefix() -> None:
    talk = [Message("user", [Text("?")]), Message("assistant", [Text("It is")])]
    assert written(Request("m", talk))["messages"][-1] == {"role": "assistant", "content": "It is", "prefix": True}


def test_thoughts_go_back_within_the_content_but_not_those_that_others_signed() -> None:
    turn = Message("assistant", [Thinking("a", "s", family="mistral"), Thinking("b", "p", family="gemini"), Text("c")])
    carry = Carry("real")
    content = written(Request("m", [turn]), carry)["messages"][0]["content"]
    assert content == [
        {"type": "thinking", "thinking": [{"type": "text", "text": "a"}], "signature": "s"},
        {"type": "text", "text": "c"},
    ]
    assert carry.names == ["thinking"]


@pytest.mark.parametrize(
    ("reasoning", "wanted"),
    [
        (Reasoning(effort="high"), {"reasoning_effort": "high"}),
        (Reasoning(mode="off"), {"reasoning_effort": "none"}),
        (Reasoning(mode="on"), {"prompt_mode": "reasoning"}),
        (Reasoning(budget=1500), {"reasoning_effort": "medium"}),
        (Reasoning(budget=99999), {"reasoning_effort": "high"}),
    ],
)
def test_thinking_is_an_effort_or_a_mode(reasoning: Reasoning, wanted: dict[str, str]) -> None:
    body = written(request(reasoning=reasoning), Carry("real", budgets={"low": 1024, "medium": 2048}))
    assert {name: body[name] for name in ("reasoning_effort", "prompt_mode") if name in body} == wanted


@pytest.mark.parametrize(
    ("part", "chunk"),
    [
        (Image(url="https://x.test/a.png"), {"type": "image_url", "image_url": "https://x.test/a.png"}),
        (
            Image(media_type="image/png", data="aGk=", detail="low"),
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk=", "detail": "low"}},
        ),
        (
            Document(url="https://x.test/a.pdf", name="a"),
            {"type": "document_url", "document_url": "https://x.test/a.pdf", "document_name": "a"},
        ),
        (Document(data="aGk="), {"type": "document_url", "document_url": "data:application/pdf;base64,aGk="}),
        (Document(file_id="f"), {"type": "file", "file_id": "f"}),
        (Document(text="words", name="a"), {"type": "text", "text": "a\nwords"}),
        (Audio("wav", "aGk="), {"type": "input_audio", "input_audio": "aGk="}),
    ],
)
def test_each_part_has_its_chunk(part: Part, chunk: dict[str, Any]) -> None:
    assert written(request(part, Text("?")))["messages"][0]["content"] == [chunk, {"type": "text", "text": "?"}]


def test_a_schema_has_the_name_that_it_must_have() -> None:
    form = written(request(output=Output("schema", schema='{"type":"object"}')))["response_format"]
    assert form == {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}


def test_what_has_no_place_is_refused_by_its_name_or_dropped_and_named() -> None:
    asked_for = request(extras={"logit_bias": "{}", "safe_prompt": "true"})
    with pytest.raises(GatewayError) as caught:
        written(asked_for)
    assert caught.value.param == "logit_bias"
    carry = Carry("real", drops=True)
    assert written(asked_for, carry)["safe_prompt"] is True
    assert carry.names == ["logit_bias"]


def test_hints_that_it_has_a_place_for_are_kept() -> None:
    carry = Carry("real")
    body = written(request(metadata={"a": "b"}, cache_key="k", user="u", service_tier="flex"), carry)
    assert (body["metadata"], body["prompt_cache_key"]) == ({"a": "b"}, "k")
    assert sorted(carry.names) == ["service_tier", "user"]
    kept = Carry("real")
    assert written(request(service_tier="auto"), kept)["service_tier"] == "auto"
    assert kept.names == []


@pytest.mark.parametrize(
    "more",
    [
        {"messages": [{"role": "developer", "content": "a"}]},
        {"messages": [{"role": "user", "content": [{"type": "smell"}]}]},
        {"messages": [], "tool_choice": "maybe"},
        {"messages": [], "reasoning_effort": "some"},
        {"messages": [], "tools": [{"type": "image_generation"}]},
    ],
)
def test_a_request_that_cannot_be_served_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as caught:
        CHAT.read_request(json.dumps(more).encode(), "m", False)
    assert caught.value.status == 400


# --- answers


@pytest.mark.parametrize(
    ("word", "stop"),
    [("stop", "end"), ("length", "length"), ("model_length", "length"), ("error", "error"), ("odd", "end")],
)
def test_each_reason_to_stop_is_known(word: str, stop: str) -> None:
    assert CHAT.read_answer(answer({"content": "a"}, finish_reason=word), Carry()).choices[0].stop == stop


def test_arguments_may_be_an_object_and_an_id_may_be_missing() -> None:
    call = {"function": {"name": "f", "arguments": {"a": 1}}, "id": "null"}
    read = CHAT.read_answer(answer({"content": "", "tool_calls": [call]}), Carry()).choices[0]
    (part,) = read.parts
    assert (part.name, json.loads(part.arguments), len(part.id)) == ("f", {"a": 1}, 9)
    assert read.stop == "tool_calls"


def test_references_are_left_out_and_named() -> None:
    carry = Carry()
    content = [{"type": "text", "text": "a"}, {"type": "reference", "reference_ids": [1]}]
    assert CHAT.read_answer(answer({"content": content}), carry).choices[0].parts == [Text("a")]
    assert carry.names == ["citations"]


def test_an_error_with_status_200_is_an_error() -> None:
    with pytest.raises(GatewayError) as caught:
        CHAT.read_answer((FILES / "error.answer.json").read_bytes(), Carry())
    assert (caught.value.status, caught.value.source) == (502, "upstream")


def test_proofs_of_others_come_back_as_they_went() -> None:
    signed = answer({"content": "x"})
    read = CHAT.read_answer(signed, Carry())
    read.choices[0].parts.insert(0, Thinking("t", "proof", family="anthropic"))
    message = json.loads(CHAT.write_answer(read, request()))["choices"][0]["message"]
    assert message["content"][0]["signature"] == foreign_signature("anthropic", "proof")
    back = CHAT.read_request(json.dumps({"messages": [message]}).encode(), "m", False)
    assert back.messages[0].parts[0] == Thinking("t", "proof", family="anthropic")


# --- streams


def test_calls_that_are_all_numbered_0_are_told_apart_by_their_ids() -> None:
    first = {"index": 0, "id": "aaaaaaaaa", "function": {"name": "f", "arguments": '{"a":1}'}}
    second = {"index": 0, "id": "bbbbbbbbb", "function": {"name": "g", "arguments": "{}"}}
    events = chunks({"delta": {"tool_calls": [first, second]}, "finish_reason": "tool_calls"})
    assert plain(gather(events).choices[0].parts) == [("call", "f", '{"a": 1}'), ("call", "g", "{}")]


def test_arguments_in_pieces_are_put_together() -> None:
    first = {"index": 0, "id": "aaaaaaaaa", "function": {"name": "f", "arguments": '{"a"'}}
    second = {"index": 0, "id": "null", "function": {"name": "", "arguments": ":1}"}}
    events = chunks({"delta": {"tool_calls": [first]}}, {"delta": {"tool_calls": [second]}, "finish_reason": "stop"})
    read = gather(events).choices[0]
    assert plain(read.parts) == [("call", "f", '{"a": 1}')]
    assert read.stop == "tool_calls"


def test_the_proof_of_a_thought_follows_it() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "t"}]}
    proof = {"type": "thinking", "thinking": [], "signature": "s"}
    events = chunks({"delta": {"content": [thought, proof]}}, {"delta": {"content": "a"}, "finish_reason": "stop"})
    assert SignatureDelta(0, "s", "mistral") in events
    assert gather(events).choices[0].parts == [Thinking("t", "s", family="mistral"), Text("a")]


def test_several_choices_are_kept_apart_and_all_must_stop() -> None:
    both = [{"index": place, "delta": {"content": "ab"[place]}, "finish_reason": "stop"} for place in (0, 1)]
    reader = CHAT.event_reader(Carry())
    events = reader.feed(b"data: %b\n\ndata: [DONE]\n\n" % json.dumps({"choices": both, "usage": USAGE}).encode())
    assert [event.choice for event in events if isinstance(event, Stopped)] == [0, 1]
    writer = CHAT.event_writer(request(n=2))
    again = CHAT.event_reader(Carry())
    assert len([e for e in again.feed(writer.write(events) + writer.flush()) if isinstance(e, Stopped)]) == 2
    both[1]["finish_reason"] = None
    broken = CHAT.event_reader(Carry())
    broken.feed(b"data: %b\n\n" % json.dumps({"choices": both}).encode())
    assert isinstance(broken.flush()[-1], Failed)


# --- what passes through, and errors


def test_only_the_name_of_the_model_is_changed_and_usage_is_read() -> None:
    body = b'{"messages": [], "model" : "m", "random_seed": 1, "stream": true}'
    exchange = asked(DIALECT, "mistral.chat", body)
    assert sent(DIALECT, exchange) == body.replace(b'"m"', b'"real"')
    data = (FILES / "usage.stream").read_bytes()
    passed, usage = streamed(DIALECT, exchange, [data])
    assert passed == data
    assert usage is not None
    assert (usage.input_total, usage.output_total, usage.cache_read) == (1200, 30, 1024)
    whole = answered(DIALECT, asked(DIALECT, "mistral.chat", b'{"model":"m"}'), answer({"content": ""}))
    assert whole is not None
    assert (whole.input_total, whole.output_total) == (9, 7)


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ((FILES / "error.answer.json").read_bytes(), "body.seed: Extra inputs are not permitted"),
        (b'{"object":"error","message":"Service unavailable.","type":"t","code":"3000"}', "Service unavailable."),
        (b'{"detail":[{"loc":["body","n"],"msg":"too many"}]}', "body.n: too many"),
        (b'{"detail":"Not found"}', "Not found"),
        (b'{"message":"Unauthorized","request_id":"x"}', "Unauthorized"),
        (b'{"error":{"message":"wrapped"}}', "wrapped"),
        (b'{"error":"plain"}', "plain"),
        (b"<html>", "The provider answered 422."),
    ],
)
def test_each_form_of_an_error_is_read(body: bytes, wanted: str) -> None:
    fault = DIALECT.read_fault(422, [], body)
    assert (fault.status, fault.message) == (422, wanted)


def test_an_error_is_told_as_mistral_tells_it() -> None:
    error = GatewayError(400, "unsupported", "caller", "No.", param="n")
    wanted = {"object": "error", "message": "No.", "type": "invalid_request_error", "param": "n", "code": "unsupported"}
    assert told(DIALECT, error) == wanted
    assert DIALECT.error_event(error) == b"data: %b\n\n" % DIALECT.error(error)


# --- embeddings


def test_dimensions_have_another_name_and_tokens_are_no_input() -> None:
    asked_for = EMBED.read_request(b'{"model":"m","input":["a"],"output_dimension":8,"output_dtype":"float"}', "m")
    assert (asked_for.dimensions, asked_for.extras) == (8, {})
    body = json.loads(EMBED.write_request(asked_for, Carry("real")))
    assert body == {"model": "real", "input": ["a"], "output_dimension": 8}
    with pytest.raises(GatewayError) as caught:
        EMBED.write_request(EmbeddingRequest("m", [[1]]), Carry("real", drops=True))
    assert caught.value.param == "input"
    with pytest.raises(GatewayError):
        EMBED.read_request(b'{"model":"m","input":["a"],"output_dimension":"x"}', "m")


def test_an_answer_has_an_id_whoever_gave_it() -> None:
    asked_for = EMBED.read_request(b'{"model":"m","input":["a"]}', "m")
    got = EMBED.read_answer(b'{"data":[{"embedding":[1.5]}],"model":"real"}', Carry("real"))
    told_answer = json.loads(EMBED.write_answer(got, asked_for))
    assert told_answer["id"]
    assert told_answer["data"][0]["embedding"] == [1.5]
