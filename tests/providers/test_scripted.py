"""The tools of the end-to-end tests, proved on each other: scripted upstream and raw caller, no gateway between."""

import socket

import pytest

from tests.e2e.harness import Caller, TruncatedError, chat_request, get
from tests.providers.scripted import Upstream, awaits, bytewise, echo_kept, fin, reset, until_closed

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def test_what_is_not_scripted_is_echoed_and_the_connection_closed():
    with Upstream() as upstream, Caller(upstream.port) as caller:
        caller.send(chat_request("one", model="scripted-small"))
        assert caller.receive().text == "You said: one"
        assert caller.is_closed()
    assert upstream.requests[0].json()["messages"] == [{"role": "user", "content": "one"}]
    assert upstream.failures == []


def test_scripts_are_taken_in_order_and_pauses_are_events():
    with Upstream() as upstream, Caller(upstream.port) as caller:
        upstream.script(ANSWER[:20], awaits("go"), bytewise(ANSWER[20:]))
        upstream.script(echo_kept)
        caller.send(chat_request("one", model="scripted-small"))
        assert caller.read_until(ANSWER[:20]) == ANSWER[:20]
        upstream.event("go").set()
        assert caller.read_until(b"{}") == ANSWER[20:]
        caller.send(chat_request("two", model="scripted-small"))
        assert caller.receive().text == "You said: two"
        caller.leave()
    assert [request.connection for request in upstream.requests] == [1, 1]


def test_a_script_may_begin_with_the_connection_or_before_the_body():
    with Upstream() as upstream:
        upstream.script(ANSWER, fin, at="accept")
        with Caller(upstream.port) as caller:
            assert caller.receive().body == b"{}"
        upstream.script(ANSWER, until_closed, at="head")
        with Caller(upstream.port) as caller:
            caller.send(b"POST / HTTP/1.1\r\ncontent-length: 1000000\r\n\r\n")
            assert caller.receive().body == b"{}"
    assert upstream.failures == []


def test_a_reset_is_a_reset():
    with Upstream() as upstream, socket.create_connection(("127.0.0.1", upstream.port)) as caller:
        upstream.script(reset)
        caller.sendall(get("/"))
        with pytest.raises(ConnectionResetError):
            caller.recv(1)


@pytest.mark.parametrize("answer", [ANSWER[:-1], CHUNKED, CHUNKED + b"5\r\nabc", CHUNKED + b"2\r\n{}\r\n", ANSWER[:30]])
def test_the_caller_sees_that_an_answer_is_cut_short(answer: bytes):
    with Upstream() as upstream, Caller(upstream.port) as caller:
        upstream.script(answer, fin)
        caller.send(get("/"))
        with pytest.raises(TruncatedError):
            caller.receive()


def test_a_script_that_waits_in_vain_is_a_failure(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tests.providers.scripted.DEADLINE", 0.01)
    with Upstream() as upstream, Caller(upstream.port) as caller:
        upstream.script(awaits("nothing"))
        caller.send(get("/"))
        assert caller.is_closed()
    assert [str(failure) for failure in upstream.failures] == ["nobody set nothing"]
