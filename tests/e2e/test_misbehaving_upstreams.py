import threading

import pytest

from tests.conformance.answers import JSON, POISON, Broken, Cut, Refused, Relayed, Row, failure, sized
from tests.conformance.upstreams import ROWS, call_head
from tests.e2e.conftest import Stage
from tests.e2e.harness import PROVIDER_KEY, Caller, TruncatedError, chat_request, events_of, get, nonce
from tests.e2e.http2 import chat_body, request_fields
from tests.providers.scripted import Request, awaits, echo_kept, sets, until_closed

INTERNAL_ERROR = 2  # what HTTP/2 calls it when an answer cannot be ended in order


def identifier(row: Row) -> str:
    return row.name.replace(" ", "-")


@pytest.mark.parametrize("row", ROWS, ids=identifier)
def test_the_caller_gets_a_clear_answer_and_no_later_call_is_harmed(row: Row, stage: Stage) -> None:
    if row.reused:
        prime(stage)
    if row.steps:
        stage.upstream.script(*row.steps, at=row.at)
    before = len(stage.upstream.requests)
    word = nonce()
    with stage.gateway.connect() as caller:
        caller.send(row.call(word))
        check(row, caller, word, stage.upstream.event("begun"))
    assert len(stage.upstream.requests) - before == row.calls
    used = stage.upstream.requests[-1].connection if row.calls else 0

    again = clean_call(stage).connection == used
    assert again == (isinstance(row.expected, Relayed) and row.expected.kept)


def prime(stage: Stage) -> None:
    """Leave one idle connection in the gateway's pool."""
    stage.upstream.script(echo_kept)
    word = nonce()
    assert word in stage.gateway.call(chat_request(word)).text


def clean_call(stage: Stage) -> Request:
    """Make a call that must succeed with its own answer; return what the upstream saw of it."""
    word = nonce()
    answer = stage.gateway.call(chat_request(word))
    assert answer.status == 200
    assert answer.text == f"You said: {word}"
    return stage.upstream.requests[-1]


def check(row: Row, caller: Caller, word: str, begun: threading.Event) -> None:
    """Check one answer against what the row expects; `begun` is set once its beginning has come."""
    match expected := row.expected:
        case Refused():
            answer = caller.receive()
            assert (answer.status, answer.get("x-headgate-error")) == (expected.status, expected.code)
            assert answer.error["code"] == expected.code
            assert answer.get("x-should-retry") in ("true", "false")
            assert answer.get("x-request-id")
        case Cut():
            answer = caller.receive_head()
            assert (answer.status, answer.get("content-type").split(";")[0]) == (200, "text/event-stream")
            body = everything(caller, len(expected.begun), begun)
            assert body.startswith(expected.begun)
            last = events_of(body)[-1]
            assert b'"error"' in last
            assert expected.code.encode() in last
            assert b"[DONE]" not in body
        case Broken():
            answer = caller.receive_head()
            assert answer.status == 200
            begun.set()
            with pytest.raises(TruncatedError) as cut:
                caller.receive_body(answer)
            assert len(cut.value.received) >= expected.begun
        case Relayed():
            answer = caller.receive(head=row.request is call_head)
            assert answer.status == expected.status
            if expected.body is None:
                assert answer.text == f"You said: {word}"
            else:
                assert answer.body == expected.body
            assert {name: answer.get(name) for name in expected.fields} == expected.fields


def everything(caller: Caller, count: int, begun: threading.Event) -> bytes:
    """Return the body of a stream that may or may not be ended in order; set `begun` once `count` bytes have come."""
    received = b""
    try:
        for part in caller.chunks():
            received += part
            if len(received) >= count:
                begun.set()
    except TruncatedError as cut:
        return cut.received
    return received


def test_bytes_that_come_while_a_connection_is_idle_are_nobody_s_answer(stage: Stage) -> None:
    stage.upstream.script(echo_kept, awaits("idle"), POISON, until_closed, sets("closed"))
    word = nonce()
    assert word in stage.gateway.call(chat_request(word)).text
    stage.upstream.event("idle").set()
    assert stage.upstream.event("closed").wait(20)
    clean_call(stage)


