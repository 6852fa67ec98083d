"""plane.refusal, and going elsewhere for the request's sake: too long for one model, or refused by it."""

import json
from pathlib import Path
from typing import Any

import pytest

from plane.canonical import Carry
from plane.dialects import anthropic, bedrock, cohere, gemini, mistral, ollama, openai, openai_responses
from plane.refusal import answer_refuses, is_content, is_refusal
from tests.plane.rig import answer, body_of
from tests.plane.scenes import DONE, HEAD, OK, ROLE, STREAM, WORD, chunk, config, counted, failed, said

FILES = Path(__file__).parents[1] / "golden" / "dialects"
MODULES = (anthropic, bedrock, cohere, gemini, mistral, ollama, openai, openai_responses)
DIALECTS: dict[str, Any] = {module.__name__.rpartition(".")[2]: module for module in MODULES}
REFUSE = ("anthropic", "bedrock", "gemini", "openai", "openai_responses")
FIRST = ("anthropic", "gemini", "openai", "openai_responses")
"""Whose streams begin with the refusal; Bedrock's guardrail says so at the end, after words of its own."""
CASES = ("plain", "tools", "thinking", "length", "refusal")

TOO_LONG = failed(400, body=b'{"error":{"message":"no","type":"x","code":"context_length_exceeded"}}')
FILTERED = answer(b'{"choices":[{"index":0,"message":{"content":""},"finish_reason":"content_filter"}]}')
WILL_NOT = answer(
    b'{"choices":[{"index":0,"message":{"content":null,"refusal":"I will not."},"finish_reason":"stop"}]}'
)
SAYS = answer(b'{"choices":[{"index":0,"message":{"content":"Hi"},"finish_reason":"stop"}]}')
STOPPED = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"content_filter"}]}\n\n'
REFUSED = b'data: {"choices":[{"index":0,"delta":{"refusal":"I will"}}]}\n\n'


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", DIALECTS)
def test_a_refusal_is_told_from_other_answers_in_every_dialect_that_knows_one(name: str, case: str) -> None:
    listener = DIALECTS[name].build(DIALECTS[name].Options()).translators["chat"]
    whole = (FILES / name / f"{case}.answer.json").read_bytes()
    assert answer_refuses(listener.read_answer(whole, Carry("x"))) is (case == "refusal" and name in REFUSE)
    reader = listener.event_reader(Carry("x"))
    events = [*reader.feed((FILES / name / f"{case}.stream").read_bytes()), *reader.flush()]
    first = next(event for event in events if is_content(event))
    assert is_refusal(first) is (case == "refusal" and name in FIRST)


def test_what_is_too_long_for_a_target_is_the_caller_s_unless_the_config_says_otherwise(scene: Any) -> None:
    played = scene(config("p", "q"))
    caller = played.gateway.caller()
    caller.chat()
    played.peer("p").say(TOO_LONG)
    assert said(caller)[:2] == (400, "upstream_error")
    assert not played.is_asked("q")


def test_what_is_too_long_for_a_target_goes_to_the_next_and_is_no_failure_of_the_first(scene: Any) -> None:
    played = scene(config("p", "q", keys=2, on=["context_length"]))
    caller = played.gateway.caller()
    for _ in range(6):
        caller.chat()
        played.peer("p").say(TOO_LONG)
        played.peer("q").say(OK)
        assert said(caller)[0] == 200
    assert [played.health(number).reason(0) for number in range(4)] == [""] * 4
    assert counted(played, "headgate_retries_total", "context_length") == 6
    assert played.gateway.is_at_rest()


def test_a_target_for_what_is_too_long_is_asked_for_that_alone_and_needs_no_word_in_retries(scene: Any) -> None:
    targets = [{"provider": "p", "model": "x"}, {"provider": "q", "model": "x", "on": ["context_length"]}]
    for answered, taker in ((TOO_LONG, True), (failed(500), False)):
        played = scene(config(model={"targets": targets}))
        caller = played.gateway.caller()
        caller.chat()
        played.peer("p").say(answered)
        assert played.is_asked("q") is taker


def test_a_target_that_a_request_is_too_long_for_is_not_asked_again_after_others_failed(scene: Any) -> None:
    played = scene(config("p", "q", on=["context_length", "5xx"], max=5, backoff="1ms"))
    caller = played.gateway.caller()
    caller.chat()
    played.peer("p").say(TOO_LONG)
    for _ in range(4):
        played.peer("q").say(failed(500))
        played.rest()
    played.peer("q").say(OK)
    assert (said(caller)[0], played.asked) == (200, list("pqqqqq"))


