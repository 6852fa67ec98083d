"""What a request asks for, and whether this caller may have it."""

import json

import pytest

from core.errors import GatewayError
from plane.decode import decode, usable_names
from plane.exchange import Exchange
from plane.match import match
from tests.plane.conftest import Starter
from tests.plane.rig import Gateway, consumer, make_exchange, one_model


def config(models: list[str], allowed: list[str], **of_model: str) -> dict[str, object]:
    """Return a config with these models, of which its consumer may use some."""
    target = {"targets": [{"provider": "p", "model": "real"}], **of_model}
    return one_model() | {
        "models": dict.fromkeys(models, target),
        "consumers": {"c": consumer(models=allowed)},
    }


def decoded(gateway: Gateway, *parts: bytes, path: bytes = b"/v1/chat/completions") -> Exchange:
    """Return an exchange with a body of these parts, after its decoding."""
    exchange = make_exchange()
    exchange.runtime = gateway.runtime
    exchange.consumer = gateway.runtime.consumers.named("c")
    exchange.path = path
    exchange.body_parts = list(parts)
    exchange.body_size = sum(map(len, parts))
    match(exchange)
    decode(exchange)
    return exchange


def refused(gateway: Gateway, *parts: bytes) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        decoded(gateway, *parts)
    return caught.value


@pytest.fixture
def gateway(start: Starter) -> Gateway:
    """Return a gateway with two models, of which its consumer may use one."""
    return start(config(["mine", "theirs"], ["mine"]))


@pytest.mark.parametrize("cut", [0, 1, 10, 20])
def test_a_body_is_joined_and_its_model_found(gateway: Gateway, cut: int) -> None:
    body = b'{"model":"mine","messages":[]}'
    exchange = decoded(gateway, body[:cut], body[cut:])
    assert exchange.body == body
    assert exchange.model.name == "mine"
    assert exchange.body_parts == []


@pytest.mark.parametrize("name", ["theirs", "unknown", "", "mine ", "MINE", "\u20ac\U0001f600", '"', "a\r\nb"])
def test_what_the_caller_may_not_use_and_what_there_is_not_look_alike(gateway: Gateway, name: str) -> None:
    error = refused(gateway, json.dumps({"model": name}).encode())
    assert (error.status, error.code, error.param) == (404, "model_not_found", "model")
    assert error.message == "This key may not use a model of that name. It may use: mine."


def test_a_caller_of_all_models_may_use_each(start: Starter) -> None:
    gateway = start(config(["b", "a"], ["*"]))
    exchange = decoded(gateway, b'{"model":"b"}')
    assert exchange.model.name == "b"
    assert usable_names(exchange) == ["a", "b"]


def test_a_caller_of_none_is_told_so(start: Starter) -> None:
    gateway = start(config(["a"], []))
    assert refused(gateway, b'{"model":"a"}').message.endswith("It may use: none.")


def test_only_some_of_many_names_are_told(start: Starter) -> None:
    gateway = start(config([f"m{number:02}" for number in range(25)], ["*"]))
    message = refused(gateway, b'{"model":"other"}').message
    assert message.endswith("m18, m19, and more.")


@pytest.mark.parametrize(("size", "fits"), [(1023, True), (1024, True), (1025, False)])
def test_a_model_s_bound_on_the_body_is_exact(start: Starter, size: int, fits: bool) -> None:
    gateway = start(config(["a"], ["*"], max_body="1KiB"))
    body = b'{"model":"a","p":"%b"}' % (b"x" * (size - 20))
    assert len(body) == size
    if fits:
        assert decoded(gateway, body).body == body
    else:
        assert (refused(gateway, body).status, refused(gateway, body).code) == (413, "body_too_large")


def test_a_plain_api_s_body_is_not_looked_at(start: Starter) -> None:
    api = {
        "upstreams": {"api": {"endpoints": ["http://api.test:9002"]}},
        "routes": {"api": {"match": {"path": "/api/*"}, "upstream": "api"}},
    }
    exchange = decoded(start(one_model() | api), b"\xff", b"{", path=b"/api/x")
    assert exchange.body == b"\xff{"
    assert exchange.model is None
