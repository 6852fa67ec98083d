"""The pipeline where caller and provider speak different dialects: requests, answers, streams, errors, drops."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from plane.canonical import Carry, Request
from plane.dialects._openai_chat import OpenAIChat
from plane.dialects.anthropic import Anthropic, Options
from plane.translate import TranslatedStream
from tests.plane.conftest import Starter
from tests.plane.rig import CallerEnd, Gateway, Peer, answer, body_of, consumer
from tests.plane.splits import splits

SSE = b"text/event-stream"
ASK = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "real",
    "content": [{"type": "text", "text": "Hello."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "cache_read_input_tokens": 10, "output_tokens": 5},
}
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "real",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 13, "completion_tokens": 5, "total_tokens": 18},
}


def event(kind: str, **members: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, **members}).encode())


STREAM = (
    event("message_start", message={**MESSAGE, "content": [], "stop_reason": None})
    + event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    + event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hello."})
    + event("content_block_stop", index=0)
    + event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 5})
    + event("message_stop")
)


def config(**model: Any) -> dict[str, Any]:
    """Return a config with the model ``m`` at an Anthropic provider on port 9001, and ``o`` at OpenAI's on 9002."""
    return {
        "providers": {
            "claude": {"dialect": "anthropic", "base_url": "http://a.test:9001", "credential": "env:KEY"},
            "gpt": {"dialect": "openai", "base_url": "http://o.test:9002/v1", "credential": "env:KEY"},
        },
        "models": {
            "m": {"targets": [{"provider": "claude", "model": "real"}], **model},
            "o": {"targets": [{"provider": "gpt", "model": "real"}]},
        },
        "consumers": {"c": consumer()},
    }


def asked(gateway: Gateway, ask: dict[str, Any], port: int = 9001, path: str = "/v1/chat/completions") -> Any:
    """Return a caller who has asked, and the upstream that has got the call."""
    peer = gateway.upstreams[port].connect()
    caller = gateway.caller()
    caller.ask(path, json.dumps(ask).encode())
    return caller, peer


def request_of(peer: Peer) -> tuple[list[bytes], Any]:
    head, _, body = peer.take().partition(b"\r\n\r\n")
    return head.split(b"\r\n"), json.loads(body)


def told(caller: CallerEnd) -> tuple[int, dict[str, str], Any]:
    raw = caller.take()
    head = raw.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    fields = dict(line.split(": ", 1) for line in head[1:])
    body = body_of(raw)
    is_json = fields["content-type"] == "application/json"
    return int(head[0].split()[1]), fields, json.loads(body) if is_json else body


def test_a_provider_of_another_dialect_is_asked_and_answers_in_the_caller_s(start: Starter) -> None:
    gateway = start(config())
    caller, peer = asked(gateway, ASK)
    head, body = request_of(peer)
    assert head[0] == b"POST /v1/messages HTTP/1.1"
    assert {b"x-api-key: sk-vendor", b"anthropic-version: 2023-06-01", b"host: a.test:9001"} <= set(head)
    assert body["model"] == "real"
    assert body["max_tokens"] == 4096
    peer.say(answer(json.dumps(MESSAGE).encode()))
    status, fields, said = told(caller)
    assert (status, fields["content-type"], fields["x-headgate-target"]) == (200, "application/json", "claude/real")
    assert said["choices"][0]["message"]["content"] == "Hello."
    assert said["usage"]["prompt_tokens"] == 13
    (record,) = gateway.events()
    assert (record.input_total, record.output_total) == (13, 5)
    assert gateway.is_at_rest()


def test_a_stream_is_translated_under_every_split(start: Starter) -> None:
    gateway = start(config())
    bodies = set()
    for pieces in list(splits(STREAM))[::7]:
        caller, peer = asked(gateway, {**ASK, "stream": True, "stream_options": {"include_usage": True}})
        peer.say(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(STREAM))
        for piece in pieces:
            peer.say(piece)
        status, fields, body = told(caller)
        assert (status, fields["content-type"]) == (200, "text/event-stream")
        bodies.add(re.sub(rb'"created":\d+', b"", body))
        (record,) = gateway.events()
        assert (record.input_total, record.output_total, record.error) == (13, 5, "")
    (first,) = bodies
    assert first.endswith(b"data: [DONE]\n\n")
    assert b'"content":"Hello."' in first
    assert b'"prompt_tokens":13' in first
    assert gateway.is_at_rest()


