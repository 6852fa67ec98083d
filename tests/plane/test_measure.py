"""What a request adds to the worker's metrics."""

import re
from pathlib import Path

import pytest

from core.metrics import BOUNDS, slot, slots
from plane.measure import count_unrecorded, measure_phases
from tests.plane.conftest import Starter
from tests.plane.rig import SECOND, Gateway, answer, make_exchange, one_model

ROOT = Path(__file__).parents[2]
PHASES = slots("headgate_phase_seconds")
COUNT = len(BOUNDS) + 1
UNROUTED = slots("headgate_unrouted_requests_total")
LOCAL = slot("headgate_local_requests_total")
ACCEPTED = slot("headgate_connections_accepted_total", "http")
DIALS = slots("headgate_upstream_dials_total")


@pytest.fixture
def gateway(start: Starter) -> Gateway:
    """Return a gateway with one model."""
    return start(one_model())


def observed(gateway: Gateway) -> dict[str, tuple[int, int]]:
    """Return, for each phase that was seen, how often and how many microseconds."""
    taken = gateway.metrics.take()
    found = {name: (sum(taken[at : at + COUNT]), taken[at + COUNT]) for name, at in PHASES.items()}
    return {name: seen for name, seen in found.items() if seen[0]}


def test_a_call_spends_its_time_in_the_gateway_upstream_and_in_the_relay(gateway: Gateway) -> None:
    exchange = make_exchange()
    exchange.runtime = gateway.runtime
    exchange.started = 1000 * SECOND
    exchange.body_ns = 2 * SECOND
    exchange.connection_ns = 3 * SECOND
    exchange.asked = 1009 * SECOND
    exchange.first_byte = 1014 * SECOND
    measure_phases(exchange, 1020 * SECOND)
    seconds = {name: microseconds / 1e6 for name, (_, microseconds) in observed(gateway).items()}
    assert seconds == {"body": 2, "connection": 3, "gateway": 4, "upstream": 5, "relay": 6}


def test_a_call_that_got_no_answer_spends_the_rest_upstream(gateway: Gateway) -> None:
    exchange = make_exchange()
    exchange.runtime = gateway.runtime
    exchange.started = 1000 * SECOND
    exchange.asked = 1001 * SECOND
    measure_phases(exchange, 1005 * SECOND)
    assert observed(gateway) == {"gateway": (1, 1_000_000), "upstream": (1, 4_000_000)}


def test_a_whole_call_is_seen_once_in_each_phase_it_has(gateway: Gateway) -> None:
    peer = gateway.upstreams[9001].connect()
    gateway.caller().chat()
    peer.say(answer(b"{}"))
    assert {name: count for name, (count, _) in observed(gateway).items()} == {"gateway": 1, "upstream": 1, "relay": 1}


def test_waits_for_body_and_connection_are_seen(gateway: Gateway) -> None:
    caller = gateway.caller()
    body = b'{"model":"m","messages":[]}'
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer hg-key-of-a-test\r\n"
    caller.say(head + b"Content-Length: %d\r\n\r\n" % len(body))
    caller.say(body)
    peer = gateway.upstreams[9001].dials[0].succeed()
    peer.say(answer(b"{}"))
    assert set(observed(gateway)) == {"body", "connection", "gateway", "upstream", "relay"}
    assert (gateway.metrics.count(DIALS["opened"]), gateway.metrics.count(DIALS["failed"])) == (1, 0)


def test_a_dial_that_fails_is_counted(gateway: Gateway) -> None:
    gateway.caller().chat()
    gateway.upstreams[9001].dials[0].fail()
    assert gateway.metrics.count(DIALS["failed"]) == 1


def test_a_refused_request_is_the_gateways_alone(gateway: Gateway) -> None:
    gateway.caller().chat(b"{")
    assert set(observed(gateway)) == {"gateway"}


@pytest.mark.parametrize(
    ("request_bytes", "code"),
    [
        (b"GET /v2/nothing HTTP/1.1\r\nHost: x\r\n\r\n", "no_route"),
        (b"GET /healthz HTTP/1.1\r\n\r\n", "bad_host"),
        (b"nonsense\r\n\r\n", "bad_request"),
        (b"DELETE /v1/chat/completions HTTP/1.1\r\nHost: x\r\n\r\n", "method_not_allowed"),
    ],
)
def test_a_request_without_a_route_is_counted_by_its_error(gateway: Gateway, request_bytes: bytes, code: str) -> None:
    gateway.caller().say(request_bytes)
    assert gateway.events() == []
    taken = gateway.metrics.take()
    assert {name for name, at in UNROUTED.items() if taken[at]} == {code}
    assert taken[LOCAL] == 0


def test_a_health_check_is_counted_apart(gateway: Gateway) -> None:
    gateway.caller().ask("/healthz", method="GET")
    taken = gateway.metrics.take()
    assert (taken[LOCAL], sum(taken[at] for at in UNROUTED.values()), taken[ACCEPTED]) == (1, 0, 1)


def test_every_error_before_a_route_is_listed() -> None:
    """All that the door and the router refuse with, less what can only come once there is a route."""
    sources = [ROOT / "plane" / "http1" / "server.py", ROOT / "plane" / "head.py", ROOT / "core" / "router.py"]
    codes = set(re.findall(r'[45]\d\d,\s+"([a-z_]+)"', "".join(path.read_text() for path in sources)))
    assert codes - {"body_timeout", "body_too_large", "caller_gone"} == set(UNROUTED) - {"other"}


def test_an_error_that_is_not_listed_is_counted_as_other(gateway: Gateway) -> None:
    exchange = make_exchange()
    exchange.runtime = gateway.runtime
    exchange.error = "caller_gone"
    count_unrecorded(exchange)
    assert gateway.metrics.count(UNROUTED["other"]) == 1
