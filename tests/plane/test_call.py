"""plane.call: which candidates are attempted, how often, and that nothing is held afterwards."""

from time import monotonic_ns
from typing import Any

import pytest

from tests.plane.conftest import Starter
from tests.plane.rig import SECOND, CallerEnd, Peer, Upstream, answer, body_of, consumer, one_model

OK = answer(b'{"ok":1}')
TIMEOUTS = {"connect": "5s", "first_token": "20s", "idle": "30s", "total": "60s"}


def models(**retries: Any) -> dict[str, Any]:
    """Return a config whose model ``m`` is served by providers on ports 9001 and 9002."""
    return {
        "providers": {
            name: {"dialect": "openai", "base_url": f"http://{name}.test:{port}", "credential": "env:KEY"}
            for name, port in (("p", 9001), ("q", 9002))
        },
        "models": {
            "m": {
                "targets": [{"provider": "p", "model": "a"}, {"provider": "q", "model": "b"}],
                "retries": retries,
                "timeouts": TIMEOUTS,
            }
        },
        "consumers": {"c": consumer()},
    }


def plain(**retries: Any) -> dict[str, Any]:
    """Return a config with a plain API on port 9001."""
    return {
        "upstreams": {"u": {"endpoints": ["http://u.test:9001"]}},
        "routes": {
            "r": {"match": {"path": "/r/*"}, "upstream": "u", "retries": retries, "timeouts": TIMEOUTS},
        },
        "consumers": {"c": consumer()},
    }


def used(upstream: Upstream) -> Peer:
    """Return an idle connection that has been used before."""
    peer = upstream.connect()
    peer.connection.reused = True
    return peer


def code_of(caller: CallerEnd) -> str:
    head, _, _ = caller.take().partition(b"\r\n\r\n")
    lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    return lines.get(b"x-headgate-error", b"").decode()


def test_a_call_goes_out_on_an_idle_connection_and_its_answer_comes_back(start: Starter) -> None:
    gateway = start(models())
    peer = gateway.upstreams[9001].connect()
    caller = gateway.caller()
    caller.chat()
    assert peer.take().startswith(
        b"POST /chat/completions HTTP/1.1\r\nhost: p.test:9001\r\nauthorization: Bearer sk-vendor"
    )
    assert gateway.runtime.models["m"].targets[0].in_flight == 1
    peer.say(OK)
    assert body_of(caller.take()) == b'{"ok":1}'
    (event,) = gateway.events()
    assert (event.status, event.error, event.attempts, event.target, event.model) == (200, "", 1, "p/a", "m")
    assert gateway.is_at_rest()


def test_a_call_waits_for_a_connection_to_be_made(start: Starter) -> None:
    gateway = start(models())
    caller = gateway.caller()
    caller.chat()
    peer = gateway.upstreams[9001].dials[0].succeed()
    peer.say(OK)
    assert body_of(caller.take()) == b'{"ok":1}'
    assert gateway.is_at_rest()


# --- retries


def test_the_next_target_is_tried_where_the_first_cannot_be_reached(start: Starter) -> None:
    gateway = start(models())
    caller = gateway.caller()
    caller.chat()
    gateway.upstreams[9001].dials[0].fail()
    peer = gateway.upstreams[9002].dials[0].succeed()
    assert b'"model":"b"' in peer.take()
    peer.say(OK)
    answered = caller.take()
    assert b"x-headgate-target: q/b\r\n" in answered
    (event,) = gateway.events()
    assert (event.status, event.attempts, event.target) == (200, 1, "q/b")
    assert gateway.is_at_rest()


def test_a_single_target_is_tried_again(start: Starter) -> None:
    gateway = start(one_model())
    caller = gateway.caller()
    caller.chat()
    gateway.upstreams[9001].dials[0].fail()
    gateway.rest()
    gateway.upstreams[9001].dials[0].succeed().say(OK)
    assert body_of(caller.take()) == b'{"ok":1}'
    assert gateway.is_at_rest()


