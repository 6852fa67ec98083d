"""Wildcards with the installed price list, over real processes: names, prices and the list of models."""

from collections.abc import Iterator

import pytest

from tests.conformance.answers import sized
from tests.e2e.harness import KEYS, Gateway, chat_request, digest, eventually, gateway, get
from tests.providers.scripted import Upstream

CONFIG = """
providers:
  openai: {{vendor: openai, base_url: "http://127.0.0.1:{port}/v1", credential: env:PROVIDER_KEY}}
models:
  openai/*: {{targets: [{{provider: openai, model: "*"}}]}}
  exact: {{targets: [{{provider: openai, model: gpt-4o-mini}}]}}
consumers:
  alice: {{keys: [{{sha256: {alice}}}], models: ["*"]}}
  bob: {{keys: [{{sha256: {bob}}}], models: [openai/gpt-4o-mini*, openai/next]}}
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    body = b'{"choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100}}'
    with Upstream(default=(sized("content-type: application/json", body=body),)) as started:
        yield started


@pytest.fixture(scope="module")
def running(upstream: Upstream) -> Iterator[Gateway]:
    people = {name: digest(KEYS[name]) for name in ("alice", "bob")}
    with gateway(CONFIG.format(port=upstream.port, **people)) as started:
        yield started


def names(running: Gateway, key: str) -> list[str]:
    listing = running.call(get("/v1/models", key=KEYS[key])).json()
    return [model["id"] for model in listing["data"]]


def test_a_name_costs_what_the_same_model_costs_where_it_is_written(running: Gateway) -> None:
    written = running.call(chat_request("hello", model="exact"))
    found = running.call(chat_request("hello", model="openai/gpt-4o-mini"))
    assert found.status == 200
    assert found.get("x-headgate-target") == "openai/gpt-4o-mini"
    assert float(found.get("x-headgate-cost-usd")) > 0
    assert found.get("x-headgate-cost-usd") == written.get("x-headgate-cost-usd")


def test_a_name_that_the_price_list_does_not_know_is_served_and_unpriced(running: Gateway) -> None:
    before = running.metric("headgate_unpriced_total", model="openai/*")
    answer = running.call(chat_request("hello", model="openai/not-yet-known"))
    assert answer.status == 200
    assert not answer.get("x-headgate-cost-usd")
    eventually(lambda: running.metric("headgate_unpriced_total", model="openai/*") == before + 1)


def test_what_the_price_list_knows_is_listed_as_far_as_the_key_reaches(running: Gateway) -> None:
    everything = names(running, "alice")
    assert {"exact", "openai/gpt-4o", "openai/gpt-4o-mini"} <= set(everything)
    assert len(everything) > 100
    assert "openai/*" not in everything
    some = names(running, "bob")
    assert {"openai/gpt-4o-mini", "openai/next"} <= set(some)
    assert all(name == "openai/next" or name.startswith("openai/gpt-4o-mini") for name in some)


@pytest.mark.parametrize(
    ("name", "status"), [("openai/gpt-4o-mini", 200), ("openai/next", 200), ("openai/gpt-4o", 404), ("exact", 404)]
)
def test_a_key_reaches_only_the_names_that_its_list_has_or_begins(name: str, status: int, running: Gateway) -> None:
    assert running.call(chat_request("hello", key=KEYS["bob"], model=name)).status == status
