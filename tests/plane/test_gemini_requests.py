"""Gemini's requests: read from callers as loosely as Google reads them, written to providers as strictly as it asks."""

from __future__ import annotations

import base64
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
    Part,
    Reasoning,
    Request,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    foreign_signature,
)
from plane.dialects._gemini_chat import GeminiChat
from plane.dialects._gemini_wire import write_proof

CASES = Path(__file__).parents[1] / "golden/dialects/gemini"
BUDGETS = {"minimal": 1024, "low": 1024, "medium": 2048, "high": 4096, "xhigh": 8192, "max": 16384}
SIGNATURE = base64.b64encode(b"what Gemini thought").decode()


def read(body: Any) -> Request:
    return GeminiChat().read_request(json.dumps(body).encode(), "caller-model", False)


def written(request: Request, *, model: str = "gemini-3-flash", vertex: bool = False, **options: Any) -> dict[str, Any]:
    carry = options.get("carry") or Carry(model, budgets=BUDGETS, drops=True)
    body: dict[str, Any] = json.loads(GeminiChat(vertex=vertex).write_request(request, carry))
    return body


def asks(*messages: Message, **more: Any) -> Request:
    return Request("caller-model", list(messages), **more)


def user(*parts: Part) -> Message:
    return Message("user", list(parts))


def model(*parts: Part) -> Message:
    return Message("assistant", list(parts))


def refusal(request: Request, **options: Any) -> GatewayError:
    carry = Carry(options.pop("model", "gemini-3-flash"), budgets=BUDGETS)
    with pytest.raises(GatewayError) as raised:
        written(request, carry=carry, **options)
    return raised.value


def test_the_golden_requests_are_what_they_say() -> None:
    found = {path.name.split(".")[0]: read(json.loads(path.read_bytes())) for path in CASES.glob("*.request.json")}
    assert len(found) == 15
    assert found["plain"].messages == [user(Text("What is the capital of France?"))]
    assert found["system"].system == [Text("Answer in one word.")]
    assert [message.role for message in found["system"].messages] == ["user", "assistant", "user"]
    assert (found["system"].temperature, found["system"].top_p, found["system"].max_tokens) == (0.2, 0.9, 64)
    assert found["tools"].tools[0].name == "get_weather"
    assert json.loads(found["tools"].tools[0].schema)["required"] == ["city"]
    assert found["parallel_tools"].tool_choice == ToolChoice("required")
    assert found["tool_result"].messages[2] == user(
        ToolResult("call_weather", [Text("sunny, 21 degrees")], "get_weather"),
        ToolResult("call_time", [Text("The clock cannot be reached.")], "get_time", is_error=True),
    )
    assert isinstance(found["image"].messages[0].parts[1], Image)
    assert isinstance(found["document"].messages[0].parts[0], Document)
    assert found["thinking"].reasoning == Reasoning("low", show=True)
    thought, call = found["thinking_tools"].messages[1].parts
    assert thought == Thinking("I need the weather.", family="gemini")
    assert isinstance(call, ToolCall)
    assert (call.family, bool(call.signature)) == ("gemini", True)
    assert found["schema"].output is not None
    assert found["schema"].output.kind == "schema"
    assert found["stop"].stop == ["four"]


@pytest.mark.parametrize("path", sorted(CASES.glob("*.request.json")), ids=lambda path: path.name)
def test_a_golden_request_goes_through_the_hub_unchanged(path: Path) -> None:
    body = json.loads(path.read_bytes())
    name = "gemini-3-flash" if path.name.startswith("thinking") else "gemini-2.5-flash"
    assert written(read(body), model=name) == body


def test_members_may_be_in_snake_case_and_single_objects_need_no_list() -> None:
    request = read(
        {
            "system_instruction": {"parts": {"text": "Be short."}},
            "contents": {"parts": [{"text": "hi"}, {"inline_data": {"mime_type": "image/png", "data": "aa-_"}}]},
            "generation_config": {
                "max_output_tokens": 5,
                "stop_sequences": ["x"],
                "thinking_config": {"thinking_budget": 7, "include_thoughts": False},
            },
            "tools": {"function_declarations": {"name": "f", "parameters": {"type": "OBJECT"}}},
            "tool_config": {"function_calling_config": {"mode": "any", "allowed_function_names": ["f"]}},
        }
    )
    assert request.system == [Text("Be short.")]
    assert request.messages == [user(Text("hi"), Image(media_type="image/png", data="aa+/"))]
    assert (request.max_tokens, request.stop) == (5, ["x"])
    assert request.reasoning == Reasoning(budget=7, mode="on", show=False)
    assert request.tools == [Tool("f", schema='{"type":"object"}')]
    assert request.tool_choice == ToolChoice("tool", ("f",))