def test_a_caller_who_wants_a_stream_gets_one_of_a_whole_answer(start: Starter) -> None:
    gateway = start(config())
    caller, peer = asked(gateway, {**ASK, "stream": True})
    peer.say(answer(json.dumps(MESSAGE).encode()))
    _, fields, body = told(caller)
    assert fields["content-type"] == "text/event-stream"
    assert b'"content":"Hello."' in body
    assert body.endswith(b"data: [DONE]\n\n")


def test_a_caller_who_waits_gets_a_whole_answer_of_a_stream(start: Starter) -> None:
    gateway = start(config())
    caller, peer = asked(gateway, ASK)
    peer.say(answer(STREAM[:100], kind=SSE).replace(b"Content-Length: 100", b"Content-Length: %d" % len(STREAM)))
    peer.say(STREAM[100:])
    _, fields, said = told(caller)
    assert fields["content-type"] == "application/json"
    assert said["choices"][0]["message"]["content"] == "Hello."
    (record,) = gateway.events()
    assert (record.input_total, record.output_total) == (13, 5)


@pytest.mark.parametrize("end", range(0, len(STREAM) - 30, 97))
def test_a_stream_that_ends_early_is_never_a_success(end: int, start: Starter) -> None:
    gateway = start(config())
    caller, peer = asked(gateway, {**ASK, "stream": True})
    peer.say(answer(STREAM[:end], kind=SSE))
    status, _, said = told(caller)
    if status == 200:  # Something of the answer had come.
        assert b'data: {"error":' in said
        assert b"[DONE]" not in said
    else:
        assert (status, said["error"]["code"]) == (502, "upstream_error")
    assert gateway.events()[0].error == "upstream_error"


