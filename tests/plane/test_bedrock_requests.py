"""plane.dialects._bedrock_requests: what the hub asks is what Bedrock takes; what is left out is named."""

import base64
import json
from itertools import pairwise
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
    Refusal,
    Request,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from plane.dialects._bedrock_requests import write_request
from tests.golden.bedrock import PDF, PNG
from tests.plane import converse

OLD = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
NEW = "us.anthropic.claude-opus-4-8"
NOVA = "us.amazon.nova-2-lite-v1:0"
LLAMA = "us.meta.llama4-maverick-17b-instruct-v1:0"
HELLO = [Message("user", [Text("hello")])]
LOOK = Tool("look_up", "Looks up.", '{"type":"object","properties":{}}')
LOOP = [
    Message("user", [Text("hello")]),
    Message("assistant", [ToolCall("t1", "look_up")]),
    Message("user", [ToolResult("t1", [Text("found")])]),
]


def written(request: Request, model: str = OLD, carry: Carry | None = None, maker: str = "") -> dict[str, Any]:
    """Return the body, once it is found to be one that botocore would send."""
    body: dict[str, Any] = json.loads(write_request(request, carry or Carry(model), maker))
    assert converse.problems(body) == ""
    return body


def asked(**more: Any) -> Request:
    return Request("m", more.pop("messages", HELLO), **more)


def user(*parts: Part) -> Request:
    return Request("m", [Message("user", list(parts))])


def content(request: Request, model: str = OLD, carry: Carry | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = written(request, model, carry)["messages"][-1]["content"]
    return found


def refused(request: Request, model: str = OLD) -> str | None:
    """Return what stands in the way, and see that it can be left out and is named then."""
    with pytest.raises(GatewayError) as caught:
        write_request(request, Carry(model), "")
    assert (caught.value.status, caught.value.code, caught.value.source) == (400, "unsupported", "caller")
    carry = Carry(model, drops=True)
    written(request, model, carry)
    assert caught.value.param in carry.names
    return caught.value.param


def test_turns_of_one_role_become_one() -> None:
    messages = [
        *LOOP,
        Message("user", [ToolResult("t2", [Text("more")])]),
        Message("user", [Text("and?")]),
        Message("assistant", [Text("a")]),
        Message("assistant", [Text("b")]),
    ]
    body = written(asked(messages=messages))
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user", "assistant"]
    assert [next(iter(block)) for block in body["messages"][2]["content"]] == ["toolResult", "toolResult", "text"]


def test_results_come_before_the_words_beside_them() -> None:
    messages = [*LOOP[:2], Message("user", [Text("here:"), ToolResult("t1", [Text("found")])])]
    assert [next(iter(block)) for block in content(asked(messages=messages))] == ["toolResult", "text"]


def test_blank_texts_are_left_out_with_the_turns_that_have_nothing_else() -> None:
    messages = [
        Message("user", [Text("a"), Text(" \n")]),
        Message("assistant", [Text("")]),
        Message("user", [Refusal("b")]),
    ]
    body = written(asked(messages=messages, system=[Text(" "), Text("s")]))
    assert body["messages"] == [{"role": "user", "content": [{"text": "a"}, {"text": "b"}]}]
    assert body["system"] == [{"text": "s"}]


def test_instructions_amid_the_talk_join_those_before_it() -> None:
    messages = [Message("user", [Text("a")]), Message("system", [Text("t")]), Message("user", [Text("b")])]
    body = written(asked(messages=messages, system=[Text("s")]))
    assert body["system"] == [{"text": "s"}, {"text": "t"}]
    assert len(body["messages"]) == 1


def test_instructions_alone_are_the_user_s_turn() -> None:
    body = written(Request("m", [], system=[Text("s")]))
    assert body == {"messages": [{"role": "user", "content": [{"text": "s"}]}]}


def test_sampling_is_said_also_where_it_is_zero() -> None:
    body = written(asked(max_tokens=5, temperature=0.0, top_p=0.5, stop=["x"]))
    assert body["inferenceConfig"] == {"maxTokens": 5, "temperature": 0.0, "topP": 0.5, "stopSequences": ["x"]}
    assert "inferenceConfig" not in written(asked())


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (OLD, {"top_k": 9}),
        (NOVA, {"inferenceConfig": {"topK": 9}}),
        ("mistral.mistral-large-2407-v1:0", {"top_k": 9}),
        ("cohere.command-r-v1:0", {"k": 9}),
    ],
)
def test_top_k_stands_where_the_maker_s_models_look_for_it(model: str, fields: dict[str, Any]) -> None:
    assert written(asked(top_k=9), model)["additionalModelRequestFields"] == fields