def test_names_within_arguments_and_schemas_are_the_callers_own() -> None:
    schema = {"type": "object", "properties": {"mime_type": {"type": "string"}}}
    request = read(
        {
            "contents": [
                {"role": "user", "parts": [{"text": "go"}]},
                {
                    "role": "model",
                    "parts": [{"functionCall": {"name": "f", "args": {"mime_type": {"top_p": 1}}}}],
                },
            ],
            "tools": [{"functionDeclarations": [{"name": "f", "parameters_json_schema": schema}]}],
        }
    )
    call = request.messages[1].parts[0]
    assert isinstance(call, ToolCall)
    assert json.loads(call.arguments) == {"mime_type": {"top_p": 1}}
    assert json.loads(request.tools[0].schema) == schema


def test_a_schema_of_googles_kind_becomes_json_schema() -> None:
    request = read(
        {
            "contents": [],
            "generationConfig": {
                "responseMimeType": "application/json",
                "responseSchema": {
                    "type": "OBJECT",
                    "properties": {
                        "tags": {"type": "ARRAY", "items": {"type": "STRING"}, "minItems": "2"},
                        "note": {"type": "STRING", "nullable": True, "example": "x"},
                        "either": {"anyOf": [{"type": "INTEGER"}, {"type": "BOOLEAN"}], "nullable": True},
                    },
                    "propertyOrdering": ["tags"],
                },
            },
        }
    )
    assert request.output is not None
    assert json.loads(request.output.schema) == {
        "type": "object",
        "properties": {
            "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2},
            "note": {"type": ["string", "null"]},
            "either": {"anyOf": [{"type": "integer"}, {"type": "boolean"}, {"type": "null"}]},
        },
    }


def test_calls_without_ids_get_stable_ones_and_results_find_them_by_name() -> None:
    body = {
        "contents": [
            {"role": "user", "parts": [{"text": "both"}]},
            {"role": "model", "parts": [{"functionCall": {"name": name}} for name in ("a", "b", "a")]},
            {
                "role": "function",
                "parts": [
                    {"functionResponse": {"name": name, "response": {"output": text}}}
                    for name, text in (("b", "2"), ("a", "1"), ("a", "3"))
                ],
            },
        ]
    }
    first, second = read(body), read(body)
    assert first == second
    calls = [part.id for part in first.messages[1].parts if isinstance(part, ToolCall)]
    assert len(set(calls)) == 3
    results = [part for part in first.messages[2].parts if isinstance(part, ToolResult)]
    assert [(result.id, result.parts) for result in results] == [
        (calls[1], [Text("2")]),
        (calls[0], [Text("1")]),
        (calls[2], [Text("3")]),
    ]


def test_a_stream_sent_back_chunk_by_chunk_is_one_turn() -> None:
    proof = write_proof("anthropic", "abc/==")
    request = read(
        {
            "contents": [
                {"role": "user", "parts": [{"text": "go"}]},
                {"role": "model", "parts": [{"text": "I th", "thought": True}]},
                {"role": "model", "parts": [{"text": "ink.", "thought": True}]},
                {"role": "model", "parts": [{"text": "", "thought": True, "thoughtSignature": proof}]},
                {"role": "model", "parts": [{"text": "Hel"}]},
                {"role": "model", "parts": [{"text": "lo"}]},
                {"role": "model", "parts": [{"functionCall": {"id": "c1", "name": "f", "args": {}}}]},
                {"role": "model", "parts": [{"text": ""}]},
            ]
        }
    )
    assert request.messages[1:] == [
        model(Thinking("I think.", "abc/==", family="anthropic"), Text("Hello"), ToolCall("c1", "f"))
    ]


def test_googles_sdk_writes_signatures_in_its_own_alphabet_and_they_are_still_read() -> None:
    proof = base64.urlsafe_b64encode(foreign_signature("anthropic", "ÿÿ>>??").encode()).decode()
    request = read(
        {"contents": [{"role": "model", "parts": [{"thought": True, "text": "x", "thoughtSignature": proof}]}]}
    )
    assert request.messages == [model(Thinking("x", "ÿÿ>>??", family="anthropic"))]


