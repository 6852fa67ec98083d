"""plane.sticky: calls that belong together go to the same target, whichever worker has them."""

from collections import Counter

import msgspec
import pytest

from plane.http1.origin import Origin
from plane.runtime import Target
from plane.sticky import Sticky, rendezvous
from tests.plane.conftest import Starter
from tests.plane.rig import answer, consumer, make_exchange


def targets(**weights: int) -> list[Target]:
    origin = Origin("http", "p.test", 80, "", 1)
    return [Target(name, weight, origin, b"p.test", b"", "x", {}, {}, b"") for name, weight in weights.items()]


KEYS = [b"%d" % number for number in range(3000)]


def firsts(given: list[Target]) -> dict[bytes, str]:
    return {key: rendezvous(given, key)[0].name for key in KEYS}


def test_keys_are_shared_by_weight() -> None:
    counts = Counter(firsts(targets(a=6, b=3, c=1)).values())
    assert {name: round(count / len(KEYS), 1) for name, count in counts.items()} == {"a": 0.6, "b": 0.3, "c": 0.1}


def test_a_key_ranks_the_same_targets_alike_wherever_and_in_whatever_order_they_are_written() -> None:
    there = rendezvous(targets(c=1, b=3, a=6), b"key")
    assert [target.name for target in rendezvous(targets(a=6, b=3, c=1), b"key")] == [target.name for target in there]


def test_of_a_drained_target_only_its_own_keys_move_and_they_go_to_their_second() -> None:
    before = targets(a=1, b=1, c=1)
    ranked = {key: [target.name for target in rendezvous(before, key)] for key in KEYS}
    after = firsts(targets(a=1, b=0, c=1))
    assert {key: next(name for name in names if name != "b") for key, names in ranked.items()} == after


def conversation(body: object, fields: tuple[tuple[bytes, bytes], ...] = ()) -> bytes:
    exchange = make_exchange()
    exchange.headers = list(fields)
    exchange.body = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Sticky("conversation").key(exchange)


SYSTEM = {"role": "system", "content": "be brief"}
HELLO = {"role": "user", "content": "hello"}
REPLY = {"role": "assistant", "content": "hi"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"messages": [SYSTEM, HELLO]}, {"messages": [SYSTEM, HELLO, REPLY, HELLO]}),
        ({"messages": [SYSTEM, HELLO]}, {"messages": [SYSTEM, REPLY]}),
        ({"messages": [HELLO]}, {"messages": [HELLO, REPLY, HELLO]}),
        ({"system": "x", "messages": [HELLO]}, {"messages": [HELLO, REPLY], "system": "x", "max_tokens": 5}),
        ({"prompt_cache_key": "k", "messages": [HELLO]}, {"prompt_cache_key": "k", "messages": [SYSTEM]}),
        ({"contents": [{"role": "user", "parts": []}]}, {"contents": [{"role": "user", "parts": []}, REPLY]}),
        ({"input": "hello"}, {"input": "hello", "store": False}),
    ],
)
def test_what_continues_a_conversation_or_shares_its_prefix_has_its_key(one: object, other: object) -> None:
    assert conversation(one) == conversation(other) != b""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"messages": [SYSTEM, HELLO]}, {"messages": [HELLO]}),
        ({"system": "x", "messages": [HELLO]}, {"system": "y", "messages": [HELLO]}),
        ({"tools": [1], "messages": [HELLO]}, {"messages": [HELLO]}),
        ({"prompt_cache_key": "k"}, {"prompt_cache_key": "l"}),
        (
            {"previous_response_id": "a", "prompt_cache_key": "k"},
            {"previous_response_id": "b", "prompt_cache_key": "k"},
        ),
    ],
)
def test_other_conversations_have_other_keys(one: object, other: object) -> None:
    assert conversation(one) != conversation(other)


def test_a_session_field_counts_more_than_the_prefix_and_less_than_a_name_in_the_body() -> None:
    session = ((b"X-Headgate-Session", b"s1"),)
    assert conversation({"messages": [HELLO]}, session) == conversation({"messages": [SYSTEM]}, session) == b"s1"
    assert conversation({"prompt_cache_key": "k"}, session) == b'"k"'
    assert conversation(b"--no json--", session) == b"s1"


@pytest.mark.parametrize("body", [b"", b"--no json--", b"{}", b'{"messages":5}', b'{"messages":[5]}'])
def test_a_body_without_a_talk_breaks_nothing(body: bytes) -> None:
    conversation(body)


@pytest.mark.parametrize(
    ("sticky", "fields", "body"),
    [
        ("consumer", b"", b'{"model":"m"}'),
        ("header:x-user", b"X-User: 7\r\n", b'{"model":"m"}'),
        ("conversation", b"", b'{"model":"m","messages":[{"role":"user","content":"hello"}]}'),
    ],
)
def test_calls_that_belong_together_stay_on_one_target(sticky: str, fields: bytes, body: bytes, start: Starter) -> None:
    gateway = start(config(sticky))
    peer = gateway.upstreams[9001].connect()
    caller = gateway.caller()
    asked = set()
    for _ in range(6):
        caller.ask("/v1/chat/completions", body, fields=fields)
        asked.add(peer.take().rpartition(b'{"model":"')[2][:1])
        peer.say(answer(b"{}"))
    assert len(asked) == 1


def test_calls_without_the_field_are_shared_by_weight(start: Starter) -> None:
    gateway = start(config("header:x-user"))
    peer = gateway.upstreams[9001].connect()
    caller = gateway.caller()
    asked = Counter[bytes]()
    for _ in range(6):
        caller.ask("/v1/chat/completions", b'{"model":"m"}')
        asked[peer.take().rpartition(b'{"model":"')[2][:1]] += 1
        peer.say(answer(b"{}"))
    assert asked == {b"a": 3, b"b": 3}


def config(sticky: str) -> dict[str, object]:
    return {
        "providers": {"p": {"dialect": "openai", "base_url": "http://p.test:9001"}},
        "models": {
            "m": {
                "targets": [{"provider": "p", "model": name} for name in "ab"],
                "strategy": "weighted",
                "sticky": sticky,
            }
        },
        "consumers": {"c": consumer()},
    }