def test_a_connection_that_dies_in_a_stream_is_an_error_event(start: Starter) -> None:
    gateway = start(config())
    caller, peer = asked(gateway, {**ASK, "stream": True})
    peer.say(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9999\r\n\r\n" + STREAM[:-200])
    peer.leave()
    _, _, body = told(caller)
    assert b'"code":"upstream_reset"' in body.rsplit(b"data: ", 1)[1]
    assert b"[DONE]" not in body


@pytest.mark.parametrize(
    ("status", "told_status", "kind"),
    [
        (b"429 Too Many", 429, "rate_limit_error"),
        (b"529 Overloaded", 503, "server_error"),
        (b"400 Bad", 400, "invalid_request_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_provider_s_error_is_told_in_the_caller_s_dialect(
    status: bytes, told_status: int, kind: str, stream: bool, start: Starter
) -> None:
    gateway = start(config())
    caller, peer = asked(gateway, {**ASK, "stream": stream})
    error = {"type": "error", "error": {"type": "of_anthropic", "message": "No good: sk-vendor."}}
    peer.say(answer(json.dumps(error).encode(), status=status, fields=b"Retry-After: 7\r\n"))
    code, fields, said = told(caller)
    assert code == told_status
    assert said["error"]["type"] == kind
    assert said["error"]["message"] == "No good: ***."
    assert fields["x-headgate-error"] == "upstream_error"
    assert fields["retry-after"] == "7"
    assert gateway.is_at_rest()


def test_an_answer_too_large_to_translate_is_refused(start: Starter) -> None:
    gateway = start(config())
    caller, peer = asked(gateway, ASK)
    large = json.dumps({**MESSAGE, "content": [{"type": "text", "text": "x" * (1 << 20)}]}).encode()
    peer.say(answer(large))
    code, _, said = told(caller)
    assert (code, said["error"]["code"]) == (502, "upstream_answer_too_large")
    assert gateway.is_at_rest()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
def test_an_answer_that_is_none_is_a_bad_one(body: bytes, start: Starter) -> None:
    gateway = start(config())
    caller, peer = asked(gateway, ASK)
    peer.say(answer(body))
    code, _, said = told(caller)
    assert (code, said["error"]["code"]) == (502, "upstream_bad_answer")


def test_what_the_provider_has_no_place_for_is_refused(start: Starter) -> None:
    gateway = start(config())
    gateway.upstreams[9001].connect()
    caller = gateway.caller()
    caller.ask("/v1/chat/completions", json.dumps({**ASK, "seed": 7}).encode())
    code, _, said = told(caller)
    assert (code, said["error"]["code"], said["error"]["param"]) == (400, "unsupported", "seed")
    assert gateway.is_at_rest()


def test_what_is_dropped_is_named(start: Starter) -> None:
    gateway = start(config(unsupported="drop"))
    caller, peer = asked(gateway, {**ASK, "seed": 7, "prompt_cache_retention": "24h", "logit_bias": {"1": 2}})
    _, body = request_of(peer)
    assert "seed" not in body
    peer.say(answer(json.dumps(MESSAGE).encode()))
    _, fields, _ = told(caller)
    assert sorted(fields["x-headgate-dropped"].split(",")) == ["logit_bias", "prompt_cache_retention", "seed"]


def test_a_caller_of_the_other_dialect_is_served_by_openai_s(start: Starter) -> None:
    gateway = start(config())
    ask = {"model": "o", "max_tokens": 7, "messages": [{"role": "user", "content": "Hi"}]}
    caller, peer = asked(gateway, ask, 9002, "/v1/messages")
    head, body = request_of(peer)
    assert head[0] == b"POST /v1/chat/completions HTTP/1.1"
    assert body == {"model": "real", "messages": [{"role": "user", "content": "Hi"}], "max_completion_tokens": 7}
    peer.say(answer(json.dumps(COMPLETION).encode()))
    _, _, said = told(caller)
    assert [part["text"] for part in said["content"]] == ["Hello."]
    assert said["usage"]["input_tokens"] == 13


@pytest.mark.parametrize(
    ("method", "path", "is_anthropic"),
    [
        ("POST", "/anthropic/v1/nothing", True),
        ("GET", "/v1/messages", True),
        ("POST", "/v1/messages/nothing/here", True),
        ("POST", "/v1/nothing", False),
        ("GET", "/v1/chat/completions", False),
        ("POST", "/nothing", False),
    ],
)
def test_an_error_before_any_route_is_in_the_dialect_of_the_path(
    method: str, path: str, is_anthropic: bool, start: Starter
) -> None:
    gateway = start(config())
    caller = gateway.caller()
    caller.ask(path, b"", method)
    _, _, said = told(caller)
    assert (said.get("type") == "error") == is_anthropic


def test_the_next_target_may_speak_another_dialect(start: Starter) -> None:
    both = config()
    both["models"]["m"]["targets"].append({"provider": "gpt", "model": "other"})
    gateway = start(both)
    peer = gateway.upstreams[9002].connect()
    caller = gateway.caller()
    caller.ask("/v1/chat/completions", json.dumps(ASK).encode())
    (dial,) = gateway.upstreams[9001].dials
    dial.fail()
    head, body = request_of(peer)
    assert head[0] == b"POST /v1/chat/completions HTTP/1.1"
    assert body == {**ASK, "model": "other"}
    said = json.dumps(COMPLETION).encode()
    peer.say(answer(said))
    assert body_of(caller.take()) == said
    assert gateway.is_at_rest()


@pytest.mark.parametrize(("quiet", "told"), [(0.0, b": still here\n\n"), (60.0, b""), (None, b"")])
def test_a_provider_s_pings_keep_a_quiet_stream_alive(quiet: float | None, told: bytes) -> None:
    reader = Anthropic(Options()).translators["chat"].event_reader(Carry())
    writer = OpenAIChat().event_writer(Request("m", []))
    stream = TranslatedStream(reader, writer, quiet=quiet)
    assert stream.feed(STREAM[:300])
    assert stream.feed(event("ping")) in (told, b"")
    assert stream.feed(event("ping")) == told


def test_content_is_told_from_what_comes_before_it() -> None:
    reader = Anthropic(Options()).translators["chat"].event_reader(Carry())
    stream = TranslatedStream(reader, OpenAIChat().event_writer(Request("m", [])))
    begin = STREAM.index(b"event: content_block_delta")
    stream.feed(STREAM[:begin])
    assert not stream.content
    stream.feed(STREAM[begin:])
    assert stream.content
    assert stream.done
