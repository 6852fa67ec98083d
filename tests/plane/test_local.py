"""What the gateway answers by itself."""

import json
from typing import Any

import pytest

from tests.plane.conftest import Starter
from tests.plane.rig import Gateway, body_of, consumer, one_model


@pytest.fixture
def gateway(start: Starter) -> Gateway:
    """Return a gateway with three models, of which its consumer may use two."""
    target = {"targets": [{"provider": "p", "model": "real"}]}
    models = dict.fromkeys(["a/models/b", "mine", "theirs"], target)
    return start(one_model() | {"models": models, "consumers": {"c": consumer(models=["mine", "a/models/b"])}})


def got(gateway: Gateway, path: str, method: str = "GET") -> tuple[bytes, Any]:
    """Return head and JSON body of an answer."""
    caller = gateway.caller()
    caller.ask(path, method=method)
    raw = caller.take()
    return raw.partition(b"\r\n\r\n")[0], json.loads(body_of(raw)) if method != "HEAD" else raw.partition(b"\r\n\r\n")[
        2
    ]


def test_a_worker_that_drains_says_that_it_is_not_ready(gateway: Gateway) -> None:
    assert got(gateway, "/readyz", "GET")[0].startswith(b"HTTP/1.1 200 OK\r\n")
    gateway.shared.draining = True
    head, body = got(gateway, "/readyz", "GET")
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert body == {"status": "draining"}
    assert got(gateway, "/healthz", "GET")[0].startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("prefix", ["/v1", ""])
def test_the_models_that_a_key_may_use_are_listed(gateway: Gateway, prefix: str) -> None:
    head, body = got(gateway, f"{prefix}/models")
    assert head.startswith(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: hg-")
    assert b"\r\nx-headgate-config: " + gateway.runtime.digest[:12].encode() in head
    assert body["object"] == "list"
    assert [model["id"] for model in body["data"]] == ["a/models/b", "mine"]
    assert all(model["object"] == "model" for model in body["data"])


@pytest.mark.parametrize("name", ["mine", "a/models/b"])
def test_one_model_is_described(gateway: Gateway, name: str) -> None:
    _, body = got(gateway, f"/v1/models/{name}")
    assert body["id"] == name


@pytest.mark.parametrize("name", ["theirs", "unknown", "mine/", "models/b"])
def test_another_s_model_and_an_unknown_one_look_alike(gateway: Gateway, name: str) -> None:
    head, body = got(gateway, f"/v1/models/{name}")
    assert head.startswith(b"HTTP/1.1 404 ")
    assert body["error"]["code"] == "model_not_found"
    assert body["error"]["message"] == "This key may not use a model of that name."


@pytest.mark.parametrize("path", ["/healthz", "/health/liveness"])
def test_a_living_worker_says_so_without_a_key(gateway: Gateway, path: str) -> None:
    caller = gateway.caller()
    caller.say(b"GET %b HTTP/1.1\r\nhost: a\r\n\r\n" % path.encode())
    assert json.loads(body_of(caller.take())) == {"status": "ok"}


def test_a_ready_worker_says_what_it_serves(gateway: Gateway) -> None:
    assert got(gateway, "/readyz")[1] == {"status": "ready", "version": 1, "config": gateway.runtime.digest[:12]}
    gateway.apply(one_model())
    assert got(gateway, "/readyz")[1] == {"status": "ready", "version": 2, "config": gateway.runtime.digest[:12]}


@pytest.mark.parametrize("path", ["/healthz", "/v1/models"])
def test_head_is_answered_as_get_but_for_the_body(gateway: Gateway, path: str) -> None:
    def lines(head: bytes) -> list[bytes]:
        return [line for line in head.split(b"\r\n") if not line.startswith(b"x-request-id")]

    whole, _ = got(gateway, path)
    head, body = got(gateway, path, "HEAD")
    assert lines(head) == lines(whole)
    assert body == b""


def test_what_is_listed_costs_nothing_of_a_rate(start: Starter) -> None:
    gateway = start(one_model() | {"consumers": {"c": consumer(limits={"requests": "1/day"})}})
    for _ in range(3):
        assert got(gateway, "/v1/models")[0].startswith(b"HTTP/1.1 200 OK\r\n")
