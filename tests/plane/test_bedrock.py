"""plane.dialects.bedrock: errors, paths, and answers whole and streamed, as botocore reads them."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from botocore.exceptions import EventStreamError
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ConfigError, GatewayError
from core.model import Config
from core.sigv4 import Signer, parse_credential
from core.snapshot import build as snapshot_of
from plane.canonical import (
    Answer,
    ArgumentsDelta,
    Carry,
    Choice,
    Event,
    Failed,
    Fault,
    PartEnded,
    PartStarted,
    SignatureDelta,
    Started,
    Stopped,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    UsageCounted,
)
from plane.compile import compile_snapshot
from plane.dialects._bedrock_events import Reader
from plane.dialects.bedrock import CONVERSE, Bedrock, Options, build
from tests.golden.bedrock import BROKEN, CASES, FOLDER, MODEL, files
from tests.plane import converse
from tests.plane.splits import splits
from tests.providers.bedrock import converse as answered
from tests.providers.bedrock import converse_stream
from tests.providers.event_stream import event, exception, fault, message

BEDROCK = build(Options())
CHAT = BEDROCK.translators["chat"]
COUNTED = ("input_total", "output_total", "cache_read", "cache_write_5m", "cache_write_1h", "service_tier")
COUNTS = {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}


def read(pieces: list[bytes], carry: Carry | None = None) -> list[Event]:
    reader = CHAT.event_reader(carry or Carry(MODEL))
    return [found for piece in pieces for found in reader.feed(piece)] + reader.flush()


def put_together(events: list[Event], model: str) -> Answer:
    """Return the answer that a stream tells, once its events are found to be in order."""
    parts: list[Any] = []
    open_parts: set[int] = set()
    choice = Choice(parts)
    usage = None
    assert isinstance(events[0], Started)
    for number, one in enumerate(events[1:], 2):
        match one:
            case PartStarted():
                assert one.index == len(parts), "parts are counted without gaps"
                assert all(isinstance(parts[other], ToolCall) for other in open_parts), "only calls may stay open"
                open_parts.add(one.index)
                if one.kind == "tool_call":
                    parts.append(ToolCall(one.id, one.name, ""))
                elif one.kind == "thinking":
                    parts.append(Thinking(redacted=one.redacted, family="bedrock"))
                else:
                    parts.append(Text(""))
            case TextDelta() | ThinkingDelta():
                assert one.index in open_parts
                parts[one.index].text += one.text
            case ArgumentsDelta():
                assert one.index in open_parts
                parts[one.index].arguments += one.text
            case SignatureDelta():
                assert one.index in open_parts
                parts[one.index].signature = one.signature
            case PartEnded():
                open_parts.remove(one.index)
            case Stopped():
                assert not open_parts
                choice.stop, choice.stop_sequence = one.stop, one.stop_sequence
            case UsageCounted():
                assert number == len(events), "nothing comes after the usage"
                usage = one.usage
    for part in parts:
        if isinstance(part, ToolCall):
            part.arguments = part.arguments or "{}"
    return Answer(model, [choice], usage=usage, service_tier=usage.service_tier if usage else "")


def plain(value: Any) -> Any:
    """Return an answer as values that compare."""
    made = msgspec.to_builtins(value, enc_hook=lambda usage: {name: getattr(usage, name) for name in COUNTED})
    for choice in made["choices"]:
        for part in choice["parts"]:
            if "arguments" in part:
                part["arguments"] = json.loads(part["arguments"])
    return made


def golden(name: str) -> bytes:
    return (FOLDER / name).read_bytes()


def test_the_kept_files_are_what_is_written_and_sent() -> None:
    assert files() == {path.name: path.read_bytes() for path in Path(FOLDER).iterdir()}


@pytest.mark.parametrize("case", CASES)
def test_a_request_is_one_to_botocore_s_model(case: str) -> None:
    assert converse.problems(json.loads(golden(f"{case}.request.json"))) == ""


@pytest.mark.parametrize("case", CASES)
def test_an_answer_and_its_stream_are_ones_to_botocore(case: str) -> None:
    found = converse.parsed(golden(f"{case}.answer.json"))
    events = converse.events(golden(f"{case}.stream"))
    assert (
        found["stopReason"]
        == CASES[case].stop
        == next(e["messageStop"] for e in events if "messageStop" in e)["stopReason"]
    )
    assert found["usage"] == events[-1]["metadata"]["usage"]
    assert len(found["output"]["message"]["content"]) == len(CASES[case].blocks)


@pytest.mark.parametrize("case", CASES)
def test_an_answer_and_its_stream_say_the_same_however_it_is_cut(case: str) -> None:
    answer = CHAT.read_answer(golden(f"{case}.answer.json"), Carry(MODEL))
    for pieces in splits(golden(f"{case}.stream")):
        assert plain(put_together(read(pieces), MODEL)) == plain(answer)


def test_the_parts_of_an_answer() -> None:
    answer = CHAT.read_answer(golden("tools.answer.json"), Carry(MODEL))
    words, call = answer.choices[0].parts
    assert (answer.model, answer.choices[0].stop, words) == (MODEL, "tool_calls", Text("I'll look."))
    assert isinstance(call, ToolCall)
    assert (call.id, call.name, json.loads(call.arguments)) == ("tooluse_1aB", "get_weather", {"city": "Paris"})
    thought = CHAT.read_answer(golden("thinking.answer.json"), Carry(MODEL)).choices[0].parts[0]
    assert isinstance(thought, Thinking)
    assert (thought.text, thought.family, bool(thought.signature)) == ("27 * 43 = 1161.", "bedrock", True)
    opaque = CHAT.read_answer(golden("thinking_tools.answer.json"), Carry(MODEL)).choices[0].parts[0]
    assert opaque == Thinking(redacted="b3BhcXVl", family="bedrock")


@pytest.mark.parametrize(
    ("said", "stop"),
    [
        ("end_turn", "end"),
        ("tool_use", "tool_calls"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("stop_sequence", "stop_sequence"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("malformed_model_output", "error"),
        ("malformed_tool_use", "error"),
        ("something_new", "end"),
    ],
)
def test_why_the_model_stopped(said: str, stop: str) -> None:
    body = json.dumps(answered([{"text": "x"}], said, COUNTS)).encode()
    assert CHAT.read_answer(body, Carry(MODEL)).choices[0].stop == stop
    assert Stopped(stop) in read([converse_stream([{"text": "x"}], said, COUNTS)])  # type: ignore[arg-type]


def test_the_stop_sequence_that_was_met_is_told() -> None:
    assert CHAT.read_answer(golden("stop.answer.json"), Carry(MODEL)).choices[0].stop_sequence == "5"


def test_usage_counts_the_cache_with_the_input_and_splits_what_was_written() -> None:
    usage = CHAT.read_answer(golden("usage.answer.json"), Carry(MODEL)).usage
    assert usage is not None
    assert (usage.input_total, usage.input_uncached, usage.cache_read) == (1307, 7, 1000)
    assert (usage.cache_write_1h, usage.cache_write_5m, usage.output_total, usage.service_tier) == (
        200,
        100,
        5,
        "default",
    )


def test_a_stream_has_its_usage_after_the_model_has_stopped() -> None:
    reader = CHAT.event_reader(Carry(MODEL))
    data = golden("plain.stream")
    metadata = data.rindex(b":event-type\x07\x00\x08metadata") - 13
    assert isinstance(reader.feed(data[:metadata])[-1], Stopped)
    assert reader.usage is None
    [counted] = reader.feed(data[metadata:])
    assert isinstance(counted, UsageCounted)
    assert reader.usage is counted.usage
    assert reader.flush() == []


def test_a_stream_whose_usage_is_missing_ends_all_the_same() -> None:
    data = golden("plain.stream")
    events = read([data[: data.rindex(b":event-type\x07\x00\x08metadata") - 13]])
    assert isinstance(events[-1], Stopped)


@pytest.mark.parametrize(
    ("sent", "status", "kind"),
    [
        (exception("internalServerException", {"message": "m"}), 500, "internalServerException"),
        (exception("modelStreamErrorException", {"originalMessage": "m", "originalStatusCode": 500}), 502, None),
        (exception("throttlingException", {"message": "m"}), 429, "throttlingException"),
        (exception("validationException", {"message": "m"}), 400, "validationException"),
        (exception("serviceUnavailableException", {"message": "m"}), 503, "serviceUnavailableException"),
        (fault("InternalFailure", "m"), 500, "InternalFailure"),
    ],
)
def test_an_exception_ends_the_stream_under_every_split(sent: bytes, status: int, kind: str | None) -> None:
    data = BROKEN[: BROKEN.index(b":exception-type") - 13] + sent
    with pytest.raises(EventStreamError):
        converse.events(data)
    for pieces in splits(data):
        *before, failed = read(pieces)
        assert before[-2:] == [TextDelta(0, "Hel"), PartEnded(0)]
        assert isinstance(failed, Failed)
        assert (failed.fault.status, failed.fault.message) == (status, "m")
        assert kind is None or failed.fault.kind == kind


def test_a_stream_that_breaks_off_fails_wherever_it_does() -> None:
    data = golden("thinking.stream")
    stop = data.rindex(b":event-type\x07\x00\x08metadata") - 13
    for cut in range(stop):
        last = read([data[:cut]])[-1]
        assert isinstance(last, Failed)
        assert (last.fault.status, last.fault.code) == (502, "upstream_bad_answer")


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP is not it",
        event("contentBlockDelta", {"contentBlockIndex": "0", "delta": {"text": "x"}}),
        event("contentBlockDelta", {"delta": {"text": "x"}}),
        message(b"\x0d:message-type\x07\x00\x05event\x0b:event-type\x07\x00\x0bmessageStop", b"{"),
    ],
)
def test_what_is_no_stream_of_converse_fails_after_what_was_good(sent: bytes) -> None:
    good = event("messageStart", {"role": "assistant"}) + event(
        "contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "x"}}
    )
    for pieces in splits(good + sent):
        events = read(pieces)
        assert TextDelta(0, "x") in events
        assert isinstance(events[-1], Failed)
        assert (events[-1].fault.status, events[-1].fault.code) == (502, "upstream_bad_answer")


def test_what_the_hub_has_no_word_for_is_passed_over() -> None:
    data = b"".join(
        [
            event("messageStart", {"role": "assistant"}),
            event(
                "contentBlockStart",
                {
                    "contentBlockIndex": 0,
                    "start": {"toolUse": {"toolUseId": "s", "name": "nova_grounding", "type": "server_tool_use"}},
                },
            ),
            event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"toolUse": {"input": "{}"}}}),
            event("contentBlockStop", {"contentBlockIndex": 0}),
            event("contentBlockDelta", {"contentBlockIndex": 3, "delta": {"text": "x"}}),
            event("contentBlockDelta", {"contentBlockIndex": 3, "delta": {"citation": {"title": "t"}}}),
            event("somethingNew", {"a": 1}),
            event("messageStop", {"stopReason": "end_turn"}),
            event("metadata", {"usage": COUNTS, "metrics": {"latencyMs": 1}}),
        ]
    )
    assert put_together(read([data]), MODEL).choices == [Choice([Text("x")])]
    blocks = [
        {"toolUse": {"toolUseId": "s", "name": "nova_grounding", "input": {}, "type": "server_tool_use"}},
        {"citationsContent": {"content": [{"text": "x"}], "citations": [{"title": "t"}]}},
        {"video": {"format": "mp4"}},
    ]
    body = json.dumps(answered(blocks, "end_turn", COUNTS)).encode()
    assert CHAT.read_answer(body, Carry(MODEL)).choices == [Choice([Text("x")])]


def test_names_of_tools_come_back_as_they_were_meant() -> None:
    carry = Carry(MODEL)
    carry.tool_names["a_b"] = "a.b"
    call = {"toolUse": {"toolUseId": "i", "name": "a_b", "input": {}}}
    body = json.dumps(answered([call], "tool_use", COUNTS)).encode()
    assert CHAT.read_answer(body, carry).choices[0].parts == [ToolCall("i", "a.b", "{}")]
    stream = read([converse_stream([call], "tool_use", COUNTS)], carry)
    assert PartStarted(0, "tool_call", id="i", name="a.b") in stream


blocks = st.one_of(
    st.builds(lambda text: {"text": text}, st.text(min_size=2)),
    st.builds(
        lambda text, proof: {"reasoningContent": {"reasoningText": {"text": text, "signature": proof}}},
        st.text(min_size=2),
        st.text("abc=", min_size=1),
    ),
    st.just({"reasoningContent": {"redactedContent": "b3BhcXVl"}}),
    st.builds(
        lambda name, given: {"toolUse": {"toolUseId": f"t{name}", "name": name, "input": given}},
        st.text("abc_-", min_size=1, max_size=9),
        st.dictionaries(st.text(), st.one_of(st.none(), st.integers(-(2**53), 2**53), st.text(), st.lists(st.text()))),
    ),
)


@given(st.lists(blocks, max_size=6), st.lists(st.integers(0, 5000), max_size=6))
def test_any_answer_is_the_same_streamed(said: list[dict[str, Any]], cuts: list[int]) -> None:
    data = converse_stream(said, "end_turn", COUNTS)
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    events = read([data[start:end] for start, end in pairwise(places)])
    answer = CHAT.read_answer(json.dumps(answered(said, "end_turn", COUNTS)).encode(), Carry(MODEL))
    assert plain(put_together(events, MODEL)) == plain(answer)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"output":{}}', b'{"output":{"message":{"content":1}}}', b"\xff"]
)
def test_what_is_no_answer_is_a_bad_one(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        CHAT.read_answer(body, Carry(MODEL))
    assert (caught.value.status, caught.value.code) == (502, "upstream_bad_answer")


@pytest.mark.parametrize(
    ("status", "kind", "meant"),
    [
        (429, "ThrottlingException", 429),
        (408, "ModelTimeoutException", 408),
        (429, "ModelNotReadyException", 429),
        (503, "ServiceUnavailableException", 503),
        (400, "ValidationException", 400),
        (403, "AccessDeniedException", 403),
        (424, "ModelErrorException", 502),
        (400, "ServiceQuotaExceededException", 429),
        (404, "ResourceNotFoundException", 404),
        (500, "InternalServerException", 500),
        (403, "UnrecognizedClientException", 403),
        (418, "", 418),
    ],
)
def test_an_error_is_known_by_its_type(status: int, kind: str, meant: int) -> None:
    fields = [(b"x-amzn-ErrorType", f"{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/".encode())]
    read_fault = BEDROCK.read_fault(status, fields, b'{"message":"Why."}')
    assert read_fault == Fault(meant, "Why.", kind)


def test_an_error_is_read_in_each_form_that_aws_has() -> None:
    assert BEDROCK.read_fault(400, [], b'{"Message":"Why."}') == Fault(400, "Why.")
    typed = b'{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"Why."}'
    assert BEDROCK.read_fault(403, [], typed) == Fault(403, "Why.", "AccessDeniedException")
    waits = BEDROCK.read_fault(429, [(b"Retry-After", b"3"), (b"X-Amzn-Errortype", b"ThrottlingException")], b"{}")
    assert (waits.retry_after, waits.kind, bool(waits.message)) == (3.0, "ThrottlingException", True)
    assert BEDROCK.read_fault(502, [], b"<html>Bad gateway</html>").message == "<html>Bad gateway</html>"
    assert BEDROCK.read_fault(502, [], b"\xff\xfe" * 5000).status == 502


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("anthropic.claude-3-haiku-20240307-v1:0", "/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse"),
        (
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-pro-v1:0",
            "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.amazon.nova-pro-v1%3A0/converse",
        ),
    ],
)
def test_a_model_is_one_encoded_segment_of_the_path(model: str, path: str) -> None:
    assert BEDROCK.path(CONVERSE, model, False) == path
    assert BEDROCK.path(CONVERSE, model, True) == path + "-stream"


def test_an_api_key_is_a_bearer_token() -> None:
    assert not BEDROCK.signs
    assert BEDROCK.credential_line("bedrock-api-key-x") == b"authorization: Bearer bedrock-api-key-x\r\n"


def test_a_signature_is_of_this_moment_the_host_dialled_and_the_exact_body(monkeypatch: pytest.MonkeyPatch) -> None:
    dialect = build(Options(auth="sigv4", region="us-east-1"))
    monkeypatch.setattr("plane.dialects._bedrock_access.time", lambda: 1_700_000_000.9)
    assert dialect.signs
    lines = dialect.sign(b"POST", b"vpce-1:8443", b"/model/m%3A0/converse", b"{}", "AKID:secret:token")
    fields = {"content-type": "application/json", "host": "vpce-1:8443"}
    key = parse_credential("AKID:secret:token")
    expected = Signer("us-east-1", "bedrock").sign(key, "POST", "/model/m%3A0/converse", fields, b"{}", 1_700_000_000)
    assert lines == expected


def test_signatures_need_a_region() -> None:
    with pytest.raises(ValueError, match="region"):
        build(Options(auth="sigv4"))


@pytest.mark.parametrize("more", [{"region": "us east"}, {"region": "US-EAST-1"}, {"region": "r", "service": "a/b"}])
def test_what_cannot_stand_in_a_signature_s_scope_is_refused(more: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="small letters"):
        build(Options(auth="sigv4", **more))


def test_a_credential_that_cannot_sign_is_a_problem_of_the_config_that_does_not_tell_it() -> None:
    provider = {
        "dialect": "bedrock",
        "base_url": "https://bedrock-runtime.us-east-1.amazonaws.com",
        "credential": "env:KEY",
        "options": {"auth": "sigv4", "region": "us-east-1"},
    }
    snapshot = snapshot_of(msgspec.convert({"providers": {"p": provider}}, Config), 1)
    assert compile_snapshot(snapshot, {"env:KEY": "AKID:secret"})
    assert compile_snapshot(snapshot, None), "a proof has no secret at hand"
    with pytest.raises(ConfigError) as caught:
        compile_snapshot(snapshot, {"env:KEY": "hush"})
    [problem] = caught.value.problems
    assert problem.startswith("providers.p.credential: ")
    assert "hush" not in problem


def test_callers_do_not_speak_it() -> None:
    assert Bedrock.prefixes == ()
    assert not hasattr(CHAT, "read_request")
    assert isinstance(CHAT.event_reader(Carry()), Reader)
