"""core.balance: what every policy promises, and then what is each one's own."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import core.balance
from core.endpoint import Endpoint
from core.registry import scan

POLICIES = scan(core.balance)


def made(word):
    return POLICIES[word].build(POLICIES[word].options())


@pytest.fixture(params=sorted(POLICIES))
def word(request):
    return request.param


@pytest.fixture
def balancer(word):
    return made(word)


def endpoints(*weights):
    return [Endpoint(name, weight) for name, weight in zip("abcdefgh", weights, strict=False)]


def firsts(balancer, group, calls):
    return "".join(balancer.order(group)[0].name for _ in range(calls))


def names(order):
    return "".join(endpoint.name for endpoint in order)


def test_the_policies_a_config_may_name_are_there():
    assert set(POLICIES) >= {"least_in_flight", "round_robin", "weighted"}


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(POLICIES)),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=6),
    st.lists(st.sets(st.integers(0, 5)), min_size=1, max_size=12),
)
def test_every_order_holds_each_endpoint_that_serves_once_and_no_drained_one(word, drawn, selections):
    group = endpoints(*(weight for weight, _ in drawn))
    for endpoint, (_, load) in zip(group, drawn, strict=True):
        endpoint.in_flight = load
    balancer = made(word)
    for selection in selections:
        chosen = [endpoint for at, endpoint in enumerate(group) if at in selection]
        before = list(chosen)
        order = balancer.order(chosen)
        assert sorted(names(order)) == [endpoint.name for endpoint in chosen if endpoint.weight]
        assert chosen == before
        assert order is not chosen


def test_nothing_is_ordered_where_nothing_serves(balancer):
    assert balancer.order([]) == []
    assert balancer.order(endpoints(0, 0)) == []


def test_a_single_endpoint_is_always_first(balancer):
    assert firsts(balancer, endpoints(0, 3, 0), 4) == "bbbb"


def test_equal_endpoints_are_first_equally_often(balancer):
    group = endpoints(1, 1, 1)
    found = firsts(balancer, group, 9)
    assert {name: found.count(name) for name in "abc"} == {"a": 3, "b": 3, "c": 3}
    assert "aa" not in found
    assert "bb" not in found


def test_an_endpoint_that_is_drained_gets_nothing_and_its_share_goes_to_the_others(balancer):
    group = endpoints(1, 1, 1)
    firsts(balancer, group, 4)
    group[1].weight = 0
    found = firsts(balancer, group, 20)
    assert found.count("b") == 0
    assert abs(found.count("a") - found.count("c")) <= 2


def test_two_balancers_do_not_share_their_turns(word, balancer):
    first = firsts(balancer, endpoints(1, 1, 1), 4)
    assert firsts(made(word), endpoints(1, 1, 1), 4) == first


def test_no_policy_takes_an_unknown_option():
    for kind in POLICIES.values():
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"unknown": 1}, kind.options)


def test_round_robin_goes_round_in_the_order_of_the_config():
    balancer, group = made("round_robin"), endpoints(1, 5, 1)
    assert [names(balancer.order(group)) for _ in range(4)] == ["abc", "bca", "cab", "abc"]


def test_round_robin_goes_on_when_an_endpoint_is_left_out_for_a_while():
    balancer, group = made("round_robin"), endpoints(1, 1, 1)
    firsts(balancer, group, 2)
    assert firsts(balancer, group[:2], 4) == "abab"
    assert sorted(firsts(balancer, group, 3)) == ["a", "b", "c"]


def test_weighted_spreads_the_shares_evenly():
    assert firsts(made("weighted"), endpoints(5, 1, 1), 14) == "aabacaaaabacaa"
    assert firsts(made("weighted"), endpoints(3, 1), 8) == "aabaaaba"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(any))
def test_weighted_gives_each_endpoint_exactly_its_weight_in_each_round(weights):
    balancer, group = made("weighted"), endpoints(*weights)
    for _ in range(2):
        found = firsts(balancer, group, sum(weights))
        assert [found.count(endpoint.name) for endpoint in group] == weights


def test_weighted_orders_the_rest_by_who_is_most_behind():
    balancer, group = made("weighted"), endpoints(1, 5, 2)
    assert names(balancer.order(group)) == "bca"


def test_weighted_counts_in_integers_that_do_not_wrap():
    balancer, group = made("weighted"), endpoints(1_000_000, 1, *[1_000_000] * 6)
    for _ in range(2_000):
        balancer.order(group)
    assert sum(endpoint.current for endpoint in group) == 0
    assert max(abs(endpoint.current) for endpoint in group) < 8_000_000


def test_least_in_flight_prefers_the_one_with_the_fewest_calls():
    balancer, group = made("least_in_flight"), endpoints(1, 1, 1)
    group[0].in_flight, group[1].in_flight, group[2].in_flight = 2, 1, 0
    assert names(balancer.order(group)) == "cba"
    group[2].in_flight = 3
    assert names(balancer.order(group)) == "bac"


def test_least_in_flight_counts_calls_per_weight():
    balancer, group = made("least_in_flight"), endpoints(4, 1)
    group[0].in_flight, group[1].in_flight = 3, 1
    assert names(balancer.order(group)) == "ab"
    group[0].in_flight = 5
    assert names(balancer.order(group)) == "ba"


def test_least_in_flight_lets_only_the_equal_ones_take_turns():
    balancer, group = made("least_in_flight"), endpoints(1, 1, 1)
    group[1].in_flight = 5
    assert [names(balancer.order(group)) for _ in range(4)] == ["acb", "cab", "acb", "cab"]


def test_least_in_flight_keeps_calls_level_when_each_is_counted():
    balancer, group = made("least_in_flight"), endpoints(1, 1, 2)
    for _ in range(40):
        balancer.order(group)[0].in_flight += 1
    assert [endpoint.in_flight for endpoint in group] == [10, 10, 20]
