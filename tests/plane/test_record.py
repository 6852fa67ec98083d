"""What of a request is kept: its id and its usage event."""

from typing import Any

import pytest

from core.usage import Detail, UsageEvent
from plane.record import take_id
from tests.plane.conftest import Starter
from tests.plane.rig import Gateway, ScriptedTransport, answer, make_exchange, one_model

COMPLETION = b'{"id":"1","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":5,"prompt_tokens_details":' \
    b'{"cached_tokens":3},"completion_tokens_details":{"reasoning_tokens":2}}}'  # fmt: skip


@pytest.fixture
def gateway(start: Starter) -> Gateway:
    """Return a gateway with one model."""
    return start(one_model())


def recorded(gateway: Gateway) -> UsageEvent:
    """Return the one event there is."""
    (event,) = gateway.events()
    return event


@pytest.mark.parametrize("given", [b"a", b"A.b_c:1-2", b"x" * 128])
def test_a_usable_id_of_the_caller_is_kept(gateway: Gateway, given: bytes) -> None:
    exchange = make_exchange()
    exchange.runtime = gateway.runtime
    exchange.request_id = given
    take_id(exchange)
    assert exchange.request_id == given


@pytest.mark.parametrize("given", [b"", b"a b", b"x" * 129, b"a\n", b"\xff", b"<a>", b"a/b", b'"'])
def test_any_other_id_is_replaced_by_one_of_ours(gateway: Gateway, given: bytes) -> None:
    exchange = make_exchange()
    exchange.runtime = gateway.runtime
    exchange.request_id = given
    take_id(exchange)
    assert exchange.request_id.startswith(b"hg-01234567-0-")


def test_a_call_leaves_one_event_with_all_there_is_to_know(gateway: Gateway) -> None:
    peer = gateway.upstreams[9001].connect()
    gateway.caller().ask("/v1/chat/completions", b'{"model":"m","messages":[]}', fields=b"x-request-id: r-1\r\n")
    peer.say(answer(COMPLETION))
    event = recorded(gateway)
    assert (event.worker, event.id) == (0, 1)
    assert (event.request_id, event.consumer, event.route) == ("r-1", "c", "chat.completions")
    assert (event.model, event.target) == ("m", "p/real")
    assert (event.status, event.error, event.stream, event.attempts) == (200, "", False, 1)
    assert (event.input_total, event.output_total, event.cache_read, event.reasoning) == (7, 5, 3, 2)
    assert event.usage_known
    assert event.snapshot == gateway.runtime.digest
    assert event.latency_us >= event.first_us >= 0
    assert (event.method, event.path, event.peer, event.door) == ("POST", "/v1/chat/completions", "127.0.0.1", "http")
    assert (event.bytes_in, event.bytes_out) == (27, len(COMPLETION))


def test_the_door_of_a_call_is_recorded(gateway: Gateway) -> None:
    gateway.door.name = "https"
    gateway.caller().chat(b"{")
    assert recorded(gateway).door == "https"