def test_what_has_no_field_is_an_extra_under_its_path() -> None:
    request = read(
        {
            "contents": [],
            "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
            "cachedContent": "cachedContents/1",
            "tools": [{"googleSearch": {}}, {"functionDeclarations": [{"name": "f", "behavior": "B", "response": {}}]}],
            "toolConfig": {"retrievalConfig": {"languageCode": "en"}},
            "generationConfig": {
                "responseModalities": ["IMAGE"],
                "speechConfig": {"voice": "x"},
                "mediaResolution": None,
            },
        }
    )
    assert sorted(request.extras) == [
        "cachedContent",
        "generationConfig.responseModalities",
        "generationConfig.speechConfig",
        "safetySettings",
        "toolConfig.retrievalConfig",
        "tools.functionDeclarations.behavior",
        "tools.googleSearch",
    ]


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"{", "invalid_json", None),
        (b"[]", "invalid_request", "the body"),
        (b'{"contents":1}', "invalid_request", "contents"),
        (b'{"contents":[{"role":"narrator","parts":[]}]}', "invalid_request", "contents.role"),
        (b'{"contents":[{"parts":[{"executableCode":{}}]}]}', "unsupported", "contents.parts"),
        (b'{"contents":[{"parts":[{"text":5}]}]}', "invalid_request", "text"),
        (
            b'{"contents":[{"parts":[{"functionResponse":{"name":"f"}}]}]}',
            "invalid_request",
            "contents.functionResponse",
        ),
        (b'{"generationConfig":{"temperature":"warm"}}', "invalid_request", "generationConfig.temperature"),
        (b'{"contents":[{"role":"model","parts":[{"functionCall":{}}]}]}', "invalid_request", "functionCall.name"),
        (b'{"systemInstruction":{"parts":[{"inlineData":{}}]}}', "invalid_request", "systemInstruction"),
    ],
)
def test_a_request_that_is_wrong_is_refused_and_the_place_named(body: bytes, code: str, param: str | None) -> None:
    with pytest.raises(GatewayError) as raised:
        GeminiChat().read_request(body, "m", False)
    assert (raised.value.status, raised.value.code, raised.value.param) == (400, code, param)


def test_results_stand_alone_in_the_order_of_the_calls() -> None:
    request = asks(
        user(Text("both")),
        model(ToolCall("1", "a"), ToolCall("2", "b")),
        user(ToolResult("2", [Text("second")]), Text("And?")),
        user(ToolResult("1", [Text('{"x":[1]}')])),
    )
    contents = written(request)["contents"]
    assert [entry["role"] for entry in contents] == ["user", "model", "user", "user", "user"]
    two_turns = asks(
        *request.messages[:2], user(ToolResult("2", [Text("second")])), user(ToolResult("1", [Text('{"x":[1]}')]))
    )
    assert written(two_turns)["contents"][2]["parts"] == [
        {"functionResponse": {"name": "a", "response": {"x": [1]}, "id": "1"}},
        {"functionResponse": {"name": "b", "response": {"output": "second"}, "id": "2"}},
    ]


def test_vertex_gets_no_ids_and_the_media_type_before_the_data() -> None:
    request = asks(
        user(Image(media_type="image/png", data="aaaa")),
        model(ToolCall("1", "a")),
        user(ToolResult("1", [Text("done")])),
    )
    body = GeminiChat(vertex=True).write_request(request, Carry("gemini-2.5-pro"))
    assert b'"id"' not in body
    assert body.index(b'"mimeType"') < body.index(b'"data"')


def test_turns_of_one_side_become_one_entry() -> None:
    request = asks(
        user(Text("a")), user(Text("b")), model(Text("")), user(Text("c")), model(Text("d")), model(Text("e"))
    )
    assert written(request)["contents"] == [
        {"role": "user", "parts": [{"text": "a"}, {"text": "b"}, {"text": "c"}]},
        {"role": "model", "parts": [{"text": "d"}, {"text": "e"}]},
    ]


def test_instructions_without_a_turn_are_the_turn() -> None:
    assert written(asks(system=[Text("Say hello.")])) == {
        "contents": [{"role": "user", "parts": [{"text": "Say hello."}]}]
    }


def test_a_result_of_no_call_is_refused() -> None:
    error = refusal(asks(user(ToolResult("9", [Text("x")]))))
    assert (error.status, error.param) == (400, "messages")


