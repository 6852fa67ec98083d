"""A request in Anthropic's dialect, into the hub and out of it: what is carried, refused, named and put in order."""

import json
from pathlib import Path
from typing import Any

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
    Reasoning,
    Refusal,
    Request,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    foreign_signature,
    pack_call_id,
)
from plane.dialects.anthropic import Options, build

DIALECT = build(Options())
CHAT = DIALECT.translators["chat"]
CASES = Path(__file__).parents[1] / "golden" / "dialects" / "anthropic"
BUDGETS = {"low": 1024, "medium": 2048, "high": 4096}
HI = [Message("user", [Text("hi")])]
SIGNED = Thinking("hm", "sig", family="anthropic")
CALL = ToolCall("toolu_1", "look", '{"q":1}')
RESULT = Message("user", [ToolResult("toolu_1", [Text("found")])])


def read(body: dict[str, Any], *, stream: bool = False) -> Request:
    said = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}], **body}
    return CHAT.read_request(json.dumps(said).encode(), "m", stream)


def write(request: Request, carry: Carry | None = None, **options: Any) -> dict[str, Any]:
    chat = build(Options(**options)).translators["chat"]
    return json.loads(chat.write_request(request, carry or Carry("claude-sonnet-5", budgets=BUDGETS)))


def dropped(request: Request, model: str = "claude-sonnet-5") -> tuple[dict[str, Any], list[str]]:
    """Return what is sent, and what was left out, where the model's config lets it."""
    carry = Carry(model, drops=True, budgets=BUDGETS)
    return write(request, carry), carry.names


def refused(request: Request, model: str = "claude-sonnet-5") -> str | None:
    """Return the parameter for which a request is refused where the model's config lets nothing be dropped."""
    with pytest.raises(GatewayError) as caught:
        write(request, Carry(model, budgets=BUDGETS))
    assert (caught.value.status, caught.value.code) == (400, "unsupported")
    return caught.value.param


def content(*parts: Any, role: Any = "user") -> Any:
    """Return the blocks that parts become."""
    return write(Request("m", [Message(role, list(parts)), Message("user", [Text("x")])]))["messages"][0]["content"]


# --- both ways


@pytest.mark.parametrize("case", sorted(path.name.split(".")[0] for path in CASES.glob("*.request.json")))
def test_a_request_read_and_written_means_the_same(case: str) -> None:
    body = (CASES / f"{case}.request.json").read_bytes()
    request = CHAT.read_request(body, "caller-model", False)
    carry = Carry("claude-sonnet-4-5" if case == "thinking" else "claude-sonnet-5", budgets=BUDGETS)
    again = CHAT.read_request(CHAT.write_request(request, carry), "caller-model", False)
    if case == "system":  # One turn of words is the same as a string.
        assert request.messages == again.messages
    assert again == request
    assert (carry.names, request.extras) == ([], {})


