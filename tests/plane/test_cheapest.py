"""plane.strategies.cheapest: the target where the call costs least is asked first."""

from typing import Any

import pytest

from plane.strategies.cheapest import USUAL_OUTPUT, bound_of
from tests.plane.conftest import Starter
from tests.plane.rig import answer, consumer

FREE_OUTPUT = {"input_usd_per_million": "8", "output_usd_per_million": "0"}
FREE_INPUT = {"input_usd_per_million": "0", "output_usd_per_million": "8"}
EVEN = {"input_usd_per_million": "2", "output_usd_per_million": "2"}


def config(*prices: dict[str, str] | None) -> dict[str, Any]:
    targets = [
        {"provider": "p", "model": name} | ({"price": price} if price else {})
        for name, price in zip("abc", prices, strict=False)
    ]
    return {
        "providers": {"p": {"dialect": "openai", "base_url": "http://p.test:9001"}},
        "models": {"m": {"targets": targets, "strategy": "cheapest"}},
        "consumers": {"c": consumer()},
    }


@pytest.mark.parametrize(
    ("body", "first"),
    [
        (b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"%b"}]}' % (b"x" * 4000), b"b"),
        (b'{"model":"m","max_tokens":400,"messages":[]}', b"a"),
        (b'{"model":"m","max_completion_tokens":10,"messages":[{"role":"user","content":"%b"}]}' % (b"x" * 8), b"c"),
    ],
)
def test_the_one_where_the_call_costs_least_is_first(body: bytes, first: bytes, start: Starter) -> None:
    gateway = start(config(FREE_OUTPUT, FREE_INPUT, EVEN))
    peer = gateway.upstreams[9001].connect()
    gateway.caller().chat(body)
    assert b'"model":"%b"' % first in peer.take()
    peer.say(answer(b"{}"))
    assert gateway.is_at_rest()


def test_what_has_no_price_comes_last(start: Starter) -> None:
    gateway = start(config(None, EVEN))
    peer = gateway.upstreams[9001].connect()
    gateway.caller().chat()
    assert b'"model":"b"' in peer.take()


def test_what_costs_the_same_stays_as_written(start: Starter) -> None:
    gateway = start(config(EVEN, EVEN))
    peer = gateway.upstreams[9001].connect()
    gateway.caller().chat()
    assert b'"model":"a"' in peer.take()


@pytest.mark.parametrize(
    ("body", "bound"),
    [
        (b'{"max_tokens":5}', 5),
        (b'{"max_output_tokens":6}', 6),
        (b'{"generationConfig":{"maxOutputTokens":7}}', 7),
        (b'{"max_tokens":-1}', USUAL_OUTPUT),
        (b'{"max_tokens":"x"}', USUAL_OUTPUT),
        (b"{}", USUAL_OUTPUT),
        (b"\xff", USUAL_OUTPUT),
    ],
)
def test_the_bound_of_an_answer_is_found_in_every_dialect(body: bytes, bound: int) -> None:
    assert bound_of(body) == bound