def test_only_its_own_signatures_go_to_gemini() -> None:
    request = asks(
        user(Text("go")),
        model(
            Thinking("mine", SIGNATURE, family="gemini"),
            Thinking("yours", "sig", family="anthropic"),
            ToolCall("1", "a", signature=SIGNATURE, family="gemini"),
            ToolCall("2", "b"),
        ),
    )
    carry = Carry("gemini-3-flash")
    parts = written(request, carry=carry)["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == [SIGNATURE, SIGNATURE, None]
    assert carry.names == ["thinking"]


@pytest.mark.parametrize(("name", "mark"), [("gemini-3-pro", True), ("gemini-2.5-pro", False)])
def test_calls_that_another_model_made_are_marked_for_models_that_ask_for_proof(name: str, mark: bool) -> None:
    request = asks(user(Text("go")), model(ToolCall("1", "a", signature="s", family="other"), ToolCall("2", "b")))
    first, second = written(request, model=name)["contents"][1]["parts"]
    assert first.get("thoughtSignature") == ("skip_thought_signature_validator" if mark else None)
    assert "thoughtSignature" not in second


def test_a_signature_of_an_answers_text_comes_back_behind_it() -> None:
    request = asks(
        user(Text("go")), model(Text("Hi."), Thinking(signature=SIGNATURE, family="gemini")), user(Text("on"))
    )
    assert written(request)["contents"][1]["parts"] == [{"text": "Hi."}, {"text": "", "thoughtSignature": SIGNATURE}]


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        (ToolChoice("auto"), {"mode": "AUTO"}),
        (ToolChoice("none"), {"mode": "NONE"}),
        (ToolChoice("required"), {"mode": "ANY"}),
        (ToolChoice("required", ("a", "b")), {"mode": "ANY", "allowedFunctionNames": ["a", "b"]}),
        (ToolChoice("tool", ("a",)), {"mode": "ANY", "allowedFunctionNames": ["a"]}),
        (ToolChoice("auto", ("a",)), {"mode": "VALIDATED", "allowedFunctionNames": ["a"]}),
    ],
)
def test_names_of_functions_never_go_with_the_mode_auto(choice: ToolChoice, config: dict[str, Any]) -> None:
    body = written(asks(user(Text("x")), tools=[Tool("a"), Tool("b")], tool_choice=choice))
    assert body["toolConfig"] == {"functionCallingConfig": config}


def test_odd_names_of_functions_are_written_so_that_the_answer_can_be_told_apart() -> None:
    carry = Carry("gemini-3-flash")
    request = asks(user(Text("x")), model(ToolCall("1", "7 up!")), tools=[Tool("7 up!")])
    body = written(request, carry=carry)
    assert body["tools"][0]["functionDeclarations"][0]["name"] == "_7_up_"
    assert body["contents"][1]["parts"][0]["functionCall"]["name"] == "_7_up_"
    assert carry.tool_names == {"_7_up_": "7 up!"}


@pytest.mark.parametrize(
    ("name", "reasoning", "config"),
    [
        ("gemini-2.5-flash", Reasoning("low"), {"thinkingBudget": 1024}),
        ("gemini-2.5-flash", Reasoning("none"), {"thinkingBudget": 0}),
        ("gemini-2.5-pro", Reasoning(mode="off"), {"thinkingBudget": 128}),
        ("gemini-2.5-pro", Reasoning(budget=3000, mode="on"), {"thinkingBudget": 3000}),
        ("gemini-2.5-pro", Reasoning(mode="adaptive", show=True), {"thinkingBudget": -1, "includeThoughts": True}),
        ("gemini-3-flash", Reasoning("minimal"), {"thinkingLevel": "MINIMAL"}),
        ("gemini-3-pro-preview", Reasoning("minimal"), {"thinkingLevel": "LOW"}),
        ("gemini-3-pro-preview", Reasoning("none"), {"thinkingLevel": "LOW"}),
        ("gemini-flash-latest", Reasoning("max"), {"thinkingLevel": "HIGH"}),
        ("gemini-3-flash", Reasoning(budget=2500), {"thinkingLevel": "HIGH"}),
        ("gemini-3-flash", Reasoning(budget=1024), {"thinkingLevel": "LOW"}),
        ("gemini-3-flash", Reasoning(budget=10), {"thinkingLevel": "LOW"}),
        ("gemini-3-flash", Reasoning(mode="adaptive"), None),
        ("gemini-2.0-flash", Reasoning("none"), None),
    ],
)
def test_thinking_is_asked_for_as_the_models_generation_counts_it(
    name: str, reasoning: Reasoning, config: dict[str, Any] | None
) -> None:
    body = written(asks(user(Text("x")), reasoning=reasoning), model=name)
    assert body.get("generationConfig", {}).get("thinkingConfig") == config