words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(lambda text: text.strip())
caches = st.sampled_from(["", "", "", "5m", "1h"])
ids = st.from_regex(r"toolu_[a-zA-Z0-9_-]{1,8}", fullmatch=True)
names = st.from_regex(r"[a-zA-Z0-9_-]{1,20}", fullmatch=True)
arguments = st.dictionaries(words, st.integers() | words, max_size=2).map(json.dumps)
images = st.builds(Image, media_type=st.just("image/png"), data=st.just("aGk=")) | st.builds(
    Image, url=st.just("https://x.test/a.png")
)
documents = st.builds(Document, text=words, media_type=st.just("text/plain"), name=words) | st.builds(
    Document, media_type=st.just("application/pdf"), data=st.just("aGk="), name=words
)
results = st.builds(
    ToolResult,
    ids,
    st.lists(st.builds(Text, words) | images | documents, min_size=1, max_size=2),
    is_error=st.booleans(),
)
thoughts = st.builds(Thinking, words, words, family=st.just("anthropic")) | st.builds(
    Thinking, redacted=words, family=st.just("anthropic")
)
users = st.builds(
    lambda first, rest: Message("user", [*first, *rest]),
    st.lists(results, max_size=2),
    st.lists(st.builds(Text, words) | images | documents, min_size=1, max_size=3),
)
assistants = st.builds(
    lambda first, rest: Message("assistant", [*first, *rest]),
    st.lists(thoughts, max_size=2),
    st.lists(st.builds(Text, words) | st.builds(ToolCall, ids, names, arguments), min_size=1, max_size=3),
)
talks = st.lists(st.tuples(users, assistants), max_size=2).flatmap(
    lambda turns: st.builds(lambda last: [*(turn for pair in turns for turn in pair), last], users)
)
requests = st.builds(
    Request,
    st.just("m"),
    talks,
    system=st.lists(st.builds(Text, words), max_size=2),
    tools=st.lists(
        st.builds(Tool, names, words, st.just('{"type":"object","properties":{}}'), st.sampled_from([None, True])),
        min_size=1,
        max_size=2,
    ),
    tool_choice=st.sampled_from([None, ToolChoice("auto"), ToolChoice("none"), ToolChoice("required")]),
    max_tokens=st.integers(1, 9999),
    temperature=st.sampled_from([None, 0.5, 1.0]),
    top_p=st.sampled_from([None, 0.9]),
    top_k=st.sampled_from([None, 5]),
    stop=st.lists(words, max_size=2),
    output=st.sampled_from([None, Output("schema", schema='{"type":"object"}')]),
    reasoning=st.sampled_from(
        [None, Reasoning("high", mode="adaptive"), Reasoning("max", mode="adaptive", show=True), Reasoning(mode="off")]
    ),
    stream=st.booleans(),
    user=st.sampled_from(["", "u"]),
    service_tier=st.sampled_from(["", "auto", "default"]),
)


@given(requests)
@settings(max_examples=80, deadline=None)
def test_what_the_dialect_carries_comes_back_from_its_own_bytes(request: Request) -> None:
    named: dict[str, str] = {}
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, ToolCall):
                named[part.id] = part.name
            elif isinstance(part, ToolResult):
                part.name = named.get(part.id, "")
    carry = Carry("claude-sonnet-5")
    assert CHAT.read_request(CHAT.write_request(request, carry), "m", request.stream) == request
    assert carry.names == []


# --- what callers say


