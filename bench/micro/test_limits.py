"""What a decision of a limit costs, called from Python; compiled callers save the call, some 30 ns."""

import hashlib
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from itertools import repeat
from typing import Any

import pytest

from core.cells import CONCURRENCY, RATE, Cells, size_for
from core.limits import ConcurrencyLimit, RateLimit, digest_of
from core.model import Config, Consumer, Key
from core.snapshot import build
from plane.compile import compile_snapshot
from plane.consumers import SEEN

Benchmark = Callable[..., Any]
Report = Callable[[str, int], None]
FREE = nullcontext()
MANY = 10_000
NOW = 10**9


@pytest.fixture
def report(benchmark: Any, capsys: pytest.CaptureFixture[str]) -> Report:
    """Print the nanoseconds of one operation, when a round has `operations` of them."""

    def show(what: str, operations: int) -> None:
        nanoseconds = benchmark.stats.stats.median / operations * 1e9
        benchmark.extra_info["ns"] = round(nanoseconds, 1)
        with capsys.disabled():
            print(f"\n  {what}: {nanoseconds:.1f} ns")

    return show


def table() -> Cells:
    cells = Cells(bytearray(size_for(1000)))
    cells.prepare(bytes(16))
    return cells


def calls(function: Callable[..., object], *arguments: Any) -> None:
    """Call for each of `arguments` in a loop of the interpreter's own C, so that little but the call is measured."""
    deque(map(function, *arguments), maxlen=0)


def test_take_of_a_rate_that_admits(benchmark: Benchmark, report: Report) -> None:
    cells = table()
    limit = RateLimit(cells, cells.row(digest_of("a", "requests"), RATE, FREE), 10**9, 10**9, 2**60)
    benchmark(lambda: calls(limit.take, repeat(NOW, MANY)))
    assert limit.take(NOW) > 0
    report("take, admitted", MANY)


def test_take_of_a_rate_that_refuses(benchmark: Benchmark, report: Report) -> None:
    cells = table()
    limit = RateLimit(cells, cells.row(digest_of("a", "requests"), RATE, FREE), 1, 10**9, 1)
    limit.take(NOW)
    benchmark(lambda: calls(limit.take, repeat(NOW, MANY)))
    assert limit.take(NOW) == -1
    report("take, refused", MANY)


def test_take_and_release_of_concurrency(benchmark: Benchmark, report: Report) -> None:
    cells = table()
    limit = ConcurrencyLimit(cells, cells.row(digest_of("a", "concurrent"), CONCURRENCY, FREE), 1, MANY)

    def fill_and_empty() -> None:
        calls(lambda _: limit.take(), range(MANY))
        calls(lambda _: limit.release(), range(MANY))

    benchmark(fill_and_empty)
    assert limit.take() == MANY - 1
    report("take and release, concurrency", MANY)


def test_row_of_a_subject_seen_before(benchmark: Benchmark, report: Report) -> None:
    cells = table()
    digests = [digest_of(str(number), "requests") for number in range(1000)]
    calls(cells.row, digests, repeat(RATE), repeat(FREE))
    benchmark(lambda: calls(cells.row, digests, repeat(RATE), repeat(FREE)))
    assert cells.rows == len(digests)
    report("row, seen before", len(digests))


@pytest.mark.parametrize("kind", ["seen", "known", "unknown"])
def test_find_among_100_000_keys(benchmark: Benchmark, report: Report, kind: str) -> None:
    keys = [hashlib.sha256(b"key %d" % number).digest() for number in range(100_000)]
    people = {f"c{number}": Consumer((Key(key.hex()),)) for number, key in enumerate(keys)}
    found = compile_snapshot(build(Config(consumers=people), 1), {}).consumers
    many = min(MANY, SEEN)
    asked = [hashlib.sha256(key).digest() for key in keys[:many]] if kind == "unknown" else keys[:many]
    find = found.find if kind == "seen" else found.directory.find
    calls(find, asked)
    benchmark(lambda: calls(find, asked))
    assert (found.find(asked[0]) is None) == (kind == "unknown")
    report(f"find, {kind} key", many)
