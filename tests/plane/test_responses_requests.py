"""Requests of the Responses API: what they say survives the hub, and what cannot is told by name."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import GatewayError
from plane.canonical import (
    Carry,
    Image,
    Message,
    Reasoning,
    Request,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from tests.plane.responses import CASES, CHAT, read, request_of, written


@pytest.mark.parametrize("case", CASES)
def test_a_request_read_and_written_says_the_same_when_it_is_read_again(case: str) -> None:
    request = request_of(case)
    request.store = False
    again = CHAT.read_request(CHAT.write_request(request, Carry("caller-model")), "caller-model", False)
    assert again == request


def test_items_of_one_turn_become_one_message_and_outputs_of_tools_another() -> None:
    request = read(
        {
            "input": [
                {"role": "user", "content": "Rain?"},
                {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
                {"type": "function_call", "call_id": "a", "name": "f", "arguments": ""},
                {"type": "custom_tool_call", "call_id": "b", "name": "g", "input": "free"},
                {"type": "function_call_output", "call_id": "a", "output": "yes"},
                {
                    "type": "custom_tool_call_output",
                    "call_id": "b",
                    "output": [{"type": "input_image", "image_url": "https://a.test/b.png"}],
                },
                {"role": "user", "content": "So?"},
            ]
        }
    )
    assert request.messages == [
        Message("user", [Text("Rain?")]),
        Message(
            "assistant",
            [
                Thinking("", "rs_1:gAAA", family="openai"),
                Text("I look."),
                ToolCall("a", "f", "{}"),
                ToolCall("b", "g", "free", custom=True),
            ],
        ),
        Message("user", [ToolResult("a", [Text("yes")]), ToolResult("b", [Image("https://a.test/b.png")])]),
        Message("user", [Text("So?")]),
    ]


def test_instructions_and_what_developers_say_first_are_the_system_s_and_later_ones_stay_in_the_talk() -> None:
    request = read(
        {
            "instructions": "One.",
            "input": [
                {"role": "developer", "content": "Two."},
                {"role": "user", "content": "Hi."},
                {"role": "system", "content": "Three."},
            ],
        }
    )
    assert request.system == [Text("One."), Text("Two.")]
    assert request.messages[1] == Message("system", [Text("Three.")])


@pytest.mark.parametrize(
    ("choice", "meant"),
    [
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ({"type": "function", "name": "f"}, ToolChoice("tool", ("f",))),
        ({"type": "custom", "name": "f"}, ToolChoice("tool", ("f",))),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
            ToolChoice("required", ("f",)),
        ),
    ],
)
def test_each_form_of_tool_choice_is_understood(choice: Any, meant: ToolChoice) -> None:
    assert read({"input": "x", "tool_choice": choice}).tool_choice == meant


@pytest.mark.parametrize(
    "stateful", [{"previous_response_id": "resp_1"}, {"conversation": "conv_1"}, {"background": True}, {"prompt": {}}]
)
def test_what_needs_a_provider_s_state_is_refused_by_name(stateful: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as caught:
        read({"input": "x", **stateful})
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "unsupported", next(iter(stateful)))


@pytest.mark.parametrize("harmless", [{"background": False}, {"conversation": None}, {"truncation": "disabled"}])
def test_what_says_how_it_is_anyway_is_not_missed(harmless: dict[str, Any]) -> None:
    assert read({"input": "x", **harmless}).extras == {}


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools.web_search"),
        ({"tools": [{"type": "custom", "name": "sql"}]}, "tools.custom"),
        ({"tool_choice": {"type": "file_search"}}, "tool_choice"),
        ({"moderation": {"model": "x"}}, "moderation"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input.item_reference"),
    ],
)
def test_what_only_this_api_has_is_kept_to_be_refused_or_dropped_by_name(body: dict[str, Any], name: str) -> None:
    request = read({"input": "x", **body})
    assert list(request.extras) == [name]
    with pytest.raises(GatewayError) as caught:
        CHAT.write_request(request, Carry("m"))
    assert (caught.value.status, caught.value.param) == (400, name)
    carry = Carry("m", drops=True)
    CHAT.write_request(request, carry)
    assert carry.names == [name]


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ({"input": [{"role": "user", "content": 1}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": 1}]}]}, "input[0].content[0].text"),
        ({"input": [{"role": "king", "content": "x"}]}, "role"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "image_url"),
        ({"input": [{"role": "user", "content": [{"type": "input_video"}]}]}, "type"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input[0]"),
        ({"input": 1}, "input"),
        ({"input": "x", "tools": [{"type": "function"}]}, "tools[0]"),
        ({"input": "x", "text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format"),
        ({"input": "x", "reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"input": "x", "tool_choice": "perhaps"}, "tool_choice"),
    ],
)
def test_what_a_caller_sent_wrong_is_told_with_its_place(body: dict[str, Any], part: str) -> None:
    with pytest.raises(GatewayError) as caught:
        read(body)
    assert caught.value.status == 400
    assert part in caught.value.message


def test_a_provider_is_told_that_functions_are_not_strict_unless_the_caller_says_so() -> None:
    request = Request("m", [], tools=[Tool("f", "", '{"type":"object"}'), Tool("g", strict=True)])
    assert [tool["strict"] for tool in written(request)["tools"]] == [False, True]


def test_a_translated_call_leaves_nothing_at_the_provider_unless_the_caller_asks_for_it() -> None:
    assert written(Request("m", []))["store"] is False
    assert written(Request("m", [], store=True))["store"] is True


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        (Reasoning(effort="xhigh", show=True), {"effort": "xhigh", "summary": "auto"}),
        (Reasoning(mode="off"), {"effort": "none"}),
        (Reasoning(mode="on", budget=1024), {"effort": "low", "summary": "auto"}),
        (Reasoning(mode="on", budget=3000), {"effort": "high", "summary": "auto"}),
        (Reasoning(mode="on", budget=64000, show=False), {"effort": "high"}),
        (Reasoning(mode="adaptive"), {"summary": "auto"}),
    ],
)
def test_a_budget_of_thinking_becomes_the_least_effort_that_allows_for_it(asked: Reasoning, sent: Any) -> None:
    carry = Carry("m", budgets={"minimal": 1024, "low": 1024, "medium": 2048, "high": 4096, "xhigh": 8192})
    assert written(Request("m", [], reasoning=asked), carry)["reasoning"] == sent


def test_thoughts_of_other_providers_stay_behind_and_are_named() -> None:
    thoughts = [Thinking("a", "sig", family="anthropic"), Thinking("b"), Thinking("c", "rs_1:gAAA", family="openai")]
    carry = Carry("m")
    sent = written(Request("m", [Message("assistant", [*thoughts])]), carry)
    assert [item["encrypted_content"] for item in sent["input"]] == ["gAAA"]
    assert carry.names == ["thinking"]


@pytest.mark.parametrize("name", ["top_k", "seed", "presence_penalty", "frequency_penalty", "n"])
def test_what_this_api_has_no_place_for_is_told(name: str) -> None:
    request = Request("m", [])
    setattr(request, name, 2)
    with pytest.raises(GatewayError) as caught:
        CHAT.write_request(request, Carry("m"))
    assert caught.value.param == name


WORDS = st.text(min_size=1, max_size=12)
NAMES = st.from_regex(r"[a-z]{1,8}", fullmatch=True)
SCHEMAS = st.dictionaries(NAMES, st.none() | st.booleans() | st.integers(-9, 9) | WORDS, max_size=3)
CONTENTS = st.one_of(
    st.builds(lambda text: {"type": "input_text", "text": text}, WORDS),
    st.builds(
        lambda url, detail: {"type": "input_image", "image_url": url, "detail": detail},
        st.sampled_from(["https://a.test/x.png", "data:image/png;base64,AAAA"]),
        st.sampled_from(["low", "high", "auto"]),
    ),
    st.builds(lambda name: {"type": "input_image", "file_id": name}, NAMES),
    st.builds(
        lambda name: {"type": "input_file", "filename": name, "file_data": "data:application/pdf;base64,AAAA"}, NAMES
    ),
    st.just({"type": "input_file", "file_url": "https://a.test/x.pdf"}),
)
AUDIO = st.just({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}})
SAID = st.one_of(
    st.builds(lambda text: {"type": "output_text", "text": text}, WORDS),
    st.builds(lambda text: {"type": "refusal", "refusal": text}, WORDS),
)
ITEMS = st.one_of(
    st.builds(
        lambda role, content: {"role": role, "content": content},
        st.sampled_from(["user", "system", "developer"]),
        WORDS | st.lists(CONTENTS | AUDIO, min_size=1, max_size=3),
    ),
    st.builds(
        lambda content: {"role": "assistant", "content": content}, WORDS | st.lists(SAID, min_size=1, max_size=3)
    ),
    st.builds(
        lambda call, name, arguments: {
            "type": "function_call",
            "call_id": call,
            "name": name,
            "arguments": json.dumps(arguments),
        },
        NAMES,
        NAMES,
        SCHEMAS,
    ),
    st.builds(
        lambda call, output: {"type": "function_call_output", "call_id": call, "output": output},
        NAMES,
        st.text(max_size=9) | st.lists(CONTENTS, min_size=1, max_size=2),
    ),
    st.builds(
        lambda call, words: {"type": "custom_tool_call", "call_id": call, "name": "sql", "input": words}, NAMES, WORDS
    ),
    st.builds(
        lambda text, name: {
            "type": "reasoning",
            "id": f"rs_{name}",
            "summary": [{"type": "summary_text", "text": text}],
            "encrypted_content": name,
        },
        WORDS,
        NAMES,
    ),
)
REQUESTS = st.fixed_dictionaries(
    {"input": WORDS | st.lists(ITEMS, max_size=5), "store": st.booleans()},
    optional={
        "instructions": WORDS,
        "max_output_tokens": st.integers(16, 1000),
        "temperature": st.sampled_from([0.0, 0.5, 2.0]),
        "top_p": st.sampled_from([0.1, 1.0]),
        "top_logprobs": st.integers(0, 20),
        "parallel_tool_calls": st.booleans(),
        "metadata": st.dictionaries(NAMES, WORDS, max_size=2),
        "user": NAMES,
        "service_tier": st.sampled_from(["auto", "flex"]),
        "prompt_cache_key": NAMES,
        "reasoning": st.fixed_dictionaries(
            {"effort": st.sampled_from(["none", "low", "high"])}, optional={"summary": st.just("auto")}
        ),
        "text": st.fixed_dictionaries(
            {},
            optional={
                "verbosity": st.sampled_from(["low", "high"]),
                "format": st.one_of(
                    st.just({"type": "json_object"}),
                    st.builds(
                        lambda name, schema, strict: {
                            "type": "json_schema",
                            "name": name,
                            "schema": schema,
                            "strict": strict,
                        },
                        NAMES,
                        SCHEMAS,
                        st.booleans(),
                    ),
                ),
            },
        ),
        "tools": st.lists(
            st.builds(
                lambda name, schema, strict: {
                    "type": "function",
                    "name": name,
                    "parameters": schema,
                    "strict": strict,
                    "description": f"Does {name}.",
                },
                NAMES,
                SCHEMAS,
                st.booleans(),
            ),
            max_size=2,
        ),
        "tool_choice": st.sampled_from(
            [
                "auto",
                "none",
                "required",
                {"type": "function", "name": "f"},
                {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
            ]
        ),
    },
)


@given(body=REQUESTS)
def test_whatever_a_request_says_that_this_api_carries_survives_the_hub(body: dict[str, Any]) -> None:
    request = read(body)
    carry = Carry("m")
    again = CHAT.read_request(CHAT.write_request(request, carry), "m", False)
    assert carry.names == []
    assert again == request
