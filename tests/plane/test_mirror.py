"""plane.mirror: a shadow target gets copies of calls, which the real ones neither wait for nor pay for."""

import json
from typing import Any

import msgspec
import pytest

from core.consistent import consistent
from core.model import Config
from plane.mirror import MAX_IN_FLIGHT, runs_tools
from tests.plane.conftest import Starter
from tests.plane.rig import Gateway, Peer, answer, consumer

BODY = b'{"model":"m","messages":[]}'
REAL, SHADOW = 9001, 9002


def config(percent: int = 100) -> dict[str, Any]:
    return {
        "providers": {
            "p": {"dialect": "openai", "base_url": f"http://p.test:{REAL}"},
            "s": {"dialect": "openai", "base_url": f"http://s.test:{SHADOW}"},
        },
        "models": {
            "m": {
                "targets": [{"provider": "p", "model": "real"}],
                "mirror": {"provider": "s", "model": "shadow", "percent": percent},
                "retries": {"max": 3, "on": ["connect", "reset"]},
            }
        },
        "consumers": {"c": consumer()},
    }


@pytest.fixture
def gateway(start: Starter) -> Gateway:
    return start(config())


def peers(gateway: Gateway) -> tuple[Peer, Peer]:
    return gateway.upstreams[REAL].connect(), gateway.upstreams[SHADOW].connect()


def test_the_shadow_gets_the_body_with_its_own_name_of_the_model(gateway: Gateway) -> None:
    real, shadow = peers(gateway)
    caller = gateway.caller()
    caller.chat(BODY)
    assert real.take().endswith(b'{"model":"real","messages":[]}')
    assert shadow.take().endswith(b'{"model":"shadow","messages":[]}')
    shadow.say(answer(b'{"from":"shadow"}'))
    assert caller.take() == b""
    real.say(answer(b'{"from":"real"}'))
    assert caller.take().endswith(b'{"from":"real"}')
    assert gateway.is_at_rest()


def test_a_copy_is_recorded_apart_and_nobody_is_billed_for_it(gateway: Gateway) -> None:
    real, shadow = peers(gateway)
    gateway.caller().chat(BODY)
    counted = b'{"usage":{"prompt_tokens":3,"completion_tokens":2}}'
    real.say(answer(counted))
    shadow.say(answer(counted))
    first, second = gateway.events()
    assert (first.consumer, first.target, first.input_total) == ("c", "p/real", 3)
    assert (second.consumer, second.target, second.input_total) == ("(mirror)", "s/shadow", 3)
    assert first.request_id == second.request_id
    assert first.id != second.id


def test_a_stream_is_copied_whole(gateway: Gateway) -> None:
    real, shadow = peers(gateway)
    gateway.caller().chat(b'{"model":"m","stream":true}')
    shadow.take()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    events = b'data: {"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":1}}\n\ndata: [DONE]\n\n'
    shadow.say(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(events), events))
    (event,) = gateway.events()
    assert (event.consumer, event.input_total, event.error) == ("(mirror)", 4, "")
    real.say(answer(b"{}"))
    assert gateway.is_at_rest()


@pytest.mark.parametrize("status", [b"500 Oh", b"429 Slow"])
def test_a_shadow_that_fails_is_not_asked_again_and_hurts_nobody(gateway: Gateway, status: bytes) -> None:
    real, shadow = peers(gateway)
    caller = gateway.caller()
    caller.chat(BODY)
    shadow.take()
    shadow.say(answer(b"{}").replace(b"200 OK", status))
    assert shadow.take() == b""
    real.say(answer(b"{}"))
    assert caller.take().startswith(b"HTTP/1.1 200 OK")
    assert [(event.consumer, event.attempts) for event in gateway.events()] == [("(mirror)", 1), ("c", 1)]


def test_a_shadow_that_cannot_be_reached_is_dialled_once(gateway: Gateway) -> None:
    real = gateway.upstreams[REAL].connect()
    caller = gateway.caller()
    caller.chat(BODY)
    (dial,) = gateway.upstreams[SHADOW].dials
    dial.fail()
    assert gateway.upstreams[SHADOW].dials == []
    real.say(answer(b"{}"))
    assert caller.take().startswith(b"HTTP/1.1 200 OK")
    mirrored = next(event for event in gateway.events() if event.consumer == "(mirror)")
    assert (mirrored.status, mirrored.error, mirrored.attempts) == (502, "upstream_unreachable", 0)
    assert gateway.is_at_rest()


