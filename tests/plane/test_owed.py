"""plane.owed: the usage of responses made in the background, told when they are asked for."""

import json
from pathlib import Path
from typing import Any

import pytest

from core.usage import UsageEvent
from tests.plane.conftest import Starter
from tests.plane.rig import Gateway, answer, body_of, consumer

PRICE = {"input_usd_per_million": "1", "output_usd_per_million": "10"}
USAGE = {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18}
CUT = -len(b"0\r\n\r\n")


def config(**changes: Any) -> dict[str, Any]:
    base = {"dialect": "openai_responses", "base_url": "http://p.test:9001/v1"}
    target = {"provider": "p", "model": "one", "price": PRICE}
    return {
        "providers": {"p": base},
        "models": {"m": {"targets": [target]}},
        "consumers": {"c": consumer()},
        **changes,
    }


@pytest.fixture
def gateway(start: Starter, tmp_path: Path) -> Gateway:
    (tmp_path / "key").write_bytes(b"k" * 32)
    (tmp_path / "key").chmod(0o600)
    return start(config())


def response(status: str, usage: Any = None, **more: Any) -> dict[str, Any]:
    return {"id": "resp_1", "object": "response", "status": status, "usage": usage, "background": True, **more}


def stream(*events: dict[str, Any]) -> bytes:
    data = b"".join(b"event: %b\ndata: %b\n\n" % (one["type"].encode(), json.dumps(one).encode()) for one in events)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)


CREATED = {"type": "response.created", "response": response("queued")}
DELTA = {"type": "response.output_text.delta", "delta": "hello"}
COMPLETED = {"type": "response.completed", "response": response("completed", USAGE)}


def ask(gateway: Gateway, method: str, path: str, body: Any, reply: Any) -> tuple[bytes, UsageEvent]:
    """Make a call; return the caller's answer and the usage event."""
    peer = gateway.upstreams[9001].connect()
    caller = gateway.caller()
    caller.ask(path, json.dumps(body).encode() if body else b"", method)
    assert peer.take()
    peer.say(reply if isinstance(reply, bytes) else answer(json.dumps(reply).encode()))
    said = caller.take()
    peer.leave()
    caller.leave()
    (event,) = gateway.events()
    return said, event


def begin(gateway: Gateway) -> str:
    """Make a response in the background and return its id."""
    body = {"model": "m", "input": "hello", "background": True}
    said, event = ask(gateway, "POST", "/v1/responses", body, response("queued"))
    assert (event.model, event.usage_known) == ("m", False)
    text = json.loads(body_of(said))["id"]
    assert text.startswith("resp_hgid_")
    return str(text)


def once(event: UsageEvent) -> str:
    return event.detail.once if event.detail is not None else ""


def test_the_usage_is_told_with_the_model_that_made_it_once_it_is_known(gateway: Gateway) -> None:
    path = f"/v1/responses/{begin(gateway)}"
    for status in ("queued", "in_progress"):
        _, event = ask(gateway, "GET", path, None, response(status))
        assert (event.model, event.usage_known, event.route) == ("", False, "responses.retrieve")
    said, event = ask(gateway, "GET", path, None, response("completed", USAGE))
    assert (event.model, event.target, event.input_total, event.output_total) == ("m", "p/one", 11, 7)
    assert event.cost_nano == 11 * 1000 + 7 * 10_000
    assert b"x-headgate-cost-usd: 0.000081000\r\n" in said
    assert once(event) == "p/resp_1"
    assert gateway.is_at_rest()


def test_each_event_that_tells_of_the_same_usage_has_the_same_word(gateway: Gateway) -> None:
    path = f"/v1/responses/{begin(gateway)}"
    for _ in range(2):
        assert once(ask(gateway, "GET", path, None, response("incomplete", USAGE))[1]) == "p/resp_1"
    cancelled = response("cancelled", USAGE)
    assert once(ask(gateway, "POST", f"{path}/cancel", None, cancelled)[1]) == "p/resp_1"


def test_counts_of_a_response_that_is_still_made_are_not_its_usage(gateway: Gateway) -> None:
    path = f"/v1/responses/{begin(gateway)}"
    assert not ask(gateway, "GET", path, None, response("in_progress", USAGE))[1].usage_known


def test_what_was_asked_of_it_besides_tells_no_usage(gateway: Gateway) -> None:
    path = f"/v1/responses/{begin(gateway)}"
    items = {"object": "list", "data": [], "usage": None}
    assert not ask(gateway, "GET", f"{path}/input_items", None, items)[1].usage_known
    deleted = {"id": "resp_1", "object": "response", "deleted": True}
    assert not ask(gateway, "DELETE", path, None, deleted)[1].usage_known


def test_a_stream_tells_it_at_its_end_whether_it_makes_the_response_or_shows_it_again(gateway: Gateway) -> None:
    body = {"model": "m", "input": "hello", "background": True, "stream": True}
    said, event = ask(gateway, "POST", "/v1/responses", body, stream(CREATED, DELTA, COMPLETED))
    assert (event.model, event.input_total, once(event)) == ("m", 11, "p/resp_1")
    text = json.loads(said.partition(b"data: ")[2].partition(b"\n")[0])["response"]["id"]
    path = f"/v1/responses/{text}?stream=true&starting_after=1"
    _, event = ask(gateway, "GET", path, None, stream(DELTA, COMPLETED))
    assert (event.model, event.input_total, once(event)) == ("m", 11, "p/resp_1")


def test_a_stream_that_is_left_has_no_estimate_as_the_response_goes_on(gateway: Gateway) -> None:
    peer, caller = gateway.upstreams[9001].connect(), gateway.caller()
    caller.ask("/v1/responses", b'{"model":"m","input":"hello","background":true,"stream":true}')
    peer.say(stream(CREATED, DELTA)[:CUT])
    caller.leave()
    (event,) = gateway.events()
    assert (event.error, event.usage_known) == ("caller_gone", False)


def test_a_model_that_the_config_has_lost_leaves_the_usage_unpriced(gateway: Gateway) -> None:
    path = f"/v1/responses/{begin(gateway)}"
    gateway.apply(config(models={"n": {"targets": [{"provider": "p", "model": "one", "price": PRICE}]}}))
    _, event = ask(gateway, "GET", path, None, response("completed", USAGE))
    assert (event.model, event.input_total, event.cost_nano, once(event)) == ("", 11, None, "p/resp_1")


@pytest.mark.parametrize("more", [{}, {"background": False}])
def test_a_response_that_was_answered_at_once_is_not_counted_again(more: dict[str, Any], gateway: Gateway) -> None:
    made = {**response("completed", USAGE), "background": False}
    said, event = ask(gateway, "POST", "/v1/responses", {"model": "m", "input": "hello", **more}, made)
    assert (event.usage_known, once(event)) == (True, "")
    path = f"/v1/responses/{json.loads(body_of(said))['id']}"
    _, event = ask(gateway, "GET", path, None, made)
    assert (event.usage_known, event.model) == (False, "")


def test_an_id_of_a_conversation_that_comes_with_it_owes_nothing(gateway: Gateway) -> None:
    body = {"model": "m", "input": "hello", "background": True}
    reply = response("completed", USAGE, conversation={"id": "conv_1"})
    _, event = ask(gateway, "POST", "/v1/responses", body, reply)
    assert once(event) == "p/resp_1"
