"""plane.relay, settle and record: what the caller gets of an answer, and when; failures, and callers who leave."""

import json
from time import monotonic_ns
from typing import Any

import pytest

from core.usage import Detail
from tests.plane.conftest import Starter
from tests.plane.rig import SECOND, CallerEnd, Gateway, Peer, answer, body_of, consumer, one_model

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
FIRST = b'data: {"choices":[{"delta":{"content":"Hi"}}],"usage":null}\n\n'
COUNT = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5}}\n\n'
DONE = b"data: [DONE]\n\n"
ASK = b'{"model":"m","messages":[],"stream":true}'
JSON = b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5}}'


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


STREAM = HEAD + chunk(FIRST) + chunk(COUNT + DONE[:9]) + chunk(DONE[9:]) + END


def plain() -> dict[str, Any]:
    """Return a config with a plain API on port 9001."""
    return {
        "upstreams": {"u": {"endpoints": ["http://u.test:9001"]}},
        "routes": {"r": {"match": {"path": "/r/*"}, "upstream": "u"}},
        "consumers": {"c": consumer()},
    }


def asked(gateway: Gateway, body: bytes = ASK) -> tuple[CallerEnd, Peer]:
    """Return a caller who has asked for a chat, and the upstream that has got the call."""
    peer = gateway.upstreams[9001].connect()
    caller = gateway.caller()
    caller.chat(body)
    return caller, peer


def fields_of(raw: bytes) -> dict[bytes, bytes]:
    head, _, _ = raw.partition(b"\r\n\r\n")
    return dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])


# --- whole answers


def test_an_answer_is_recorded_before_it_leaves(start: Starter) -> None:
    gateway = start(one_model())
    caller, peer = asked(gateway)
    recorded: list[int] = []
    caller.transport.noticed = lambda _: recorded.append(len(gateway.events()))
    peer.say(answer(JSON))
    assert recorded == [1]
    assert body_of(caller.take()) == JSON
    assert gateway.is_at_rest()


SAID = b'{"error":{"message":"no good: sk-vendor"}}'
FAILED = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize("cut", range(0, len(SAID), 3))
def test_a_large_error_that_quotes_our_credential_goes_out_without_it(cut: int, start: Starter) -> None:
    gateway = start(one_model())
    caller, peer = asked(gateway)
    large = b" " * (1024 * 1024) + SAID
    peer.say(FAILED + b"Content-Length: %d\r\n\r\n" % len(large) + large[: cut - len(SAID)])
    peer.say(large[cut - len(SAID) :])
    raw = caller.take()
    assert b"sk-vendor" not in raw
    assert body_of(raw) == large.replace(b"sk-vendor", b"***")
    assert gateway.is_at_rest()


@pytest.mark.parametrize("cut", range(1, len(SAID)))
def test_a_streamed_error_that_quotes_our_credential_goes_out_without_it(cut: int, start: Starter) -> None:
    gateway = start(one_model())
    caller, peer = asked(gateway)
    event = b"data: " + SAID + b"\n\n"
    peer.say(HEAD.replace(b"200 OK", b"400 Bad Request"))
    for part in (event[:cut], event[cut:], DONE):
        peer.say(chunk(part))
    peer.say(END)
    assert body_of(caller.take()) == event.replace(b"sk-vendor", b"***") + DONE
    (kept,) = gateway.events()
    assert (kept.status, kept.error) == (400, "upstream_error")


def test_a_credential_in_the_head_of_an_error_goes_out_masked(start: Starter) -> None:
    gateway = start(one_model())
    caller, peer = asked(gateway)
    peer.say(answer(b"{}", status=b"400 Bad Request", fields=b"openai-version: sk-vendor\r\n"))
    raw = caller.take()
    assert b"openai-version: ***\r\n" in raw
    assert b"sk-vendor" not in raw


def test_a_stream_that_succeeds_is_passed_through_byte_for_byte(start: Starter) -> None:
    gateway = start(one_model())
    caller, peer = asked(gateway)
    peer.say(HEAD + chunk(b"data: sk-vendor") + chunk(b"\n\n" + DONE) + END)
    assert body_of(caller.take()) == b"data: sk-vendor\n\n" + DONE


def test_the_usage_of_an_answer_is_recorded(start: Starter) -> None:
    gateway = start(one_model())
    _, peer = asked(gateway)
    peer.say(answer(JSON))
    (event,) = gateway.events()
    assert (event.usage_known, event.input_total, event.output_total, event.consumer) == (True, 3, 5, "c")