def test_a_request_without_max_tokens_is_refused() -> None:
    with pytest.raises(GatewayError, match="max_tokens") as caught:
        CHAT.read_request(b'{"model":"m","messages":[]}', "m", False)
    assert (caught.value.status, caught.value.param) == (400, "max_tokens")


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "tool", "content": "x"}]},
        {"messages": [{"role": "user", "content": 7}]},
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "odd"}}]}]},
        {"tool_choice": {"type": "odd"}},
        {"system": [{"type": "image"}]},
        {"tools": [{"input_schema": {}}]},
        {"max_tokens": "many"},
        {"output_config": {"format": {"type": "odd"}}},
    ],
)
def test_what_is_no_request_is_refused_as_the_callers_fault(body: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as caught:
        read(body)
    assert (caught.value.status, caught.value.source) == (400, "caller")


def test_server_tools_and_unknown_blocks_and_members_are_kept_by_name_for_who_cannot_carry_them() -> None:
    request = read(
        {
            "tools": [{"type": "web_search_20260318", "name": "web_search"}, {"name": "f", "defer_loading": True}],
            "messages": [{"role": "user", "content": [{"type": "container_upload", "file_id": "f"}]}],
            "container": "c",
            "inference_geo": None,
        }
    )
    assert sorted(request.extras) == [
        "container",
        "messages.container_upload",
        "tools.defer_loading",
        "tools.web_search_20260318",
    ]
    assert json.loads(request.extras["tools.web_search_20260318"])["name"] == "web_search"
    assert refused(request) is not None
    assert sorted(dropped(request)[1]) == sorted(request.extras)


def test_what_asks_only_how_an_answer_is_delivered_is_not_missed() -> None:
    request = read(
        {"tools": [{"name": "f", "eager_input_streaming": True}], "diagnostics": {"previous_message_id": None}}
    )
    assert request.extras == {}


def test_a_breakpoint_for_the_whole_request_stands_behind_its_last_part() -> None:
    request = read({"cache_control": {"type": "ephemeral", "ttl": "1h"}})
    assert request.messages[-1].parts == [Text("hi", "1h")]


def test_another_familys_proofs_come_out_of_the_fields_they_were_wrapped_in() -> None:
    call_id = pack_call_id("call_1", "gemini", "c2ln")
    blocks = [
        {"type": "thinking", "thinking": "a", "signature": foreign_signature("gemini", "s1")},
        {"type": "thinking", "thinking": "b", "signature": ""},
        {"type": "redacted_thinking", "data": foreign_signature("bedrock", "s2")},
        {"type": "tool_use", "id": call_id, "name": "f", "input": {}},
    ]
    results = [{"type": "tool_result", "tool_use_id": call_id, "content": "x"}]
    request = read({"messages": [{"role": "assistant", "content": blocks}, {"role": "user", "content": results}]})
    assert request.messages[0].parts == [
        Thinking("a", "s1", family="gemini"),
        Thinking("b"),
        Thinking(redacted="s2", family="bedrock"),
        ToolCall("call_1", "f", "{}", "c2ln", "gemini"),
    ]
    assert request.messages[1].parts == [ToolResult("call_1", [Text("x")], "f")]


def test_arguments_and_schemas_stay_the_text_they_were() -> None:
    body = (
        b'{"model":"m","max_tokens":1,"tools":[{"name":"f","input_schema":{ "type": "object", "x": 1.10 }}],'
        b'"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{ "b": 1e3 }}]}]}'
    )
    request = CHAT.read_request(body, "m", False)
    written = CHAT.write_request(request, Carry("claude-sonnet-5"))
    assert b'{ "b": 1e3 }' in written
    assert b'{ "type": "object", "x": 1.10 }' in written


# --- the order of the talk


def test_turns_of_one_role_are_merged_and_results_of_tools_come_first() -> None:
    talk = [
        Message("user", [Text("a")]),
        Message("user", [Text("b")]),
        Message("assistant", [Text("c")]),
        Message("assistant", [CALL]),
        Message("user", [Text("d")]),
        RESULT,
    ]
    turns = write(Request("m", talk))["messages"]
    assert [(turn["role"], [block["type"] for block in turn["content"]]) for turn in turns] == [
        ("user", ["text", "text"]),
        ("assistant", ["text", "tool_use"]),
        ("user", ["tool_result", "text"]),
    ]


def test_instructions_at_the_front_join_the_system_and_later_ones_are_turns_of_their_own() -> None:
    talk = [Message("system", [Text("b")]), *HI, Message("system", [Text("c")]), Message("user", [Text("d")])]
    body = write(Request("m", talk, system=[Text("a")]))
    assert [block["text"] for block in body["system"]] == ["a", "b"]
    assert [turn["role"] for turn in body["messages"]] == ["user", "system", "user"]


def test_instructions_never_stand_between_a_call_and_its_result() -> None:
    talk = [*HI, Message("assistant", [CALL]), Message("system", [Text("now")]), RESULT]
    assert [turn["role"] for turn in write(Request("m", talk))["messages"]] == ["user", "assistant", "user", "system"]


def test_instructions_amid_the_talk_become_the_users_words_where_the_provider_has_no_turns_for_them() -> None:
    talk = [*HI, Message("system", [Text("now")])]
    turns = write(Request("m", talk), system_turns=False)["messages"]
    assert [block["text"] for block in turns[0]["content"]] == ["hi", "now"]


def test_empty_words_are_left_out_and_an_answer_to_go_on_with_has_no_white_space_at_its_end() -> None:
    talk = [
        Message("user", [Text(""), Text("a")]),
        Message("assistant", [Text("")]),
        Message("assistant", [Text("b \n")]),
    ]
    turns = write(Request("m", talk, system=[Text("")]))["messages"]
    assert [[block["text"] for block in turn["content"]] for turn in turns] == [["a"], ["b"]]


# --- parts


def test_media_are_written_from_what_is_known_of_them() -> None:
    assert content(Image(media_type="image/webp", data="aGk="))[0]["source"] == {
        "type": "base64",
        "media_type": "image/webp",
        "data": "aGk=",
    }
    assert content(Image("https://x.test/a"))[0]["source"] == {"type": "url", "url": "https://x.test/a"}
    assert content(Document(media_type="text/markdown", data="aGk="))[0]["source"]["data"] == "hi"
    assert content(Document(url="https://x.test/a.pdf", name="a"))[0]["title"] == "a"


@pytest.mark.parametrize(
    ("part", "name"),
    [
        (Audio("wav", "aGk="), "input_audio"),
        (Image(file_id="file-1"), "file_id"),
        (Image("gs://bucket/a.png"), "image"),
        (Image(media_type="image/tiff", data="aGk="), "image"),
        (Document(file_id="file-1"), "file_id"),
        (Document(media_type="application/zip", data="aGk="), "file"),
    ],
)
def test_a_part_that_anthropic_does_not_take_is_refused_or_named(part: Any, name: str) -> None:
    request = Request("m", [Message("user", [Text("see"), part])])
    assert refused(request) == name
    body, names = dropped(request)
    assert (body["messages"][0]["content"], names) == ([{"type": "text", "text": "see"}], [name])


def test_free_text_and_broken_arguments_are_wrapped_as_the_input_must_be_an_object() -> None:
    free = ToolCall("a", "f", "print(1)", custom=True)
    blocks = content(free, ToolCall("b", "f", '{"cut":'), ToolCall("c", "f", ""), role="assistant")
    assert [block["input"] for block in blocks] == [{"input": "print(1)"}, {"input": '{"cut":'}, {}]


def test_ids_and_names_are_spelt_in_letters_that_anthropic_takes_and_names_are_changed_back() -> None:
    carry = Carry("claude-sonnet-5")
    talk = [
        Message("assistant", [ToolCall("call:1", "my.tool", "{}")]),
        Message("user", [ToolResult("call:1", [])]),
    ]
    body = write(Request("m", talk, tools=[Tool("my.tool"), Tool("my:tool")]), carry)
    assert body["messages"][0]["content"][0]["id"] == body["messages"][1]["content"][0]["tool_use_id"] == "call_1"
    assert [tool["name"] for tool in body["tools"]] == ["my_tool", "my_tool_2"]
    answer = {"type": "message", "content": [{"type": "tool_use", "id": "x", "name": "my_tool_2", "input": {}}]}
    assert CHAT.read_answer(json.dumps(answer).encode(), carry).choices[0].parts == [ToolCall("x", "my:tool", "{}")]


def test_a_refusal_in_the_talk_is_words() -> None:
    assert content(Refusal("no"), role="assistant") == [{"type": "text", "text": "no"}]


# --- tools


@pytest.mark.parametrize(
    ("choice", "parallel", "written"),
    [
        (None, None, None),
        (None, True, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice("auto"), None, {"type": "auto"}),
        (ToolChoice("required"), False, {"type": "any", "disable_parallel_tool_use": True}),
        (ToolChoice("tool", ("look",)), None, {"type": "tool", "name": "look"}),
        (ToolChoice("none"), False, {"type": "none"}),
    ],
)
def test_tool_choice_and_parallel_calls_are_one_member(choice: Any, parallel: Any, written: Any) -> None:
    body = write(Request("m", HI, tools=[Tool("look")], tool_choice=choice, parallel_tools=parallel))
    assert body.get("tool_choice") == written
    assert body["tools"] == [{"name": "look", "input_schema": {"type": "object", "properties": {}}}]


def test_of_tools_that_are_allowed_by_name_only_those_are_sent() -> None:
    request = Request("m", HI, tools=[Tool("a"), Tool("b")], tool_choice=ToolChoice("auto", ("b",)))
    assert [tool["name"] for tool in write(request)["tools"]] == ["b"]


def test_a_schema_without_a_type_is_an_objects() -> None:
    request = Request("m", HI, tools=[Tool("a", schema='{"properties":{"x":{}}}')])
    assert write(request)["tools"][0]["input_schema"] == {"type": "object", "properties": {"x": {}}}


# --- thinking


@pytest.mark.parametrize(
    ("model", "by_budget"),
    [
        ("claude-3-7-sonnet-20250219", True),
        ("claude-sonnet-4-20250514", True),
        ("claude-opus-4-1-20250805", True),
        ("claude-sonnet-4-5", True),
        ("claude-haiku-4-5@20251001", True),
        ("claude-opus-4-6", False),
        ("claude-opus-4-8", False),
        ("claude-sonnet-5", False),
        ("claude-mythos-5", False),
        ("kimi-k3", True),
    ],
)
def test_an_effort_becomes_a_budget_for_the_models_that_count_in_tokens(model: str, by_budget: bool) -> None:
    body = write(Request("m", HI, max_tokens=5000, reasoning=Reasoning("high")), Carry(model, budgets=BUDGETS))
    if by_budget:
        assert body["thinking"] == {"type": "enabled", "budget_tokens": 4096}
        assert "output_config" not in body
    else:
        assert body["thinking"] == {"type": "adaptive"}
        assert body["output_config"] == {"effort": "high"}


@pytest.mark.parametrize(("budget", "effort"), [(100, "low"), (2048, "medium"), (3000, "high"), (60000, "max")])
def test_a_budget_becomes_the_least_effort_that_allows_for_it(budget: int, effort: str) -> None:
    body = write(Request("m", HI, reasoning=Reasoning(budget=budget, mode="on")))
    assert body["output_config"] == {"effort": effort}


def test_the_options_of_a_provider_say_how_its_models_think() -> None:
    request = Request("m", HI, reasoning=Reasoning("low"))
    assert (
        write(request, Carry("claude-sonnet-4-5", budgets=BUDGETS), thinking="adaptive")["thinking"]["type"]
        == "adaptive"
    )
    assert write(request, Carry("claude-opus-5", budgets=BUDGETS), thinking="budget")["thinking"]["type"] == "enabled"


def test_max_tokens_exceed_the_budget_by_what_the_caller_wants_of_the_answer() -> None:
    def most(max_tokens: int | None, budget: int) -> int:
        reasoning = Reasoning(budget=budget, mode="on")
        carry = Carry("claude-sonnet-4-5", max_tokens=4096)
        return write(Request("m", HI, max_tokens=max_tokens, reasoning=reasoning), carry)["max_tokens"]

    assert most(3000, 2000) == 3000
    assert most(500, 2000) == 2500
    assert most(None, 8000) == 12096
    assert most(3000, 10) == 3000


def test_a_budget_below_the_least_is_raised_to_it() -> None:
    request = Request("m", HI, max_tokens=3000, reasoning=Reasoning(budget=10, mode="on"))
    assert write(request, Carry("claude-sonnet-4-5"))["thinking"] == {"type": "enabled", "budget_tokens": 1024}


@pytest.mark.parametrize("reasoning", [Reasoning("none"), Reasoning(mode="off")])
def test_thinking_can_be_switched_off(reasoning: Reasoning) -> None:
    assert write(Request("m", HI, reasoning=reasoning))["thinking"] == {"type": "disabled"}


def test_whether_thoughts_are_shown_goes_along() -> None:
    request = Request("m", HI, reasoning=Reasoning("low", show=True))
    assert write(request)["thinking"] == {"type": "adaptive", "display": "summarized"}
    request = Request("m", HI, reasoning=Reasoning("low", show=False))
    assert write(request)["thinking"] == {"type": "adaptive", "display": "omitted"}


@pytest.mark.parametrize(("name", "value"), [("temperature", 0.5), ("top_k", 5), ("top_p", 0.5)])
def test_sampling_that_thinking_does_not_allow_is_refused_or_named(name: str, value: float) -> None:
    request = Request("m", HI, max_tokens=9000, reasoning=Reasoning("low"))
    setattr(request, name, value)
    assert refused(request, "claude-sonnet-4-5") == name
    body, names = dropped(request, "claude-sonnet-4-5")
    assert (name in body, names) == (False, [name])
    request.reasoning = None
    assert write(request, Carry("claude-sonnet-4-5"))[name] == value


def test_a_forced_tool_and_a_budget_to_think_do_not_go_together() -> None:
    request = Request("m", HI, tools=[Tool("look")], tool_choice=ToolChoice("required"), reasoning=Reasoning("low"))
    assert refused(request, "claude-sonnet-4-5") == "reasoning"
    body, names = dropped(request, "claude-sonnet-4-5")
    assert (body["thinking"], names) == ({"type": "disabled"}, ["reasoning"])
    assert write(request)["thinking"] == {"type": "adaptive"}


def test_a_thought_goes_back_first_in_its_turn_with_its_proof() -> None:
    talk = [*HI, Message("assistant", [SIGNED, CALL]), RESULT]
    body = write(
        Request("m", talk, max_tokens=9000, reasoning=Reasoning("low")), Carry("claude-sonnet-4-5", budgets=BUDGETS)
    )
    assert body["messages"][1]["content"][0] == {"type": "thinking", "thinking": "hm", "signature": "sig"}
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 1024}


