"""plane.dialects.ollama: nested options, calls without ids, pictures as bytes, lines that pass, and counts."""

import json
from pathlib import Path
from typing import Any

import pytest

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
from plane.dialects._line_scan import LineScan
from plane.dialects.ollama import Options, build
from plane.embedding import EmbeddingRequest
from tests.plane.gathered import gather
from tests.plane.passing import answered, asked, sent, streamed, told
from tests.plane.splits import splits

DIALECT = build(Options())
CHAT = DIALECT.translators["chat"]
EMBED = DIALECT.translators["embeddings"]
FILES = Path(__file__).parents[1] / "golden" / "dialects" / "ollama"


def request(*parts: Part, **more: Any) -> Request:
    return Request("m", [Message("user", [*parts] or [Text("hi")])], **more)


def written(asked_for: Request, carry: Carry | None = None, translator: Any = CHAT) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(translator.write_request(asked_for, carry or Carry("real")))
    return body


def read(**body: Any) -> Request:
    asked_for: Request = CHAT.read_request(json.dumps({"model": "m", **body}).encode(), "m", True)
    return asked_for


# --- requests


def test_settings_stand_in_options_and_the_stream_is_always_said() -> None:
    body = written(request(max_tokens=5, temperature=0.5, top_k=3, seed=1, stop=["x"]))
    assert body["options"] == {"num_predict": 5, "temperature": 0.5, "top_k": 3, "seed": 1, "stop": ["x"]}
    assert body["stream"] is False
    assert written(request(stream=True))["stream"] is True


def test_the_providers_options_are_there_unless_the_caller_has_its_own() -> None:
    translator = build(Options(num_ctx=32768, keep_alive="10m")).translators["chat"]
    body = written(request(), translator=translator)
    assert (body["options"], body["keep_alive"]) == ({"num_ctx": 32768}, "10m")
    own = request(extras={"options.num_ctx": "99", "keep_alive": '"1h"'})
    body = written(own, translator=translator)
    assert (body["options"], body["keep_alive"]) == ({"num_ctx": 99}, "1h")


def test_pictures_are_bare_base64() -> None:
    body = written(request(Text("What?"), Image(media_type="image/png", data="aGk=")))
    assert body["messages"] == [{"role": "user", "content": "What?", "images": ["aGk="]}]


@pytest.mark.parametrize(("start", "kind"), [("/9j/4AA", "image/jpeg"), ("iVBORw0KGgoA", "image/png"), ("xyz", "")])
def test_a_picture_says_itself_what_it_is(start: str, kind: str) -> None:
    (part,) = read(messages=[{"role": "user", "content": "", "images": [start]}]).messages[0].parts
    assert part == Image(media_type=kind, data=start)


def test_arguments_are_objects_on_one_line() -> None:
    turn = Message("assistant", [ToolCall("c", "f", '{\n "a": 1}'), ToolCall("d", "g", "free text", custom=True)])
    first, second = written(Request("m", [turn]))["messages"][0]["tool_calls"]
    assert first == {"id": "c", "function": {"name": "f", "arguments": {"a": 1}}}
    assert second["function"]["arguments"] == {"input": "free text"}


def test_a_result_names_its_tool_by_its_call() -> None:
    talk = [Message("assistant", [ToolCall("c", "f")]), Message("user", [ToolResult("c", [Text("1")]), Text("So?")])]
    assert written(Request("m", talk))["messages"][1:] == [
        {"role": "tool", "content": "1", "tool_name": "f", "tool_call_id": "c"},
        {"role": "user", "content": "So?"},
    ]


def test_calls_without_ids_are_counted_and_results_find_them_by_name() -> None:
    calls = [{"function": {"name": name, "arguments": {}}} for name in ("f", "g", "f")]
    results = [{"role": "tool", "tool_name": name, "content": name} for name in ("g", "f", "f")]
    talk = read(messages=[{"role": "assistant", "tool_calls": calls}, *results]).messages
    assert [part.id for part in talk[0].parts if isinstance(part, ToolCall)] == ["call_1", "call_2", "call_3"]
    assert [part.id for part in talk[1].parts if isinstance(part, ToolResult)] == ["call_2", "call_1", "call_3"]


def test_a_result_without_a_call_is_refused() -> None:
    with pytest.raises(GatewayError) as caught:
        read(messages=[{"role": "tool", "tool_name": "f", "content": "1"}])
    assert (caught.value.status, caught.value.param) == (400, "messages")