def test_top_k_has_no_place_elsewhere() -> None:
    assert refused(asked(top_k=9), LLAMA) == "top_k"


@pytest.mark.parametrize(
    ("kind", "form"), [("image/png", "png"), ("image/jpeg", "jpeg"), ("image/gif", "gif"), ("image/webp", "webp")]
)
def test_images_are_bytes_in_a_format(kind: str, form: str) -> None:
    assert content(user(Image(media_type=kind, data=PNG))) == [{"image": {"format": form, "source": {"bytes": PNG}}}]


def test_what_stands_in_s3_is_fetched_there_and_nothing_else_is() -> None:
    [image] = content(user(Image(url="s3://bucket/a.png")))
    assert image == {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://bucket/a.png"}}}}
    assert refused(user(Text("a"), Image(url="https://example.com/a.png"))) == "image_url"
    assert refused(user(Text("a"), Image(media_type="image/bmp", data="Qk0="))) == "image_url"
    assert refused(user(Text("a"), Document(url="https://example.com/a.pdf"))) == "file"
    assert refused(user(Text("a"), Document(file_id="file-1"))) == "file_id"
    assert refused(user(Text("a"), Document(media_type="application/zip", data="UEs="))) == "file"


def test_documents_have_names_of_their_own_and_a_text_beside_them() -> None:
    files = [
        Document(media_type="application/pdf", data=PDF, name="Q1: the \u201creport\u201d.pdf"),
        Document(media_type="application/pdf", data=PDF, name="Q1 the report.pdf"),
        Document(data="YSxi", name="numbers.csv"),
        Document(text="# words", name=""),
        Document(media_type="text/x-python", data="cHJpbnQ=", name="a.b.py"),
    ]
    *documents, beside = content(user(*files))
    assert [(one["document"]["format"], one["document"]["name"]) for one in documents] == [
        ("pdf", "Q1 the report"),
        ("pdf", "Q1 the report 2"),
        ("csv", "numbers"),
        ("txt", "document"),
        ("txt", "a b"),
    ]
    assert base64.b64decode(documents[3]["document"]["source"]["bytes"]) == b"# words"
    assert beside["text"].strip()
    assert len(content(user(files[0], Text("What is this?")))) == 2


def test_sound_is_carried() -> None:
    assert content(user(Audio("wav", "UklGRg=="))) == [{"audio": {"format": "wav", "source": {"bytes": "UklGRg=="}}}]


def test_tools_and_the_choice_among_them() -> None:
    tools = [LOOK, Tool("bare", strict=True)]
    config = written(asked(tools=tools, tool_choice=ToolChoice("auto")))["toolConfig"]
    assert config == {
        "tools": [
            {
                "toolSpec": {
                    "name": "look_up",
                    "description": "Looks up.",
                    "inputSchema": {"json": json.loads(LOOK.schema)},
                }
            },
            {
                "toolSpec": {
                    "name": "bare",
                    "inputSchema": {"json": {"type": "object", "properties": {}}},
                    "strict": True,
                }
            },
        ],
        "toolChoice": {"auto": {}},
    }
    assert written(asked(tools=tools, tool_choice=ToolChoice("required")))["toolConfig"]["toolChoice"] == {"any": {}}
    choice = ToolChoice("tool", ("bare",))
    assert written(asked(tools=tools, tool_choice=choice))["toolConfig"]["toolChoice"] == {"tool": {"name": "bare"}}
    some = written(asked(tools=tools, tool_choice=ToolChoice("auto", ("bare",))))["toolConfig"]["tools"]
    assert [tool["toolSpec"]["name"] for tool in some] == ["bare"]


def test_no_tool_may_be_called_where_none_is_declared() -> None:
    assert "toolConfig" not in written(asked(tools=[LOOK], tool_choice=ToolChoice("none")))


@pytest.mark.parametrize(
    "request_", [asked(messages=LOOP), asked(messages=LOOP, tools=[LOOK], tool_choice=ToolChoice("none"))]
)
def test_a_talk_with_calls_declares_a_tool_also_where_none_may_be_called(request_: Request) -> None:
    [tool] = written(request_)["toolConfig"]["tools"]
    assert tool["toolSpec"]["name"] != "look_up"


def test_names_are_made_to_fit_one_to_one_and_can_be_undone() -> None:
    carry = Carry(OLD)
    long = "x" * 70
    tools = [Tool("a.b"), Tool("a_b"), Tool("a/b"), Tool(long), Tool(long + "y"), Tool("plain")]
    messages = [*LOOP[:1], Message("assistant", [ToolCall("t1", "a.b")]), LOOP[2]]
    body = written(asked(messages=messages, tools=tools, tool_choice=ToolChoice("tool", ("a/b",))), OLD, carry)
    sent = [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]]
    assert sent == ["a_b", "a_b_2", "a_b_3", "x" * 64, "x" * 62 + "_2", "plain"]
    assert [carry.tool_names.get(name, name) for name in sent] == [tool.name for tool in tools]
    assert body["messages"][1]["content"][0]["toolUse"]["name"] == "a_b"
    assert body["toolConfig"]["toolChoice"] == {"tool": {"name": "a_b_3"}}


