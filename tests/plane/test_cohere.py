"""plane.dialects.cohere: what goes to it from other dialects, what passes through, usage, errors and embeddings."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import GatewayError
from plane.canonical import (
    Audio,
    Carry,
    Document,
    Image,
    Message,
    Output,
    Part,
    Reasoning,
    Request,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from plane.dialects.cohere import Options, build
from plane.embedding import EmbeddingRequest
from tests.plane.passing import answered, asked, sent, streamed, told
from tests.plane.splits import splits

DIALECT = build(Options())
CHAT = DIALECT.translators["chat"]
EMBED = DIALECT.translators["embeddings"]
FILES = Path(__file__).parents[1] / "golden" / "dialects" / "cohere"
BILLED = {"billed_units": {"input_tokens": 9, "output_tokens": 7}, "tokens": {"input_tokens": 509, "output_tokens": 9}}


def request(*parts: Part, **more: Any) -> Request:
    return Request("m", [Message("user", [*parts])] if parts else [Message("user", [Text("hi")])], **more)


def written(asked_for: Request, carry: Carry | None = None) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(CHAT.write_request(asked_for, carry or Carry("real")))
    return body


def refused(asked_for: Request) -> str | None:
    with pytest.raises(GatewayError) as caught:
        written(asked_for)
    assert (caught.value.status, caught.value.code) == (400, "unsupported")
    return caught.value.param


# --- requests


def test_settings_have_coheres_names() -> None:
    body = written(request(top_p=0.5, top_k=3, stop=["x"], max_tokens=5, seed=1, logprobs=True, stream=True))
    assert {**body, "messages": 0, "model": 0} == {
        "model": 0, "messages": 0, "p": 0.5, "k": 3, "stop_sequences": ["x"], "max_tokens": 5, "seed": 1,
        "logprobs": True, "stream": True,
    }  # fmt: skip


def test_words_before_a_tool_call_are_its_plan() -> None:
    turn = Message("assistant", [Text("I will look."), ToolCall("c", "f", '{"a":1}')])
    result = Message("user", [ToolResult("c", [Text("1")]), Text("So?")])
    messages = written(Request("m", [turn, result]))["messages"]
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    assert messages == [
        {"role": "assistant", "tool_plan": "I will look.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "1"},
        {"role": "user", "content": "So?"},
    ]


@pytest.mark.parametrize(
    ("choice", "wanted", "offered"),
    [
        (ToolChoice("auto"), None, ["a", "b"]),
        (ToolChoice("none"), "NONE", ["a", "b"]),
        (ToolChoice("required"), "REQUIRED", ["a", "b"]),
        (ToolChoice("tool", ("b",)), "REQUIRED", ["b"]),
        (ToolChoice("auto", ("a",)), None, ["a"]),
    ],
)
def test_the_choice_of_one_tool_is_that_tool_alone(choice: ToolChoice, wanted: Any, offered: list[str]) -> None:
    body = written(request(tools=[Tool("a"), Tool("b")], tool_choice=choice))
    assert body.get("tool_choice") == wanted
    assert [tool["function"]["name"] for tool in body["tools"]] == offered


def test_strictness_is_said_of_all_tools_or_of_none() -> None:
    assert written(request(tools=[Tool("a", strict=True)]))["strict_tools"] is True
    assert "strict_tools" not in written(request(tools=[Tool("a"), Tool("b", strict=False)]))
    assert refused(request(tools=[Tool("a", strict=True), Tool("b")])) == "strict"


@pytest.mark.parametrize(
    ("reasoning", "wanted"),
    [
        (Reasoning(mode="off"), {"type": "disabled"}),
        (Reasoning(effort="none"), {"type": "disabled"}),
        (Reasoning(mode="on"), {"type": "enabled"}),
        (Reasoning(budget=99), {"type": "enabled", "token_budget": 99}),
        (Reasoning(effort="low"), {"type": "enabled", "token_budget": 1024}),
        (Reasoning(effort="high"), {"type": "enabled"}),
        (Reasoning(show=True), None),
    ],
)
def test_effort_is_told_as_tokens(reasoning: Reasoning, wanted: Any) -> None:
    body = written(request(reasoning=reasoning), Carry("real", budgets={"low": 1024}))
    assert body.get("thinking") == wanted


def test_an_answer_has_room_behind_the_thinking() -> None:
    body = written(request(reasoning=Reasoning(budget=2000), max_tokens=100))
    assert body["max_tokens"] == 2100


def test_thoughts_of_others_stay_here_and_are_named() -> None:
    turn = Message("assistant", [Thinking("a", "proof", family="anthropic"), Thinking("b"), Text("c")])
    carry = Carry("real")
    (message,) = written(Request("m", [turn]), carry)["messages"]
    assert message["content"] == [{"type": "thinking", "thinking": "b"}, {"type": "text", "text": "c"}]
    assert carry.names == ["thinking"]


@pytest.mark.parametrize(
    ("asked_for", "name"),
    [
        (request(n=2), "n"),
        (request(top_logprobs=3), "top_logprobs"),
        (request(tools=[Tool("a")], parallel_tools=False), "parallel_tool_calls"),
        (request(extras={"logit_bias": "{}"}), "logit_bias"),
        (request(Audio("wav", "")), "input_audio"),
        (request(Image(file_id="f")), "file_id"),
        (request(Document(media_type="application/pdf", data="JVBERi0=")), "file"),
        (request(ToolResult("c", [Image(url="https://x.test/a.png")])), "tool_result.image"),
    ],
)
def test_what_has_no_place_is_refused_by_its_name_or_dropped_and_named(asked_for: Request, name: str) -> None:
    assert refused(asked_for) == name
    carry = Carry("real", drops=True)
    written(asked_for, carry)
    assert carry.names == [name]


def test_hints_are_left_out_and_named() -> None:
    carry = Carry("real")
    hints = request(
        Text("a", cache="5m"), user="u", metadata={"a": "b"}, service_tier="flex", cache_key="k", store=True,
        verbosity="low",
    )  # fmt: skip
    written(hints, carry)
    assert set(carry.names) == {
        "user", "metadata", "service_tier", "prompt_cache_key", "store", "verbosity", "cache_control",
    }  # fmt: skip


def test_what_only_cohere_has_is_taken_from_any_caller() -> None:
    body = written(request(extras={"safety_mode": '"STRICT"', "documents": '["a"]'}))
    assert (body["safety_mode"], body["documents"]) == ("STRICT", ["a"])


def test_documents_of_text_are_what_it_cites_from() -> None:
    body = written(request(Document(text="words", name="d1"), Text("?"), extras={"documents": '["first"]'}))
    assert body["documents"] == ["first", {"data": {"text": "words"}, "id": "d1"}]
    assert body["messages"] == [{"role": "user", "content": "?"}]


def test_a_form_of_the_answer_is_json_with_or_without_schema() -> None:
    assert written(request(output=Output("json")))["response_format"] == {"type": "json_object"}
    schema = written(request(output=Output("schema", "n", '{"type":"object"}')))["response_format"]
    assert schema == {"type": "json_object", "json_schema": {"type": "object"}}


@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": [{"role": "wizard", "content": "a"}]},
        {"messages": [{"role": "user", "content": [{"type": "smell"}]}]},
        {"messages": [{"role": "user", "content": "a"}], "tool_choice": "MAYBE"},
        {"messages": "a"},
        {},
    ],
)
def test_a_request_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as caught:
        CHAT.read_request(json.dumps(wrong).encode(), "m", False)
    assert caught.value.status == 400


NAMES = st.sampled_from(["f", "g", "look_up"])
TEXTS = st.text(min_size=1)
USERS = st.lists(st.builds(Text, TEXTS) | st.builds(Image, st.just("https://x.test/a.png")), min_size=1)
ANSWERS = st.lists(st.builds(Text, TEXTS), min_size=1, max_size=1) | st.builds(
    lambda thought, call: [Thinking(thought, family="cohere"), call],
    TEXTS,
    st.builds(ToolCall, TEXTS.filter(lambda text: "__hg1__" not in text), NAMES, st.just('{"a":[1]}')),
)
TURNS = st.lists(
    st.builds(Message, st.just("user"), USERS) | st.builds(Message, st.just("assistant"), ANSWERS), max_size=5
)


@given(
    st.builds(
        Request, st.just("m"), TURNS, st.lists(st.builds(Text, TEXTS), max_size=2),
        temperature=st.none() | st.floats(0, 1), top_p=st.none() | st.floats(0, 1), top_k=st.none() | st.integers(0, 9),
        max_tokens=st.none() | st.integers(1, 9), stop=st.lists(st.text()), seed=st.none() | st.integers(0, 9),
        output=st.none() | st.builds(Output, st.just("json")), usage_wanted=st.just(True),
    )
)  # fmt: skip
def test_any_request_is_the_same_after_a_round_trip(asked_for: Request) -> None:
    assert CHAT.read_request(CHAT.write_request(asked_for, Carry("m")), "m", False) == asked_for


# --- answers


def test_citations_are_left_out_and_named() -> None:
    carry = Carry("real")
    CHAT.read_answer((FILES / "document.answer.json").read_bytes(), carry)
    assert carry.names == ["citations"]


def test_probabilities_of_tokens_come_in_openais_form_and_go_back() -> None:
    body = {
        "message": {"content": [{"type": "text", "text": "ab"}]},
        "logprobs": [{"text": "a", "token_ids": [1, 2], "logprobs": [-0.5, -0.25]}],
    }
    answer = CHAT.read_answer(json.dumps(body).encode(), Carry("real"))
    (one,) = json.loads(answer.choices[0].logprobs)["content"]
    assert (one["token"], one["logprob"]) == ("a", -0.75)
    back = json.loads(CHAT.write_answer(answer, request()))
    assert back["logprobs"] == [{"text": "a", "token_ids": [], "logprobs": [-0.75]}]


@pytest.mark.parametrize(
    ("word", "stop"),
    [("COMPLETE", "end"), ("STOP_SEQUENCE", "stop_sequence"), ("MAX_TOKENS", "length"), ("TOOL_CALL", "tool_calls"),
     ("ERROR", "error"), ("TIMEOUT", "error"), ("ODD", "end")],
)  # fmt: skip
def test_each_reason_to_stop_is_known(word: str, stop: str) -> None:
    body = json.dumps({"message": {}, "finish_reason": word}).encode()
    assert CHAT.read_answer(body, Carry("real")).choices[0].stop == stop


@pytest.mark.parametrize(
    ("usage", "wanted"),
    [
        (BILLED, (9, 7, 0, 0)),
        ({**BILLED, "cached_tokens": 4}, (9, 7, 4, 0)),
        ({**BILLED, "cached_tokens": 400}, (9, 7, 9, 0)),
        ({"tokens": {"input_tokens": 5.0, "output_tokens": 2.0}}, (5, 2, 0, 0)),
        ({"billed_units": {"search_units": 3}, "tokens": {"input_tokens": 5}}, (5, 0, 0, 3)),
        ({"billed_units": {"search_units": 3}}, (0, 0, 0, 3)),
        ({}, None),
        (None, None),
    ],
)
def test_usage_is_what_is_billed(usage: Any, wanted: Any) -> None:
    body = json.dumps({"message": {}, "usage": usage}).encode()
    read = CHAT.read_answer(body, Carry("real")).usage
    assert (read and (read.input_total, read.output_total, read.cache_read, read.units)) == wanted


# --- what passes through


def test_only_the_name_of_the_model_is_changed() -> None:
    body = b'{"x": [1,  2], "model" :"m","stream":true,"messages":[]}'
    exchange = asked(DIALECT, "cohere.chat", body)
    assert (exchange.model_name, exchange.stream) == ("m", True)
    assert sent(DIALECT, exchange) == body.replace(b'"m"', b'"real"')


def test_a_stream_passes_unchanged_and_its_usage_is_read_under_every_split() -> None:
    data = (FILES / "tools.stream").read_bytes()
    for pieces in splits(data):
        exchange = asked(DIALECT, "cohere.chat", b'{"model":"m","stream":true}')
        passed, usage = streamed(DIALECT, exchange, pieces)
        assert passed == data
        assert usage is not None
        assert (usage.input_total, usage.output_total) == (60, 15)


def test_a_stream_that_was_cut_has_no_usage() -> None:
    data = (FILES / "tools.stream").read_bytes()
    exchange = asked(DIALECT, "cohere.chat", b'{"model":"m","stream":true}')
    assert streamed(DIALECT, exchange, [data[: len(data) // 2]], ended=False)[1] is None


@pytest.mark.parametrize(
    ("operation", "reply", "wanted"),
    [
        ("cohere.chat", {"usage": BILLED}, (9, 7, 0)),
        ("cohere.embed", {"meta": {"billed_units": {"input_tokens": 4}}}, (4, 0, 0)),
        ("cohere.embed", {"meta": {"billed_units": {"images": 2}}}, (0, 0, 2)),
        ("cohere.rerank", {"meta": {"billed_units": {"search_units": 1}}}, (0, 0, 1)),
        ("cohere.chat", {}, None),
        ("cohere.embed", {}, None),
        ("cohere.rerank", {}, None),
    ],
)
def test_usage_of_an_answer_that_passes(operation: str, reply: Any, wanted: Any) -> None:
    exchange = asked(DIALECT, operation, b'{"model":"m"}')
    usage = answered(DIALECT, exchange, json.dumps(reply).encode())
    assert (usage and (usage.input_total, usage.output_total, usage.units)) == wanted
    assert answered(DIALECT, exchange, json.dumps(reply).encode(), 500) is None
    assert answered(DIALECT, exchange, b"<html>") is None


# --- errors


@pytest.mark.parametrize(
    ("status", "body", "wanted"),
    [
        (429, (FILES / "error.answer.json").read_bytes(), (429, "You are past the per minute request limit")),
        (498, b'{"message":"invalid api token"}', (401, "invalid api token")),
        (500, b"<html>", (500, "The provider answered 500.")),
        (500, b"", (500, "The provider answered 500.")),
        (400, b'{"message":7}', (400, "The provider answered 400.")),
    ],
)
def test_a_providers_error_is_read(status: int, body: bytes, wanted: tuple[int, str]) -> None:
    fault = DIALECT.read_fault(status, [(b"Retry-After", b"7")], body)
    assert (fault.status, fault.message[: len(wanted[1])], fault.retry_after) == (*wanted, 7.0)


def test_an_error_is_told_as_cohere_tells_it() -> None:
    error = GatewayError(404, "model_not_found", "caller", "No such model.", hint="Ask for another.")
    assert told(DIALECT, error) == {"message": "No such model. Ask for another."}
    event = DIALECT.error_event(error)
    assert event.startswith(b"event: message-end\ndata: {")
    assert b'"finish_reason":"ERROR"' in event


# --- embeddings


@pytest.mark.parametrize(
    ("purpose", "wanted", "named"),
    [("", "search_query", []), ("document", "search_document", []), ("query", "search_query", []),
     ("fact", "search_query", []), ("similarity", "search_query", ["input_type"])],
)  # fmt: skip
def test_what_vectors_are_for_is_the_callers_word_or_the_option(purpose: Any, wanted: str, named: list[str]) -> None:
    translator = build(Options(input_type="search_query")).translators["embeddings"]
    carry = Carry("real")
    body = json.loads(translator.write_request(EmbeddingRequest("m", ["a"], purpose=purpose), carry))
    assert body["input_type"] == wanted
    assert carry.names == named


def test_vectors_are_asked_for_in_the_form_that_the_caller_wants() -> None:
    for base64, form in ((True, "base64"), (False, "float"), (None, "float")):
        body = json.loads(EMBED.write_request(EmbeddingRequest("m", ["a"], base64=base64), Carry("real")))
        assert body["embedding_types"] == [form]
    answer = EMBED.read_answer(b'{"id":"i","embeddings":{"base64":["AADAPw=="]}}', Carry("real"))
    assert [vector.floats() for vector in answer.vectors] == [[1.5]]


def test_pictures_are_inputs_of_one_part() -> None:
    inputs = ["a", Image(media_type="image/png", data="aGk=")]
    body = json.loads(EMBED.write_request(EmbeddingRequest("m", inputs, dimensions=8), Carry("real")))
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    assert body["inputs"] == [{"content": [{"type": "text", "text": "a"}]}, {"content": [picture]}]
    assert body["output_dimension"] == 8
    again = EMBED.read_request(json.dumps(body).encode(), "m")
    assert (again.inputs, again.dimensions, again.purpose) == (inputs, 8, "document")


def test_tokens_are_no_input() -> None:
    with pytest.raises(GatewayError) as caught:
        EMBED.write_request(EmbeddingRequest("m", [[1, 2]]), Carry("real", drops=True))
    assert caught.value.param == "input"


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"texts": ["a"], "embedding_types": ["int8"]}, "embedding_types"),
        ({"texts": ["a"], "embedding_types": ["float", "base64"]}, "embedding_types"),
        ({"inputs": [{"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]}, "inputs"),
        ({}, "texts"),
    ],
)
def test_what_no_other_provider_could_embed_is_refused(more: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        EMBED.read_request(json.dumps({"model": "m", "input_type": "search_query", **more}).encode(), "m")
    assert (caught.value.status, caught.value.param) == (400, param)


def test_a_caller_gets_its_vectors_back_with_its_texts() -> None:
    asked_for = EMBED.read_request(b'{"model":"m","texts":["a"],"input_type":"search_query"}', "m")
    answer = EMBED.read_answer(
        b'{"id":"i","embeddings":{"float":[[1.5]]},"meta":{"billed_units":{"input_tokens":3}}}', Carry("real")
    )
    body = json.loads(EMBED.write_answer(answer, asked_for))
    assert body["embeddings"] == {"float": [[1.5]]}
    assert body["texts"] == ["a"]
    assert body["meta"]["billed_units"] == {"input_tokens": 3}
