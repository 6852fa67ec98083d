"""plane.choose and the strategies: in which order candidates are tried."""

from collections import Counter
from typing import Any

import pytest

from plane.http1.origin import Origin
from plane.runtime import Target
from plane.strategies import priority, weighted
from tests.plane.conftest import Starter
from tests.plane.rig import answer, consumer, make_exchange

CALL = make_exchange()


def targets(*weights: int) -> list[Target]:
    origin = Origin("http", "p.test", 80, "", 1)
    return [
        Target(f"p/{name}", weight, origin, b"p.test", b"", "x", {}, {}, b"")
        for name, weight in zip("abcdef", weights, strict=False)
    ]


def names(ranked: list[Target]) -> str:
    return "".join(target.name.removeprefix("p/") for target in ranked)


@pytest.mark.parametrize(("weights", "order"), [((1, 1, 1), "abc"), ((1, 9, 5), "abc"), ((0, 1, 0), "b"), ((0, 0), "")])
def test_priority_is_the_order_as_written_without_what_is_drained(weights: tuple[int, ...], order: str) -> None:
    strategy = priority.build(priority.Options())
    assert names(strategy.rank(targets(*weights), CALL)) == order


def test_weighted_puts_each_first_by_its_share_and_drops_what_is_drained() -> None:
    strategy = weighted.build(weighted.Options())
    given = targets(5, 3, 2, 0)
    ranks = [names(strategy.rank(given, CALL)) for _ in range(100)]
    assert Counter(rank[0] for rank in ranks) == {"a": 50, "b": 30, "c": 20}
    assert {frozenset(rank) for rank in ranks} == {frozenset("abc")}


def test_ranking_leaves_the_model_s_own_list_as_it_was() -> None:
    for strategy in (priority.build(priority.Options()), weighted.build(weighted.Options())):
        given = targets(1, 2, 0)
        strategy.rank(given, CALL)
        assert names(given) == "abc"


def config(weights: list[int], strategy: str = "priority") -> dict[str, Any]:
    return {
        "providers": {"p": {"dialect": "openai", "base_url": "http://p.test:9001"}},
        "models": {
            "m": {
                "targets": [
                    {"provider": "p", "model": name, "weight": weight}
                    for name, weight in zip("abc", weights, strict=False)
                ],
                "strategy": strategy,
            }
        },
        "upstreams": {"u": {"endpoints": ["http://p.test:9001"], "weights": weights[:1]}},
        "routes": {"r": {"match": {"path": "/r"}, "upstream": "u"}},
        "consumers": {"c": consumer()},
    }


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/r"])
def test_where_everything_is_drained_the_caller_is_told_to_come_back(path: str, start: Starter) -> None:
    gateway = start(config([0]))
    caller = gateway.caller()
    caller.ask(path, b'{"model":"m"}')
    said = caller.take()
    assert said.startswith(b"HTTP/1.1 503 ")
    assert b"x-headgate-error: no_candidate\r\n" in said
    assert b"retry-after: 5\r\n" in said
    (event,) = gateway.events()
    assert (event.error, event.attempts, event.target) == ("no_candidate", 0, "")
    assert gateway.is_at_rest()


def test_a_drained_target_is_not_called_though_it_comes_first(start: Starter) -> None:
    gateway = start(config([0, 1]))
    peer = gateway.upstreams[9001].connect()
    caller = gateway.caller()
    caller.chat()
    assert b'"model":"b"' in peer.take()
    peer.say(answer(b"{}"))
    assert b"x-headgate-target: p/b\r\n" in caller.take()


def test_calls_are_shared_among_targets_by_weight(start: Starter) -> None:
    gateway = start(config([2, 1], "weighted"))
    peer = gateway.upstreams[9001].connect()
    caller = gateway.caller()
    asked = []
    for _ in range(9):
        caller.chat()
        asked.append(peer.take().rpartition(b'{"model":"')[2][:1])
        peer.say(answer(b"{}"))
    assert Counter(asked) == {b"a": 6, b"b": 3}