def test_ids_of_calls_are_made_to_fit_and_stay_paired() -> None:
    calls = [ToolCall("call|1", "look_up"), ToolCall("call/1", "look_up"), ToolCall("c" * 80, "look_up")]
    results: list[Part] = [ToolResult(call.id, []) for call in reversed(calls)]
    messages = [*HELLO, Message("assistant", list(calls)), Message("user", results)]
    _, turn, answer = written(asked(messages=messages, tools=[LOOK]))["messages"]
    sent = [block["toolUse"]["toolUseId"] for block in turn["content"]]
    assert len(set(sent)) == 3
    assert [block["toolResult"]["toolUseId"] for block in answer["content"]] == sent[::-1]


@pytest.mark.parametrize(
    ("arguments", "custom", "sent"),
    [
        ('{"a": 1}', False, {"a": 1}),
        ("", False, {}),
        ("[1]", False, {"input": "[1]"}),
        ('{"a": ', False, {"input": '{"a": '}),
        ("SELECT 1", True, {"input": "SELECT 1"}),
    ],
)
def test_arguments_are_always_an_object(arguments: str, custom: bool, sent: Any) -> None:
    messages = [*HELLO, Message("assistant", [ToolCall("t1", "look_up", arguments, custom=custom)]), LOOP[2]]
    turn = written(asked(messages=messages, tools=[LOOK]))["messages"][1]
    assert turn["content"][0]["toolUse"]["input"] == sent


def test_results_have_their_pictures_and_their_status() -> None:
    parts: list[Any] = [Text(""), Image(media_type="image/png", data=PNG), Document(text="x")]
    messages = [*LOOP[:2], Message("user", [ToolResult("t1", parts, is_error=True)])]
    [block] = content(asked(messages=messages, tools=[LOOK]))
    assert block["toolResult"]["status"] == "error"
    assert [next(iter(part)) for part in block["toolResult"]["content"]] == ["image", "document"]


def test_one_call_at_a_time_is_a_field_of_claude_s() -> None:
    body = written(asked(tools=[LOOK], parallel_tools=False, tool_choice=ToolChoice("tool", ("look_up",))))
    choice = {"type": "tool", "name": "look_up", "disable_parallel_tool_use": True}
    assert body["additionalModelRequestFields"] == {"tool_choice": choice}
    assert refused(asked(tools=[LOOK], parallel_tools=False), NOVA) == "parallel_tool_calls"
    assert written(asked(parallel_tools=False), NOVA) == written(asked(), NOVA)


def test_breakpoints_of_the_cache_stand_behind_what_they_hold() -> None:
    body = written(
        asked(
            system=[Text("s", cache="1h")],
            messages=[Message("user", [Text("a", cache="5m"), Text("b")])],
            tools=[Tool("t", cache="5m")],
        )
    )
    point = {"cachePoint": {"type": "default"}}
    assert body["system"] == [{"text": "s"}, {"cachePoint": {"type": "default", "ttl": "1h"}}]
    assert body["messages"][0]["content"] == [{"text": "a"}, point, {"text": "b"}]
    assert body["toolConfig"]["tools"][1:] == [point]


def test_breakpoints_are_left_out_where_models_know_none() -> None:
    carry = Carry(LLAMA)
    assert content(user(Text("a", cache="5m")), LLAMA, carry) == [{"text": "a"}]
    assert carry.names == ["cache_control"]


