"""plane.dialects.anthropic_bedrock and anthropic_vertex: Claude at the clouds, by bytes that pass and by the hub."""

import base64
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from anthropic.lib.bedrock._stream_decoder import AWSEventStreamDecoder

from core.errors import ConfigError, GatewayError
from core.model import Config
from core.snapshot import build as snapshot_of
from plane.canonical import Carry, Failed, Message, Request, Text, TextDelta
from plane.compile import compile_snapshot
from plane.dialects import anthropic, anthropic_bedrock, anthropic_vertex, bedrock
from plane.dialects._anthropic_chunks import ChunkScan
from plane.dialects._bedrock_counting import countable
from plane.dialects.anthropic import MARKS, MAX_EVENT
from plane.gather import answer_of
from tests.plane.conftest import Starter
from tests.plane.rig import CallerEnd, Gateway, Peer, answer, body_of, one_model
from tests.plane.splits import splits
from tests.providers.claude_hosts import chunks
from tests.providers.event_stream import event, exception

GOLDEN = Path(__file__).parents[1] / "golden/dialects/anthropic"
STREAMS = sorted(GOLDEN.glob("*.stream"))
PROFILE = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
VERTEX = {"project": "acme", "location": "eu"}
BINARY = b"application/vnd.amazon.eventstream"
BODY = b'{"model":"m", "max_tokens":9,\n"messages": [ {"role":"user","content":"h\\u00fc"} ], "brand_new": [1.0, 1e3]}'
MESSAGES = b'[ {"role":"user","content":"h\\u00fc"} ]'
ANSWER = (
    b'{"id":"msg_1", "type":"message","content":[],'
    b'"usage":{"input_tokens":3,"cache_read_input_tokens":4,"output_tokens":5}}'
)


def config(dialect: str, options: dict[str, Any] | None = None, model: str = PROFILE) -> dict[str, Any]:
    """Return a config whose model is Claude at a cloud."""
    made = one_model()
    made["providers"]["p"] = {
        "dialect": dialect,
        "base_url": "http://p.test:9001",
        "credential": "env:KEY",
        "options": options or (VERTEX if dialect == "anthropic_vertex" else {}),
    }
    made["models"]["m"] = {"targets": [{"provider": "p", "model": model}]}
    return made


def asked(
    gateway: Gateway, body: bytes, path: str = "/v1/messages", fields: bytes = b""
) -> tuple[CallerEnd, Peer, bytes, bytes]:
    """Return the caller of one request, who is asked, and head and body that it got."""
    peer = gateway.upstreams[9001].connect()
    caller = gateway.caller()
    caller.ask(path, body, fields=fields)
    head, _, sent = peer.take().partition(b"\r\n\r\n")
    return caller, peer, head, sent


# --- callers of Anthropic's dialect: values pass as they are


def test_bedrock_is_asked_with_its_version_in_the_body_and_the_model_in_the_path(start: Starter) -> None:
    gateway = start(config("anthropic_bedrock"))
    caller, peer, head, sent = asked(gateway, BODY)
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /model/eu.anthropic.claude-sonnet-4-5-20250929-v1%3A0/invoke HTTP/1.1"
    assert b"authorization: Bearer sk-vendor" in lines
    assert not any(line.lower().startswith((b"x-api-key", b"anthropic-")) for line in lines)
    assert sent == (
        b'{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":%b,"brand_new":[1.0, 1e3]}' % MESSAGES
    )
    peer.say(answer(ANSWER))
    assert body_of(caller.take()) == ANSWER
    [entry] = gateway.events()
    assert (entry.input_total, entry.cache_read, entry.output_total) == (7, 4, 5)


@pytest.mark.parametrize("stream", [False, True])
def test_vertex_is_asked_with_its_version_in_the_body_and_the_model_in_the_path(stream: bool, start: Starter) -> None:
    gateway = start(config("anthropic_vertex", model="claude-sonnet-4-5@20250929"))
    said = BODY[:-1] + (b',"stream":true}' if stream else b"}")
    _, _, head, sent = asked(gateway, said)
    lines = head.split(b"\r\n")
    method = b"streamRawPredict" if stream else b"rawPredict"
    where = b"/v1/projects/acme/locations/eu/publishers/anthropic/models/claude-sonnet-4-5@20250929:"
    assert lines[0] == b"POST %b%b HTTP/1.1" % (where, method)
    assert b"authorization: Bearer sk-vendor" in lines
    assert sent == (
        b'{"anthropic_version":"vertex-2023-10-16","max_tokens":9,"messages":%b,"brand_new":[1.0, 1e3]%b}'
        % (MESSAGES, b',"stream":true' if stream else b"")
    )