def test_an_answer_has_room_beside_its_thoughts() -> None:
    config = written(asks(user(Text("x")), reasoning=Reasoning("high"), max_tokens=100), model="gemini-2.5-pro")
    assert config["generationConfig"] == {"maxOutputTokens": 4196, "thinkingConfig": {"thinkingBudget": 4096}}


def test_newer_models_get_json_schema_as_it_was_sent_and_older_ones_its_subset() -> None:
    schema = '{"type":"object", "properties":{"a":{"const":"x"}},"additionalProperties":false}'
    request = asks(user(Text("x")), tools=[Tool("f", schema=schema)], output=Output("schema", "o", schema))
    body = GeminiChat().write_request(request, Carry("gemini-2.5-flash"))
    assert body.count(schema.encode()) == 2
    old = written(request, model="gemini-2.0-flash")
    subset = {"type": "object", "properties": {"a": {"type": "string", "enum": ["x"]}}}
    assert old["tools"][0]["functionDeclarations"][0]["parameters"] == subset
    assert old["generationConfig"] == {"responseMimeType": "application/json", "responseSchema": subset}


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        (asks(user(Image(url="https://example.com/a.png"))), "image_url"),
        (asks(user(Document(url="https://example.com/a.pdf"))), "file_url"),
        (asks(user(Document(file_id="file-1"))), "file_id"),
        (asks(user(Text("x")), tools=[Tool("f")], parallel_tools=False), "parallel_tool_calls"),
        (asks(user(Text("x")), extras={"logit_bias": "{}"}), "logit_bias"),
    ],
)
def test_what_gemini_has_no_place_for_is_refused_by_name(request_: Request, param: str) -> None:
    error = refusal(request_)
    assert (error.status, error.code, error.param) == (400, "unsupported", param)


def test_an_effort_of_a_model_that_does_not_think_is_refused() -> None:
    assert (
        refusal(asks(user(Text("x")), reasoning=Reasoning("low")), model="gemini-2.0-flash").param == "reasoning_effort"
    )


def test_files_in_googles_storage_are_named_with_their_type() -> None:
    request = asks(user(Image(url="gs://bucket/a.png"), Document(url="gs://bucket/b.pdf"), Audio("mp3", "aaaa")))
    assert written(request)["contents"][0]["parts"] == [
        {"fileData": {"mimeType": "image/png", "fileUri": "gs://bucket/a.png"}},
        {"fileData": {"mimeType": "application/pdf", "fileUri": "gs://bucket/b.pdf"}},
        {"inlineData": {"mimeType": "audio/mpeg", "data": "aaaa"}},
    ]


def test_hints_are_left_out_and_named() -> None:
    carry = Carry("gemini-3-flash")
    request = asks(
        user(Text("x", cache="5m"), Image(media_type="image/png", data="aaaa", detail="high")),
        user="someone",
        metadata={"a": "b"},
        service_tier="scale",
        cache_key="k",
        store=False,
        verbosity="low",
        tools=[Tool("f", strict=True)],
    )
    written(request, carry=carry)
    names = "cache_control detail metadata prompt_cache_key service_tier store strict user verbosity"
    assert sorted(carry.names) == names.split()


def test_arguments_that_are_no_object_become_one() -> None:
    request = asks(
        user(Text("x")),
        model(ToolCall("1", "a", '{"cut'), ToolCall("2", "b", "print(1)", custom=True), ToolCall("3", "c", "[1]")),
    )
    parts = written(request)["contents"][1]["parts"]
    assert [part["functionCall"]["args"] for part in parts] == [
        {"input": '{"cut'},
        {"input": "print(1)"},
        {"input": "[1]"},
    ]


