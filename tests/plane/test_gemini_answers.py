"""Gemini's answers and streams: what a provider sent, told in the hub's words, and the hub's words told to a caller."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import GatewayError
from plane.canonical import (
    Answer,
    ArgumentsDelta,
    Carry,
    Choice,
    Event,
    Failed,
    Fault,
    Image,
    Message,
    Part,
    PartEnded,
    PartStarted,
    Reasoning,
    Refusal,
    Request,
    SignatureDelta,
    Started,
    Stop,
    Stopped,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    UsageCounted,
)
from plane.dialects._gemini_chat import GeminiChat
from plane.dialects._gemini_events import GeminiReader, GeminiWriter
from plane.dialects._gemini_wire import fault_of, read_thought, write_thought
from plane.usage import Usage
from tests.plane.splits import splits

CASES = Path(__file__).parents[1] / "golden/dialects/gemini"
ASKED = Request("caller-model", [Message("user", [Text("hi")])])
CURIOUS = Request("caller-model", [], reasoning=Reasoning(show=True))
KINDS: dict[type[Part], str] = {Text: "text", Thinking: "thinking", ToolCall: "tool_call"}
ID = "mAitaLmkHPPlz7IPvtfUqQ4"


def answer_of(case: str) -> Answer:
    return GeminiChat().read_answer((CASES / f"{case}.answer.json").read_bytes(), Carry())


def events_of(pieces: list[bytes], carry: Carry | None = None) -> list[Event]:
    reader = GeminiReader(carry or Carry())
    return [event for piece in pieces for event in reader.feed(piece)] + reader.flush()


def stream(*responses: Any) -> bytes:
    return b"".join(b"data: %b\r\n\r\n" % json.dumps(response).encode() for response in responses)


def said(*parts: Any, reason: str | None = None, index: int = 0) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": list(parts)}, "finishReason": reason, "index": index}]}


def messages_of(written: bytes) -> list[dict[str, Any]]:
    assert written.endswith(b"\r\n\r\n")
    return [json.loads(line.removeprefix(b"data: ")) for line in written.split(b"\r\n\r\n")[:-1]]


def parts_of(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [part for message in messages for part in message["candidates"][0]["content"]["parts"]]


def counts(usage: Usage | None) -> tuple[int, ...]:
    assert usage is not None
    return (usage.input_total, usage.output_total, usage.cache_read, usage.reasoning, usage.tool_use_prompt)


@pytest.mark.parametrize(
    ("case", "parts", "stop"),
    [
        ("plain", [Text("The capital of France is Paris.")], "end"),
        (
            "tools",
            [ToolCall("call_weather", "get_weather", '{\n              "city": "Paris"\n            }')],
            "tool_calls",
        ),
        ("length", [Text("Once upon a time there")], "length"),
        ("refusal", [], "content_filter"),
    ],
)
def test_a_golden_answer_is_what_it_says(case: str, parts: list[Part], stop: str) -> None:
    answer = answer_of(case)
    assert (answer.id, answer.model) == (ID, "provider-model")
    (choice,) = answer.choices
    assert [(type(part), getattr(part, "text", "")) for part in choice.parts] == [
        (type(part), getattr(part, "text", "")) for part in parts
    ]
    assert choice.stop == stop


def test_parallel_calls_come_whole_behind_the_text() -> None:
    text, *calls = answer_of("parallel_tools").choices[0].parts
    assert text == Text("I will look up both.")
    assert [(call.id, call.name, json.loads(call.arguments)) for call in calls if isinstance(call, ToolCall)] == [
        ("call_weather", "get_weather", {"city": "Paris"}),
        ("call_time", "get_time", {"city": "Paris"}),
    ]


def test_signatures_of_calls_and_texts_are_kept() -> None:
    thought, call = answer_of("thinking_tools").choices[0].parts
    assert thought == Thinking("Now the next day.", family="gemini")
    assert isinstance(call, ToolCall)
    assert (call.family, len(base64.b64decode(call.signature))) == ("gemini", 38)
    _, text, proof = answer_of("thinking").choices[0].parts
    assert text == Text("No: 91 = 7 x 13.")
    assert proof == Thinking(signature=call.signature, family="gemini")


def test_thoughts_are_counted_apart_and_caches_within() -> None:
    assert counts(answer_of("usage").usage) == (2148, 43, 1536, 40, 100)
    image = answer_of("image").usage
    assert image is not None
    assert (image.image_in, image.audio_in) == (258, 0)


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("STOP", "end"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("IMAGE_SAFETY", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "error"),
        ("SOMETHING_NEW", "error"),
        (None, "end"),
    ],
)
def test_reasons_to_stop_are_translated(reason: str | None, stop: str) -> None:
    body = json.dumps(said({"text": "x"}, reason=reason)).encode()
    assert GeminiChat().read_answer(body, Carry()).choices[0].stop == stop


def test_renamed_functions_get_their_names_back() -> None:
    carry = Carry()
    carry.tool_names["_7up"] = "7up"
    body = said({"functionCall": {"name": "_7up"}})
    (call,) = GeminiChat().read_answer(json.dumps(body).encode(), carry).choices[0].parts
    assert isinstance(call, ToolCall)
    assert (call.name, call.arguments) == ("7up", "{}")
    assert call.id.startswith("call_")
    started = events_of([stream(said({"functionCall": {"name": "_7up"}}, reason="STOP"))], carry)[1]
    assert isinstance(started, PartStarted)
    assert started.name == "7up"


def test_calls_without_ids_get_one_for_each_candidate_and_place() -> None:
    calls = [{"functionCall": {"name": "f"}}, {"functionCall": {"name": "f"}}]
    body = {"candidates": [said(*calls)["candidates"][0], said(*calls, index=1)["candidates"][0]], "responseId": "r"}
    choices = GeminiChat().read_answer(json.dumps(body).encode(), Carry()).choices
    whole = [part.id for choice in choices for part in choice.parts if isinstance(part, ToolCall)]
    assert whole == ["call_r_0_0", "call_r_0_1", "call_r_1_0", "call_r_1_1"]
    streamed = [event.id for event in events_of([stream(body)]) if isinstance(event, PartStarted)]
    assert streamed == whole


def test_how_likely_tokens_were_survives_both_ways() -> None:
    chosen = [{"token": "é", "logProbability": -0.5}, {"token": "b", "logProbability": -0.25}]
    top = [{"candidates": [chosen[0], {"token": "x", "logProbability": -2.0}]}, {"candidates": [chosen[1]]}]
    body = said({"text": "éb"}, reason="STOP")
    body["candidates"][0]["logprobsResult"] = {"chosenCandidates": chosen, "topCandidates": top}
    answer = GeminiChat().read_answer(json.dumps(body).encode(), Carry())
    content = json.loads(answer.choices[0].logprobs)["content"]
    assert content[0]["bytes"] == [195, 169]
    assert [entry["logprob"] for entry in content] == [-0.5, -0.25]
    assert [[token["token"] for token in entry["top_logprobs"]] for entry in content] == [["é", "x"], ["b"]]
    back = json.loads(GeminiChat().write_answer(answer, ASKED))["candidates"][0]["logprobsResult"]
    assert back == {"chosenCandidates": chosen, "topCandidates": top, "logProbabilitySum": -0.75}
    deltas = [event for event in events_of([stream(body)]) if isinstance(event, TextDelta)]
    assert [event.logprobs for event in deltas] == [answer.choices[0].logprobs]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"{}", b'{"candidates":[]}', b'{"candidates":5}', b"\xff"])
def test_what_is_no_answer_is_the_upstreams_fault(body: bytes) -> None:
    with pytest.raises(GatewayError) as raised:
        GeminiChat().read_answer(body, Carry())
    assert (raised.value.status, raised.value.code) == (502, "upstream_bad_answer")


def test_a_caller_gets_whole_objects_and_usage_in_googles_terms() -> None:
    usage = Usage(100, 50, 30, 20, tool_use_prompt=10)
    parts: list[Part] = [
        Thinking("unsigned"),
        Thinking("signed", "sig", family="anthropic"),
        Text("Hi."),
        Refusal("No."),
        ToolCall("1", "f", '{"a": 1}'),
        Image(media_type="image/png", data="aaaa"),
    ]
    answer = Answer("provider-model", [Choice(parts, "tool_calls")], id="a1", usage=usage)
    body = json.loads(GeminiChat().write_answer(answer, ASKED))
    thought, *others = body["candidates"][0]["content"]["parts"]
    assert (thought["text"], thought["thought"]) == ("signed", True)
    assert others == [
        {"text": "Hi."},
        {"text": "No."},
        {"functionCall": {"id": "1", "name": "f", "args": {"a": 1}}},
        {"inlineData": {"mimeType": "image/png", "data": "aaaa"}},
    ]
    assert body["candidates"][0]["finishReason"] == "STOP"
    assert body["usageMetadata"] == {
        "promptTokenCount": 90,
        "candidatesTokenCount": 30,
        "totalTokenCount": 150,
        "cachedContentTokenCount": 30,
        "thoughtsTokenCount": 20,
        "toolUsePromptTokenCount": 10,
    }
    assert (body["modelVersion"], body["responseId"]) == ("provider-model", "a1")
    shown = json.loads(GeminiChat().write_answer(answer, CURIOUS))["candidates"][0]["content"]["parts"]
    assert shown[0] == {"text": "unsigned", "thought": True}


@pytest.mark.parametrize(
    "thought",
    [
        Thinking("words", "sig+/==", family="anthropic"),
        Thinking(redacted="opaque.with.dots", family="bedrock"),
        Thinking("words", "c2ln", family="gemini"),
        Thinking("words", family="gemini"),
    ],
)
def test_a_proof_of_any_family_comes_back_from_a_caller_as_it_went(thought: Thinking) -> None:
    part = write_thought(thought)
    proof = part.get("thoughtSignature", "")
    in_the_sdks_alphabet = base64.urlsafe_b64encode(base64.b64decode(proof, validate=True)).decode()
    assert read_thought(part["text"], in_the_sdks_alphabet) == thought


@pytest.mark.parametrize("path", sorted(CASES.glob("*.stream")), ids=lambda path: path.name)
def test_a_golden_stream_is_the_same_under_every_split(path: Path) -> None:
    data = path.read_bytes()
    whole = repr(events_of([data]))
    for pieces in splits(data):
        assert repr(events_of(pieces)) == whole


@pytest.mark.parametrize("case", sorted(path.name.split(".")[0] for path in CASES.glob("*.stream")))
def test_a_golden_stream_says_what_the_whole_answer_says(case: str) -> None:
    events = events_of([(CASES / f"{case}.stream").read_bytes()])
    assert isinstance(events[0], Started)
    if case == "error":
        assert isinstance(events[-1], Failed)
        assert (events[-1].fault.status, events[-1].fault.code) == (503, "UNAVAILABLE")
        return
    answer = answer_of(case)
    (choice,) = answer.choices
    kinds = [event.kind for event in events if isinstance(event, PartStarted)]
    assert kinds == [KINDS[type(part)] for part in choice.parts]
    starts = [event.index for event in events if isinstance(event, PartStarted)]
    assert starts == [event.index for event in events if isinstance(event, PartEnded)] == list(range(len(starts)))
    words = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert words == "".join(part.text for part in choice.parts if isinstance(part, Text))
    calls = [json.loads(event.text) for event in events if isinstance(event, ArgumentsDelta)]
    assert calls == [json.loads(part.arguments) for part in choice.parts if isinstance(part, ToolCall)]
    *_, stopped, counted = events
    assert stopped == Stopped(choice.stop)
    assert isinstance(counted, UsageCounted)
    assert counts(counted.usage) == counts(answer.usage)


def test_a_stop_behind_a_call_in_an_earlier_chunk_is_a_call() -> None:
    events = events_of([stream(said({"functionCall": {"name": "f"}}), said({"text": ""}, reason="STOP"))])
    assert events[-1] == Stopped("tool_calls")


def test_usage_is_the_last_that_counts() -> None:
    first = {**said({"text": "a"}), "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 1}}
    last = {**said({"text": "b"}, reason="STOP"), "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 2}}
    empty = {"candidates": [], "usageMetadata": {"trafficType": "ON_DEMAND"}}
    *_, counted = events_of([stream(first, last, empty)])
    assert isinstance(counted, UsageCounted)
    assert counts(counted.usage) == (5, 2, 0, 0, 0)


def test_a_stream_that_does_not_say_why_it_ended_was_broken_off() -> None:
    for data in (stream(said({"text": "a"})), b""):
        last = events_of([data])[-1]
        assert isinstance(last, Failed)
        assert last.fault.status == 502


def test_an_error_amid_a_stream_may_stand_in_a_list() -> None:
    error = [{"error": {"code": 429, "message": "Slow down.", "status": "RESOURCE_EXHAUSTED"}}]
    events = events_of([stream(said({"text": "a"}), error, said({"text": "never"}))])
    assert events[-1] == Failed(Fault(429, "Slow down.", "RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED"))
    assert len([event for event in events if isinstance(event, TextDelta)]) == 1


def test_candidates_have_parts_of_their_own() -> None:
    data = stream(said({"text": "a"}), said({"text": "b"}, index=1, reason="STOP"), said({"text": "c"}, reason="STOP"))
    events = events_of([data])
    words = [(event.choice, event.index, event.text) for event in events if isinstance(event, TextDelta)]
    assert words == [(0, 0, "a"), (1, 0, "b"), (0, 0, "c")]
    assert [event.choice for event in events if isinstance(event, Stopped)] == [0, 1]


TALK: list[Event] = [
    Started("a1", "provider-model"),
    PartStarted(0, "thinking"),
    ThinkingDelta(0, "I th"),
    ThinkingDelta(0, "ink."),
    SignatureDelta(0, "sig", "anthropic"),
    PartEnded(0),
    PartStarted(1, "text"),
    TextDelta(1, 'Say "é"'),
    PartEnded(1),
    PartStarted(2, "tool_call", id="c1", name="f"),
    PartStarted(3, "tool_call", id="c2", name="g"),
    ArgumentsDelta(2, '{"a"'),
    ArgumentsDelta(2, ": 1}"),
    PartEnded(2),
    PartEnded(3),
    Stopped("tool_calls"),
    UsageCounted(Usage(5, 7)),
]


def test_each_message_of_a_stream_is_a_whole_response() -> None:
    writer = GeminiWriter(CURIOUS)
    messages = messages_of(writer.write(TALK) + writer.flush())
    assert all(message["responseId"] == "a1" and message["modelVersion"] == "provider-model" for message in messages)
    first, second, proof, *others = parts_of(messages)
    assert [first["text"], second["text"], proof["text"]] == ["I th", "ink.", ""]
    assert all(part["thought"] for part in (first, second, proof))
    assert others == [
        {"text": 'Say "é"'},
        {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}},
        {"functionCall": {"id": "c2", "name": "g", "args": {}}},
        {"text": ""},
    ]
    assert [message["candidates"][0].get("finishReason") for message in messages[-2:]] == [None, "STOP"]
    assert [message.get("usageMetadata", {}).get("totalTokenCount") for message in messages[-2:]] == [None, 12]


def test_a_caller_that_asked_for_no_thoughts_gets_those_it_must_send_back_and_gets_them_whole() -> None:
    unsigned: list[Event] = [PartStarted(4, "thinking"), ThinkingDelta(4, "secret"), PartEnded(4)]
    redacted: list[Event] = [PartStarted(5, "thinking", redacted="opaque", family="anthropic"), PartEnded(5)]
    writer = GeminiWriter(ASKED)
    messages = messages_of(writer.write([*TALK[:6], *unsigned, *redacted, Stopped("end")]) + writer.flush())
    signed, hidden, end = parts_of(messages)
    assert read_thought(signed["text"], signed["thoughtSignature"]) == Thinking("I think.", "sig", family="anthropic")
    assert read_thought(hidden["text"], hidden["thoughtSignature"]) == Thinking(redacted="opaque", family="anthropic")
    assert end == {"text": ""}


def test_a_stream_can_be_one_json_array() -> None:
    writer = GeminiWriter(ASKED, array=True)
    written = b"".join([writer.write([event]) for event in TALK]) + writer.flush()
    array = json.loads(written)
    sse = GeminiWriter(ASKED)
    assert array == messages_of(sse.write(TALK) + sse.flush())
    assert GeminiWriter(ASKED, array=True).flush() == b"[]"


@pytest.mark.parametrize("array", [False, True])
def test_a_stream_that_breaks_off_ends_in_an_error_and_not_in_an_answer(array: bool) -> None:
    writer = GeminiWriter(ASKED, array=array)
    written = (
        writer.write([*TALK[:9], Failed(Fault(503, "Gone.", code="upstream_reset", retry_after=2.0))]) + writer.flush()
    )
    messages = json.loads(written) if array else messages_of(written)
    assert messages[-1]["error"] == {
        "code": 503,
        "message": "Gone.",
        "status": "UNAVAILABLE",
        "details": [
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "UPSTREAM_RESET", "domain": "headgate"},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "2.000s"},
        ],
    }
    assert not any("finishReason" in candidate for message in messages for candidate in message.get("candidates", ()))


@pytest.mark.parametrize("stop", ["end", "length", "stop_sequence", "content_filter", "refusal", "pause", "error"])
def test_every_reason_to_stop_has_one_of_googles(stop: Stop) -> None:
    writer = GeminiWriter(ASKED)
    (message,) = messages_of(writer.write([Stopped(stop)]) + writer.flush())
    reason = message["candidates"][0]["finishReason"]
    wanted = {"end": "STOP", "length": "MAX_TOKENS", "stop_sequence": "STOP", "content_filter": "SAFETY"}
    assert reason == {**wanted, "refusal": "SAFETY"}.get(stop, "OTHER")


NO = Fault(400, "No.", "INVALID_ARGUMENT", "INVALID_ARGUMENT")
DENIED = Fault(403, "x", "PERMISSION_DENIED", "PERMISSION_DENIED")


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (
            429,
            (CASES / "error.answer.json").read_bytes(),
            Fault(
                429, "You exceeded your current quota.", "RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED", retry_after=34.0
            ),
        ),
        (
            400,
            b'[{"error":{"code":400,"message":"No.","status":"INVALID_ARGUMENT"}}]',
            NO,
        ),
        (502, b"<html>bad gateway</html>", Fault(502, "<html>bad gateway</html>")),
        (500, b"", Fault(500, "The provider failed and did not say why.")),
        (
            200,
            b'{"error":{"code":7,"message":"x","status":"PERMISSION_DENIED"}}',
            DENIED,
        ),
        (404, b'{"error":{"message":"x","details":[{"retryDelay":"soon"},5]}}', Fault(404, "x")),
    ],
)
def test_an_error_is_read_in_every_wrapping(status: int, body: bytes, fault: Fault) -> None:
    assert fault_of(status, body) == fault