@pytest.mark.parametrize("thought", [Thinking("hm", "sig", family="gemini"), Thinking("hm"), None])
def test_a_turn_that_lost_its_thought_goes_without_thinking_and_that_is_named(thought: Thinking | None) -> None:
    parts = [CALL] if thought is None else [thought, CALL]
    talk = [*HI, Message("assistant", parts), RESULT, Message("user", [Text("and?")])]
    carry = Carry("claude-sonnet-4-5", budgets=BUDGETS)
    body = write(Request("m", talk, reasoning=Reasoning("low")), carry)
    assert body["thinking"] == {"type": "disabled"}
    assert [block["type"] for block in body["messages"][1]["content"]] == ["tool_use"]
    assert carry.names == ["thinking"]


def test_a_loop_of_tools_that_has_ended_does_not_keep_the_next_turn_from_thinking() -> None:
    talk = [
        *HI,
        Message("assistant", [CALL]),
        RESULT,
        Message("assistant", [Text("done")]),
        Message("user", [Text("why")]),
    ]
    carry = Carry("claude-sonnet-4-5", budgets=BUDGETS)
    assert write(Request("m", talk, reasoning=Reasoning("low")), carry)["thinking"]["type"] == "enabled"


def test_a_model_that_thinks_as_it_sees_fit_may_have_lost_a_thought() -> None:
    talk = [*HI, Message("assistant", [CALL]), RESULT]
    assert write(Request("m", talk, reasoning=Reasoning("low")))["thinking"] == {"type": "adaptive"}