@pytest.mark.parametrize(
    ("stream", "said", "bytes_out"),
    [
        (True, b"data: {}\n\ndata: [DONE]\n\n", 24),
        (True, b"data: {}\n\n", 10),
        (False, b"", 0),
    ],
    ids=["to its end", "cut short", "nothing came"],
)
def test_bytes_of_the_answer_are_counted_as_the_caller_gets_them(
    gateway: Gateway, stream: bool, said: bytes, bytes_out: int
) -> None:
    caller = gateway.caller()
    peer = gateway.upstreams[9001].connect()
    caller.chat(b'{"model":"m","messages":[],"stream":true}')
    if stream:
        peer.say(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        peer.say(b"%x\r\n%b\r\n" % (len(said), said))
    caller.leave()
    assert recorded(gateway).bytes_out == bytes_out


def test_an_answer_without_usage_is_recorded_as_unknown(gateway: Gateway) -> None:
    peer = gateway.upstreams[9001].connect()
    gateway.caller().chat()
    peer.say(answer(b"{}"))
    event = recorded(gateway)
    assert (event.status, event.usage_known, event.input_total) == (200, False, 0)


def test_an_event_is_kept_before_the_last_bytes_leave(gateway: Gateway) -> None:
    seen = []
    caller = gateway.caller()

    class Watched(ScriptedTransport):
        def write(self, data: bytes) -> None:
            seen.append(len(gateway.events()))

    caller.connection.connection_made(Watched(gateway.loop, caller.connection))
    peer = gateway.upstreams[9001].connect()
    caller.chat()
    peer.say(answer(COMPLETION))
    assert seen == [1]


@pytest.mark.parametrize(
    ("ask", "status", "error", "consumer", "model"),
    [
        (("/v1/chat/completions", b"{"), 400, "invalid_json", "c", ""),
        (("/v1/chat/completions", b'{"model":"unknown"}'), 404, "model_not_found", "c", ""),
    ],
)
def test_a_refused_call_is_recorded_as_far_as_it_came(
    gateway: Gateway, ask: tuple[str, bytes], status: int, error: str, consumer: str, model: str
) -> None:
    gateway.caller().ask(*ask)
    event = recorded(gateway)
    assert (event.status, event.error, event.consumer, event.model) == (status, error, consumer, model)
    assert (event.target, event.attempts, event.usage_known) == ("", 0, False)


def test_a_call_without_a_key_is_recorded_without_a_consumer(gateway: Gateway) -> None:
    gateway.caller().say(b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n")
    event = recorded(gateway)
    assert (event.status, event.error, event.consumer) == (401, "invalid_api_key", "")


@pytest.mark.parametrize(
    "data",
    [
        b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /nowhere HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
    ids=["a health check", "an unknown path", "a list without a key", "garbage"],
)
def test_what_is_no_call_leaves_no_event(gateway: Gateway, data: bytes) -> None:
    caller = gateway.caller()
    caller.say(data)
    assert caller.take().startswith(b"HTTP/1.1 ")
    assert gateway.events() == []


@pytest.mark.parametrize("when", ["before a connection", "before the answer", "in the middle of a stream"])
def test_a_caller_that_leaves_is_recorded_once(gateway: Gateway, when: str) -> None:
    caller = gateway.caller()
    peer = None if when == "before a connection" else gateway.upstreams[9001].connect()
    caller.chat(b'{"model":"m","messages":[],"stream":true}')
    if peer is not None and when == "in the middle of a stream":
        peer.say(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        peer.say(b"a\r\ndata: {}\n\n\r\n")
    caller.leave()
    event = recorded(gateway)
    assert event.error == "caller_gone"
    assert event.status == (200 if when == "in the middle of a stream" else 499)
    for dial in gateway.upstreams[9001].dials:
        dial.succeed()
    assert gateway.is_at_rest()


PRICE = {
    "input_usd_per_million": "2",
    "cache_read_usd_per_million": "1",
    "output_usd_per_million": "10",
    "source": "list 1",
}


def priced(price: dict[str, str]) -> dict[str, Any]:
    """Return the config of one model whose calls cost `price`."""
    return one_model(targets=[{"provider": "p", "model": "real", "price": price}])


def test_a_call_is_priced_in_its_event_and_in_the_head_of_its_answer(start: Starter) -> None:
    gateway = start(priced(PRICE))
    caller = gateway.caller()
    peer = gateway.upstreams[9001].connect()
    caller.chat()
    peer.say(answer(COMPLETION))
    assert b"x-headgate-cost-usd: 0.000061000\r\n" in caller.take()
    event = recorded(gateway)
    assert (event.cost_nano, event.price, event.detail) == (61_000, "list 1", None)


def test_a_call_without_a_price_is_unpriced_and_says_no_cost(gateway: Gateway) -> None:
    caller = gateway.caller()
    peer = gateway.upstreams[9001].connect()
    caller.chat()
    peer.say(answer(COMPLETION))
    assert b"x-headgate-cost-usd" not in caller.take()
    event = recorded(gateway)
    assert (event.usage_known, event.cost_nano, event.price) == (True, None, "")


def test_a_cost_beyond_all_bounds_leaves_the_call_unpriced(start: Starter) -> None:
    gateway = start(priced({"input_usd_per_million": "99999"}))
    peer = gateway.upstreams[9001].connect()
    gateway.caller().chat()
    peer.say(answer(b'{"usage":{"prompt_tokens":1000000000000,"completion_tokens":0}}'))
    event = recorded(gateway)
    assert (event.status, event.input_total, event.cost_nano) == (200, 10**12, None)


def begun(gateway: Gateway, *events: bytes) -> tuple[Any, Any]:
    """Return the caller and the upstream of a stream of which these events have come."""
    caller = gateway.caller()
    peer = gateway.upstreams[9001].connect()
    caller.chat(b'{"model":"m","messages":[],"stream":true}')
    peer.say(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    for text in events:
        peer.say(b"%x\r\n%b\r\n" % (len(text), text))
    return caller, peer


@pytest.mark.parametrize("who", ["the caller leaves", "the upstream breaks off"])
def test_a_stream_cut_short_has_an_estimate_that_is_marked_and_priced(start: Starter, who: str) -> None:
    gateway = start(priced(PRICE))
    caller, peer = begun(gateway, b'data: {"choices":[]}\n\n', b"data: %b\n\n" % (b"x" * 1000), b"data: {}\n\n")
    if who == "the caller leaves":
        caller.leave()
    else:
        peer.leave()
    event = recorded(gateway)
    assert event.detail == Detail(estimated=True)
    assert (event.usage_known, event.input_total) == (True, 41 // 4)
    assert event.output_total == (22 + 1008 + 10 - 3 * 256) // 4
    assert event.cost_nano == event.input_total * 2_000 + event.output_total * 10_000


def test_an_estimate_has_a_token_for_each_event_at_least(gateway: Gateway) -> None:
    caller, _ = begun(gateway, *([b"data: {}\n\n"] * 5))
    caller.leave()
    assert recorded(gateway).output_total == 5


def test_a_stream_of_which_nothing_came_has_no_estimate(gateway: Gateway) -> None:
    caller, _ = begun(gateway)
    caller.leave()
    event = recorded(gateway)
    assert (event.usage_known, event.detail) == (False, None)
