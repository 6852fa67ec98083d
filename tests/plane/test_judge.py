"""plane.judge: a stream that fails before it says anything goes to another place; one that has said something never."""

import json
from time import monotonic_ns
from typing import Any

import pytest

from tests.plane.rig import SECOND
from tests.plane.scenes import ALL, DONE, HEAD, OVERLOADED, ROLE, STREAM, WORD, chunk, config, said


@pytest.mark.parametrize("before", [b"", ROLE, b": ping\n\n" + ROLE])
@pytest.mark.parametrize("how", ["error", "reset", "silence"])
def test_a_stream_that_has_said_nothing_fails_over(before: bytes, how: str, scene: Any) -> None:
    played = scene(config("p", "q", on=["5xx", "timeout"]))
    caller = played.gateway.caller()
    caller.chat(STREAM)
    peer = played.peer("p")
    peer.say(HEAD + (chunk(before) if before else b""))
    assert caller.take() == b""
    if how == "error":
        peer.say(chunk(OVERLOADED))
    elif how == "reset":
        peer.leave(ConnectionResetError())
    else:
        played.gateway.timers.run(monotonic_ns() + 121 * SECOND)
    second = played.peer("q")
    second.say(HEAD + chunk(ROLE + WORD))
    assert caller.take().endswith(chunk(ROLE + WORD))
    second.say(chunk(DONE) + b"0\r\n\r\n")
    assert caller.take() == chunk(DONE) + b"0\r\n\r\n"
    assert not peer.is_open or how == "error"
    (event,) = played.gateway.events()
    assert (event.status, event.error, event.attempts) == (200, "", 2)
    assert played.gateway.is_at_rest()


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (OVERLOADED, 529),
        (b'data: {"error":{"message":"slow down","type":"rate_limit_error"}}\n\n', 429),
        (b'data: {"error":{"message":"no such model","code":404,"status":"NOT_FOUND"}}\n\n', 404),
        (b'data: {"error":{"message":"too long","type":"invalid_request_error"}}\n\n', 400),
        (b'data: {"error":{"message":"?","code":"503"}}\n\n', 503),
        (b'data: {"error":"what"}\n\n', 502),
    ],
)
def test_an_error_before_any_content_is_a_true_error_answer(event: bytes, status: int, scene: Any) -> None:
    played = scene(config("p"))
    caller = played.gateway.caller()
    caller.chat(STREAM)
    played.peer("p").say(HEAD + chunk(ROLE + event))
    got, code, body = said(caller)
    assert (got, code) == (status, "upstream_error")
    assert "error" in json.loads(body)
    assert played.gateway.is_at_rest()


def test_a_refused_credential_in_a_stream_is_not_the_caller_s(scene: Any) -> None:
    played = scene(config("p"))
    caller = played.gateway.caller()
    caller.chat(STREAM)
    played.peer("p").say(HEAD + chunk(b'data: {"error":{"message":"sk-P0 is bad","type":"authentication_error"}}\n\n'))
    status, code, body = said(caller)
    assert (status, code) == (502, "upstream_credential")
    assert b"sk-P0" not in body


@pytest.mark.parametrize("how", ["error", "reset"])
def test_a_stream_that_has_said_something_never_changes_places(how: str, scene: Any) -> None:
    played = scene(config("p", "q", on=ALL, max=5))
    caller = played.gateway.caller()
    caller.chat(STREAM)
    peer = played.peer("p")
    peer.say(HEAD + chunk(ROLE + WORD))
    assert caller.take().endswith(chunk(ROLE + WORD))
    if how == "error":
        peer.say(chunk(OVERLOADED) + b"0\r\n\r\n")
    else:
        peer.leave(ConnectionResetError())
    assert b'"error"' in caller.take()
    assert not played.is_asked("q")
    assert played.health(0).breaker.failed_in_row == 1
    assert played.gateway.is_at_rest()


@pytest.mark.parametrize("filler", [ROLE * 64, b": " + b"x" * 300_000 + b"\n\n" + ROLE])
def test_a_stream_is_held_back_only_so_far(filler: bytes, scene: Any) -> None:
    played = scene(config("p", "q"))
    caller = played.gateway.caller()
    caller.chat(STREAM)
    peer = played.peer("p")
    peer.say(HEAD + chunk(filler[:-1]))
    assert caller.take() == b"" or len(filler) > 200_000
    peer.say(chunk(filler[-1:]))
    peer.say(chunk(WORD + DONE) + b"0\r\n\r\n")
    raw = caller.take()
    assert raw.startswith(b"HTTP/1.1 200 ") or raw.endswith(b"0\r\n\r\n")
    assert played.gateway.is_at_rest()


@pytest.mark.parametrize("cut", range(1, len(ROLE + WORD + DONE), 7))
def test_a_held_stream_is_the_same_however_it_is_cut(cut: int, scene: Any) -> None:
    played = scene(config("p", "q"))
    caller = played.gateway.caller()
    caller.chat(STREAM)
    stream = ROLE + WORD + DONE
    peer = played.peer("p")
    peer.say(HEAD)
    for part in (stream[:cut], stream[cut:]):
        peer.say(chunk(part))
    peer.say(b"0\r\n\r\n")
    body, rest = b"", caller.take().partition(b"\r\n\r\n")[2]
    while not rest.startswith(b"0\r\n"):
        size, _, rest = rest.partition(b"\r\n")
        body += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]
    assert body == stream
    assert played.gateway.is_at_rest()


def test_a_first_token_that_does_not_come_is_a_504_where_nothing_else_can_answer(scene: Any) -> None:
    played = scene(config("p", model={"timeouts": {"first_token": "5s", "idle": "1s"}}))
    caller = played.gateway.caller()
    caller.chat(STREAM)
    peer = played.peer("p")
    peer.say(HEAD + chunk(ROLE))
    played.gateway.timers.run(monotonic_ns() + 4 * SECOND)
    assert peer.is_open
    played.gateway.timers.run(monotonic_ns() + 6 * SECOND)
    assert said(caller)[:2] == (504, "upstream_timeout")