@pytest.mark.parametrize(
    ("reasoning", "think", "named"),
    [
        (Reasoning(mode="off"), False, []),
        (Reasoning(effort="none"), False, []),
        (Reasoning(mode="on"), True, []),
        (Reasoning(effort="medium"), "medium", []),
        (Reasoning(effort="xhigh"), "high", ["reasoning_effort"]),
        (Reasoning(budget=9), True, ["budget_tokens"]),
        (Reasoning(mode="adaptive"), None, []),
    ],
)
def test_thinking_is_yes_or_no_or_one_of_three_efforts(reasoning: Reasoning, think: Any, named: list[str]) -> None:
    carry = Carry("real")
    assert written(request(reasoning=reasoning), carry).get("think") == think
    assert carry.names == named


def test_the_form_of_an_answer_is_json_or_the_schema_itself() -> None:
    assert written(request(output=Output("json")))["format"] == "json"
    assert written(request(output=Output("schema", "n", '{"type":"object"}')))["format"] == {"type": "object"}


def test_that_no_tool_be_called_is_said_by_offering_none() -> None:
    assert "tools" not in written(request(tools=[Tool("f")], tool_choice=ToolChoice("none")))


@pytest.mark.parametrize(
    ("asked_for", "name"),
    [
        (request(tools=[Tool("f")], tool_choice=ToolChoice("required")), "tool_choice"),
        (request(tools=[Tool("f")], tool_choice=ToolChoice("tool", ("f",))), "tool_choice"),
        (request(tools=[Tool("f")], parallel_tools=False), "parallel_tool_calls"),
        (request(n=2), "n"),
        (request(extras={"logit_bias": "{}"}), "logit_bias"),
        (request(Image(url="https://x.test/a.png")), "image_url"),
        (request(Image(file_id="f")), "file_id"),
        (request(Document(data="JVBERi0=")), "file"),
        (request(Audio("wav", "")), "input_audio"),
    ],
)
def test_what_has_no_place_is_refused_by_its_name_or_dropped_and_named(asked_for: Request, name: str) -> None:
    with pytest.raises(GatewayError) as caught:
        written(asked_for)
    assert (caught.value.code, caught.value.param) == ("unsupported", name)
    carry = Carry("real", drops=True)
    written(asked_for, carry)
    assert carry.names == [name]


def test_a_callers_own_settings_are_extras_or_hints_by_their_path() -> None:
    options = {"num_ctx": 8, "num_predict": -1, "temperature": 1, "mirostat": 1}
    asked_for = read(messages=[], options=options, keep_alive="5m")
    assert asked_for.extras == {"options.mirostat": "1"}
    assert asked_for.hints == {"options.num_ctx": "8", "keep_alive": '"5m"'}
    assert (asked_for.max_tokens, asked_for.temperature) == (None, 1.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": [{"role": "wizard"}]},
        {"messages": [], "options": {"temperature": "hot"}},
        {"messages": [], "think": "hard"},
        {"messages": 7},
    ],
)
def test_a_request_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as caught:
        read(**wrong)
    assert caught.value.status == 400


# --- answers and streams


def test_calls_without_ids_get_ids_that_differ() -> None:
    call = {"function": {"name": "f", "arguments": {"a": 1}}}
    body = json.dumps({"message": {"content": "", "tool_calls": [call, call]}, "done": True, "done_reason": "stop"})
    read_answer = CHAT.read_answer(body.encode(), Carry("real")).choices[0]
    first, second = read_answer.parts
    assert first.id != second.id
    assert read_answer.stop == "tool_calls"


@pytest.mark.parametrize(
    ("counts", "wanted"),
    [
        ({"prompt_eval_count": 9, "eval_count": 7}, (9, 7, False)),
        ({"eval_count": 7}, (0, 7, True)),
        ({"prompt_eval_count": 9}, (9, 0, False)),
        ({}, None),
    ],
)
def test_a_prompt_that_was_not_counted_marks_the_usage(counts: dict[str, int], wanted: Any) -> None:
    body = json.dumps({"message": {"content": "a"}, "done": True, **counts}).encode()
    usage = CHAT.read_answer(body, Carry("real")).usage
    assert (usage and (usage.input_total, usage.output_total, usage.estimated)) == wanted


def test_probabilities_of_tokens_come_in_openais_form() -> None:
    told_probabilities = [{"token": "a", "logprob": -0.5, "top_logprobs": [{"token": "b", "logprob": -1.0}]}]
    body = json.dumps({"message": {"content": "a"}, "done": True, "logprobs": told_probabilities}).encode()
    content = json.loads(CHAT.read_answer(body, Carry("real")).choices[0].logprobs)["content"]
    other = {"token": "b", "logprob": -1.0, "bytes": None}
    assert content == [{"token": "a", "logprob": -0.5, "bytes": None, "top_logprobs": [other]}]


def test_an_answer_without_a_message_is_the_providers_fault() -> None:
    with pytest.raises(GatewayError) as caught:
        CHAT.read_answer(b'{"done":true}', Carry("real"))
    assert caught.value.code == "upstream_bad_answer"


