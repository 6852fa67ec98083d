"""plane.wildcard: one entry of the config for all names that begin as it does."""

import json
from collections import Counter
from typing import Any

import msgspec
import pytest

from core.model import Config, Price
from core.price_list import PriceRow
from core.snapshot import build, prices_of
from plane.compile import compile_snapshot
from plane.runtime import Model
from plane.wildcard import SEEN, Wildcards
from tests.plane.conftest import Starter
from tests.plane.rig import KEY, Gateway, answer, consumer

USED = b'{"usage":{"prompt_tokens":1000000,"completion_tokens":0}}'
ROWS = {"p": [PriceRow(("gpt-4o", "gpt-4o-2*"), price=Price(input_usd_per_million="2.5")), PriceRow(("o9", "o9-big"))]}


def config(models: list[str] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "providers": {
            "p": {"dialect": "openai", "base_url": "http://p.test:9001"},
            "g": {"dialect": "gemini", "base_url": "http://g.test:9002"},
        },
        "models": {
            "openai/*": {"targets": [{"provider": "p", "model": "*"}]},
            "openai/own-*": {"targets": [{"provider": "p", "model": "ft:*:v1"}]},
            "openai/gpt-4o": {"targets": [{"provider": "p", "model": "exact"}]},
            "google/*": {"targets": [{"provider": "g", "model": "*"}]},
            "one/*": {"targets": [{"provider": "p", "model": "same"}]},
        }
        | more,
        "consumers": {"c": consumer() | ({"models": models} if models is not None else {})},
    }


@pytest.fixture
def gateway(start: Starter) -> Gateway:
    return start(config())


def asked_as(gateway: Gateway, name: str) -> str:
    """Return what the provider was asked for."""
    peer = gateway.upstreams[9001].connect()
    caller = gateway.caller()
    caller.chat(json.dumps({"model": name, "messages": []}).encode())
    body = json.loads(peer.take().partition(b"\r\n\r\n")[2])
    peer.say(answer(USED))
    assert caller.take().startswith(b"HTTP/1.1 200 ")
    return str(body["model"])


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("openai/gpt-4o-mini", "gpt-4o-mini"),
        ("openai/own-x", "ft:x:v1"),
        ("openai/gpt-4o", "exact"),
        ("one/whatever", "same"),
    ],
)
def test_the_whole_name_wins_then_the_longest_beginning(gateway: Gateway, name: str, asked: str) -> None:
    assert asked_as(gateway, name) == asked
    assert asked_as(gateway, name) == asked
    assert gateway.is_at_rest()


def test_the_star_stands_in_the_path_where_the_provider_has_the_model_there(gateway: Gateway) -> None:
    peer = gateway.upstreams[9002].connect()
    for name in ("google/gemini-3", "google/a/../b"):
        gateway.caller().chat(json.dumps({"model": name, "messages": [{"role": "user", "content": "hi"}]}).encode())
        line = peer.take().split(b"\r\n")[0]
        peer.say(answer(b"{}"))
        assert line.startswith(b"POST /v1beta/models/" + name[7:].replace("/", "%2F").encode() + b":generateContent")


def test_the_answer_names_the_target_and_the_event_the_wildcard_with_what_was_asked(gateway: Gateway) -> None:
    peer = gateway.upstreams[9001].connect()
    caller = gateway.caller()
    caller.chat(b'{"model":"openai/o9","messages":[]}')
    peer.say(answer(USED))
    assert b"x-headgate-target: p/o9\r\n" in caller.take()
    (event,) = gateway.events()
    assert (event.model, event.target, event.cost_nano) == ("openai/*", "p/*", None)
    assert event.detail is not None
    assert event.detail.requested == "openai/o9"


def test_the_name_is_recorded_of_calls_that_say_no_usage_too(gateway: Gateway) -> None:
    peer = gateway.upstreams[9001].connect()
    gateway.caller().chat(b'{"model":"openai/o9","messages":[]}')
    peer.say(answer(b"{}"))
    (event,) = gateway.events()
    assert not event.usage_known
    assert event.detail is not None
    assert event.detail.requested == "openai/o9"