def test_a_version_that_the_caller_names_stays(start: Starter) -> None:
    _, _, _, sent = asked(start(config("anthropic_bedrock")), BODY[:-1] + b',"anthropic_version":"bedrock-next"}')
    assert json.loads(sent)["anthropic_version"] == "bedrock-next"


@pytest.mark.parametrize(
    ("options", "betas"), [({}, ["one", "two", "three"]), ({"betas": "two, four"}, ["two"]), ({"betas": ""}, None)]
)
def test_betas_go_to_bedrock_in_the_body_as_far_as_it_knows_them(
    options: dict[str, Any], betas: list[str] | None, start: Starter
) -> None:
    head = b"Anthropic-Beta: one, two,three\r\nanthropic-user-profile-id: u1\r\n"
    _, _, _, sent = asked(start(config("anthropic_bedrock", options)), BODY, fields=head)
    body = json.loads(sent)
    assert (body.get("anthropic_beta"), body["user_profile_id"]) == (betas, "u1")


def test_betas_go_to_vertex_in_the_head(start: Starter) -> None:
    _, _, head, sent = asked(start(config("anthropic_vertex")), BODY, fields=b"anthropic-beta: one\r\n")
    assert b"anthropic-beta: one" in head.split(b"\r\n")
    assert b"anthropic_beta" not in sent


def test_a_stream_of_bedrock_comes_as_anthropics_events_with_its_usage(start: Starter) -> None:
    gateway = start(config("anthropic_bedrock"))
    events = (GOLDEN / "usage.stream").read_bytes()
    caller, peer, head, sent = asked(gateway, BODY[:-1] + b',"stream":true}')
    assert b"/invoke-with-response-stream HTTP/1.1" in head.split(b"\r\n")[0]
    assert b"stream" not in sent
    peer.say(answer(chunks(events), kind=BINARY))
    raw = caller.take()
    assert b"content-type: text/event-stream\r\n" in raw.lower()
    assert BINARY not in raw
    assert body_of(raw) == events
    native = start(config("anthropic"))
    caller, peer, _, _ = asked(native, BODY[:-1] + b',"stream":true}')
    peer.say(answer(events, kind=b"text/event-stream"))
    caller.take()
    [entry], [other] = gateway.events(), native.events()
    assert entry.input_total > 0
    counted = ("input_total", "cache_read", "output_total")
    assert [getattr(entry, name) for name in counted] == [getattr(other, name) for name in counted]


@pytest.mark.parametrize("dialect", ["anthropic_bedrock", "anthropic_vertex"])
def test_an_error_of_the_cloud_is_told_in_anthropics_words(dialect: str, start: Starter) -> None:
    caller, peer, _, _ = asked(start(config(dialect)), BODY)
    told = {
        "anthropic_bedrock": b'{"message":"Too many tokens, sk-vendor."}',
        "anthropic_vertex": b'[{"error":{"code":429,"message":"Too many tokens, sk-vendor.","status":"BUSY"}}]',
    }[dialect]
    peer.say(answer(told, status=b"429 Too Many Requests", fields=b"retry-after: 7\r\n"))
    raw = caller.take()
    assert raw.startswith(b"HTTP/1.1 429 ")
    assert b"retry-after: 7\r\n" in raw
    said = json.loads(body_of(raw))
    assert (said["type"], said["error"]["type"]) == ("error", "rate_limit_error")
    assert said["error"]["message"].startswith("Too many tokens")
    assert b"sk-vendor" not in raw


def test_an_error_of_claude_s_on_vertex_is_told_with_its_message(start: Starter) -> None:
    caller, peer, _, _ = asked(start(config("anthropic_vertex")), BODY)
    told = b'{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: too many"}}'
    peer.say(answer(told, status=b"400 Bad Request"))
    said = json.loads(body_of(caller.take()))
    assert said["error"] == {"type": "invalid_request_error", "message": "max_tokens: too many"}


def test_an_exception_at_the_start_of_a_stream_is_a_true_error(start: Starter) -> None:
    caller, peer, _, _ = asked(start(config("anthropic_bedrock")), BODY[:-1] + b',"stream":true}')
    peer.say(answer(exception("throttlingException", {"message": "Too fast."}), kind=BINARY))
    raw = caller.take()
    assert raw.startswith(b"HTTP/1.1 429 ")
    assert json.loads(body_of(raw))["error"]["message"] == "Too fast."


# --- the stream


def scanned(pieces: list[bytes]) -> tuple[bytes, ChunkScan]:
    scan = ChunkScan(MAX_EVENT, MARKS)
    return b"".join([scan.feed(piece) for piece in pieces]) + scan.flush(), scan