def test_where_no_other_target_is_left_the_caller_gets_what_the_last_one_said(scene: Any) -> None:
    for answered in (TOO_LONG, FILTERED):
        played = scene(config("p", on=["context_length", "refusal"], max=5))
        caller = played.gateway.caller()
        caller.chat()
        played.peer("p").say(answered)
        status, _, body = said(caller)
        assert (b"%d" % status, body) == (answered[9:12], answered.partition(b"\r\n\r\n")[2])
        assert played.gateway.is_at_rest()


def test_going_elsewhere_for_the_request_s_sake_takes_nothing_from_the_budget_of_retries(scene: Any) -> None:
    played = scene(config("p", "q", on=["refusal"], budget=0))
    caller = played.gateway.caller()
    for _ in range(50):
        caller.chat()
        played.peer("p").say(FILTERED)
        played.peer("q").say(OK)
        assert said(caller)[0] == 200
    assert counted(played, "headgate_retries_refused_total") == 0


@pytest.mark.parametrize("refused", [FILTERED, WILL_NOT, failed(400, body=b'{"error":{"code":"content_filter"}}')])
@pytest.mark.parametrize("asked", [True, False])
def test_a_refusal_goes_to_the_next_target_where_the_config_says_so(refused: bytes, asked: bool, scene: Any) -> None:
    played = scene(config("p", "q", on=["refusal"] if asked else ["5xx"]))
    caller = played.gateway.caller()
    caller.chat()
    played.peer("p").say(refused)
    if asked:
        played.peer("q").say(OK)
    status, _, body = said(caller)
    assert body == (OK if asked else refused).partition(b"\r\n\r\n")[2]
    assert status == (200 if asked else int(refused[9:12]))
    assert played.health(0).breaker.failed_in_row == 0
    assert played.gateway.is_at_rest()


@pytest.mark.parametrize("body", [SAYS, OK, answer(b"no JSON"), answer(b'{"choices":[]}')])
def test_what_does_not_refuse_is_the_answer(body: bytes, scene: Any) -> None:
    played = scene(config("p", "q", on=["refusal"]))
    caller = played.gateway.caller()
    caller.chat()
    played.peer("p").say(body)
    assert said(caller)[2] == body.partition(b"\r\n\r\n")[2]
    assert not played.is_asked("q")


@pytest.mark.parametrize("refused", [STOPPED, REFUSED])
def test_a_stream_that_refuses_first_goes_to_the_next_target(refused: bytes, scene: Any) -> None:
    played = scene(config("p", "q", on=["refusal"]))
    caller = played.gateway.caller()
    caller.chat(STREAM)
    played.peer("p").say(HEAD + chunk(ROLE + refused))
    assert caller.take() == b""
    second = played.peer("q")
    second.say(HEAD + chunk(ROLE + WORD + DONE) + b"0\r\n\r\n")
    assert body_of(caller.take()) == ROLE + WORD + DONE
    (event,) = played.gateway.events()
    assert (event.status, event.attempts, event.target) == (200, 2, "q/x")
    assert played.gateway.is_at_rest()


def test_a_stream_that_refuses_after_a_word_is_the_answer(scene: Any) -> None:
    played = scene(config("p", "q", on=["refusal"]))
    caller = played.gateway.caller()
    caller.chat(STREAM)
    peer = played.peer("p")
    peer.say(HEAD + chunk(ROLE + WORD))
    peer.say(chunk(STOPPED + DONE) + b"0\r\n\r\n")
    assert caller.take().count(STOPPED[6:-2]) == 1
    assert not played.is_asked("q")


def test_a_refusal_that_goes_elsewhere_leaves_the_speed_of_the_target_alone(scene: Any) -> None:
    played = scene(config("p", "q", on=["refusal"], model={"strategy": "fastest"}))
    caller = played.gateway.caller()
    caller.chat()
    first = "p" if played.is_asked("p") else "q"
    played.peer(first).say(FILTERED)
    played.peer("q" if first == "p" else "p").say(OK)
    number = "pq".index(first)
    latency = played.gateway.runtime.models["m"].targets[number].latency
    assert json.loads(said(caller)[2]) == {"ok": 1}
    assert latency.score(0) < 10**9
