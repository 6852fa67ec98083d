"""What workers have in flight: one count for all of them, and their deaths at any instruction."""

import mmap
import struct
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.cells import CONCURRENCY, MONEY, RATE, Cells, size_for

ROOT = Path(__file__).parents[2]
BOOT = bytes(16)
FREE = nullcontext()


def digest(name: object) -> bytes:
    return repr(name).encode().ljust(16)


def prepared() -> tuple[bytearray, Cells]:
    buffer = bytearray(size_for(8, 4))
    cells = Cells(buffer, 4)
    cells.prepare(BOOT)
    return buffer, cells


def column_at(capacity: int, worker: int) -> int:
    """The offset of a worker's column in the first block, as the file's description has it."""
    return size_for(0) + capacity * 64 + worker * 8


@given(steps=st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=60), limit=st.integers(1, 6))
def test_entering_and_leaving_keep_one_count_for_all_workers(steps: list[tuple[int, bool]], limit: int) -> None:
    _, cells = prepared()
    row = cells.row(digest("a"), CONCURRENCY, FREE)
    held = [0, 0, 0, 0]
    for worker, entering in steps:
        if entering and sum(held) < limit:
            held[worker] += 1
            assert cells.enter(row, worker, limit) == limit - sum(held)
        elif entering:
            assert cells.enter(row, worker, limit) == -1
        elif held[worker]:
            held[worker] -= 1
            cells.leave(row, worker)
        else:
            with pytest.raises(RuntimeError, match="more often"):
                cells.leave(row, worker)
        assert cells.load(row) == sum(held)
    for worker in range(4):
        held[worker] = 0
        assert cells.reap(worker) == 0
        assert cells.load(row) == sum(held)


def test_a_limit_lowered_below_what_is_in_flight_lets_nobody_in_until_enough_have_left() -> None:
    _, cells = prepared()
    row = cells.row(digest("a"), CONCURRENCY, FREE)
    assert [cells.enter(row, 0, 9) for _ in range(3)] == [8, 7, 6]
    assert cells.enter(row, 0, 2) == -1
    cells.leave(row, 0)
    cells.leave(row, 0)
    assert cells.enter(row, 0, 2) == 0


@pytest.mark.parametrize("worker", [-1, 4])
def test_a_worker_without_a_column_is_refused(worker: int) -> None:
    _, cells = prepared()
    row = cells.row(digest("a"), CONCURRENCY, FREE)
    for use in (lambda: cells.enter(row, worker, 9), lambda: cells.leave(row, worker), lambda: cells.reap(worker)):
        with pytest.raises(IndexError):
            use()


def test_reaping_takes_back_every_row_of_the_dead_and_nothing_of_the_living() -> None:
    _, cells = prepared()
    rows = [cells.row(digest(name), CONCURRENCY, FREE) for name in range(3)]
    rate = cells.row(digest("rate"), RATE, FREE)
    cells.add(rate, 77)
    for row in rows:
        for worker in (1, 1, 2):
            cells.enter(row, worker, 9)
    for _ in range(2):
        assert cells.reap(1) == 0
        assert [cells.load(row) for row in rows] == [1, 1, 1]
    assert cells.load(rate) == 77
    cells.leave(rows[0], 2)
    assert cells.load(rows[0]) == 0


@pytest.mark.parametrize("counted_in_the_cell", [0, 1])
def test_a_worker_that_died_between_cell_and_column_leaves_no_trace(counted_in_the_cell: int) -> None:
    buffer, cells = prepared()
    row = cells.row(digest("a"), CONCURRENCY, FREE)
    cells.enter(row, 1, 9)
    cells.enter(row, 2, 9)
    at = column_at(8, 1)
    (column,) = struct.unpack_from("=Q", buffer, at)
    assert column & 0xFFFFFFFF == 1
    struct.pack_into("=Q", buffer, at, column | 1 << 32)
    cells.add(row, counted_in_the_cell)
    assert cells.reap(1) == 0
    assert cells.load(row) == 1
    cells.leave(row, 2)
    assert cells.enter(row, 1, 1) == 0


def test_a_row_is_settled_later_if_another_worker_stands_between_cell_and_column() -> None:
    buffer, cells = prepared()
    row = cells.row(digest("a"), CONCURRENCY, FREE)
    for worker in (1, 2):
        cells.enter(row, worker, 9)
    at = column_at(8, 2)
    (column,) = struct.unpack_from("=Q", buffer, at)
    struct.pack_into("=Q", buffer, at, column | 1 << 32)
    assert cells.reap(1) == 1
    assert cells.load(row) == 2
    struct.pack_into("=Q", buffer, at, column)
    assert cells.reap(1) == 0
    assert cells.load(row) == 1


HOLDER = """
import mmap, sys
from contextlib import nullcontext
from core.cells import CONCURRENCY, MONEY, Cells
path, worker, limit = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with open(path, "r+b") as file:
    cells = Cells(mmap.mmap(file.fileno(), 0))
row = cells.row(b"in flight".ljust(16), CONCURRENCY, nullcontext())
rounds = cells.row((b"rounds %d" % worker).ljust(16), MONEY, nullcontext())
stop = cells.row(b"stop".ljust(16), MONEY, nullcontext())
while not cells.load(stop):
    cells.add(rounds, 1)
    if cells.enter(row, worker, limit) >= 0:
        cells.leave(row, worker)
"""


def mapped(path: Path, rows: int = 16) -> Cells:
    path.write_bytes(bytes(size_for(rows)))
    with path.open("r+b") as file:
        cells = Cells(mmap.mmap(file.fileno(), 0))
    cells.prepare(BOOT)
    return cells


def test_workers_killed_at_any_instruction_leave_nothing_in_flight(tmp_path: Path) -> None:
    cells = mapped(tmp_path / "limits")
    row = cells.row(b"in flight".ljust(16), CONCURRENCY, FREE)
    stop = cells.row(b"stop".ljust(16), MONEY, FREE)
    rounds = [cells.row((b"rounds %d" % worker).ljust(16), MONEY, FREE) for worker in range(3)]

    def start(worker: int) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path / "limits"), str(worker), "2"], cwd=ROOT)
        seen = cells.load(rounds[worker])
        while cells.load(rounds[worker]) < seen + 100 + worker:
            assert process.poll() is None
        return process

    survivor = start(0)
    try:
        for trial in range(6):
            victim = start(1 + trial % 2)
            victim.kill()
            victim.wait()
            # Many times over, for the survivor goes on counting: not one of these may catch it half-way.
            for _ in range(10_000):
                while cells.reap(1 + trial % 2):
                    pass
                assert 0 <= cells.load(row) <= 1
        cells.add(stop, 1)
        assert survivor.wait(10) == 0
    finally:
        survivor.kill()
        survivor.wait()
    assert cells.load(row) == 0