# --- breakpoints


def test_breakpoints_of_an_hour_come_before_those_of_five_minutes() -> None:
    request = Request(
        "m", [Message("user", [Text("b", "1h")])], system=[Text("a", "5m")], tools=[Tool("t", cache="1h")]
    )
    body, names = dropped(request)
    assert body["tools"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert body["system"][0]["cache_control"] == {"type": "ephemeral"}
    assert body["messages"][0]["content"][0]["cache_control"] == {"type": "ephemeral"}
    assert names == ["cache_control"]


def test_four_breakpoints_are_kept_the_last_ones() -> None:
    body, names = dropped(Request("m", [Message("user", [Text(str(place), "5m") for place in range(6)])]))
    marked = [block["text"] for block in body["messages"][0]["content"] if "cache_control" in block]
    assert (marked, names) == (["2", "3", "4", "5"], ["cache_control"])


# --- the rest


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", 1),
        ("presence_penalty", 0.5),
        ("frequency_penalty", 0.5),
        ("n", 2),
        ("logprobs", True),
        ("top_logprobs", 2),
        ("temperature", 1.5),
    ],
)
def test_what_anthropic_has_no_place_for_is_refused_or_named(name: str, value: Any) -> None:
    request = Request("m", HI)
    setattr(request, name, value)
    assert refused(request) == name
    body, names = dropped(request)
    assert (name in body, names) == (False, [name])


def test_what_asks_for_nothing_is_not_named() -> None:
    request = Request("m", HI, n=1, logprobs=False, presence_penalty=0.0, frequency_penalty=0.0, seed=None, store=False)
    assert dropped(request)[1] == []


def test_hints_are_left_out_and_named_whatever_the_config_says() -> None:
    carry = Carry("claude-sonnet-5")
    talk = [Message("user", [Image("https://x.test/a", detail="high")], "ann")]
    request = Request("m", talk, metadata={"a": "b"}, cache_key="k", store=True, verbosity="low", service_tier="flex")
    write(request, carry)
    assert sorted(carry.names) == [
        "detail",
        "metadata",
        "name",
        "prompt_cache_key",
        "service_tier",
        "store",
        "verbosity",
    ]


def test_any_json_object_cannot_be_asked_for() -> None:
    assert refused(Request("m", HI, output=Output("json"))) == "response_format"


def test_max_tokens_are_the_configs_where_the_caller_does_not_say() -> None:
    assert write(Request("m", HI), Carry("claude-sonnet-5", max_tokens=777))["max_tokens"] == 777
