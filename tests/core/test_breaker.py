"""core.breaker: the table, and the same as a naive model that remembers every call."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.breaker import CLOSED, EVENTS, HALF_OPEN, MAX_PAUSE, OPEN, PROBE, SLOTS, STATES, TABLE, Breaker, BreakerRule

SECOND = 1_000_000_000
RULE = BreakerRule(share=50, calls=4, window=10 * SECOND, row=3, pause=10 * SECOND)


def tripped(rule: BreakerRule = RULE) -> Breaker:
    """Return a breaker that opened at second 0."""
    breaker = Breaker(rule)
    for _ in range(rule.row):
        breaker.leave(0, failed=True, probing=False, may_open=True)
    assert breaker.state == OPEN
    return breaker


def test_the_table_has_a_next_state_for_every_state_and_event() -> None:
    assert [len(row) for row in TABLE] == [len(EVENTS)] * len(STATES)
    assert {state for row in TABLE for state in row} == {CLOSED, OPEN, HALF_OPEN}


def test_a_closed_breaker_opens_only_by_tripping_and_an_open_one_only_half_opens() -> None:
    moves = {
        (STATES[state], event, STATES[after])
        for state, row in enumerate(TABLE)
        for event, after in zip(EVENTS, row, strict=True)
        if after != state
    }
    assert moves == {
        ("closed", "tripped", "open"),
        ("open", "asked", "half_open"),
        ("half_open", "passed", "closed"),
        ("half_open", "failed", "open"),
        ("half_open", "tripped", "open"),
        ("half_open", "lost", "open"),
    }


def test_the_table_in_the_docs_is_this_one() -> None:
    page = (Path(__file__).parents[2] / "docs" / "failover.md").read_text()
    rows = [[name, *(STATES[after] for after in row)] for name, row in zip(STATES, TABLE, strict=True)]
    assert f"| state \\ event | {' | '.join(EVENTS)} |\n" in page
    assert "\n".join(f"| {' | '.join(row)} |" for row in rows) in page


@pytest.mark.parametrize(("fails", "passes", "opens"), [(2, 2, True), (3, 4, False), (1, 2, False), (4, 4, True)])
def test_it_opens_when_the_share_of_failures_is_reached_among_enough_calls(
    fails: int, passes: int, opens: bool
) -> None:
    breaker = Breaker(RULE)
    for _ in range(passes):
        breaker.leave(0, failed=False, probing=False, may_open=False)
    opened = [breaker.leave(0, failed=True, probing=False, may_open=False) for _ in range(fails)]
    assert opened[-1] is opens


def test_calls_older_than_the_window_do_not_count() -> None:
    breaker = Breaker(RULE)
    for _ in range(3):
        breaker.leave(0, failed=True, probing=False, may_open=False)
    assert not breaker.leave(10 * SECOND, failed=True, probing=False, may_open=False)
    assert breaker.state == CLOSED


def test_failures_in_a_row_open_it_only_where_they_may() -> None:
    rule = BreakerRule(50, 1000, 10 * SECOND, 3, SECOND)
    allowed, refused, broken = Breaker(rule), Breaker(rule), Breaker(rule)
    for _ in range(3):
        allowed.leave(0, failed=True, probing=False, may_open=True)
        refused.leave(0, failed=True, probing=False, may_open=False)
    for failed in (True, True, False, True, True):
        broken.leave(0, failed=failed, probing=False, may_open=True)
    assert (allowed.state, refused.state, broken.state) == (OPEN, CLOSED, CLOSED)


def test_after_the_pause_one_call_is_the_probe_and_no_other_goes_out_until_it_has_ended() -> None:
    breaker = tripped()
    assert breaker.enter(10 * SECOND - 1) == 0
    assert breaker.enter(10 * SECOND) == PROBE
    assert [breaker.enter(11 * SECOND + n) for n in range(3)] == [0, 0, 0]
    breaker.leave(12 * SECOND, failed=False, probing=True, may_open=True)
    assert (breaker.state, breaker.enter(12 * SECOND)) == (CLOSED, 1)


def test_each_probe_that_fails_doubles_the_pause_up_to_five_minutes_and_one_that_passes_resets_it() -> None:
    breaker, now, pauses = tripped(), 0, []
    for _ in range(8):
        pauses.append((breaker.until - now) // SECOND)
        now = breaker.until
        assert breaker.enter(now) == PROBE
        assert breaker.leave(now, failed=True, probing=True, may_open=False)
    assert pauses == [10, 20, 40, 80, 160, 300, 300, 300]
    breaker.enter(breaker.until)
    breaker.leave(now, failed=False, probing=True, may_open=True)
    for _ in range(3):
        breaker.leave(now, failed=True, probing=False, may_open=True)
    assert breaker.until - now == 10 * SECOND


def test_a_pause_longer_than_five_minutes_is_kept() -> None:
    breaker = tripped(BreakerRule(50, 20, SECOND, 1, 2 * MAX_PAUSE))
    assert breaker.until == 2 * MAX_PAUSE
    breaker.enter(breaker.until)
    breaker.leave(breaker.until, failed=True, probing=True, may_open=True)
    assert breaker.until == 4 * MAX_PAUSE


def test_a_probe_whose_caller_left_makes_the_next_call_the_probe() -> None:
    breaker = tripped()
    assert breaker.enter(10 * SECOND) == PROBE
    breaker.lose(probing=True)
    assert breaker.enter(10 * SECOND) == PROBE


@pytest.mark.parametrize("half_open", [False, True])
@pytest.mark.parametrize("failed", [False, True])
def test_how_calls_end_that_began_before_it_opened_changes_nothing(half_open: bool, failed: bool) -> None:
    breaker = tripped()
    if half_open:
        breaker.enter(10 * SECOND)
    before = (breaker.state, breaker.until, breaker.times)
    assert not breaker.leave(11 * SECOND, failed=failed, probing=False, may_open=True)
    breaker.lose(probing=False)
    assert (breaker.state, breaker.until, breaker.times) == before


def test_another_rule_holds_from_the_next_call_on() -> None:
    breaker = Breaker(RULE)
    breaker.leave(0, failed=True, probing=False, may_open=True)
    breaker.obey(BreakerRule(50, 4, 10 * SECOND, 2, SECOND))
    assert breaker.leave(0, failed=True, probing=False, may_open=True)
    assert breaker.until == SECOND


class Naive:
    """The same, from a list of every call since the last change of state."""

    def __init__(self, rule: BreakerRule, window: int) -> None:
        self.rule, self.window = rule, window
        self.state, self.until, self.times = "closed", 0, 0
        self.calls: list[tuple[int, bool]] = []

    def open(self, now: int) -> bool:
        pause = self.rule.pause * 2 ** min(self.times, 16)
        self.state, self.until = "open", now + max(min(pause, MAX_PAUSE), self.rule.pause)
        self.times += 1
        self.calls = []
        return True

    def enter(self, now: int) -> int:
        if self.state == "closed":
            return 1
        if self.state == "open" and now >= self.until:
            self.state = "half_open"
            return PROBE
        return 0

    def leave(self, now: int, failed: bool, probing: bool, may_open: bool) -> bool:
        if probing:
            if failed:
                return self.open(now)
            self.state, self.times, self.calls = "closed", 0, []
            return False
        if self.state != "closed":
            return False
        self.calls.append((now, failed))
        if not failed:
            return False
        row = 0
        for _, bad in reversed(self.calls):
            if not bad:
                break
            row += 1
        part = self.window // SLOTS
        recent = [bad for when, bad in self.calls if when // part > now // part - SLOTS]
        rate = len(recent) >= self.rule.calls and sum(recent) * 100 >= len(recent) * self.rule.share
        return ((may_open and 0 < self.rule.row <= row) or (self.rule.share > 0 and rate)) and self.open(now)

    def lose(self, probing: bool) -> None:
        if probing:
            self.state = "open"


steps = st.lists(
    st.tuples(
        st.integers(0, 3 * SECOND),  # how much later
        st.sampled_from(["enter", "passed", "failed", "failed", "lost"]),
        st.booleans(),  # whether it is the probe, if there is one
        st.booleans(),  # whether failures in a row may open it
    ),
    max_size=120,
)


@given(
    steps,
    st.integers(0, 100),
    st.integers(1, 12),
    st.sampled_from([SECOND, 3 * SECOND, 10 * SECOND]),
    st.integers(0, 6),
    st.integers(SECOND // 10, 20 * SECOND),
)
def test_it_does_what_a_model_does_that_remembers_every_call(
    moves: list[tuple[int, str, bool, bool]], share: int, calls: int, window: int, row: int, pause: int
) -> None:
    rule = BreakerRule(share, calls, window, row, pause)
    breaker, naive = Breaker(rule), Naive(rule, window)
    now, probe_out = 0, False

    def both(what: str, *args: Any) -> None:
        assert getattr(breaker, what)(*args) == getattr(naive, what)(*args)
        assert (STATES[breaker.state], breaker.until if breaker.state == OPEN else 0) == (
            naive.state,
            naive.until if naive.state == "open" else 0,
        )

    for later, move, is_probe, may_open in moves:
        now += later
        probing = is_probe and probe_out
        if move == "enter":
            assert breaker.is_shut(now) is (naive.state == "half_open" or (naive.state == "open" and now < naive.until))
            both("enter", now)
            probe_out = probe_out or naive.state == "half_open"
        elif move == "lost":
            both("lose", probing)
            probe_out = probe_out and not probing
        else:
            both("leave", now, move == "failed", probing, may_open)
            probe_out = probe_out and not probing
