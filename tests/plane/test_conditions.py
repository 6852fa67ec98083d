"""Conditions of targets: only the requests that fulfil them go there."""

import pytest

from plane.conditions import Conditions
from tests.plane.conftest import Starter
from tests.plane.rig import answer, consumer, make_exchange

CONFIG = {
    "providers": {"p": {"dialect": "openai", "base_url": "http://p.test:9001"}},
    "models": {
        "m": {
            "targets": [
                {"provider": "p", "model": "a", "when": {"headers": {"X-Tier": ["gold", "platinum"]}}},
                {"provider": "p", "model": "b", "when": {"metadata": {"team": ["search"]}}},
                {"provider": "p", "model": "c"},
            ]
        },
        "only": {"targets": [{"provider": "p", "model": "a", "when": {"headers": {"x-tier": ["*"]}}}]},
    },
    "consumers": {"c": consumer()},
}


@pytest.mark.parametrize(
    ("fields", "metadata", "target"),
    [
        (b"x-tier: gold\r\n", b"{}", b"a"),
        (b"X-TIER: platinum\r\n", b'{"team":"search"}', b"a"),
        (b"x-tier: silver\r\n", b'{"team":"search"}', b"b"),
        (b"x-tier: silver\r\n", b'{"team":"ads"}', b"c"),
        (b"", b"null", b"c"),
        (b"", b'{"team":["search"]}', b"c"),
    ],
)
def test_the_first_target_whose_conditions_hold_is_called(
    fields: bytes, metadata: bytes, target: bytes, start: Starter
) -> None:
    gateway = start(CONFIG)
    peer = gateway.upstreams[9001].connect()
    caller = gateway.caller()
    caller.ask("/v1/chat/completions", b'{"model":"m","metadata":%b}' % metadata, fields=fields)
    assert b'"model":"%b"' % target in peer.take()
    peer.say(answer(b"{}"))
    assert b"x-headgate-target: p/%b\r\n" % target in caller.take()


def test_a_request_that_fulfils_no_conditions_is_told_so(start: Starter) -> None:
    gateway = start(CONFIG)
    caller = gateway.caller()
    caller.ask("/v1/chat/completions", b'{"model":"only"}')
    said = caller.take()
    assert said.startswith(b"HTTP/1.1 400 ")
    assert b"x-headgate-error: no_target_matches\r\n" in said
    assert gateway.is_at_rest()


@pytest.mark.parametrize(
    ("said", "holds"),
    [(b'{"n":5}', True), (b'{"n":"5"}', True), (b'{"n":true}', False), (b'{"n":null}', False), (b"{}", False)],
)
def test_simple_values_are_compared_as_text(said: bytes, holds: bool) -> None:
    exchange = make_exchange()
    exchange.body = b'{"metadata":%b}' % said
    assert Conditions({}, {"n": ("5",)}).hold(exchange) is holds


def test_all_conditions_must_hold() -> None:
    exchange = make_exchange()
    exchange.headers = [(b"A", b"1")]
    exchange.body = b'{"metadata":{"b":"2"}}'
    assert Conditions({"a": ("1",)}, {"b": ("2",)}).hold(exchange)
    assert not Conditions({"a": ("2",)}, {"b": ("2",)}).hold(exchange)
    assert not Conditions({"a": ("1",)}, {"b": ("1",)}).hold(exchange)