@pytest.mark.parametrize("path", STREAMS, ids=[path.stem for path in STREAMS])
def test_a_wrapped_stream_is_anthropics_own_under_any_split(path: Path) -> None:
    events = path.read_bytes()
    wrapped = chunks(events)
    told = [(one.event, one.data) for one in AWSEventStreamDecoder().iter_bytes(iter([wrapped]))]
    assert [line[6:] for line in events.decode().split("\n") if line.startswith("data: ")] == [data for _, data in told]
    wanted = "".join(f"event: {name}\ndata: {data}\n\n" for name, data in told).encode()
    for pieces in splits(wrapped):
        assert scanned(pieces)[0] == wanted


@pytest.mark.parametrize("path", STREAMS, ids=[path.stem for path in STREAMS])
def test_the_hub_hears_the_same_from_bedrock_as_from_anthropic(path: Path) -> None:
    native = anthropic.build(anthropic.Options()).translators["chat"].event_reader(Carry("m"))
    hosted = anthropic_bedrock.build(anthropic_bedrock.Options()).translators["chat"].event_reader(Carry("m"))
    events = path.read_bytes()
    assert repr(hosted.feed(chunks(events)) + hosted.flush()) == repr(native.feed(events) + native.flush())
    assert repr(hosted.usage) == repr(native.usage)


@pytest.mark.parametrize(
    ("ending", "kind", "message"),
    [
        (exception("throttlingException", {"message": "Too fast."}), "rate_limit_error", "Too fast."),
        (exception("modelStreamErrorException", {"originalMessage": "Broke."}), "api_error", "Broke."),
        (event("chunk", {"bytes": "no base64!"}), "api_error", "not valid"),
        (event("chunk", {"bytes": base64.b64encode(b"[]").decode()}), "api_error", "not valid"),
        (b"\0" * 16, "api_error", "is bad"),
        (event("chunk", {"bytes": ""})[:-3], "api_error", "cut off"),
    ],
)
def test_a_stream_that_fails_ends_in_an_error_event(ending: bytes, kind: str, message: str) -> None:
    begun = chunks(b"".join((GOLDEN / "plain.stream").read_bytes().split(b"\n\n")[0:1]) + b"\n\n")
    for pieces in splits(begun + ending):
        out, scan = scanned(pieces)
        last = json.loads(out.rstrip().rpartition(b"data: ")[2])
        assert (last["type"], last["error"]["type"], scan.error) == ("error", kind, True)
        assert message in last["error"]["message"]
    reader = anthropic_bedrock.build(anthropic_bedrock.Options()).translators["chat"].event_reader(Carry("m"))
    found = reader.feed(begun + ending) + reader.flush()
    assert isinstance(found[-1], Failed)
    assert message in found[-1].fault.message


def test_nothing_comes_out_after_an_error() -> None:
    out, _ = scanned(
        [exception("throttlingException", {"message": "No."}) + chunks((GOLDEN / "plain.stream").read_bytes())]
    )
    assert out.count(b"event: ") == 1


def test_an_event_with_line_ends_in_its_json_is_one_line() -> None:
    text = b'{\n  "type": "ping",\r\n  "x": "a\\nb"\n}'
    out, _ = scanned([event("chunk", {"bytes": base64.b64encode(text).decode()})])
    assert out == b'event: ping\ndata: {"type":"ping","x":"a\\nb"}\n\n'


# --- callers of other dialects, by the hub


@pytest.mark.parametrize(
    ("built", "version", "streams"),
    [
        (anthropic_bedrock.build(anthropic_bedrock.Options()), "bedrock-2023-05-31", False),
        (anthropic_vertex.build(anthropic_vertex.Options(**VERTEX)), "vertex-2023-10-16", True),
    ],
)
def test_a_translated_call_is_anthropics_but_for_version_and_model(built: Any, version: str, streams: bool) -> None:
    request = Request("m", [Message("user", [Text("hi")])], max_tokens=9, stream=True)
    native = json.loads(anthropic.build(anthropic.Options()).translators["chat"].write_request(request, Carry("c")))
    sent = json.loads(built.translators["chat"].write_request(request, Carry("c")))
    del native["model"]
    if not streams:
        del native["stream"]
    assert sent == {"anthropic_version": version, **native}


def test_a_translated_stream_of_bedrock_reaches_a_caller_of_openais() -> None:
    reader = anthropic_bedrock.build(anthropic_bedrock.Options()).translators["chat"].event_reader(Carry("m"))
    events = reader.feed(chunks((GOLDEN / "plain.stream").read_bytes())) + reader.flush()
    said = "".join(one.text for one in events if isinstance(one, TextDelta))
    (choice,) = answer_of(events).choices
    assert said
    assert choice.parts == [Text(said)]


# --- counting