def test_the_form_of_the_answer_is_a_schema_as_text() -> None:
    schema = '{"type":"object"}'
    body = written(asked(output=Output("schema", "n", schema, description="d")))
    json_schema = {"schema": schema, "name": "n", "description": "d"}
    assert body["outputConfig"] == {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": json_schema}}}
    assert refused(asked(output=Output("json"))) == "response_format"


# --- thinking


def thinks(reasoning: Reasoning, model: str, carry: Carry | None = None, **more: Any) -> dict[str, Any]:
    return written(asked(reasoning=reasoning, **more), model, carry)


def test_older_claudes_think_within_a_budget_below_max_tokens() -> None:
    body = thinks(Reasoning(effort="high"), OLD, max_tokens=1000)
    assert body["additionalModelRequestFields"] == {"thinking": {"type": "enabled", "budget_tokens": 4096}}
    assert body["inferenceConfig"] == {"maxTokens": 5096}
    body = thinks(Reasoning(budget=2000, mode="on"), OLD, max_tokens=3000)
    assert body["additionalModelRequestFields"] == {"thinking": {"type": "enabled", "budget_tokens": 2000}}
    assert body["inferenceConfig"] == {"maxTokens": 3000}
    own = thinks(Reasoning(effort="high"), OLD, Carry(OLD, budgets={"high": 9000}))
    assert own["additionalModelRequestFields"]["thinking"]["budget_tokens"] == 9000
    assert own["inferenceConfig"]["maxTokens"] > 9000


def test_newer_claudes_think_as_they_see_fit_within_an_effort() -> None:
    body = thinks(Reasoning(effort="xhigh", show=True), NEW)
    adaptive = {"thinking": {"type": "adaptive", "display": "summarized"}}
    assert body["additionalModelRequestFields"] == adaptive
    assert body["outputConfig"] == {"effort": "xhigh"}
    assert thinks(Reasoning(budget=3000, mode="on"), NEW)["outputConfig"] == {"effort": "high"}
    assert thinks(Reasoning(effort="minimal"), NEW)["outputConfig"] == {"effort": "low"}
    assert "outputConfig" not in thinks(Reasoning(mode="adaptive"), NEW)
    with_schema = thinks(Reasoning(effort="low"), NEW, output=Output("schema", "n", "{}"))["outputConfig"]
    assert (with_schema["effort"], with_schema["textFormat"]["type"]) == ("low", "json_schema")


def test_a_claude_that_knows_both_has_what_was_asked_for() -> None:
    model = "anthropic.claude-opus-4-6-v1"
    budget = thinks(Reasoning(budget=3000, mode="on"), model)["additionalModelRequestFields"]["thinking"]
    assert budget == {"type": "enabled", "budget_tokens": 3000}
    assert thinks(Reasoning(effort="low"), model)["additionalModelRequestFields"]["thinking"] == {"type": "adaptive"}


def test_no_thinking_is_what_goes_without_saying() -> None:
    for reasoning in (Reasoning(effort="none"), Reasoning(mode="off"), Reasoning(budget=0)):
        assert thinks(reasoning, OLD) == written(asked())
    carry = Carry(NEW)
    assert thinks(Reasoning(effort="none"), NEW, carry) == written(asked(), NEW)
    assert carry.names == ["reasoning_effort"]


def test_sampling_that_claude_refuses_while_it_thinks_is_named() -> None:
    reasoning = Reasoning(effort="low")
    assert refused(asked(reasoning=reasoning, temperature=0.5)) == "temperature"
    assert refused(asked(reasoning=reasoning, top_p=0.5)) == "top_p"
    assert refused(asked(reasoning=reasoning, top_k=5)) == "top_k"
    body = thinks(reasoning, OLD, temperature=1.0, top_p=0.95)["inferenceConfig"]
    assert (body["temperature"], body["topP"]) == (1.0, 0.95)


def test_claude_does_not_think_where_it_must_call_a_tool() -> None:
    for choice in (ToolChoice("required"), ToolChoice("tool", ("look_up",))):
        request = asked(reasoning=Reasoning(effort="low"), tools=[LOOK], tool_choice=choice)
        assert refused(request) == "reasoning_effort"
        assert "additionalModelRequestFields" not in written(request, OLD, Carry(OLD, drops=True))


def test_claude_does_not_think_manually_on_about_a_call_whose_thoughts_are_lost() -> None:
    carry = Carry(OLD)
    body = thinks(Reasoning(effort="low"), OLD, carry, messages=LOOP, tools=[LOOK])
    assert "additionalModelRequestFields" not in body
    assert carry.names == ["thinking"]
    foreign = Thinking("hm", "proof", family="anthropic")
    lost = [LOOP[0], Message("assistant", [foreign, *LOOP[1].parts]), LOOP[2]]
    assert "additionalModelRequestFields" not in thinks(Reasoning(effort="low"), OLD, messages=lost, tools=[LOOK])
    assert "additionalModelRequestFields" in thinks(Reasoning(effort="low"), NEW, messages=LOOP, tools=[LOOK])
    answered = [*LOOP, Message("assistant", [Text("done")]), Message("user", [Text("again")])]
    assert "additionalModelRequestFields" in thinks(Reasoning(effort="low"), OLD, messages=answered, tools=[LOOK])


def test_thoughts_go_back_with_their_own_proof_only() -> None:
    own = Thinking("hm", "proof", family="bedrock")
    opaque = Thinking(redacted="b3BhcXVl", family="bedrock")
    others = [Thinking("hm", "p", family="anthropic"), Thinking("hm"), Thinking(redacted="eA==", family="anthropic")]
    carry = Carry(OLD)
    messages = [LOOP[0], Message("assistant", [*others, own, opaque, *LOOP[1].parts]), LOOP[2]]
    turn = thinks(Reasoning(effort="low"), OLD, carry, messages=messages, tools=[LOOK])["messages"][1]
    assert turn["content"][:2] == [
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "proof"}}},
        {"reasoningContent": {"redactedContent": "b3BhcXVl"}},
    ]
    assert len(turn["content"]) == 3
    assert carry.names == ["thinking"]


