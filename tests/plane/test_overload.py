"""What a worker's gauge lets in, at its marks and at its caps, and how it adapts to being late."""

import pytest

from plane.overload import BYTES, ROOM, Gauge, Tally

MS = 1_000_000
LATE = 251 * MS


def gauge(connections: int = 100, in_flight: int = 100, held: int = 1000) -> Gauge:
    return Gauge(connections, in_flight, held)


def joined(made: Gauge, tally: Tally) -> bool:
    """Let a request of a consumer in, if that is right."""
    if made.enter(0) != 0:
        return False
    if not made.is_fair(tally):
        made.in_flight -= 1
        return False
    tally.in_flight += 1
    return True


def test_as_many_requests_as_the_cap_says_are_let_in_and_no_more() -> None:
    made = gauge(in_flight=3)
    assert [made.enter(0) for _ in range(5)] == [0, 0, 0, ROOM, ROOM]
    made.in_flight -= 1
    assert [made.enter(0), made.enter(0)] == [0, ROOM]


@pytest.mark.parametrize(
    ("held", "size", "found"), [(0, 1000, 0), (0, 1001, BYTES), (949, 51, 0), (949, 52, BYTES), (950, 0, BYTES)]
)
def test_a_request_is_let_in_if_its_body_still_fits_and_less_than_95_percent_are_held(
    held: int, size: int, found: int
) -> None:
    made = gauge()
    made.held = held
    assert made.enter(size) == found
    assert made.in_flight == (0 if found else 1)


def test_more_bytes_than_the_cap_are_noticed() -> None:
    made = gauge()
    made.held = 1000
    assert not made.is_over()
    made.held = 1001
    assert made.is_over()


@pytest.mark.parametrize(
    ("all_of_them", "its_own", "fair"), [(79, 79, True), (80, 19, True), (80, 20, False), (99, 0, True), (99, 1, False)]
)
def test_from_80_percent_on_everybody_must_hold_less_than_what_is_free(
    all_of_them: int, its_own: int, fair: bool
) -> None:
    made, tally = gauge(), Tally()
    made.in_flight, tally.in_flight = all_of_them + 1, its_own
    assert made.is_fair(tally) is fair
    made, tally = gauge(), Tally()
    made.held, tally.held = all_of_them * 10, its_own * 10
    assert made.is_fair(tally) is fair


def test_consumers_that_take_all_they_can_leave_room_for_one_that_comes_late() -> None:
    for greedy in (1, 2, 5, 10, 50):
        made, tallies = gauge(in_flight=1000), [Tally() for _ in range(greedy)]
        for _ in range(1000):
            for tally in tallies:
                joined(made, tally)
        most = max(tally.in_flight for tally in tallies)
        taken, late = sum(tally.in_flight for tally in tallies), Tally()
        while joined(made, late):
            pass
        assert late.in_flight >= min(most, 1000 - taken) // 2 > 0


def test_connections_are_crowded_from_80_percent_on_and_more_so_from_95() -> None:
    made = gauge()
    found = []
    for _ in range(100):
        made.opened()
        found.append(made.crowding())
    assert found == [0] * 79 + [1] * 15 + [2] * 6


def test_at_the_cap_of_connections_the_doors_are_told_and_below_95_percent_there_is_place() -> None:
    made = gauge()
    told: list[int] = []
    made.on_full.append(lambda: told.append(made.connections))
    for _ in range(101):
        made.opened()
    assert told == [100, 101]
    found = []
    for _ in range(10):
        made.closed()
        found.append(made.has_place())
    assert found == [False] * 6 + [True] * 4


def test_marks_of_small_caps_let_one_in() -> None:
    made = gauge(1, 1, 1)
    assert made.enter(1) == 0
    assert made.enter(0) == ROOM
    assert (made.crowding(), made.has_place()) == (0, True)


def test_large_caps_do_not_wrap() -> None:
    made = gauge(2**31, 2**31, 2**61)
    made.held = 2**61 - 1
    assert made.enter(0) == BYTES
    made.held = 2**60
    assert made.enter(2**60) == 0
    assert made.enter(2**60 + 1) == BYTES


# --- a worker that is late


def test_a_late_tick_or_two_change_nothing() -> None:
    made = gauge(in_flight=4000)
    made.in_flight = 2000
    for late in (LATE, LATE, 0, LATE, LATE, 250 * MS, LATE, LATE):
        made.tick(late)
    assert made.room == 4000


def test_from_the_third_late_tick_on_there_is_room_for_three_quarters_of_what_is_in_flight() -> None:
    made = gauge(in_flight=4000)
    made.in_flight = 2000
    rooms = []
    for _ in range(5):
        made.tick(LATE)
        rooms.append(made.room)
    assert rooms == [4000, 4000, 1500, 1125, 843]
    assert made.enter(0) == ROOM


def test_room_never_falls_below_its_least_nor_above_the_cap() -> None:
    made = gauge(in_flight=4000)
    made.in_flight = 2000
    for _ in range(50):
        made.tick(LATE)
    assert made.room == 256
    small = gauge(in_flight=10)
    for _ in range(50):
        small.tick(LATE)
    assert small.room == 10


def test_ticks_in_time_give_the_room_back_within_three_seconds() -> None:
    made = gauge(in_flight=4096)
    for _ in range(50):
        made.tick(LATE)
    ticks = 0
    while made.room < 4096:
        made.tick(0)
        ticks += 1
    assert ticks <= 30
    made.tick(0)
    assert made.room == 4096


def test_marks_follow_the_room_that_there_is() -> None:
    made, tally = gauge(in_flight=4000), Tally()
    for _ in range(50):
        made.tick(LATE)
    made.in_flight, tally.in_flight = 205, 204
    assert made.is_fair(tally)
    made.in_flight, tally.in_flight = 206, 205
    assert not made.is_fair(tally)
