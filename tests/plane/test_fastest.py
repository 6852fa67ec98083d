"""plane.latency and plane.strategies.fastest: who answers soonest is asked first."""

from collections import Counter
from random import Random

import pytest

from plane.http1.origin import Origin
from plane.latency import FAILED, SECOND, Latency
from plane.runtime import Target
from plane.strategies import fastest
from tests.plane.conftest import Starter
from tests.plane.rig import answer, consumer, make_exchange

CALL = make_exchange()
NOW = 1_000 * SECOND


def target(name: str, *spans: int, in_flight: int = 0, weight: int = 1) -> Target:
    made = Target(name, weight, Origin("http", "p.test", 80, "", 1), b"p.test", b"", "x", {}, {}, b"")
    made.latency = Latency()
    made.in_flight = in_flight
    for span in spans:
        made.latency.observe(span, NOW)
    return made


@pytest.fixture(autouse=True)
def nothing_fades(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plane.strategies.fastest.monotonic_ns", lambda: NOW)


def names(targets: list[Target]) -> str:
    return "".join(found.name for found in fastest.Fastest(Random(1)).rank(targets, CALL))


def test_the_one_that_began_to_answer_soonest_is_first() -> None:
    assert names([target("a", 300), target("b", 100)]) == "ba"


def test_calls_under_way_count_against_a_target() -> None:
    assert names([target("a", 300), target("b", 100, in_flight=3)]) == "ab"


def test_one_never_measured_is_tried_first_but_not_by_all_at_once() -> None:
    assert names([target("a", 300), target("b")]) == "ba"
    assert names([target("a", 300), target("b", in_flight=1)]) == "ab"


def test_a_drained_target_is_left_out() -> None:
    assert names([target("a", 300), target("b", 100, weight=0)]) == "a"
    assert names([]) == ""


def test_of_many_targets_the_better_of_two_drawn_goes_first_and_the_slowest_never() -> None:
    strategy = fastest.Fastest(Random(7))
    given = [target("a", 100), target("b", 200), target("c", 300)]
    counts = Counter(strategy.rank(given, CALL)[0].name for _ in range(600))
    assert counts["c"] == 0
    assert 350 < counts["a"] < 450


def test_a_new_measurement_counts_the_more_the_older_the_last_one_is() -> None:
    soon, late = Latency(), Latency()
    for latency, then in ((soon, NOW + 1), (late, NOW + 100 * SECOND)):
        latency.observe(1000, NOW)
        latency.observe(2000, then)
    assert soon.average == pytest.approx(1100)
    assert late.average == pytest.approx(2000, rel=0.01)


def test_a_slow_target_is_tried_again_after_a_while() -> None:
    slow = Latency()
    slow.observe(FAILED, NOW)
    assert slow.score(NOW) == FAILED
    assert slow.score(NOW + 600 * SECOND) < 0.001 * FAILED


def config() -> dict[str, object]:
    return {
        "providers": {"p": {"dialect": "openai", "base_url": "http://p.test:9001"}},
        "models": {"m": {"targets": [{"provider": "p", "model": name} for name in "ab"], "strategy": "fastest"}},
        "consumers": {"c": consumer()},
    }


def test_a_target_that_fails_is_not_taken_for_a_fast_one(start: Starter) -> None:
    gateway = start(config())
    peer = gateway.upstreams[9001].connect()
    caller = gateway.caller()
    asked = []
    for _ in range(4):
        caller.chat()
        name = peer.take().rpartition(b'{"model":"')[2][:1]
        asked.append(name)
        peer.say(answer(b"{}") if name == b"b" else answer(b"{}").replace(b"200 OK", b"400 Bad Request"))
    assert asked == [b"a", b"b", b"b", b"b"]


def test_what_was_measured_outlives_a_push(start: Starter) -> None:
    gateway = start(config())
    peer = gateway.upstreams[9001].connect()
    gateway.caller().chat()
    peer.say(answer(b"{}"))
    measured = gateway.runtime.models["m"].targets[0].latency
    assert measured.average > 0
    again = config()
    again["models"] |= {"n": again["models"]["m"]}  # type: ignore[operator,index]  # a dict of dicts.
    gateway.apply(again)
    assert gateway.runtime.models["m"].targets[0].latency is measured