@pytest.mark.parametrize("more", [0, 1, 2, 5])
def test_there_are_no_more_attempts_than_the_config_says(more: int, start: Starter) -> None:
    gateway = start(models(max=more))
    caller = gateway.caller()
    caller.chat()
    made = 0
    while dials := [dial for upstream in gateway.upstreams.values() for dial in upstream.dials]:
        made += len(dials)
        dials[0].fail()
        if not any(upstream.dials for upstream in gateway.upstreams.values()):
            gateway.rest()
    assert made == more + 1
    assert code_of(caller) == "upstream_unreachable"
    (event,) = gateway.events()
    assert (event.status, event.error, event.attempts) == (502, "upstream_unreachable", 0)
    assert gateway.is_at_rest()


@pytest.mark.parametrize(
    ("on", "tried"), [([], False), (["connect"], True), (["reset"], False), (["connect", "reset"], True)]
)
def test_a_failed_connection_is_tried_again_only_under_connect(on: list[str], tried: bool, start: Starter) -> None:
    gateway = start(models(on=on))
    caller = gateway.caller()
    caller.chat()
    gateway.upstreams[9001].dials[0].fail()
    assert bool(gateway.upstreams[9002].dials) is tried
    if not tried:
        assert code_of(caller) == "upstream_unreachable"
        assert gateway.is_at_rest()


@pytest.mark.parametrize(
    ("on", "method", "tried"),
    [
        ([], "POST", False),
        ([], "GET", False),
        (["connect"], "POST", False),
        (["connect"], "PATCH", False),
        (["connect"], "GET", True),
        (["connect"], "PUT", True),
        (["reset"], "POST", True),
        (["reset"], "GET", True),
        (["connect", "reset"], "POST", True),
    ],
)
def test_a_reset_is_tried_again_under_reset_or_where_that_is_always_safe(
    on: list[str], method: str, tried: bool, start: Starter
) -> None:
    gateway = start(plain(on=on))
    upstream = gateway.upstreams[9001]
    peer = used(upstream)
    caller = gateway.caller()
    caller.ask("/r/1", b"body", method)
    peer.leave(ConnectionResetError())
    assert bool(upstream.dials) is tried
    if tried:
        again = upstream.dials[0].succeed()
        assert again.take().endswith(b"body")
        again.say(OK)
        assert body_of(caller.take()) == b'{"ok":1}'
        assert [event.attempts for event in gateway.events()] == [2]
    else:
        assert code_of(caller) == "upstream_reset"
    assert gateway.is_at_rest()


@pytest.mark.parametrize("reused", [True, False])
def test_once_a_byte_has_come_nothing_is_tried_again(reused: bool, start: Starter) -> None:
    gateway = start(plain(on=["reset", "connect"], max=5))
    upstream = gateway.upstreams[9001]
    peer = used(upstream) if reused else upstream.connect()
    caller = gateway.caller()
    caller.ask("/r/1", method="GET")
    peer.say(b"HTTP/1.1 2")
    peer.leave(ConnectionResetError())
    assert upstream.dials == []
    assert code_of(caller) == "upstream_reset"
    assert gateway.is_at_rest()


def test_a_new_connection_that_is_reset_is_not_tried_again(start: Starter) -> None:
    gateway = start(plain(on=["reset", "connect"], max=5))
    upstream = gateway.upstreams[9001]
    caller = gateway.caller()
    caller.ask("/r/1", b"body")
    upstream.dials[0].succeed().leave()
    assert upstream.dials == []
    assert code_of(caller) == "upstream_reset"
    assert gateway.is_at_rest()


def test_a_replay_goes_to_a_new_connection_since_the_idle_ones_are_as_old(start: Starter) -> None:
    gateway = start(plain(on=["reset"]))
    upstream = gateway.upstreams[9001]
    stale = [used(upstream) for _ in range(3)]
    caller = gateway.caller()
    caller.ask("/r/1", b"body")
    stale[-1].leave(ConnectionResetError())
    assert len(upstream.dials) == 1
    upstream.dials[0].succeed().say(OK)
    assert body_of(caller.take()) == b'{"ok":1}'
    assert gateway.is_at_rest()


@pytest.mark.parametrize("status", [b"429 Too Many Requests", b"500 Internal Server Error", b"503 Service Unavailable"])
def test_an_answer_is_an_answer_whatever_its_status(status: bytes, start: Starter) -> None:
    gateway = start(models(on=["connect", "reset"], max=5))
    caller = gateway.caller()
    caller.chat()
    gateway.upstreams[9001].dials[0].succeed().say(answer(b'{"error":{}}', status=status))
    assert caller.take().startswith(b"HTTP/1.1 " + status)
    (event,) = gateway.events()
    assert (event.attempts, event.error) == (1, "upstream_error")
    assert gateway.is_at_rest()


