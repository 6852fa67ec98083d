"""What is refused for want of room, before it costs anything, and that every place taken is given back."""

import gc
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from plane.overload import Gauge
from tests.plane.conftest import Starter
from tests.plane.rig import CallerEnd, Gateway, Peer, answer, body_of, consumer, hashed, one_model

MIB = 1024 * 1024
CHAT = b'{"model":"m","messages":[]}'
REPLY = answer(b'{"id":"x","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}')


def limited(start: Starter, gauge: Gauge, config: dict[str, Any] | None = None) -> Gateway:
    return start(config or one_model() | {"consumers": {"c": consumer(limits={})}}, gauge)


def asked(gateway: Gateway, body: bytes = CHAT) -> tuple[CallerEnd, Peer]:
    """Return a caller whose call has reached the upstream."""
    upstream = gateway.upstreams[9001]
    peer = upstream.connect()
    caller = gateway.caller()
    caller.chat(body)
    assert b"chat/completions" in peer.take()
    return caller, peer


def refusal(caller: CallerEnd) -> dict[str, str]:
    """Return the fields of a refusal for want of room."""
    raw = caller.take()
    assert raw.startswith(b"HTTP/1.1 503 ")
    assert msgspec.json.decode(body_of(raw))["error"]["code"] == "overloaded"
    head = raw.partition(b"\r\n\r\n")[0].decode()
    return dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:])


def test_one_request_too_many_is_refused_and_the_next_is_served_when_one_has_ended(start: Starter) -> None:
    gateway = limited(start, Gauge(100, 2, MIB))
    (_, first), (_, _) = asked(gateway), asked(gateway)
    third = gateway.caller()
    third.chat()
    refusal(third)
    first.say(REPLY)
    third.chat()
    assert third.take() == b""
    assert b"chat/completions" in first.take()


def test_a_refusal_says_when_to_come_back_and_differs_from_caller_to_caller(start: Starter) -> None:
    gateway = limited(start, Gauge(100, 1, MIB))
    asked(gateway)
    waits = set()
    for _ in range(50):
        caller = gateway.caller()
        caller.chat()
        fields = refusal(caller)
        assert fields["x-should-retry"] == "true"
        assert fields["x-headgate-error"] == "overloaded"
        assert fields["retry-after"] in ("1", "2", "3")
        assert 1000 <= int(fields["retry-after-ms"]) <= 3000
        waits.add(fields["retry-after-ms"])
    assert len(waits) > 10


def test_a_refused_connection_is_kept_for_the_next_try(start: Starter) -> None:
    gateway = limited(start, Gauge(100, 1, MIB))
    _, peer = asked(gateway)
    caller = gateway.caller()
    caller.chat()
    assert "connection" not in refusal(caller)
    peer.say(REPLY)
    caller.chat()
    peer.say(REPLY)
    assert caller.take().startswith(b"HTTP/1.1 200 ")


def test_a_refusal_costs_no_limit_no_usage_event_and_no_body(start: Starter) -> None:
    gateway = limited(start, Gauge(100, 1, MIB), one_model() | {"consumers": {"c": consumer()}})
    asked(gateway)
    concurrent = gateway.concurrent()
    caller = gateway.caller()
    caller.say(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer unknown\r\n"
        b"expect: 100-continue\r\ncontent-length: 1000\r\n\r\n"
    )
    assert refusal(caller)["connection"] == "close"
    assert gateway.concurrent() == concurrent
    assert gateway.events() == []


def test_health_and_the_list_of_models_are_answered_however_little_room_there_is(start: Starter) -> None:
    gateway = limited(start, Gauge(100, 1, MIB))
    asked(gateway)
    gateway.gauge.held = 2 * MIB
    for path in ("/healthz", "/readyz", "/health/liveness", "/v1/models"):
        caller = gateway.caller()
        caller.ask(path, method="GET")
        assert caller.take().startswith(b"HTTP/1.1 200 ")


# --- bytes


def test_bodies_and_answers_are_counted_while_they_are_held(start: Starter) -> None:
    gateway = limited(start, Gauge(100, 10, MIB))
    caller, peer = asked(gateway)
    assert gateway.gauge.held == len(CHAT)
    head, _, body = REPLY.partition(b"\r\n\r\n")
    peer.say(head + b"\r\n\r\n" + body[:40])
    assert gateway.gauge.held == len(CHAT) + 40
    peer.say(body[40:])
    assert caller.take().startswith(b"HTTP/1.1 200 ")
    assert gateway.is_at_rest()


