"""Rates and concurrency: exact against naive models, at the edges of 64 bits, and across processes."""

import json
import mmap
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.cells import CONCURRENCY, MONEY, RATE, Cells, size_for
from core.limits import MAX_NS, ConcurrencyLimit, RateLimit, digest_of

ROOT = Path(__file__).parents[2]
SECOND = 10**9
DAY = 86400 * SECOND
FREE = nullcontext()


def table() -> Cells:
    cells = Cells(bytearray(size_for(4, 4)), 4)
    cells.prepare(bytes(16))
    return cells


def rate(count: int, period_ns: int, burst: int) -> RateLimit:
    cells = table()
    return RateLimit(cells, cells.row(digest_of("anyone", "requests"), RATE, FREE), count, period_ns, burst)


class Bucket:
    """A leaky bucket in nanoseconds of work: fills by an interval per request, drains as time passes."""

    def __init__(self, interval: int, burst: int) -> None:
        self.interval, self.depth, self.level, self.seen = interval, interval * burst, 0, 0

    def drain(self, now: int) -> None:
        self.level, self.seen = max(0, self.level - (now - self.seen)), now

    def take(self, now: int) -> int:
        self.drain(now)
        if self.level + self.interval > self.depth:
            return -1
        self.level += self.interval
        return (self.depth - self.level) // self.interval


def never_over(admitted: list[int], count: int, period_ns: int, burst: int) -> bool:
    """Whether every span of time holds at most the burst and what the rate allows over its length, in exact numbers."""
    admitted = sorted(admitted)
    return all(
        (last - first + 1 - burst) * period_ns <= (admitted[last] - admitted[first]) * count
        for first in range(len(admitted))
        for last in range(first, len(admitted))
    )


rates = st.tuples(st.integers(1, 12) | st.integers(1, 999_999_999), st.integers(1, 40) | st.integers(1, DAY))
bursts = st.integers(1, 6)
# Steps of time in tenths of an interval, so that both answers are common.
tenths = st.integers(0, 30)
steps = st.lists(tenths, max_size=40)