def test_a_caller_gets_calls_whole_and_on_one_line() -> None:
    data = (FILES / "parallel_tools.stream").read_bytes()
    reader, writer = CHAT.event_reader(Carry("real")), CHAT.event_writer(request(stream=True))
    lines = (writer.write(reader.feed(data)) + writer.flush()).splitlines()
    calls = [call for line in lines for call in json.loads(line)["message"].get("tool_calls", ())]
    assert [call["function"]["arguments"] for call in calls] == [{"city": "Paris"}, {"city": "Rome"}]
    last = json.loads(lines[-1])
    assert (last["done"], last["prompt_eval_count"], last["eval_count"]) == (True, 64, 35)


def test_thinking_comes_before_the_words() -> None:
    reader = CHAT.event_reader(Carry("real"))
    events = reader.feed((FILES / "thinking.stream").read_bytes())
    parts = gather(events).choices[0].parts
    assert [type(part) for part in parts] == [Thinking, Text]


# --- what passes through


@pytest.mark.parametrize(("said", "stream"), [(b"", True), (b',"stream":true', True), (b',"stream":false', False)])
def test_a_request_streams_unless_told_otherwise(said: bytes, stream: bool) -> None:
    exchange = asked(DIALECT, "ollama.chat", b'{"model": "m","messages":[]%b}' % said)
    assert exchange.stream is stream
    assert sent(DIALECT, exchange) == b'{"model": "real","messages":[]%b}' % said
    assert asked(DIALECT, "ollama.embed", b'{"model":"m"}').stream is False


def test_lines_pass_unchanged_and_the_last_one_counts_under_every_split() -> None:
    data = (FILES / "tools.stream").read_bytes()
    for pieces in splits(data):
        exchange = asked(DIALECT, "ollama.chat", b'{"model":"m"}')
        passed, usage = streamed(DIALECT, exchange, pieces)
        assert passed == data
        assert exchange.scan.done
        assert usage is not None
        assert (usage.input_total, usage.output_total) == (60, 15)


def test_a_stream_that_was_cut_is_not_done_and_counts_nothing() -> None:
    data = (FILES / "tools.stream").read_bytes()
    exchange = asked(DIALECT, "ollama.chat", b'{"model":"m"}')
    assert streamed(DIALECT, exchange, [data[:-9]])[1] is None
    assert not exchange.scan.done


def test_content_is_told_from_an_error_that_comes_first() -> None:
    scan = LineScan(999)
    scan.feed(b'{"error":"no"}\n')
    assert (scan.error, scan.content, scan.done) == (True, False, False)
    other = LineScan(999)
    other.feed(b'{"message":{"content":"a \\"error\\" is true"},"done":false}\n')
    assert (other.error, other.content, other.done) == (False, True, False)


def test_a_line_without_end_is_refused() -> None:
    scan = LineScan(9)
    with pytest.raises(GatewayError) as caught:
        scan.feed(b"x" * 10)
    assert caught.value.code == "upstream_bad_answer"


def test_the_usage_of_an_answer_that_passes() -> None:
    exchange = asked(DIALECT, "ollama.embed", b'{"model":"m"}')
    usage = answered(DIALECT, exchange, b'{"embeddings":[],"prompt_eval_count":4}')
    assert usage is not None
    assert usage.input_total == 4
    assert answered(DIALECT, exchange, b"<html>") is None


def test_errors_are_a_string_both_ways() -> None:
    fault = DIALECT.read_fault(404, [], (FILES / "error.answer.json").read_bytes())
    assert (fault.status, fault.message) == (404, 'model "provider-model" not found, try pulling it first')
    assert DIALECT.read_fault(500, [], b"<html>").message == "The provider answered 500."
    error = GatewayError(404, "model_not_found", "caller", "No such model.")
    assert told(DIALECT, error) == {"error": "No such model."}
    assert DIALECT.error_event(error) == b'{"error":"No such model."}\n'


# --- embeddings


@pytest.mark.parametrize("given", ["a", ["a", "b"]])
def test_embeddings_are_of_text(given: Any) -> None:
    asked_for = EMBED.read_request(json.dumps({"model": "m", "input": given, "dimensions": 8}).encode(), "m")
    body = json.loads(EMBED.write_request(asked_for, Carry("real")))
    assert body == {"model": "real", "input": given, "dimensions": 8}
    got = EMBED.read_answer(b'{"embeddings":[[1.5],[2.5]],"prompt_eval_count":4}', Carry("real"))
    assert [vector.index for vector in got.vectors] == [0, 1]
    assert json.loads(EMBED.write_answer(got, asked_for))["embeddings"] == [[1.5], [2.5]]


@pytest.mark.parametrize("one", [[1, 2], Image(data="aGk=")])
def test_tokens_and_pictures_are_no_input(one: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        EMBED.write_request(EmbeddingRequest("m", [one]), Carry("real", drops=True))
    assert caught.value.param == "input"