def test_a_copy_goes_on_when_its_caller_has_left(gateway: Gateway) -> None:
    _, shadow = peers(gateway)
    caller = gateway.caller()
    caller.chat(BODY)
    caller.leave()
    shadow.say(answer(b"{}"))
    assert {event.consumer: event.error for event in gateway.events()} == {"c": "caller_gone", "(mirror)": ""}
    assert gateway.is_at_rest()


@pytest.mark.parametrize("crossed", ["real", "shadow"])
def test_each_target_gets_the_body_in_its_own_dialect(crossed: str, start: Starter) -> None:
    changed = config()
    changed["providers"]["p" if crossed == "real" else "s"]["dialect"] = "anthropic"
    gateway = start(changed)
    real, shadow = peers(gateway)
    caller = gateway.caller()
    caller.chat(b'{"model":"m","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"}]}')
    bodies = {
        name: json.loads(peer.take().partition(b"\r\n\r\n")[2]) for name, peer in (("real", real), ("shadow", shadow))
    }
    assert bodies.pop(crossed) == {
        "model": crossed,
        "max_tokens": 4096,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
    }
    ((other, body),) = bodies.items()
    assert (body["model"], [turn["role"] for turn in body["messages"]]) == (other, ["system", "user"])
    message = {"id": "1", "type": "message", "role": "assistant", "content": [], "stop_reason": "end_turn"}
    usage = {"input_tokens": 3, "output_tokens": 2}
    told = answer(json.dumps(message | {"model": "x", "usage": usage}).encode())
    plain = answer(b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}')
    (real if crossed == "real" else shadow).say(told)
    (shadow if crossed == "real" else real).say(plain)
    assert caller.take().startswith(b"HTTP/1.1 200 ")
    counted = {event.consumer: (event.input_total, event.output_total) for event in gateway.events()}
    assert counted == {"(mirror)": (3, 2), "c": (3, 2)}
    assert gateway.is_at_rest()


def test_so_many_of_a_hundred_are_copied(start: Starter) -> None:
    gateway = start(config(percent=25))
    real, shadow = peers(gateway)
    caller = gateway.caller()
    copied = []
    for _ in range(8):
        caller.chat(BODY)
        real.say(answer(b"{}"))
        copied.append(shadow.take() != b"")
        if copied[-1]:
            shadow.say(answer(b"{}"))
    assert copied == [False, False, False, True] * 2


def test_only_so_many_copies_are_under_way(gateway: Gateway) -> None:
    real = gateway.upstreams[REAL].connect()
    caller = gateway.caller()
    for _ in range(MAX_IN_FLIGHT + 10):
        caller.chat(BODY)
        real.say(answer(b"{}"))
    assert gateway.runtime.models["m"].mirror.in_flight == MAX_IN_FLIGHT
    assert len(gateway.upstreams[SHADOW].pool.waiters) == MAX_IN_FLIGHT


def test_the_deadlines_of_the_model_end_a_copy(gateway: Gateway) -> None:
    real, shadow = peers(gateway)
    gateway.caller().chat(BODY)
    real.say(answer(b"{}"))
    gateway.timers.run(shadow.connection.due)
    assert {event.consumer: event.error for event in gateway.events()} == {"c": "", "(mirror)": "upstream_timeout"}
    assert gateway.is_at_rest()


@pytest.mark.parametrize(
    ("tools", "runs"),
    [
        (b'[{"type":"function","function":{"name":"f"}}]', False),
        (b'[{"name":"f","input_schema":{}}]', False),
        (b'[{"type":"function","name":"f"},{"type":"custom","name":"g"}]', False),
        (b'[{"functionDeclarations":[]}]', False),
        (b'[{"function_declarations":[]}]', False),
        (b"null", False),
        (b"[]", False),
        (b'[{"type":"web_search"}]', True),
        (b'[{"type":"mcp","name":"x"}]', True),
        (b'[{"type":"bash_20250124","name":"bash"}]', True),
        (b'[{"googleSearch":{}}]', True),
        (b"5", True),
    ],
)
def test_calls_with_tools_that_the_provider_runs_are_not_copied(tools: bytes, runs: bool) -> None:
    assert runs_tools(b'{"model":"m","tools":%b}' % tools) is runs


def test_a_mirror_of_an_unknown_provider_is_a_problem_of_the_config() -> None:
    wrong = config()
    wrong["models"]["m"]["mirror"]["provider"] = "nobody"
    (problem,) = consistent(msgspec.convert(wrong, Config))
    assert problem.path == ("models", "m", "mirror", "provider")
