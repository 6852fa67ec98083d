"""core.retry_budget: retries are a share of the requests, and a few per second besides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.retry_budget import MAX_SAVED, PER_SECOND, RetryBudget

SECOND = 1_000_000_000


def emptied(percent: int, now: int) -> RetryBudget:
    """Return a budget of which everything was taken at `now`."""
    budget = RetryBudget(percent)
    while budget.take(now):
        pass
    return budget


def test_a_full_bucket_lets_so_many_retries_follow_one_another_and_no_more() -> None:
    budget = RetryBudget(20)
    assert sum(budget.take(SECOND) for _ in range(1000)) == MAX_SAVED


@pytest.mark.parametrize(("percent", "requests", "retries"), [(20, 50, 10), (100, 7, 7), (0, 1000, 0), (33, 10, 3)])
def test_requests_bring_their_share_of_retries(percent: int, requests: int, retries: int) -> None:
    budget = emptied(percent, SECOND)
    budget.asked += requests
    assert sum(budget.take(SECOND) for _ in range(1000)) == retries


@pytest.mark.parametrize("seconds", [1, 10])
def test_a_few_retries_come_with_time_however_few_the_requests(seconds: int) -> None:
    budget = emptied(0, SECOND)
    assert sum(budget.take((1 + seconds) * SECOND) for _ in range(1000)) == seconds * PER_SECOND


@given(st.lists(st.tuples(st.integers(0, 2 * SECOND), st.integers(0, 50), st.integers(0, 60))), st.integers(0, 100))
def test_there_are_never_more_retries_than_requests_time_and_the_bucket_allow(
    steps: list[tuple[int, int, int]], percent: int
) -> None:
    budget = RetryBudget(percent)
    now = start = 1000 * SECOND
    requests = retries = 0
    assert budget.take(start)
    for later, asked, tried in steps:
        now += later
        requests += asked
        budget.asked += asked
        retries += sum(budget.take(now) for _ in range(tried))
        assert retries <= MAX_SAVED + requests * percent / 100 + PER_SECOND * (now - start) / SECOND