def test_other_makers_have_words_of_their_own_for_thinking() -> None:
    nova = thinks(Reasoning(effort="xhigh"), NOVA)["additionalModelRequestFields"]
    assert nova == {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}
    off = thinks(Reasoning(effort="none"), NOVA)["additionalModelRequestFields"]
    assert off == {"reasoningConfig": {"type": "disabled"}}
    oss = thinks(Reasoning(effort="minimal"), "openai.gpt-oss-120b-1:0")["additionalModelRequestFields"]
    assert oss == {"reasoning_effort": "low"}
    assert refused(asked(reasoning=Reasoning(effort="low")), LLAMA) == "reasoning_effort"
    assert (
        refused(asked(reasoning=Reasoning(effort="low")), "anthropic.claude-3-haiku-20240307-v1:0")
        == "reasoning_effort"
    )
    assert thinks(Reasoning(effort="none"), LLAMA) == written(asked(), LLAMA)


@pytest.mark.parametrize(
    ("model", "option", "fields"),
    [
        ("arn:aws:bedrock:us-east-1:1:application-inference-profile/a1b2", "anthropic", {"top_k": 1}),
        ("arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-sonnet-5", "", {"top_k": 1}),
        (
            "arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-pro-v1:0",
            "anthropic",
            {"inferenceConfig": {"topK": 1}},
        ),
    ],
)
def test_the_maker_is_the_id_s_and_else_the_option_s(model: str, option: str, fields: dict[str, Any]) -> None:
    assert written(asked(top_k=1), model, maker=option)["additionalModelRequestFields"] == fields


# --- the rest


def test_hints_that_fit_are_carried_and_the_others_named() -> None:
    body = written(asked(metadata={"team": "a@b"}, service_tier="flex"))
    assert (body["requestMetadata"], body["serviceTier"]) == ({"team": "a@b"}, {"type": "flex"})
    carry = Carry(OLD)
    request = asked(
        metadata={"team": "\u00e4"}, service_tier="scale", user="u", cache_key="k", verbosity="low", store=True
    )
    assert written(request, OLD, carry) == written(asked())
    assert set(carry.names) == {"metadata", "service_tier", "user", "prompt_cache_key", "verbosity", "store"}


@pytest.mark.parametrize(
    ("field", "value", "name"),
    [
        ("seed", 0, "seed"),
        ("presence_penalty", 0.5, "presence_penalty"),
        ("frequency_penalty", 0.5, "frequency_penalty"),
        ("logprobs", True, "logprobs"),
        ("top_logprobs", 3, "top_logprobs"),
        ("n", 2, "n"),
        ("extras", {"logit_bias": "{}"}, "logit_bias"),
    ],
)
def test_what_bedrock_has_no_place_for_is_named(field: str, value: Any, name: str) -> None:
    assert refused(asked(**{field: value})) == name


