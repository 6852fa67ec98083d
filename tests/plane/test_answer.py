"""What the caller gets, of an upstream's answer and of an error."""

import json
from typing import Any

import pytest

from core.errors import GatewayError, Source
from plane.answer import duration_text, refuse, send
from plane.exchange import Downstream, Exchange
from tests.plane.conftest import Starter
from tests.plane.rig import CallerEnd, Gateway, Peer, answer, consumer, one_model

SECOND = 1_000_000_000


class Recorded(Downstream):
    """A door that records what it is given."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def answer(self, status: int, fields: bytes, body: bytes) -> None:
        self.calls.append(("answer", status, fields, body))

    def finish(self, data: bytes) -> None:
        self.calls.append(("finish", data))

    def abort(self) -> None:
        self.calls.append(("abort",))


@pytest.fixture
def gateway(start: Starter) -> Gateway:
    """Return a gateway with a model and a plain HTTP API."""
    config = one_model()
    config["upstreams"] = {"api": {"endpoints": ["http://api.test:9002"]}}
    config["routes"] = {"api": {"match": {"path": "/api/*"}, "upstream": "api"}}
    return start(config)


def asked(gateway: Gateway) -> Exchange:
    """Return an exchange whose answer is recorded."""
    exchange = Exchange(Recorded())
    exchange.runtime = gateway.runtime
    exchange.request_id = b"r-1"
    return exchange


def refused(gateway: Gateway, error: GatewayError) -> tuple[int, dict[str, str], Any]:
    """Return status, fields and body of the answer that `error` becomes."""
    exchange = asked(gateway)
    refuse(exchange, error)
    return exchange.status, fields_of(exchange.fields), json.loads(exchange.reply)


def fields_of(lines: bytes) -> dict[str, str]:
    """Return header lines as a dict; each ends in CRLF, and none is there twice."""
    assert lines.endswith(b"\r\n")
    pairs = [line.split(": ", 1) for line in lines.decode("latin-1").split("\r\n")[:-1]]
    assert len({name.lower() for name, _ in pairs}) == len(pairs)
    return {name.lower(): value for name, value in pairs}


def received(caller: CallerEnd) -> tuple[int, dict[str, str], bytes]:
    """Return status, fields and the rest of what a caller got."""
    head, _, rest = caller.take().partition(b"\r\n\r\n")
    line, _, lines = head.partition(b"\r\n")
    return int(line.split()[1]), fields_of(lines + b"\r\n"), rest


# --- errors


def test_an_error_has_the_dialect_s_shape_and_says_what_it_is(gateway: Gateway) -> None:
    error = GatewayError(404, "model_not_found", "caller", "No such model.", hint="Ask for another.", param="model")
    status, fields, body = refused(gateway, error)
    assert status == 404
    assert fields == {
        "x-request-id": "r-1",
        "x-headgate-config": gateway.runtime.digest[:12],
        "content-type": "application/json",
        "x-headgate-error": "model_not_found",
        "x-should-retry": "false",
    }
    assert body == {
        "error": {
            "message": "No such model. Ask for another.",
            "type": "not_found_error",
            "param": "model",
            "code": "model_not_found",
        }
    }


@pytest.mark.parametrize(
    ("status", "source", "after", "retry"),
    [
        *((status, "caller", -1.0, "false") for status in (400, 401, 403, 404, 405, 413, 414, 429, 431, 501)),
        *((status, "gateway", -1.0, "false") for status in (500, 502, 503)),
        *((status, "upstream", -1.0, "true") for status in (502, 503, 504)),
        (408, "caller", -1.0, "true"),
        (429, "caller", 0.0, "true"),
        (503, "gateway", 5.0, "true"),
    ],
)
def test_an_error_says_whether_asking_again_makes_sense(
    gateway: Gateway, status: int, source: Source, after: float, retry: str
) -> None:
    _, fields, _ = refused(gateway, GatewayError(status, "x", source, "x", retry_after=after))
    assert fields["x-should-retry"] == retry
    assert ("retry-after" in fields) is (after >= 0)


@pytest.mark.parametrize(
    ("after", "seconds", "milliseconds"),
    [(0.0, "1", "0"), (0.0001, "1", "1"), (1.0, "1", "1000"), (1.0001, "2", "1001"), (28800.0, "28800", "28800000")],
)
def test_when_to_ask_again_is_rounded_up(gateway: Gateway, after: float, seconds: str, milliseconds: str) -> None:
    _, fields, _ = refused(gateway, GatewayError(429, "x", "caller", "x", retry_after=after))
    assert (fields["retry-after"], fields["retry-after-ms"]) == (seconds, milliseconds)


def test_a_method_that_is_not_allowed_is_told_those_that_are(gateway: Gateway) -> None:
    _, fields, _ = refused(gateway, GatewayError(405, "x", "caller", "x", allow="GET, HEAD"))
    assert fields["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, b"0ms"),
        (1, b"1ms"),
        (1_000_000, b"1ms"),
        (1_000_001, b"2ms"),
        (999_000_000, b"999ms"),
        (999_000_001, b"1s"),
        (1_500_000_000, b"1.5s"),
        (59_999_000_000, b"59.999s"),
        (60 * SECOND, b"1m0s"),
        (360 * SECOND, b"6m0s"),
        (3599 * SECOND + 1, b"1h0m0s"),
        (90061 * SECOND, b"25h1m1s"),
        (2**62, b"1281023h53m39s"),
    ],
)
def test_a_duration_is_written_as_openai_does_and_rounded_up(nanoseconds: int, text: bytes) -> None:
    assert duration_text(nanoseconds) == text


# --- how an answer ends


def test_an_answer_that_is_whole_is_sent_whole(gateway: Gateway) -> None:
    exchange = asked(gateway)
    exchange.status, exchange.fields, exchange.reply = 200, b"a: b\r\n", b"body"
    send(exchange)
    assert exchange.downstream.calls == [("answer", 200, b"a: b\r\n", b"body")]  # type: ignore[attr-defined]


def test_a_stream_ends_with_what_was_held_back_of_it(gateway: Gateway) -> None:
    exchange = asked(gateway)
    exchange.committed = True
    exchange.answer_ended = True
    exchange.tail = b"data: [DONE]\n\n"
    send(exchange)
    assert exchange.downstream.calls == [("finish", b"data: [DONE]\n\n")]  # type: ignore[attr-defined]


def test_events_that_break_off_end_with_an_error_event(gateway: Gateway) -> None:
    exchange = asked(gateway)
    exchange.committed = True
    exchange.scan = object()
    refuse(exchange, GatewayError(502, "upstream_reset", "upstream", "Gone."))
    send(exchange)
    ((call, event),) = exchange.downstream.calls  # type: ignore[attr-defined]
    assert call == "finish"
    assert json.loads(event.removeprefix(b"data: "))["error"]["code"] == "upstream_reset"
    assert event.endswith(b"}\n\n")


def test_a_body_that_breaks_off_is_cut_short(gateway: Gateway) -> None:
    exchange = asked(gateway)
    exchange.committed = True
    refuse(exchange, GatewayError(502, "upstream_reset", "upstream", "Gone."))
    send(exchange)
    assert exchange.downstream.calls == [("abort",)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("committed", [False, True])
def test_nothing_is_sent_to_a_caller_that_left(gateway: Gateway, committed: bool) -> None:
    exchange = asked(gateway)
    exchange.committed = committed
    refuse(exchange, GatewayError(499, "caller_gone", "caller", "Left."))
    send(exchange)
    assert exchange.downstream.calls == []  # type: ignore[attr-defined]


# --- an upstream's answer


def called(gateway: Gateway, path: str = "/v1/chat/completions", method: str = "POST") -> tuple[CallerEnd, Peer]:
    """Return a caller whose call is with an upstream."""
    peer = gateway.upstreams[9002 if path.startswith("/api") else 9001].connect()
    caller = gateway.caller()
    body = b'{"model":"m","messages":[]}' if method == "POST" else b""
    caller.ask(path, body, method, b"x-request-id: r-1\r\n")
    return caller, peer


def test_of_a_provider_s_answer_only_known_fields_come_through(gateway: Gateway) -> None:
    caller, peer = called(gateway)
    fields = b"Set-Cookie: a\r\nOpenai-Version: 1\r\nopenai-organization: o\r\nRetry-After: 3\r\nDate: d\r\n"
    peer.say(answer(b"{}", fields=fields))
    status, got, body = received(caller)
    assert (status, body) == (200, b"{}")
    assert {name for name in got if not name.startswith("x-ratelimit")} == {
        *("x-request-id", "x-headgate-config", "x-headgate-target", "content-type", "content-length"),
        *("openai-version", "retry-after"),
    }
    assert got["x-headgate-target"] == "p/real"
    assert (got["x-ratelimit-limit-requests"], got["x-ratelimit-remaining-requests"]) == ("1000", "999")


def test_of_a_plain_api_s_answer_all_but_its_connection_s_fields_come_through(gateway: Gateway) -> None:
    caller, peer = called(gateway, "/api/x", "GET")
    fields = (
        b"Set-Cookie: a\r\nDate: d\r\nX-Request-Id: theirs\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\nServer: s\r\n"
    )
    peer.say(answer(b"{}", fields=fields))
    _, got, _ = received(caller)
    assert (got["set-cookie"], got["server"], got["x-request-id"]) == ("a", "s", "r-1")
    assert got.keys().isdisjoint({"date", "keep-alive", "upgrade", "x-headgate-target"})


@pytest.mark.parametrize("status", [200, 201, 404, 429, 499, 500, 599])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/x"])
def test_an_upstream_s_status_is_the_answer_s(gateway: Gateway, status: int, path: str) -> None:
    caller, peer = called(gateway, path)
    peer.say(answer(b"{}", status=b"%d Some" % status))
    got, fields, body = received(caller)
    assert (got, body) == (status, b"{}")
    assert ("x-headgate-error" in fields) is (status >= 400 and path.startswith("/v1"))


@pytest.mark.parametrize("length", [b"Content-Length: 1234\r\n", b""])
def test_head_gets_the_length_that_the_upstream_told(gateway: Gateway, length: bytes) -> None:
    caller, peer = called(gateway, "/api/x", "HEAD")
    peer.say(b"HTTP/1.1 200 OK\r\n%b\r\n" % length)
    status, fields, body = received(caller)
    assert (status, body) == (200, b"")
    assert fields.get("content-length") == ("1234" if length else None)
    assert "transfer-encoding" not in fields


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_an_answer_without_a_body_claims_none(gateway: Gateway, status: bytes) -> None:
    caller, peer = called(gateway, "/api/x", "GET")
    peer.say(b"HTTP/1.1 %b\r\nETag: e\r\n\r\n" % status)
    _, fields, body = received(caller)
    assert (fields["etag"], body) == ("e", b"")
    assert fields.keys().isdisjoint({"content-length", "transfer-encoding"})


def test_a_consumer_without_a_rate_is_told_of_none(start: Starter) -> None:
    gateway = start(one_model() | {"consumers": {"c": consumer(limits={})}})
    caller, peer = called(gateway)
    peer.say(answer(b"{}"))
    assert not [name for name in received(caller)[1] if name.startswith("x-ratelimit")]


@pytest.mark.parametrize("status", [401, 403])
def test_a_provider_that_refuses_our_credential_leaves_no_call_behind(gateway: Gateway, status: int) -> None:
    caller, peer = called(gateway)
    peer.say(b"HTTP/1.1 %d No\r\ncontent-type: text/event-stream\r\n\r\n" % status)
    got, fields, _ = received(caller)
    assert (got, fields["x-headgate-error"]) == (502, "upstream_credential")
    assert gateway.is_at_rest()
    assert not peer.is_open