def test_a_body_is_counted_as_it_comes(start: Starter) -> None:
    gateway = limited(start, Gauge(100, 10, MIB))
    caller = gateway.caller()
    caller.say(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer hg-key-of-a-test\r\n"
        b"content-length: 1000\r\n\r\n" + b"x" * 100
    )
    assert gateway.gauge.held == 100
    caller.say(b"x" * 500)
    assert gateway.gauge.held == 600
    caller.leave()
    assert gateway.is_at_rest()


def test_a_body_that_does_not_fit_is_refused_by_its_length(start: Starter) -> None:
    gateway = limited(start, Gauge(100, 10, 1000))
    asked(gateway, CHAT + b" " * (500 - len(CHAT)))
    caller = gateway.caller()
    caller.say(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 501\r\n\r\n")
    assert refusal(caller)["connection"] == "close"


def test_a_body_larger_than_all_that_may_be_held_is_not_asked_for_again(start: Starter) -> None:
    gateway = limited(start, Gauge(100, 10, 1000))
    caller = gateway.caller()
    caller.say(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 1001\r\n\r\n")
    raw = caller.take()
    assert raw.startswith(b"HTTP/1.1 413 ")
    assert b"x-should-retry: false" in raw
    assert b"larger than 1000 bytes" in raw


def test_a_body_beyond_its_route_s_bound_is_too_large_and_not_a_matter_of_room(start: Starter) -> None:
    gateway = limited(start, Gauge(100, 10, MIB), one_model(max_body="2KiB") | {"consumers": {"c": consumer()}})
    caller = gateway.caller()
    caller.say(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer hg-key-of-a-test\r\n"
        b"content-length: 99999999999\r\n\r\n"
    )
    assert caller.take().startswith(b"HTTP/1.1 413 ")


def test_bodies_that_grow_beyond_what_may_be_held_are_refused_one_by_one(start: Starter) -> None:
    gateway = limited(start, Gauge(100, 10, 1000))
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer hg-key-of-a-test\r\n"
        b"transfer-encoding: chunked\r\n\r\n"
    )
    first, second = gateway.caller(), gateway.caller()
    for caller in (first, second):
        caller.say(head + b"15e\r\n" + b"x" * 350 + b"\r\n")
    assert gateway.gauge.held == 700
    second.say(b"12d\r\n" + b"x" * 301 + b"\r\n")
    assert refusal(second)["connection"] == "close"
    assert first.take() == b""
    assert gateway.gauge.held == 350


def test_an_answer_is_relayed_rather_than_held_where_too_much_is_held_already(start: Starter) -> None:
    gateway = limited(start, Gauge(100, 10, 1000))
    caller, peer = asked(gateway)
    peer.say(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2000\r\n\r\n" + b"x" * 900)
    assert caller.take() == b""
    peer.say(b"x" * 100)
    assert caller.take().endswith(b"x" * 1000)
    peer.say(b"x" * 1000)
    assert caller.take() == b"x" * 1000
    assert gateway.is_at_rest()


def test_what_a_slow_caller_has_not_read_is_counted_until_it_reads_or_goes(start: Starter) -> None:
    gateway = limited(start, Gauge(100, 10, MIB))
    for ends in (lambda caller: caller.connection.resume_writing(), CallerEnd.leave):
        caller = gateway.caller()
        caller.transport.unsent = 70_000
        caller.connection.pause_writing()
        assert gateway.gauge.held == 70_000
        ends(caller)
        assert gateway.gauge.held == 0


# --- consumers among each other


def shared_by(*names: str) -> dict[str, Any]:
    """Return a config with these consumers, whose keys are their names."""
    consumers = {name: {"keys": [{"sha256": hashed(name)}], "models": ["*"]} for name in names}
    return one_model() | {"consumers": consumers}


def chat_as(gateway: Gateway, name: str) -> CallerEnd:
    """Return a caller that has asked with a key of its own."""
    gateway.upstreams[9001].connect()
    caller = gateway.caller()
    caller.say(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-api-key: %b\r\ncontent-length: %d\r\n\r\n%b"
        % (name.encode(), len(CHAT), CHAT)
    )
    return caller


def test_one_consumer_leaves_a_fifth_of_the_room_to_the_others(start: Starter) -> None:
    gateway = limited(start, Gauge(100, 20, MIB), shared_by("greedy", "modest"))
    greedy = [chat_as(gateway, "greedy") for _ in range(30)]
    assert gateway.gauge.in_flight == 16
    for caller in greedy[16:]:
        refusal(caller)
    modest = [chat_as(gateway, "modest") for _ in range(2)]
    assert [caller.take() for caller in modest] == [b"", b""]
    assert gateway.gauge.in_flight == 18


def test_the_consumer_of_a_refusal_is_on_record(start: Starter) -> None:
    gateway = limited(start, Gauge(100, 20, MIB), shared_by("greedy"))
    for _ in range(17):
        chat_as(gateway, "greedy")
    (event,) = gateway.events()
    assert (event.consumer, event.status, event.error) == ("greedy", 503, "overloaded")


def test_callers_without_a_key_are_one_consumer_among_the_others(start: Starter) -> None:
    config = shared_by("modest") | {
        "upstreams": {"a": {"endpoints": ["http://a.test:9002"]}},
        "routes": {"a": {"match": {"path": "/open"}, "upstream": "a", "auth": "none"}},
    }
    gateway = limited(start, Gauge(100, 20, MIB), config)
    for _ in range(16):
        gateway.upstreams[9002].connect()
        gateway.caller().ask("/open")
    last = gateway.caller()
    last.ask("/open")
    refusal(last)
    assert chat_as(gateway, "modest").take() == b""


def test_what_a_consumer_holds_is_carried_through_a_swap_and_forgotten_with_its_last_request(start: Starter) -> None:
    config = shared_by("greedy")
    gateway = limited(start, Gauge(100, 20, MIB), config)
    callers = [chat_as(gateway, "greedy") for _ in range(16)]
    gateway.apply(config)
    refusal(chat_as(gateway, "greedy"))
    assert gateway.shared.tallies["greedy"].in_flight == 16
    for caller in callers:
        caller.leave()
    gateway.apply(one_model())
    gc.collect()
    assert dict(gateway.shared.tallies) == {}


# --- every way out gives everything back


@pytest.mark.parametrize(
    "end",
    [
        lambda caller, peer: peer.say(REPLY),
        lambda caller, peer: peer.say(answer(b"{}", status=b"500 Broken")),
        lambda caller, peer: peer.say(b"nonsense"),
        lambda caller, peer: peer.leave(),
        lambda caller, peer: caller.leave(),
        lambda caller, peer: (peer.say(REPLY[:-10]), caller.leave()),
        lambda caller, peer: (peer.say(REPLY[:-10]), peer.leave()),
        lambda caller, peer: (
            peer.say(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n"),
            caller.leave(),
        ),
        lambda caller, peer: (
            peer.say(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n"),
            peer.leave(),
        ),
    ],
    ids=["answered", "failed", "bad answer", "no answer", "caller gone", "caller gone midway", "cut", "left", "broken"],
)
def test_however_a_request_ends_its_place_is_given_back(
    end: Callable[[CallerEnd, Peer], object], start: Starter
) -> None:
    gateway = limited(start, Gauge(100, 10, MIB))
    caller, peer = asked(gateway)
    assert (gateway.gauge.in_flight, gateway.gauge.connections) == (1, 1)
    end(caller, peer)
    caller.leave()
    assert gateway.is_at_rest()
    assert gateway.gauge.connections == 0


def test_a_failed_attempt_s_bytes_are_not_counted_with_the_next_one_s(start: Starter) -> None:
    gateway = limited(start, Gauge(100, 10, MIB))
    caller, peer = asked(gateway)
    peer.say(REPLY[:-10])
    held = gateway.gauge.held
    assert held > len(CHAT)
    peer.leave()
    assert caller.take().startswith(b"HTTP/1.1 502 ")
    assert gateway.gauge.held == 0


def test_a_fault_of_the_gateway_gives_the_place_back(start: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = limited(start, Gauge(100, 10, MIB))
    monkeypatch.setattr("plane.phases.decode", lambda _: 1 / 0)
    caller = gateway.caller()
    caller.chat()
    assert caller.take().startswith(b"HTTP/1.1 500 ")
    assert gateway.is_at_rest()