def test_a_connection_closed_while_idle_is_not_used_again(stage: Stage) -> None:
    stage.upstream.script(
        echo_kept, awaits("idle"), lambda connection: connection.socket.shutdown(1), until_closed, sets("closed")
    )
    word = nonce()
    assert word in stage.gateway.call(chat_request(word)).text
    stage.upstream.event("idle").set()
    assert stage.upstream.event("closed").wait(20)
    clean_call(stage)


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
def test_a_refusal_of_the_gateway_s_credential_is_not_the_caller_s_fault(status: str, stage: Stage) -> None:
    body = failure(f"Incorrect API key provided: {PROVIDER_KEY}.", "invalid_request_error", "invalid_api_key")
    stage.upstream.script(sized(status=status, body=body))
    answer = stage.gateway.call(chat_request(nonce()))
    assert (answer.status, answer.error["code"]) == (502, "upstream_credential")
    assert PROVIDER_KEY.encode() not in answer.head + answer.body


def test_fields_of_one_connection_stay_on_it(stage: Stage) -> None:
    hop = ("connection: x-secret", "x-secret: 1", "proxy-authenticate: Basic", "upgrade: h2c", "keep-alive: timeout=5")
    stage.upstream.script(sized(*hop, "x-kept: 2"))
    answer = stage.gateway.call(get("/api/fields"))
    assert (answer.status, answer.body, answer.get("x-kept")) == (200, JSON, "2")
    names = {name for name, _ in answer.fields}
    assert names.isdisjoint({"x-secret", "proxy-authenticate", "upgrade", "keep-alive"})


def test_a_provider_s_own_limits_and_cookies_stay_with_the_gateway(stage: Stage) -> None:
    fields = (
        "set-cookie: a=b",
        "x-ratelimit-remaining-requests: 1",
        "openai-organization: acme",
        "x-request-id: theirs",
    )
    stage.upstream.script(sized(*fields))
    answer = stage.gateway.call(chat_request(nonce()))
    assert answer.body == JSON
    assert {name for name, _ in answer.fields}.isdisjoint({"set-cookie", "x-ratelimit-remaining-requests"})
    assert answer.get("openai-organization") == ""
    assert answer.get("x-request-id") not in ("", "theirs")


@pytest.mark.parametrize("row", [row for row in ROWS if row.request is None], ids=identifier)
def test_a_caller_of_http2_gets_an_answer_as_clear(row: Row, stage: Stage) -> None:
    if row.reused:
        prime(stage)
    if row.steps:
        stage.upstream.script(*row.steps, at=row.at)
    word, begun = nonce(), stage.upstream.event("begun")
    with stage.connect_http2() as caller:
        members = {"stream": True} if row.stream else {}
        stream = caller.send(request_fields(), chat_body(word, row.model, **members))
        reply = caller.replies[stream]
        wanted = len(row.expected.begun) if isinstance(row.expected, Cut) else 1
        while not reply.is_over and len(reply.body) < wanted and caller.read():
            pass
        begun.set()
        caller.receive(stream)
        match expected := row.expected:
            case Refused():
                assert reply.ended
                assert (reply.status, reply.fields["x-headgate-error"]) == (expected.status, expected.code)
            case Cut():
                assert reply.ended
                assert expected.code.encode() in events_of(reply.body)[-1]
                assert b"[DONE]" not in reply.body
            case Broken():
                assert (reply.ended, reply.reset) == (False, INTERNAL_ERROR)
                assert len(reply.body) >= expected.begun
            case Relayed():
                assert reply.ended
                assert reply.status == expected.status
                if expected.body is None:
                    assert reply.text == f"You said: {word}"
                else:
                    assert reply.body == expected.body
        assert caller.chat(word).text == f"You said: {word}"