@pytest.mark.parametrize("status", [b"401 Unauthorized", b"403 Forbidden"])
@pytest.mark.parametrize(
    "raw",
    [
        answer(b'{"error":"sk-vendor is wrong"}', status=b"%b"),
        b"HTTP/1.1 %b\r\nContent-Length: 9999999\r\n\r\n" + b"sk-vendor" * 200_000,
        b"HTTP/1.1 %b\r\nContent-Type: text/event-stream\r\n\r\ndata: sk-vendor\n\n",
    ],
    ids=["whole", "large", "events"],
)
def test_a_refusal_of_our_credential_is_ours_and_shows_nothing_of_it(status: bytes, raw: bytes, start: Starter) -> None:
    gateway = start(one_model())
    caller, peer = asked(gateway)
    peer.say(raw.replace(b"%b", status, 1))
    said = caller.take()
    assert said.startswith(b"HTTP/1.1 502 ")
    assert b"sk-vendor" not in said
    assert fields_of(said)[b"x-headgate-error"] == b"upstream_credential"
    assert fields_of(said)[b"x-should-retry"] == b"false"
    (event,) = gateway.events()
    assert (event.status, event.error) == (502, "upstream_credential")
    assert gateway.is_at_rest()
    assert peer.is_open is (raw.endswith(b"}"))


def test_an_answer_that_is_compressed_though_it_was_not_asked_for_says_so(start: Starter) -> None:
    gateway = start(one_model())
    caller, peer = asked(gateway)
    peer.say(answer(b"\x1f\x8b", fields=b"Content-Encoding: gzip\r\nSet-Cookie: a\r\n"))
    said = caller.take()
    assert fields_of(said)[b"Content-Encoding"] == b"gzip"
    assert b"Set-Cookie" not in said


# --- streams


def test_events_go_out_as_they_come_and_the_last_only_when_the_call_is_recorded(start: Starter) -> None:
    gateway = start(one_model())
    caller, peer = asked(gateway)
    recorded: list[int] = []
    caller.transport.noticed = lambda data: recorded.append(len(gateway.events()) if b"[DONE]" in data else -1)
    peer.say(HEAD + chunk(FIRST))
    first = caller.take()
    assert FIRST in first
    peer.say(chunk(COUNT + DONE) + END)
    assert body_of(first + caller.take()) == FIRST + DONE
    assert recorded[-1] == 1
    assert set(recorded[:-1]) == {-1}
    assert gateway.is_at_rest()


@pytest.mark.parametrize(
    ("config", "path", "raw"),
    [
        (plain(), "/r/1", answer(b"x" * 200_000 + b"END")),
        (plain(), "/r/1", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"more END") + END),
        (one_model(), "/v1/chat/completions", answer(b"x" * 2_000_000 + b"END")),
        (one_model(), "/v1/chat/completions", HEAD + chunk(FIRST + b"data: END\n\n") + END),
        (one_model(), "/v1/chat/completions", HEAD + chunk(FIRST) + chunk(b"data: END") + END),
    ],
)
def test_the_last_byte_of_any_body_leaves_when_the_call_is_recorded(
    config: dict[str, Any], path: str, raw: bytes, start: Starter
) -> None:
    gateway = start(config)
    peer = gateway.upstreams[9001].connect()
    caller = gateway.caller()
    caller.ask(path, ASK)
    recorded: list[int] = []
    caller.transport.noticed = lambda data: recorded.append(len(gateway.events())) if b"END" in data else None
    cut = raw.index(b"END")
    peer.say(raw[: cut - 1])
    assert gateway.events() == []
    peer.say(raw[cut - 1 :])
    assert b"END" in body_of(caller.take())
    assert recorded == [1]
    assert gateway.is_at_rest()


@pytest.mark.parametrize("asks", [True, False])
def test_a_stream_is_the_same_wherever_its_bytes_are_cut(asks: bool, start: Starter) -> None:
    gateway = start(one_model())
    body = ASK.replace(b"true", b'true,"stream_options":{"include_usage":true}') if asks else ASK
    wanted = FIRST + (COUNT if asks else b"") + DONE
    cuts = [[STREAM], [STREAM[i : i + 1] for i in range(len(STREAM))]]
    cuts += [[STREAM[:cut], STREAM[cut:]] for cut in range(1, len(STREAM))]
    caller, peer = asked(gateway, body)
    for pieces in cuts:
        for piece in pieces:
            peer.say(piece)
        assert body_of(caller.take()) == wanted, pieces[0]
        (event,) = gateway.events()
        assert (event.error, event.usage_known, event.input_total) == ("", True, 3)
        assert gateway.upstreams[9001].pool.idle == [peer.connection], pieces[0]
        caller.chat(body)