@given(rates, bursts, steps, st.integers(0, 2**61))
def test_a_rate_answers_as_one_naive_bucket_would(of: tuple[int, int], burst: int, gaps: list[int], now: int) -> None:
    limit = rate(*of, burst)
    bucket = Bucket(-(-of[1] // of[0]), burst)
    bucket.drain(now)
    for gap in gaps:
        now += gap * bucket.interval // 10
        free = limit.remaining(now)
        wait = limit.retry_after_ns(now)
        expected = bucket.take(now)
        assert limit.take(now) == expected
        assert (free > 0) == (wait == 0) == (expected >= 0)
        assert limit.remaining(now) == (bucket.depth - bucket.level) // bucket.interval
        assert limit.reset_ns(now) == bucket.level
        assert limit.retry_after_ns(now) == max(0, bucket.level + bucket.interval - bucket.depth)


@given(rates, bursts, st.lists(st.integers(0, 400), max_size=30))
def test_a_rate_never_admits_more_than_it_says_whatever_order_the_clocks_are_read_in(
    of: tuple[int, int], burst: int, times: list[int]
) -> None:
    limit = rate(*of, burst)
    scale = max(1, limit.interval // 10)
    assert never_over([now * scale for now in times if limit.take(now * scale) >= 0], *of, burst)


@given(rates, bursts, st.lists(st.tuples(tenths, st.booleans(), tenths), max_size=30))
def test_giving_back_never_admits_more_than_the_rate(
    of: tuple[int, int], burst: int, turns: list[tuple[int, bool, int]]
) -> None:
    limit = rate(*of, burst)
    now, kept = 0, []
    for gap, refused_elsewhere, delay in turns:
        now += gap * limit.interval // 10
        if limit.take(now) < 0:
            continue
        if refused_elsewhere:
            taken, now = now, now + delay * limit.interval // 10
            # Another request comes in between, when the clock has moved on.
            if limit.take(now) >= 0:
                kept.append(now)
            limit.give_back(taken, now)
        else:
            kept.append(now)
    assert never_over(kept, *of, burst)


@given(rates, bursts, steps)
def test_a_take_given_back_at_once_leaves_the_limit_as_it_was(of: tuple[int, int], burst: int, gaps: list[int]) -> None:
    limit, now = rate(*of, burst), 0
    for gap in gaps:
        now += gap * limit.interval // 10
        before = limit.remaining(now), limit.reset_ns(now)
        if limit.take(now) >= 0:
            limit.give_back(now, now)
            assert (limit.remaining(now), limit.reset_ns(now)) == before
        limit.take(now)


def test_what_has_refilled_is_not_given_back_again() -> None:
    limit = rate(1, SECOND, 2)
    assert limit.take(0) == 1
    assert limit.take(5 * SECOND) == 1
    limit.give_back(0, 5 * SECOND)
    assert limit.remaining(5 * SECOND) == 1


def test_a_refused_request_leaves_the_cell_as_it_was() -> None:
    limit = rate(10, SECOND, 1)
    assert (limit.take(7), limit.take(7)) == (0, -1)
    cell = limit.cells.load(limit.row)
    assert limit.take(8) == -1
    assert limit.cells.load(limit.row) == cell
    assert (limit.retry_after_ns(7), limit.take(7 + limit.retry_after_ns(7) - 1)) == (SECOND // 10, -1)
    assert limit.take(7 + SECOND // 10) == 0


def test_a_limit_tells_its_burst_and_its_interval() -> None:
    limit = rate(3, SECOND, 20)
    assert (limit.limit, limit.interval, limit.depth) == (20, 333_333_334, 20 * 333_333_334)


@pytest.mark.parametrize("now", [0, 1, MAX_NS])
@pytest.mark.parametrize(
    ("count", "period", "burst"),
    [
        (999_999_999, SECOND, 10**9),
        (999_999_999, DAY, 10**9),
        (999_999_999, SECOND, 1),
        (1, DAY, MAX_NS // DAY),
        (1, SECOND, MAX_NS // SECOND),
        (1, 1, 10**9),
        (1, MAX_NS, 1),
    ],
)
def test_the_largest_numbers_fit(count: int, period: int, burst: int, now: int) -> None:
    limit = rate(count, period, burst)
    assert limit.take(now) == burst - 1
    # As if all but one of the burst had been taken at once.
    limit.cells.add(limit.row, (burst - 1) * limit.interval)
    assert limit.take(now) == -1
    assert (limit.remaining(now), limit.reset_ns(now)) == (0, limit.depth)
    assert limit.retry_after_ns(now) == limit.interval
    limit.give_back(now, now)
    assert limit.take(now) == 0


def test_every_default_burst_fits() -> None:
    for count in (1, 7, 999_999_999):
        for period in (SECOND, 60 * SECOND, 3600 * SECOND, DAY):
            assert rate(count, period, count).take(MAX_NS) == count - 1


@pytest.mark.parametrize(("count", "period", "burst"), [(1, DAY, 10**9), (1, DAY, 53376), (20, 3600 * SECOND, 10**9)])
def test_a_burst_that_no_cell_can_hold_is_refused_with_the_largest_that_fits(
    count: int, period: int, burst: int
) -> None:
    with pytest.raises(ValueError, match=r"refills over more than 146 years at .*; at most [0-9]+$") as refusal:
        rate(count, period, burst)
    most = int(str(refusal.value).rsplit(" ", 1)[1])
    assert rate(count, period, most).limit == most
    with pytest.raises(ValueError, match="146 years"):
        rate(count, period, most + 1)


@pytest.mark.parametrize("numbers", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (-1, 1, 1), (1, -(2**70), 1), (1, 1, 2**70)])
def test_numbers_that_make_no_rate_are_refused(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"above 0|146 years"):
        rate(*numbers)


@pytest.mark.parametrize("now", [-1, MAX_NS + 1, 2**63 - 1, -(2**63)])
def test_a_time_no_monotonic_clock_shows_is_refused(now: int) -> None:
    limit = rate(1, SECOND, 1)
    with pytest.raises(ValueError, match="monotonic"):
        limit.take(now)
    assert limit.take(0) == 0


def test_a_limit_needs_a_row_of_its_kind() -> None:
    cells = table()
    many = cells.row(digest_of("a", "concurrent"), CONCURRENCY, FREE)
    few = cells.row(digest_of("a", "requests"), RATE, FREE)
    with pytest.raises(ValueError, match="does not hold a rate"):
        RateLimit(cells, many, 1, 1, 1)
    with pytest.raises(ValueError, match="does not count concurrency"):
        ConcurrencyLimit(cells, few, 0, 1)
    with pytest.raises(IndexError):
        RateLimit(cells, 8, 1, 1, 1)


# Concurrency


def test_concurrency_counts_down_over_all_workers_and_up_again() -> None:
    cells = table()
    row = cells.row(digest_of("a", "concurrent"), CONCURRENCY, FREE)
    one, other = ConcurrencyLimit(cells, row, 0, 3), ConcurrencyLimit(cells, row, 3, 3)
    assert [one.take(), other.take(), one.take(), other.take(), one.take()] == [2, 1, 0, -1, -1]
    one.release()
    assert (other.take(), other.limit, other.worker) == (0, 3, 3)
    cells.reap(3)
    assert [one.take(), one.take(), one.take()] == [1, 0, -1]
    with pytest.raises(RuntimeError):
        other.release()


@pytest.mark.parametrize(("worker", "limit"), [(-1, 1), (4, 1), (0, 0), (0, -1), (0, 2**31)])
def test_numbers_that_make_no_concurrency_are_refused(worker: int, limit: int) -> None:
    cells = table()
    row = cells.row(digest_of("a", "concurrent"), CONCURRENCY, FREE)
    with pytest.raises(ValueError, match=r"concurrency limit|no column"):
        ConcurrencyLimit(cells, row, worker, limit)


# Names


def test_the_digest_of_a_limit_is_the_same_for_ever() -> None:
    assert digest_of("payments", "requests 100/s burst 100").hex() == "66160f2593c9f9f7dc8d02ef6907ff82"


names = st.tuples(st.text("ab:", max_size=3), st.text("ab:", max_size=3))


@given(names, names)
def test_two_limits_share_a_digest_only_if_they_are_the_same(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (digest_of(*one) == digest_of(*other)) == (one == other)


# Processes

TAKER = """
import json, mmap, sys, time
from contextlib import nullcontext
from core.cells import CONCURRENCY, MONEY, RATE, Cells
from core.limits import ConcurrencyLimit, RateLimit, digest_of

path, worker, processes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with open(path, "r+b") as file:
    cells = Cells(mmap.mmap(file.fileno(), 0))
row = lambda name, kind: cells.row(digest_of("test", name), kind, nullcontext())
frozen = RateLimit(cells, row("frozen", RATE), 1000, 10**9, 20_000)
moving = RateLimit(cells, row("moving", RATE), 1_000_000, 10**9, 50)
many = ConcurrencyLimit(cells, row("many", CONCURRENCY), worker, 1)
inside, arrived = row("inside", MONEY), row("arrived", MONEY)

def barrier(number):
    cells.add(arrived, 1)
    while cells.load(arrived) < number * processes:
        pass

barrier(1)
admitted = sum(frozen.take(10**9) >= 0 for _ in range(15_000))
barrier(2)
times = [now for now in map(lambda _: time.monotonic_ns(), range(4000)) if moving.take(now) >= 0]
barrier(3)
most = 0
for _ in range(100_000):
    if many.take() >= 0:
        most = max(most, cells.add(inside, 1))
        cells.add(inside, -1)
        many.release()
print(json.dumps([admitted, times, most]))
"""


def test_processes_behind_a_barrier_together_get_what_one_would(tmp_path: Path) -> None:
    path = tmp_path / "limits"
    path.write_bytes(bytes(size_for(16)))
    with path.open("r+b") as file:
        cells = Cells(mmap.mmap(file.fileno(), 0))
    cells.prepare(bytes(16))
    for name, kind in (
        ("frozen", RATE),
        ("moving", RATE),
        ("many", CONCURRENCY),
        ("inside", MONEY),
        ("arrived", MONEY),
    ):
        cells.row(digest_of("test", name), kind, FREE)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TAKER, str(path), str(worker), "3"], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for worker in range(3)
    ]
    answers = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    alone = rate(1000, SECOND, 20_000)
    assert sum(admitted for admitted, _, _ in answers) == sum(alone.take(SECOND) >= 0 for _ in range(45_000)) == 20_000
    together = sorted(now for _, times, _ in answers for now in times)
    assert len(together) > 50
    assert all(
        count <= 50 + (together[first + count - 1] - together[first]) // 1000
        for first in range(len(together))
        for count in range(51, min(400, len(together) - first) + 1)
    )
    assert max(most for _, _, most in answers) == 1
    assert cells.load(cells.row(digest_of("test", "many"), CONCURRENCY, FREE)) == 0