@pytest.mark.parametrize("name", ["openai/", "openai/*", "openai/a b", "openai/" + "x" * 129, "azure/gpt-4o"])
def test_a_name_that_no_wildcard_is_for_is_not_found(gateway: Gateway, name: str) -> None:
    caller = gateway.caller()
    caller.chat(json.dumps({"model": name, "messages": []}).encode())
    said = caller.take()
    assert said.startswith(b"HTTP/1.1 404 ")
    assert b"It may use: google/*, one/*, openai/*, openai/gpt-4o, openai/own-*." in said


@pytest.mark.parametrize(
    ("models", "name", "status"),
    [
        (["openai/*"], "openai/o9", 200),
        (["openai/*"], "openai/gpt-4o", 200),
        (["openai/o*"], "openai/o9", 200),
        (["openai/o9"], "openai/o9", 200),
        (["open*"], "openai/o9", 200),
        (["openai/o*"], "openai/gpt-4o", 404),
        (["openai/o9"], "openai/o9-big", 404),
        (["one/*"], "openai/o9", 404),
    ],
)
def test_a_consumer_may_use_what_its_list_has_or_begins(
    models: list[str], name: str, status: int, start: Starter
) -> None:
    gateway = start(config(models))
    peer = gateway.upstreams[9001].connect()
    caller = gateway.caller()
    caller.chat(json.dumps({"model": name, "messages": []}).encode())
    peer.say(answer(b"{}"))
    assert caller.take().startswith(b"HTTP/1.1 %d " % status)


def test_a_name_that_a_consumer_may_not_use_is_not_made_into_a_model(start: Starter) -> None:
    gateway = start(config(["one/*"]))
    caller = gateway.caller()
    caller.chat(b'{"model":"openai/o9","messages":[]}')
    assert caller.take().startswith(b"HTTP/1.1 404 ")
    caller.ask("/v1/models/openai/o9", method="GET")
    assert caller.take().startswith(b"HTTP/1.1 404 ")
    assert [wildcard.seen for wildcard in gateway.runtime.wildcards.made if wildcard.seen] == []


def test_the_error_names_what_may_be_used_of_a_wildcard(start: Starter) -> None:
    caller = start(config(["openai/o*", "one/x", "open*"])).caller()
    caller.chat(b'{"model":"nope","messages":[]}')
    assert b"It may use: one/x, openai/*, openai/gpt-4o, openai/o*, openai/own-*." in caller.take()


def wildcards(more: dict[str, Any] | None = None, **models: Any) -> Wildcards:
    """Return the wildcards of a runtime with a price list."""
    made = config(**models) | (more or {})
    snapshot = build(msgspec.convert(made, Config), 1, ROWS)
    found: Wildcards = compile_snapshot(snapshot, {}).wildcards
    return found


def found(made: Wildcards, name: str) -> Model:
    model = made.find(name)
    assert model is not None
    return model


def test_price_lists_come_back_out_of_a_snapshot_in_their_order() -> None:
    rows = {"p": [PriceRow((f"m{number}",)) for number in range(1000)], "p-2": [PriceRow(("x",))]}
    lists = prices_of(build(Config(), 1, rows))
    assert {name: made.rows for name, made in lists.items()} == rows


def test_each_name_has_its_own_price_and_an_unknown_one_none() -> None:
    made = wildcards()
    (priced,) = found(made, "openai/gpt-4o-2024-05-13").targets
    assert priced.price is not None
    assert priced.price.cost("", 0, 1_000_000, *[0] * 12) == 2_500_000_000
    assert found(made, "openai/unheard-of").targets[0].price is None
    assert found(made, "openai/o9").targets[0].price is None


def test_a_target_s_own_price_holds_for_all_names() -> None:
    target = {"provider": "p", "model": "*", "price": {"input_usd_per_million": "1"}}
    made = wildcards(**{"openai/*": {"targets": [target]}})
    for name in ("openai/gpt-4o-2024-05-13", "openai/unheard-of"):
        price = found(made, name).targets[0].price
        assert price is not None
        assert price.cost("", 0, 1_000_000, *[0] * 12) == 1_000_000_000


def test_a_name_is_made_once_and_there_are_not_too_many(gateway: Gateway) -> None:
    made = gateway.runtime.wildcards
    first = made.find("openai/a")
    assert made.find("openai/a") is first
    for number in range(SEEN):
        made.find(f"openai/{number}")
    assert made.find("openai/a") is not first
    assert max(len(wildcard.seen) for wildcard in made.made) <= SEEN


