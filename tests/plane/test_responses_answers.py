"""Answers of the Responses API through the hub: they keep what they say, proofs included."""

import json

import pytest
from openai.types.responses import Response

from core.errors import GatewayError
from plane.canonical import (
    Answer,
    Carry,
    Choice,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from plane.gather import events_of
from plane.usage import Usage
from tests.plane.responses import CHAT, WHOLE, answer_in, events_in, read, request_of, stream_of


@pytest.mark.parametrize("case", WHOLE)
def test_an_answer_read_and_written_is_the_sdk_s_response_and_says_the_same(case: str) -> None:
    answer = answer_in(case)
    body = CHAT.write_answer(answer, request_of(case))
    Response.model_validate_json(body, strict=False)
    again = CHAT.read_answer(body, Carry())
    assert (again.choices, str(again.usage), again.id) == (answer.choices, str(answer.usage), answer.id)


def test_why_a_model_stopped_follows_from_status_and_items() -> None:
    stops = {case: answer_in(case).choices[0].stop for case in WHOLE}
    assert {case: stop for case, stop in stops.items() if stop != "end"} == {
        "tools": "tool_calls",
        "parallel_tools": "tool_calls",
        "thinking_tools": "tool_calls",
        "length": "length",
        "refusal": "refusal",
    }


def test_usage_counts_cached_and_written_tokens_as_parts_of_the_input() -> None:
    usage = answer_in("usage").usage
    assert usage is not None
    assert (usage.input_total, usage.cache_read, usage.cache_write_5m, usage.input_uncached) == (2048, 1024, 512, 512)
    assert (usage.output_total, usage.reasoning, usage.service_tier) == (70, 64, "flex")


def test_usage_of_another_provider_is_told_with_all_that_was_read_or_written_in_the_input() -> None:
    usage = Usage(100, 20, 60, 5, cache_write_5m=10, cache_write_1h=1)
    body = json.loads(CHAT.write_answer(Answer("m", [Choice([Text("x")])], usage=usage), Request("m", [])))
    assert body["usage"] == {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 11},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 120,
    }


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"output":1}', b'{"id":"r","status":"queued"}'])
def test_what_is_no_response_is_the_provider_s_fault(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        CHAT.read_answer(body, Carry())
    assert (caught.value.status, caught.value.code) == (502, "upstream_bad_answer")


def test_a_response_that_failed_is_an_error_with_its_own_words() -> None:
    body = b'{"id":"r","status":"failed","error":{"code":"rate_limit_exceeded","message":"Slow down."}}'
    with pytest.raises(GatewayError) as caught:
        CHAT.read_answer(body, Carry())
    assert (caught.value.status, caught.value.message) == (429, "Slow down.")


@pytest.mark.parametrize(
    "thought",
    [
        Thinking("why", "sig==", family="anthropic"),
        Thinking(redacted="opaque==", family="anthropic"),
        Thinking("why", "rs_1:gAAA", family="openai"),
    ],
)
def test_the_proof_of_a_thought_comes_back_whosever_it_is(thought: Thinking) -> None:
    answer = Answer("m", [Choice([thought, ToolCall("c", "f")], "tool_calls")], "resp_1")
    for output in (
        json.loads(CHAT.write_answer(answer, Request("m", [])))["output"],
        events_in(stream_of(events_of(answer)))[-1]["response"]["output"],
    ):
        assert read({"input": output}).messages[0].parts[0] == thought


def test_the_proof_of_a_signed_call_comes_back_with_the_call() -> None:
    call = ToolCall("c1", "f", '{"a":1}', "proof+/=", "gemini")
    answer = Answer("m", [Choice([call], "tool_calls")], "resp_1")
    output = json.loads(CHAT.write_answer(answer, Request("m", [])))["output"]
    result = {"type": "function_call_output", "call_id": output[0]["call_id"], "output": "x"}
    messages = read({"input": [*output, result]}).messages
    assert messages[0].parts == [call]
    assert messages[1].parts == [ToolResult("c1", [Text("x")])]
