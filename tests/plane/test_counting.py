"""Counting tokens: Anthropic's own counter through the hub, and the estimate where a provider has none."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import GatewayError
from plane.canonical import (
    Audio,
    Carry,
    Document,
    Image,
    Message,
    Output,
    Request,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)
from plane.counting import estimate
from plane.dialects.anthropic import Options, build

COUNT = build(Options()).translators["count_tokens"]
ENGLISH = "The quick brown fox jumps over the lazy dog. " * 20
"""200 tokens and a few, by every tokenizer in use."""


def test_a_count_needs_no_max_tokens_and_sends_none() -> None:
    talk = b'"system":"s","messages":[{"role":"user","content":"hi"}]'
    body = b'{"model":"m",' + talk + b',"tools":[{"name":"f","input_schema":{}}]}'
    request = COUNT.read_request(body, "m")
    sent = json.loads(COUNT.write_request(request, Carry("claude-sonnet-5")))
    assert sent.keys() == {"model", "system", "messages", "tools"}


def test_what_a_count_does_not_take_is_left_out_without_a_word() -> None:
    carry = Carry("claude-sonnet-5")
    request = Request("m", [Message("user", [Text("hi")])], temperature=0.1, stop=["x"], user="u", seed=1, stream=True)
    assert json.loads(COUNT.write_request(request, carry)).keys() == {"model", "messages"}
    assert carry.names == []


def test_the_number_goes_both_ways() -> None:
    assert COUNT.read_answer(b'{"input_tokens":17}', Carry()) == 17
    assert COUNT.write_answer(17, Request("m", [])) == b'{"input_tokens":17}'


@pytest.mark.parametrize("body", [b"", b"{}", b'{"input_tokens":"many"}', b"[17]"])
def test_an_answer_without_a_number_is_the_providers_fault(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        COUNT.read_answer(body, Carry())
    assert (caught.value.status, caught.value.code) == (502, "upstream_bad_answer")


def test_an_estimate_of_plain_english_is_within_a_third() -> None:
    assert 140 < estimate(Request("m", [Message("user", [Text(ENGLISH)])])) < 300


def parts() -> list[object]:
    return [
        Text("words"),
        Thinking("a thought"),
        ToolCall("a", "look_up", '{"q":"something"}'),
        ToolResult("a", [Text("found"), Image(url="https://x.test/a")]),
        Image(data="aGk=", media_type="image/png"),
        Document(text=ENGLISH),
        Document(data="a" * 200_000, media_type="application/pdf"),
        Audio("mp3", "a" * 100_000),
    ]


@pytest.mark.parametrize("part", parts())
def test_every_part_counts_for_something(part: object) -> None:
    less = Request("m", [Message("user", [Text("a")])])
    more = Request("m", [Message("user", [Text("a"), part])])  # type: ignore[list-item]
    assert estimate(more) > estimate(less)


def test_instructions_tools_and_schemas_count() -> None:
    bare = estimate(Request("m", []))
    for request in (
        Request("m", [], system=[Text("be brief")]),
        Request("m", [], tools=[Tool("f", "does things", '{"type":"object"}')]),
        Request("m", [], output=Output("schema", schema='{"type":"object"}')),
    ):
        assert estimate(request) > bare


@given(st.text(max_size=200), st.text(max_size=200))
@settings(max_examples=50, deadline=None)
def test_a_longer_text_never_counts_for_less(text: str, more: str) -> None:
    text, more = (part.encode(errors="ignore").decode() for part in (text, more))
    shorter = Request("m", [Message("user", [Text(text)])])
    longer = Request("m", [Message("user", [Text(text + more)])])
    assert 1 <= estimate(shorter) <= estimate(longer)