def test_the_caller_need_not_wait_for_what_follows_the_last_event(start: Starter) -> None:
    gateway = start(one_model())
    caller, peer = asked(gateway)
    peer.say(HEAD + chunk(FIRST + DONE))
    assert body_of(caller.take()) == FIRST + DONE
    assert len(gateway.events()) == 1
    assert gateway.upstreams[9001].pool.take() is None
    peer.say(END)
    assert gateway.upstreams[9001].pool.take() is peer.connection


def test_a_stream_without_a_last_event_ends_with_its_body(start: Starter) -> None:
    gateway = start(one_model())
    caller, peer = asked(gateway)
    peer.say(HEAD + chunk(FIRST) + chunk(b"data: {}") + END)
    assert body_of(caller.take()) == FIRST + b"data: {}"
    (event,) = gateway.events()
    assert event.error == ""
    assert gateway.is_at_rest()


def test_an_error_that_the_provider_sends_as_an_event_is_relayed_and_recorded_as_one(start: Starter) -> None:
    gateway = start(one_model())
    caller, peer = asked(gateway)
    error = b'data: {"error":{"message":"overloaded"}}\n\n'
    peer.say(HEAD + chunk(FIRST) + chunk(error) + END)
    assert body_of(caller.take()) == FIRST + error
    (event,) = gateway.events()
    assert (event.status, event.error) == (200, "upstream_error")
    assert gateway.is_at_rest()


# --- failures in mid-stream


@pytest.mark.parametrize("how", ["FIN", "reset", "framing", "silence"])
def test_a_stream_that_breaks_off_ends_in_an_error_event(how: str, start: Starter) -> None:
    gateway = start(one_model())
    caller, peer = asked(gateway)
    peer.say(HEAD + chunk(FIRST) + chunk(COUNT + b"data: {"))
    code = "upstream_reset"
    if how == "framing":
        code = "upstream_bad_answer"
        peer.say(b"zz\r\n")
    elif how == "silence":
        code = "upstream_timeout"
        gateway.timers.run(monotonic_ns() + 60 * SECOND)
    else:
        peer.leave(ConnectionResetError() if how == "reset" else None)
    body = body_of(caller.take())
    assert body.startswith(FIRST + b"data: ")
    error = json.loads(body[len(FIRST) + 6 :])
    assert error["error"]["code"] == code
    assert b"[DONE]" not in body
    assert not peer.is_open
    (event,) = gateway.events()
    assert (event.status, event.error, event.detail) == (200, code, Detail(estimated=True))
    assert gateway.is_at_rest()


@pytest.mark.parametrize(("config", "path"), [(one_model(), "/v1/chat/completions"), (plain(), "/r/1")])
def test_a_large_answer_that_breaks_off_is_seen_to_be_cut_short(
    config: dict[str, Any], path: str, start: Starter
) -> None:
    gateway = start(config)
    peer = gateway.upstreams[9001].connect()
    caller = gateway.caller()
    caller.ask(path, b'{"model":"m"}')
    peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n" + b"x" * 2_000_000)
    peer.leave(ConnectionResetError())
    said = caller.take()
    assert fields_of(said)[b"content-length"] == b"9999999"
    assert len(body_of(said)) == 2_000_000
    assert caller.transport.closed
    (event,) = gateway.events()
    assert (event.status, event.error, event.usage_known) == (200, "upstream_reset", False)
    assert gateway.is_at_rest()


def test_a_large_error_of_the_provider_is_whole_and_recorded_as_one(start: Starter) -> None:
    gateway = start(one_model())
    caller, peer = asked(gateway)
    body = b"x" * 2_000_000
    raw = answer(body, status=b"500 Internal Server Error")
    peer.say(raw[:1_500_000])
    peer.say(raw[1_500_000:])
    said = caller.take()
    assert fields_of(said)[b"x-headgate-error"] == b"upstream_error"
    assert len(body_of(said)) == len(body)
    assert not caller.transport.closed
    (event,) = gateway.events()
    assert (event.status, event.error) == (500, "upstream_error")
    assert gateway.is_at_rest()


# --- the caller


@pytest.mark.parametrize("raw", [STREAM, answer(JSON)], ids=["a stream", "a whole answer"])
def test_a_caller_that_leaves_at_any_point_ends_the_call_and_holds_nothing(raw: bytes, start: Starter) -> None:
    gateway = start(one_model())
    for cut in range(len(raw)):
        caller, peer = asked(gateway)
        assert gateway.concurrent() == 1
        peer.say(raw[:cut])
        over = gateway.concurrent() == 0
        caller.leave()
        (event,) = gateway.events()
        assert event.error == ("" if over else "caller_gone"), cut
        assert (event.usage_known and event.detail is None) is over, cut
        assert over or not peer.is_open, cut
        assert gateway.is_at_rest(), cut
        peer.leave()


