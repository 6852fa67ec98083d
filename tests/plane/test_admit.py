"""Whether a consumer's limits let a request in."""

from typing import Any

import pytest

from core.errors import GatewayError
from plane.admit import admit
from plane.exchange import Exchange
from plane.shed import shed
from tests.plane.conftest import Starter
from tests.plane.rig import Gateway, consumer, make_exchange, one_model


def limited(**limits: Any) -> dict[str, Any]:
    """Return a config with these limits for its one consumer."""
    return one_model() | {"consumers": {"c": consumer(limits=limits)}}


def asked(of: Gateway) -> Exchange:
    """Return an exchange of its consumer, not yet admitted."""
    exchange = make_exchange()
    exchange.runtime = of.runtime
    exchange.route = of.runtime.router.match("POST", b"x", b"/v1/chat/completions")
    exchange.consumer = of.runtime.consumers.named("c")
    shed(exchange)
    return exchange


def refused(exchange: Exchange) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        admit(exchange)
    return caught.value


def test_without_limits_everything_is_let_in_and_nothing_is_held(start: Starter) -> None:
    exchange = asked(start(limited()))
    admit(exchange)
    assert (exchange.holding, exchange.limit) == (None, -1)


def test_a_rate_counts_down_and_then_refuses_with_when_to_ask_again(start: Starter) -> None:
    plane = start(limited(requests="3/day"))
    for left in (2, 1, 0):
        exchange = asked(plane)
        admit(exchange)
        assert (exchange.limit, exchange.remaining) == (3, left)
        assert exchange.reset_ns > 0
    exchange = asked(plane)
    error = refused(exchange)
    assert (error.status, error.code) == (429, "rate_limit_exceeded")
    assert 8 * 3600 - 60 < error.retry_after <= 8 * 3600
    assert (exchange.limit, exchange.remaining) == (3, 0)


def test_a_concurrency_is_held_until_it_is_released(start: Starter) -> None:
    plane = start(limited(concurrent=2))
    first, second, third = (asked(plane) for _ in range(3))
    admit(first)
    admit(second)
    assert plane.concurrent() == 2
    error = refused(third)
    assert (error.status, error.code, error.retry_after) == (429, "concurrency_limit_exceeded", 1.0)
    assert third.holding is None
    first.holding.release()
    admit(third)
    assert plane.concurrent() == 2


def test_a_refusal_by_the_rate_gives_the_concurrency_back(start: Starter) -> None:
    plane = start(limited(requests="1/day", concurrent=5))
    admit(asked(plane))
    exchange = asked(plane)
    assert refused(exchange).code == "rate_limit_exceeded"
    assert exchange.holding is None
    assert plane.concurrent() == 1


def test_a_refusal_by_the_concurrency_costs_nothing_of_the_rate(start: Starter) -> None:
    plane = start(limited(requests="2/day", concurrent=1))
    first = asked(plane)
    admit(first)
    for _ in range(5):
        assert refused(asked(plane)).code == "concurrency_limit_exceeded"
    first.holding.release()
    last = asked(plane)
    admit(last)
    assert last.remaining == 0


def test_limits_outlive_the_runtime_that_counted_them(start: Starter) -> None:
    plane = start(limited(requests="2/day", concurrent=4))
    admit(asked(plane))
    plane.apply(limited(requests="2/day", concurrent=4))
    exchange = asked(plane)
    admit(exchange)
    assert exchange.remaining == 0
    assert plane.concurrent() == 2