def mixed(first: str, second: str, **more: Any) -> dict[str, Any]:
    """Two targets whose providers speak different dialects, the first on port 9001, the second on 9002."""
    return {
        "providers": {
            "one": {"dialect": first, "base_url": "http://one.test:9001"},
            "two": {"dialect": second, "base_url": "http://two.test:9002"},
        },
        "models": {"m": {"targets": [{"provider": "one", "model": "a"}, {"provider": "two", "model": "b"}], **more}},
        "consumers": {"c": consumer()},
    }


def test_a_target_that_cannot_do_what_is_asked_is_never_asked(start: Starter) -> None:
    gateway = start(mixed("anthropic", "openai"))
    peer = gateway.upstreams[9002].connect()
    caller = gateway.caller()
    caller.ask("/v1/embeddings", b'{"model":"m","input":"x"}')
    assert peer.take().endswith(b'{"model":"b","input":"x"}')
    peer.say(answer(b"{}"))
    assert b"x-headgate-target: two/b\r\n" in caller.take()
    (event,) = gateway.events()
    assert event.attempts == 1
    assert gateway.is_at_rest()


def test_what_all_targets_can_do_goes_to_the_first_of_them(start: Starter) -> None:
    gateway = start(mixed("openai", "anthropic"))
    peer = gateway.upstreams[9001].connect()
    gateway.caller().chat()
    assert b'"model":"a"' in peer.take()


def test_where_no_target_can_do_what_is_asked_nobody_is_connected_to(start: Starter) -> None:
    gateway = start(mixed("anthropic", "bedrock"))
    caller = gateway.caller()
    caller.ask("/v1/embeddings", b'{"model":"m","input":"x"}')
    said = caller.take()
    assert said.startswith(b"HTTP/1.1 400 ")
    assert b"x-headgate-error: unsupported_operation\r\n" in said
    assert not gateway.upstreams[9001].dials
    (event,) = gateway.events()
    assert (event.attempts, event.target) == (0, "")
    assert gateway.is_at_rest()


def test_a_drained_target_is_no_reason_to_say_that_nothing_is_there_for_a_path(start: Starter) -> None:
    config = mixed("openai", "anthropic")
    config["models"]["m"]["targets"][0]["weight"] = 0
    caller = start(config).caller()
    caller.ask("/v1/embeddings", b'{"model":"m","input":"x"}')
    assert b"x-headgate-error: no_candidate\r\n" in caller.take()


COUNT = b'{"model":"m","messages":[{"role":"user","content":"one two three"}]}'


def test_a_count_is_estimated_where_the_first_target_has_nothing_for_it(start: Starter) -> None:
    caller = start(mixed("openai", "anthropic")).caller()
    caller.ask("/v1/messages/count_tokens", COUNT)
    assert b"x-headgate-estimate: true\r\n" in caller.take()


def test_a_count_that_fails_goes_on_to_nobody_who_cannot_count(start: Starter) -> None:
    gateway = start(mixed("anthropic", "openai"))
    peer = gateway.upstreams[9001].connect()
    caller = gateway.caller()
    caller.ask("/v1/messages/count_tokens", COUNT)
    peer.say(b"HTTP/1.1 500 Oops\r\ncontent-length: 2\r\n\r\n{}")
    gateway.rest()
    peer.say(b"HTTP/1.1 500 Oops\r\ncontent-length: 2\r\n\r\n{}")
    assert caller.take().startswith(b"HTTP/1.1 500 ")
    (event,) = gateway.events()
    assert (event.attempts, event.target) == (2, "one/a")
    assert not gateway.upstreams[9002].dials


def test_a_call_that_the_shadow_cannot_take_is_not_copied(start: Starter) -> None:
    config = mixed("openai", "anthropic")
    del config["models"]["m"]["targets"][1]
    config["models"]["m"]["mirror"] = {"provider": "two", "model": "b"}
    gateway = start(config)
    peer = gateway.upstreams[9001].connect()
    caller = gateway.caller()
    caller.ask("/v1/embeddings", b'{"model":"m","input":"x"}')
    gateway.rest()
    peer.say(answer(b"{}"))
    assert len(gateway.events()) == 1
    assert gateway.is_at_rest()