def test_a_caller_that_leaves_before_its_body_is_whole_never_reaches_the_upstream(start: Starter) -> None:
    gateway = start(one_model())
    caller = gateway.caller()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer hg-key-of-a-test\r\n"
    caller.say(head + b"Content-Length: 99\r\n\r\n{")
    assert gateway.concurrent() == 1
    caller.leave()
    (event,) = gateway.events()
    assert (event.error, event.attempts) == ("caller_gone", 0)
    assert gateway.upstreams[9001].dials == []
    assert gateway.is_at_rest()


def test_a_slow_caller_stops_the_upstream_and_loses_nothing(start: Starter) -> None:
    gateway = start(one_model())
    caller, peer = asked(gateway)
    peer.say(HEAD + chunk(FIRST))
    caller.connection.pause_writing()
    sent = b""
    for number in range(4):
        event = b'data: {"n":%d,"x":"%b"}\n\n' % (number, b"x" * 50_000)
        sent += event
        peer.say(chunk(event))
    assert peer.transport.paused
    before = caller.take()
    caller.connection.resume_writing()
    assert not peer.transport.paused
    peer.say(chunk(DONE) + END)
    assert body_of(before + caller.take()) == FIRST + sent + DONE
    assert gateway.is_at_rest()


def test_a_caller_that_stops_reading_is_given_up_and_the_upstream_with_it(start: Starter) -> None:
    gateway = start(one_model(timeouts={"total": "1h"}))
    caller, peer = asked(gateway)
    peer.say(HEAD + chunk(FIRST))
    caller.connection.pause_writing()
    peer.say(chunk(FIRST))
    gateway.timers.run(monotonic_ns() + 60 * SECOND)
    gateway.loop.run()
    assert caller.transport.closed
    assert not peer.is_open
    (event,) = gateway.events()
    assert event.error == "caller_gone"
    assert gateway.is_at_rest()


def test_a_stream_that_ends_while_the_caller_is_slow_is_whole_when_it_reads_on(start: Starter) -> None:
    gateway = start(one_model())
    caller, peer = asked(gateway)
    peer.say(HEAD + chunk(FIRST))
    caller.connection.pause_writing()
    peer.say(chunk(FIRST) + chunk(COUNT + DONE) + END)
    before = caller.take()
    caller.connection.resume_writing()
    assert body_of(before + caller.take()) == FIRST + FIRST + DONE
    (event,) = gateway.events()
    assert event.usage_known
    assert gateway.is_at_rest()


# --- plain routes


def relayed(gateway: Gateway, *raw: bytes, method: str = "GET") -> bytes:
    peer = gateway.upstreams[9001].connect()
    caller = gateway.caller()
    caller.ask("/r/1", method=method)
    for piece in raw:
        peer.say(piece)
    said = caller.take()
    assert len(gateway.events()) == 1
    assert gateway.is_at_rest()
    return said


def test_fields_go_through_but_for_those_of_one_hop(start: Starter) -> None:
    kept = b'ETag: "a"\r\nSet-Cookie: a=b\r\nset-cookie: c=d\r\nVary: x\r\n'
    hop = b"Connection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\n"
    said = relayed(start(plain()), answer(b"body", fields=kept + hop))
    assert kept in said
    assert all(name not in said.lower() for name in (b"x-hop", b"keep-alive:", b"proxy-", b"upgrade"))
    assert body_of(said) == b"body"


def test_a_body_of_unknown_length_is_relayed_in_chunks(start: Starter) -> None:
    begun = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
    said = relayed(start(plain()), begun, END)
    assert fields_of(said)[b"transfer-encoding"] == b"chunked"
    assert body_of(said) == b"abc"


def test_an_answer_to_head_says_the_length_that_get_would_have(start: Starter) -> None:
    said = relayed(start(plain()), b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", method="HEAD")
    assert fields_of(said)[b"content-length"] == b"1234"
    assert said.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("length", [b"", b"Content-Length: 1234\r\n"])
def test_an_answer_to_head_says_no_length_that_is_not_true(length: bytes, start: Starter) -> None:
    said = relayed(start(plain()), b"HTTP/1.1 304 Not Modified\r\n%b\r\n" % length, method="HEAD")
    assert fields_of(said).get(b"content-length") in (None, b"1234")
    assert said.count(b"\r\n\r\n") == 1


def test_304_says_nothing_of_a_length_it_does_not_know(start: Starter) -> None:
    said = relayed(start(plain()), b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n')
    assert b"content-length" not in said
    assert b'ETag: "a"\r\n' in said
