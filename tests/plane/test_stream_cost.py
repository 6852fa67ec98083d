"""The cost of a stream in its last chunk, for callers of OpenAI's dialect that ask for it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.plane.conftest import Starter
from tests.plane.rig import Gateway, body_of, consumer
from tests.plane.scenes import chunk

GOLDEN = Path(__file__).parents[1] / "golden" / "dialects"
PRICE = {"input_usd_per_million": "2", "output_usd_per_million": "10"}
ASK = b'{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true}'
ASKS_USAGE = ASK.replace(b"true}", b'true,"stream_options":{"include_usage":true}}')
COST = b"x-headgate-include-cost: 1\r\n"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
WORDS = b'data: {"id":"a","choices":[{"index":0,"delta":{"content":"hi"}}],"x":1.10}\n\n'
USAGE = b'data: {"id":"a","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n'
TOLD = USAGE.replace(b"4}", b'4,"cost":0.000046000}')
DONE = b"data: [DONE]\n\n"


def config(dialect: str = "openai", price: dict[str, str] | None = PRICE) -> dict[str, Any]:
    target = {"provider": "p", "model": "claude-sonnet-5"} | ({"price": price} if price is not None else {})
    return {
        "providers": {"p": {"dialect": dialect, "base_url": "http://p.test:9001"}},
        "models": {"m": {"targets": [target]}},
        "consumers": {"c": consumer()},
    }


def streamed(gateway: Gateway, body: bytes, fields: bytes, *pieces: bytes) -> bytes:
    """Return what the caller gets of a stream that comes in these pieces."""
    peer = gateway.upstreams[9001].connect()
    caller = gateway.caller()
    caller.ask("/v1/chat/completions", body, fields=fields)
    peer.say(HEAD)
    for piece in pieces:
        peer.say(chunk(piece))
    peer.say(b"0\r\n\r\n")
    found: bytes = body_of(caller.take())
    return found


@pytest.mark.parametrize("body", [ASK, ASKS_USAGE])
def test_the_cost_is_in_the_usage_chunk_wherever_the_stream_is_cut(body: bytes, start: Starter) -> None:
    gateway = start(config())
    whole = WORDS + USAGE + DONE
    for cut in range(1, len(whole)):
        assert streamed(gateway, body, COST, whole[:cut], whole[cut:]) == WORDS + TOLD + DONE
        (event,) = gateway.events()
        assert (event.cost_nano, event.bytes_out) == (46_000, len(WORDS + TOLD + DONE))
    assert gateway.is_at_rest()


@pytest.mark.parametrize("fields", [b"", b"x-headgate-include-cost: 0\r\n", b"x-headgate-include-cost: perhaps\r\n"])
def test_who_does_not_ask_for_the_cost_gets_the_provider_s_bytes(fields: bytes, start: Starter) -> None:
    gateway = start(config())
    assert streamed(gateway, ASKS_USAGE, fields, WORDS + USAGE + DONE) == WORDS + USAGE + DONE
    assert streamed(gateway, ASK, fields, WORDS + USAGE + DONE) == WORDS + DONE


def test_a_cost_that_is_not_known_is_null(start: Starter) -> None:
    said = streamed(start(config(price=None)), ASK, COST, WORDS + USAGE + DONE)
    assert said == WORDS + USAGE.replace(b"4}", b'4,"cost":null}') + DONE


@pytest.mark.parametrize(("price", "cost"), [(PRICE, b"0.000046000"), (None, b"0.5")])
def test_the_gateway_s_cost_takes_the_place_of_the_provider_s_where_there_is_one(
    price: dict[str, str] | None, cost: bytes, start: Starter
) -> None:
    usage = USAGE.replace(b"4}", b'4,"cost":0.5}')
    said = streamed(start(config(price=price)), ASK, COST, WORDS + usage + DONE)
    assert said == WORDS + usage.replace(b"0.5", cost) + DONE


def test_usage_that_comes_with_the_last_words_is_told_again_with_its_cost(start: Starter) -> None:
    last = USAGE.replace(b"[]", b'[{"index":0,"delta":{},"finish_reason":"stop"}]')
    assert streamed(start(config()), ASK, COST, WORDS + last, DONE) == WORDS + last + TOLD + DONE


def test_usage_that_the_gateway_cannot_read_is_told_all_the_same_with_what_it_guessed(start: Starter) -> None:
    gateway = start(config())
    usage = USAGE.replace(b"3", b'"three"')
    said = streamed(gateway, ASKS_USAGE, COST, WORDS + usage + DONE)
    (event,) = gateway.events()
    assert event.detail is not None
    assert event.detail.estimated
    assert event.cost_nano is not None
    assert said == WORDS + usage.replace(b"4}", b'4,"cost":0.%09d}' % event.cost_nano) + DONE


def test_a_large_answer_that_is_no_stream_goes_out_as_it_comes(start: Starter) -> None:
    gateway = start(config())
    peer = gateway.upstreams[9001].connect()
    caller = gateway.caller()
    caller.ask("/v1/chat/completions", ASK, fields=COST)
    large = b'{"choices":"%b"}' % (b"x" * 2_000_000)
    peer.say(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(large))
    for at in range(0, len(large), 100_000):
        peer.say(large[at : at + 100_000])
    assert body_of(caller.take()) == large


def test_a_stream_that_tells_no_usage_is_as_it_came(start: Starter) -> None:
    assert streamed(start(config()), ASK, COST, WORDS + DONE) == WORDS + DONE


def test_a_stream_that_ends_without_a_last_event_has_its_cost_at_the_end(start: Starter) -> None:
    assert streamed(start(config()), ASK, COST, WORDS + USAGE) == WORDS + TOLD


def test_an_error_in_a_stream_says_no_cost(start: Starter) -> None:
    error = b'data: {"error":{"message":"no"}}\n\n'
    assert b"cost" not in streamed(start(config()), ASK, COST, WORDS, error + DONE)


@pytest.mark.parametrize("body", [ASK, ASKS_USAGE])
@pytest.mark.parametrize("dialect", ["anthropic", "gemini"])
def test_a_translated_stream_says_its_cost_as_well(dialect: str, body: bytes, start: Starter) -> None:
    gateway = start(config(dialect))
    said = streamed(gateway, body, COST, (GOLDEN / dialect / "plain.stream").read_bytes())
    assert said.endswith(DONE)
    usage = json.loads(said.split(b"\n\n")[-3].removeprefix(b"data: "))
    (event,) = gateway.events()
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] == event.input_total + event.output_total > 0
    assert usage["usage"]["cost"] == event.cost_nano / 1e9 > 0


def test_an_answer_that_is_no_stream_has_the_cost_in_its_head_alone(start: Starter) -> None:
    gateway = start(config())
    peer = gateway.upstreams[9001].connect()
    caller = gateway.caller()
    caller.ask("/v1/chat/completions", ASK.replace(b"true", b"false"), fields=COST)
    answer = b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}'
    peer.say(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(answer), answer)
    )
    said = caller.take()
    assert said.endswith(answer)
    assert b"x-headgate-cost-usd: 0.000046000\r\n" in said
