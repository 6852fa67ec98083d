"""plane.health and plane.failure: what a place is left alone for, and for how long."""

import pytest

from core.breaker import BreakerRule
from plane.failure import asked_wait
from plane.health import COOLED, EJECTED, QUARANTINED, STATES, Health, HealthRule, Standing

SECOND = 1_000_000_000
CONNECT, RESET, TIMEOUT, CREDENTIAL, LIMITED, BROKEN, LOST = 1, 2, 4, 8, 16, 32, 64


def group(size: int = 1, *, row: int = 3, max_ejected: int = 100, slow_start: int = 0) -> list[Health]:
    """Return the places of one model, with breakers that open after `row` failures."""
    rule = HealthRule(BreakerRule(0, 1, 10 * SECOND, row, 10 * SECOND), max_ejected, slow_start)
    places = [Health(Standing()) for _ in range(size)]
    for place in places:
        place.obey(rule, places)
    return places


def pauses(health: Health, failure: int, wait: int, count: int) -> list[int]:
    """Return for how many seconds a place is left alone after failures that follow each other's pauses."""
    now, found = 0, []
    for _ in range(count):
        health.leave(now, failure, wait, False)
        found.append((health.opens_at(now) - now) // SECOND)
        now = health.opens_at(now)
    return found


def test_a_429_without_a_time_doubles_the_pause_up_to_ten_minutes() -> None:
    (health,) = group()
    assert pauses(health, LIMITED, -1, 11) == [2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]


def test_a_success_makes_the_next_pause_a_short_one_again() -> None:
    (health,) = group()
    pauses(health, LIMITED, -1, 5)
    health.leave(1000 * SECOND, 0, -1, False)
    health.leave(1000 * SECOND, LIMITED, -1, False)
    assert health.opens_at(1000 * SECOND) == 1002 * SECOND


@pytest.mark.parametrize(("asked", "kept"), [(0, 0), (7, 7), (600, 600), (86_400, 600)])
def test_the_time_that_is_asked_for_is_kept_up_to_ten_minutes(asked: int, kept: int) -> None:
    (health,) = group()
    assert pauses(health, LIMITED, asked * SECOND, 1) == [kept]


def test_a_503_that_asks_for_a_pause_gets_it_and_is_a_failure_as_well() -> None:
    (health,) = group()
    assert pauses(health, BROKEN, 5 * SECOND, 1) == [5]
    assert health.breaker is not None
    assert health.breaker.failed_in_row == 1


def test_a_refused_credential_is_left_alone_longer_each_time_up_to_an_hour() -> None:
    (health,) = group()
    assert pauses(health, CREDENTIAL, -1, 6) == [300, 600, 1200, 2400, 3600, 3600]


def test_calls_under_way_that_are_refused_as_well_change_nothing() -> None:
    (health,) = group()
    outcomes = [health.leave(now * SECOND, CREDENTIAL, -1, False) for now in range(3)]
    assert outcomes == [QUARANTINED, 0, 0]
    assert health.opens_at(0) == 300 * SECOND


def test_a_refused_credential_is_refused_wherever_it_is_used() -> None:
    standing = Standing()
    one, other = Health(standing), Health(standing)
    one.leave(0, CREDENTIAL, -1, False)
    assert other.enter(SECOND) == 0
    assert other.reason(SECOND) == "its credential is refused"


@pytest.mark.parametrize("failure", [CONNECT, TIMEOUT, BROKEN])
def test_failures_in_a_row_open_the_breaker(failure: int) -> None:
    (health,) = group()
    assert [health.leave(0, failure, -1, False) for _ in range(3)] == [0, 0, EJECTED]
    assert health.reason(0) == "its breaker is open"


@pytest.mark.parametrize(("failure", "outcome"), [(RESET, 0), (LOST, 0), (LIMITED, COOLED)])
def test_what_is_no_fault_of_the_place_does_not_open_its_breaker(failure: int, outcome: int) -> None:
    (health,) = group(row=1)
    for _ in range(30):
        assert health.leave(0, failure, 0, False) == outcome
    assert health.breaker is not None
    assert health.breaker.state == 0


@pytest.mark.parametrize(
    ("size", "share", "out"), [(1, 50, 0), (2, 50, 1), (3, 50, 1), (4, 50, 2), (3, 100, 3), (9, 10, 0)]
)
def test_failures_in_a_row_take_out_a_share_of_the_group_at_most(size: int, share: int, out: int) -> None:
    places = group(size, max_ejected=share)
    for _ in range(10):
        for place in places:
            place.leave(0, BROKEN, -1, False)
    assert sum(not place.is_open(0) for place in places) == out


def test_a_probe_that_gets_a_429_has_shown_that_the_place_answers() -> None:
    (health,) = group()
    for _ in range(3):
        health.leave(0, BROKEN, -1, False)
    assert health.enter(10 * SECOND) == 2
    health.leave(10 * SECOND, LIMITED, SECOND, True)
    assert STATES[health.state(10 * SECOND)] == "cooling"
    assert health.enter(12 * SECOND) == 1


def test_a_slow_start_gives_a_share_that_grows_from_a_tenth_to_the_whole() -> None:
    (health,) = group(slow_start=10 * SECOND)
    health.begin_slowly(SECOND)
    shares = []
    for elapsed in range(0, 12, 2):
        now = (1 + elapsed) * SECOND
        shares.append(sum(not health.is_slow(now) for _ in range(1000)))
    assert shares == pytest.approx([100, 200, 400, 600, 800, 1000], abs=1)


def test_a_place_whose_breaker_closes_begins_slowly() -> None:
    (health,) = group(slow_start=10 * SECOND)
    for _ in range(3):
        health.leave(0, BROKEN, -1, False)
    health.enter(10 * SECOND)
    health.leave(11 * SECOND, 0, -1, True)
    assert health.is_slow(12 * SECOND)
    assert not any(health.is_slow(22 * SECOND) for _ in range(100))


def test_the_states_are_told_apart() -> None:
    (health,) = group()
    seen = [STATES[health.state(0)]]
    for _ in range(3):
        health.leave(0, BROKEN, -1, False)
    seen.append(STATES[health.state(0)])
    health.enter(10 * SECOND)
    seen.append(STATES[health.state(10 * SECOND)])
    health.leave(0, LIMITED, 20 * SECOND, False)
    seen.append(STATES[health.state(10 * SECOND)])
    health.leave(0, CREDENTIAL, -1, False)
    seen.append(STATES[health.state(10 * SECOND)])
    health.probed(0, True)
    seen.append(STATES[health.state(10 * SECOND)])
    assert seen == list(STATES)


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ([], b"", None),
        ([(b"retry-after", b"3")], b"", 3),
        ([(b"Retry-After", b"0.5")], b"", 0.5),
        ([(b"retry-after", b"9"), (b"retry-after-ms", b"250")], b"", 0.25),
        ([(b"retry-after", b"Thu, 01 Jan 1970 00:01:40 GMT")], b"", 90),
        ([(b"retry-after", b"Thu, 01 Jan 1970 00:00:05 GMT")], b"", 0),
        ([(b"retry-after", b"later")], b"", None),
        ([(b"retry-after", b"-1")], b"", None),
        ([(b"retry-after", b"9" * 30)], b"", None),
        ([], b'{"error":{"details":[{"retryDelay": "34.074824224s"}]}}', 34.074824224),
        ([(b"retry-after", b"2")], b'{"retryDelay":"34s"}', 2),
    ],
)
def test_what_an_upstream_asks_for_is_read(
    headers: list[tuple[bytes, bytes]], body: bytes, seconds: float | None
) -> None:
    expected = -1 if seconds is None else pytest.approx(seconds * SECOND, abs=10)
    assert asked_wait(headers, body, now=10.0) == expected