def test_names_share_health_and_connections(start: Starter) -> None:
    two = {"targets": [{"provider": "p", "model": "*"}, {"provider": "p", "model": "spare"}]}
    runtime = start(config(**{"openai/*": two})).runtime
    one, other = (found(runtime.wildcards, name).targets[0] for name in ("openai/a", "openai/b"))
    assert one is not other
    assert one.health is not None
    assert one.health is other.health
    assert one.pool is other.pool


def test_names_that_are_asked_for_once_are_shared_by_weight_all_the_same(start: Starter) -> None:
    shared = {
        "strategy": "weighted",
        "targets": [{"provider": "p", "model": "a/*", "weight": 3}, {"provider": "p", "model": "b/*", "weight": 1}],
    }
    gateway = start(config(**{"openai/*": shared}))
    asked = Counter(asked_as(gateway, f"openai/{number}")[0] for number in range(8))
    assert asked == {"a": 6, "b": 2}


def test_credentials_of_a_pool_take_turns_over_names(start: Starter) -> None:
    made = config()
    made["providers"]["p"]["credentials"] = ["env:A", "env:B"]
    gateway = start(made, secrets={"env:A": "key-a", "env:B": "key-b"})
    peer = gateway.upstreams[9001].connect()
    sent = []
    for number in range(4):
        gateway.caller().chat(b'{"model":"openai/%d","messages":[]}' % number)
        sent.append(b"key-a" in peer.take())
        peer.say(answer(b"{}"))
    assert sorted(sent) == [False, False, True, True]


def test_a_copy_goes_to_the_shadow_s_model_of_the_name(start: Starter) -> None:
    made = {"targets": [{"provider": "p", "model": "*"}], "mirror": {"provider": "p", "model": "new/*"}}
    gateway = start(config(**{"openai/*": made}))
    real, shadow = gateway.upstreams[9001].connect(), gateway.upstreams[9001].connect()
    gateway.caller().chat(b'{"model":"openai/o9","messages":[]}')
    gateway.rest()
    sent = sorted([real.take().rpartition(b'"model":')[2], shadow.take().rpartition(b'"model":')[2]])
    assert sent == [b'"new/o9","messages":[]}', b'"o9","messages":[]}']
    real.say(answer(b"{}"))
    shadow.say(answer(b"{}"))
    assert gateway.is_at_rest()


def listed(gateway: Gateway, path: str = "/v1/models") -> list[str]:
    caller = gateway.caller()
    caller.say(b"GET %b HTTP/1.1\r\nhost: h\r\nauthorization: Bearer %b\r\n\r\n" % (path.encode(), KEY.encode()))
    return [model["id"] for model in json.loads(caller.take().partition(b"\r\n\r\n")[2])["data"]]


def test_a_wildcard_that_no_list_knows_is_listed_as_it_is_written(gateway: Gateway) -> None:
    assert listed(gateway) == ["google/*", "one/*", "openai/*", "openai/gpt-4o", "openai/own-*"]


def test_the_names_that_price_lists_know_are_listed() -> None:
    names = {wildcard.model.name: wildcard.names() for wildcard in wildcards().made}
    assert names["openai/*"] == ["openai/gpt-4o", "openai/o9", "openai/o9-big"]
    assert names["openai/own-*"] == names["one/*"] == names["google/*"] == []


def test_a_consumer_s_own_names_are_listed_whoever_knows_them(start: Starter) -> None:
    assert listed(start(config(["openai/x", "openai/y-*"]))) == ["openai/x", "openai/y-*"]


def test_a_single_name_of_a_wildcard_can_be_asked_for(gateway: Gateway) -> None:
    caller = gateway.caller()
    fields = f"authorization: Bearer {KEY}\r\n".encode()
    caller.say(b"GET /v1/models/openai/o9 HTTP/1.1\r\nhost: h\r\n%b\r\n" % fields)
    assert b'"id":"openai/o9"' in caller.take()
    caller.say(b"GET /v1/models/azure/o9 HTTP/1.1\r\nhost: h\r\n%b\r\n" % fields)
    assert caller.take().startswith(b"HTTP/1.1 404 ")