@pytest.mark.parametrize(
    ("model", "known"),
    [
        ("anthropic.claude-opus-4-1-20250805-v1:0", "anthropic.claude-opus-4-1-20250805-v1:0"),
        (PROFILE, "anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("arn:aws:bedrock:eu-west-1:1:inference-profile/eu.anthropic.claude-opus-5", "anthropic.claude-opus-5"),
        ("arn:aws:bedrock:eu-west-1:1:application-inference-profile/a1b2", ""),
        ("amazon.nova-pro-v1:0", ""),
        ("notanthropic.claude", ""),
    ],
)
def test_models_are_counted_by_their_own_ids(model: str, known: str) -> None:
    assert countable(model) == known


COUNTED = b'{"model":"m","system":"Be brief.","messages":[{"role":"user","content":"hi"}],"tools":[]}'


@pytest.mark.parametrize("dialect", ["anthropic_bedrock", "bedrock"])
def test_bedrock_counts_tokens(dialect: str, start: Starter) -> None:
    gateway = start(config(dialect))
    caller, peer, head, sent = asked(gateway, COUNTED, "/v1/messages/count_tokens")
    assert head.split(b"\r\n")[0] == b"POST /model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/count-tokens HTTP/1.1"
    wrapped = json.loads(sent)["input"]
    if dialect == "bedrock":
        assert wrapped == {
            "converse": {"messages": [{"role": "user", "content": [{"text": "hi"}]}], "system": [{"text": "Be brief."}]}
        }
    else:
        body = json.loads(base64.b64decode(wrapped["invokeModel"]["body"]))
        assert body == {
            "anthropic_version": "bedrock-2023-05-31",
            "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
            "system": "Be brief.",
            "max_tokens": 4096,
        }
    peer.say(answer(b'{"inputTokens":17}'))
    raw = caller.take()
    assert body_of(raw) == b'{"input_tokens":17}'
    assert b"x-headgate-estimate" not in raw


@pytest.mark.parametrize("dialect", ["anthropic_bedrock", "bedrock"])
def test_what_bedrock_cannot_count_is_estimated(dialect: str, start: Starter) -> None:
    gateway = start(config(dialect, model="amazon.nova-pro-v1:0"))
    caller = gateway.caller()
    caller.ask("/v1/messages/count_tokens", COUNTED)
    assert b"x-headgate-estimate: true" in caller.take()


def test_how_an_answer_is_to_be_made_does_not_keep_a_request_from_being_counted() -> None:
    request = Request("m", [Message("user", [Text("hi")])], seed=1, n=3, stop=["x"], temperature=2.0, stream=True)
    for built in (bedrock.build(bedrock.Options()), anthropic_bedrock.build(anthropic_bedrock.Options())):
        carry = Carry(PROFILE)
        built.translators["count_tokens"].write_request(request, carry)
        assert carry.names == []


def test_an_answer_without_a_number_is_the_provider_s_fault() -> None:
    for built in (bedrock.build(bedrock.Options()), anthropic_bedrock.build(anthropic_bedrock.Options())):
        with pytest.raises(GatewayError) as caught:
            built.translators["count_tokens"].read_answer(b'{"tokens":1}', Carry())
        assert caught.value.code == "upstream_bad_answer"


def test_vertex_counts_tokens_with_the_model_in_the_body(start: Starter) -> None:
    gateway = start(config("anthropic_vertex", model="claude-opus-5"))
    caller, peer, head, sent = asked(gateway, COUNTED, "/v1/messages/count_tokens")
    where = b"/v1/projects/acme/locations/eu/publishers/anthropic/models/count-tokens:rawPredict"
    assert head.split(b"\r\n")[0] == b"POST %b HTTP/1.1" % where
    assert json.loads(sent) == {
        "anthropic_version": "vertex-2023-10-16",
        **json.loads(COUNTED),
        "model": "claude-opus-5",
    }
    peer.say(answer(b'{"input_tokens":17}'))
    assert body_of(caller.take()) == b'{"input_tokens":17}'


# --- config


@pytest.mark.parametrize(
    ("dialect", "options", "problem"),
    [
        ("anthropic_vertex", {"location": "eu"}, "options.project"),
        ("anthropic_bedrock", {"auth": "sigv4"}, "'region' is missing"),
        ("anthropic_bedrock", {"region": "EU"}, "small letters"),
    ],
)
def test_options_that_do_not_go_together_are_told(dialect: str, options: dict[str, Any], problem: str) -> None:
    snapshot = snapshot_of(msgspec.convert(config(dialect, options), Config), 1)
    with pytest.raises(ConfigError) as caught:
        compile_snapshot(snapshot, None)
    assert problem in str(caught.value)