def test_a_timeout_is_not_tried_again_since_the_request_may_be_acted_upon(start: Starter) -> None:
    gateway = start(models(on=["connect", "reset"], max=5))
    caller = gateway.caller()
    caller.chat()
    gateway.upstreams[9001].dials[0].succeed()
    gateway.timers.run(monotonic_ns() + 20 * SECOND)
    assert code_of(caller) == "upstream_timeout"
    assert gateway.upstreams[9002].dials == []
    assert gateway.is_at_rest()


def test_attempts_share_the_time_of_the_whole_call(start: Starter) -> None:
    config = models(max=9)
    config["models"]["m"]["timeouts"] = {"connect": "40s", "total": "5s"}
    gateway = start(config)
    caller = gateway.caller()
    caller.chat()
    for upstream in gateway.upstreams.values():
        assert upstream.dials[0].connect <= 5 * SECOND
        upstream.dials[0].fail()


# --- the caller leaves


def test_a_caller_that_leaves_while_a_connection_is_made_leaves_nothing_behind(start: Starter) -> None:
    gateway = start(models())
    caller = gateway.caller()
    caller.chat()
    assert gateway.concurrent() == 1
    caller.leave()
    assert gateway.concurrent() == 0
    (event,) = gateway.events()
    assert (event.status, event.error, event.attempts) == (499, "caller_gone", 0)
    upstream = gateway.upstreams[9001]
    peer = upstream.dials[0].succeed()
    assert peer.take() == b""
    assert upstream.pool.idle == [peer.connection]
    assert gateway.is_at_rest()


@pytest.mark.parametrize("begun", [b"", OK[:20], OK[:-2]], ids=["nothing", "half a head", "half a body"])
def test_a_caller_that_leaves_while_the_upstream_answers_ends_the_call_there(begun: bytes, start: Starter) -> None:
    gateway = start(models(on=["connect", "reset"], max=5))
    caller = gateway.caller()
    caller.chat()
    peer = gateway.upstreams[9001].dials[0].succeed()
    if begun:
        peer.say(begun)
    caller.leave()
    assert not peer.is_open
    (event,) = gateway.events()
    assert (event.status, event.error, event.attempts) == (499, "caller_gone", 1)
    assert not event.usage_known
    assert gateway.is_at_rest()


# --- a swap while a call is under way


def test_a_call_ends_on_the_runtime_it_began_with(start: Starter) -> None:
    gateway = start(models())
    caller, waiting = gateway.caller(), gateway.caller()
    before = gateway.runtime
    old = gateway.upstreams[9001]
    old.connect()
    peer = old.peers[0]
    caller.chat()
    waiting.chat()
    config = models()
    config["providers"]["p"]["base_url"] = "http://new.test:9003"
    gateway.apply(config)
    assert gateway.runtime is not before
    peer.say(OK)
    assert body_of(caller.take()) == b'{"ok":1}'
    gateway.loop.run()
    peer.say(OK)
    assert body_of(waiting.take()) == b'{"ok":1}'
    late = old.dials[0].succeed()
    assert {event.snapshot for event in gateway.events()} == {before.digest}
    caller.chat()
    assert len(gateway.upstreams[9003].dials) == 1
    assert not any(candidate.in_flight for candidate in before.candidates)
    gateway.loop.run()
    assert (peer.is_open, late.is_open) == (False, False)
    assert old.pool.size == 0


def test_a_call_of_an_old_runtime_may_still_go_to_its_next_target(start: Starter) -> None:
    gateway = start(models())
    caller = gateway.caller()
    caller.chat()
    first, second = gateway.upstreams[9001], gateway.upstreams[9002]
    config = models()
    for number, provider in enumerate(config["providers"].values()):
        provider["base_url"] = f"http://new.test:{9003 + number}"
    gateway.apply(config)
    first.dials[0].fail()
    peer = second.dials[0].succeed()
    peer.say(OK)
    assert body_of(caller.take()) == b'{"ok":1}'
    gateway.loop.run()
    assert (first.pool.size, second.pool.size) == (0, 0)