def test_one_answer_without_logprobs_is_what_there_is() -> None:
    assert written(asked(n=1, logprobs=False, parallel_tools=True, store=False)) == written(asked())


def test_members_of_converse_can_be_said_in_any_dialect() -> None:
    extras = {
        "guardrailConfig": '{"guardrailIdentifier":"g1","guardrailVersion":"1"}',
        "additionalModelRequestFields": '{"anthropic_beta":["x"]}',
        "additionalModelResponseFieldPaths": '["/a"]',
    }
    body = written(asked(extras=extras, top_k=3, stop=["x"]))
    assert body["guardrailConfig"] == {"guardrailIdentifier": "g1", "guardrailVersion": "1"}
    assert body["additionalModelRequestFields"] == {"top_k": 3, "anthropic_beta": ["x"]}
    assert body["additionalModelResponseFieldPaths"] == ["/a"]
    with pytest.raises(GatewayError, match="additionalModelRequestFields must be an object"):
        written(asked(extras={"additionalModelRequestFields": "[1]"}))


words = st.one_of(st.sampled_from(["", " ", "look_up", "a.b", "a_b"]), st.text(max_size=80))
texts = st.builds(Text, st.text(max_size=20), st.sampled_from(["", "5m", "1h"]))
images = st.builds(
    Image,
    st.sampled_from(["", "https://x/a.png", "s3://bucket/a.gif"]),
    st.sampled_from(["", "image/png"]),
    st.just(PNG),
)
documents = st.builds(
    Document,
    data=st.sampled_from(["", PDF]),
    text=st.text(max_size=5),
    name=words,
    media_type=st.sampled_from(["", "application/pdf"]),
)
thoughts = st.builds(
    Thinking, words, words, st.sampled_from(["", "eA=="]), st.sampled_from(["bedrock", "anthropic", ""])
)
calls = st.builds(ToolCall, words, words, st.sampled_from(["", "{}", '{"a":1}', "x", "[", "1"]), custom=st.booleans())
results = st.builds(
    ToolResult, words, st.lists(st.one_of(texts, images, documents), max_size=2), is_error=st.booleans()
)
users = st.builds(Message, st.just("user"), st.lists(st.one_of(texts, images, documents, results), max_size=4))
models = st.builds(Message, st.just("assistant"), st.lists(st.one_of(texts, thoughts, calls), max_size=4))
instructions = st.builds(Message, st.just("system"), st.lists(texts, max_size=2))
tools = st.builds(Tool, words, words, st.sampled_from(["", "{}"]), cache=st.sampled_from(["", "5m"]))
budgets = st.one_of(st.none(), st.integers(0, 9000))
efforts = st.builds(Reasoning, st.sampled_from([None, "none", "low", "max"]), budgets)
requests = st.builds(
    Request,
    st.just("m"),
    st.lists(st.one_of(users, models, instructions), max_size=6),
    system=st.lists(texts, max_size=2),
    tools=st.lists(tools, max_size=4),
    parallel_tools=st.sampled_from([None, True, False]),
    max_tokens=st.one_of(st.none(), st.integers(1, 9000)),
    reasoning=st.one_of(st.none(), efforts),
)  # fmt: skip


@given(requests, st.sampled_from([OLD, NEW, NOVA, LLAMA]))
def test_any_request_of_the_hub_is_one_that_bedrock_takes(request: Request, model: str) -> None:
    body = written(request, model, Carry(model, drops=True))
    roles = [message["role"] for message in body["messages"]]
    assert all(one != other for one, other in pairwise(roles))
    blocks = [block for message in body["messages"] for block in message["content"]]
    assert all(block["text"].strip() for block in blocks if "text" in block)
    named = [block["document"]["name"] for block in blocks if "document" in block]
    assert len(set(named)) == len(named)
    assert ("toolConfig" in body) or not any("toolUse" in block or "toolResult" in block for block in blocks)
    thinking = body.get("additionalModelRequestFields", {}).get("thinking", {})
    if "budget_tokens" in thinking:
        assert body["inferenceConfig"]["maxTokens"] > thinking["budget_tokens"] >= 1024