NAMES = st.from_regex(r"[a-z_][a-zA-Z0-9_]{0,12}", fullmatch=True)
WORDS = st.text(min_size=1, max_size=12)
OBJECTS = st.dictionaries(NAMES, st.integers() | st.text(max_size=8), max_size=3).map(
    lambda found: json.dumps(found, separators=(",", ":"), ensure_ascii=False)
)
PROOFS = st.binary(min_size=1, max_size=12).map(lambda data: base64.b64encode(data).decode())
DATA = PROOFS
SIGNED = st.sampled_from([("", ""), ("c2ln", "gemini")])
MEDIA = st.sampled_from(["image/png", "image/jpeg"])
SAID = st.one_of(
    st.builds(Text, WORDS),
    st.builds(Image, media_type=MEDIA, data=DATA),
    st.builds(Document, media_type=st.just("application/pdf"), data=DATA),
    st.builds(Audio, st.sampled_from(["wav", "mp3"]), DATA),
)


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    messages = [user(*draw(st.lists(SAID, min_size=1, max_size=3)))]
    for turn in range(draw(st.integers(0, 3))):
        calls = [
            ToolCall(f"c{turn}_{number}", draw(NAMES), draw(OBJECTS), *draw(SIGNED))
            for number in range(draw(st.integers(0, 3)))
        ]
        thoughts = draw(st.lists(st.builds(Thinking, WORDS, PROOFS, family=st.just("gemini")), max_size=2))
        said = draw(st.lists(st.builds(Text, WORDS), max_size=1))
        if not calls and not said:
            said = [Text("done")]
        messages.append(model(*thoughts, *said, *calls))
        results = [
            ToolResult(call.id, [Text(draw(WORDS.filter(lambda text: not text.lstrip().startswith("{"))))], call.name)
            for call in calls
        ]
        for result in results:
            result.is_error = draw(st.booleans())
        messages.append(user(*(results or draw(st.lists(SAID, min_size=1, max_size=2)))))
    return messages


@st.composite
def requests(draw: st.DrawFn) -> Request:
    small = st.floats(0, 2, allow_nan=False) | st.none()
    tools = draw(st.lists(st.builds(Tool, NAMES, WORDS, OBJECTS), max_size=2))
    return Request(
        "caller-model",
        draw(conversations()),
        system=draw(st.lists(st.builds(Text, WORDS), max_size=2)),
        tools=tools,
        tool_choice=draw(st.sampled_from([None, ToolChoice("auto"), ToolChoice("required")])) if tools else None,
        max_tokens=draw(st.integers(1, 10_000) | st.none()),
        temperature=draw(small),
        top_p=draw(small),
        top_k=draw(st.integers(1, 100) | st.none()),
        stop=draw(st.lists(WORDS, max_size=2)),
        seed=draw(st.integers(0, 1 << 30) | st.none()),
        presence_penalty=draw(small),
        frequency_penalty=draw(small),
        n=draw(st.integers(1, 4) | st.none()),
        logprobs=draw(st.booleans() | st.none()),
        top_logprobs=draw(st.integers(0, 5) | st.none()),
        output=draw(st.sampled_from([None, Output("json"), Output("schema", "response", '{"type":"object"}')])),
        reasoning=draw(st.sampled_from([None, Reasoning("high"), Reasoning("low", show=True), Reasoning(show=False)])),
        service_tier=draw(st.sampled_from(["", "flex", "priority", "default"])),
    )


def unmarked(request: Request) -> Request:
    """The request as it comes back: calls nobody signed are marked as such on their way."""
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, ToolCall) and part.signature == "skip_thought_signature_validator":
                part.signature = part.family = ""
    return request


@settings(max_examples=60, deadline=None)
@given(requests())
def test_what_gemini_carries_survives_being_written_and_read(request: Request) -> None:
    body = GeminiChat().write_request(request, Carry("gemini-3-flash", budgets=BUDGETS))
    back = unmarked(GeminiChat().read_request(body, "caller-model", False))
    assert {name: getattr(back, name) for name in Request.__struct_fields__} == {
        name: getattr(request, name) for name in Request.__struct_fields__
    }


@pytest.mark.parametrize(
    "body",
    [
        b'{"safetySettings":[{"a":"\xff"}]}',
        b'{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f","args":{"a":"\xff"}}}]}]}',
        b'{"tools":[{"functionDeclarations":[{"name":"f","parameters":{"a":"\xff"}}]}]}',
        b'{"tools":[{"functionDeclarations":[{"name":"f","parametersJsonSchema":{"a":"\xff"}}]}]}',
        b'{"contents":[{"parts":[{"text":"\xff"}]}]}',
    ],
)
def test_text_that_is_no_utf_8_is_refused_also_where_it_is_only_carried(body: bytes) -> None:
    with pytest.raises(GatewayError) as raised:
        GeminiChat().read_request(body, "m", False)
    assert raised.value.status == 400
