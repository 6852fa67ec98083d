"""The table of cells: its rows, its buffers and its boots."""

import hashlib
import json
import mmap
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.cells import CONCURRENCY, MONEY, RATE, Cells, TableFullError, size_for

ROOT = Path(__file__).parents[2]
BOOT, NEXT_BOOT = b"one boot".ljust(16), b"another boot".ljust(16)
FREE = nullcontext()
HEADER = size_for(0)


def digest(name: object) -> bytes:
    return hashlib.blake2b(repr(name).encode(), digest_size=16).digest()


def prepared(rows: int = 8, workers: int = 4) -> tuple[bytearray, Cells]:
    buffer = bytearray(size_for(rows, workers))
    cells = Cells(buffer, workers)
    cells.prepare(BOOT)
    return buffer, cells


@contextmanager
def counted(entries: list[int]) -> Iterator[None]:
    entries.append(1)
    yield


# Rows


def test_a_row_is_found_again_and_only_the_first_sight_takes_the_lock() -> None:
    _, cells = prepared()
    entries: list[int] = []
    row = cells.row(digest("a"), RATE, counted(entries))
    cells.swap(row, 0, 42)
    assert cells.row(digest("a"), RATE, counted(entries)) == row
    assert (len(entries), cells.rows, cells.kind(row), cells.load(row)) == (1, 1, RATE, 42)


def test_two_tables_over_one_buffer_are_one_table() -> None:
    buffer, cells = prepared()
    row = cells.row(digest("a"), RATE, FREE)
    other = Cells(buffer, 4)
    assert other.row(digest("a"), RATE, FREE) == row
    assert other.add(row, 5) == 5
    assert other.swap(row, 4, 9) is False
    assert cells.load(row) == 5
    assert other.boot == BOOT


def test_what_was_counted_outlives_the_table_that_counted_it() -> None:
    buffer, cells = prepared()
    cells.add(cells.row(digest("a"), RATE, FREE), 7)
    del cells
    again = Cells(buffer, 4)
    assert again.prepare(BOOT) is False
    assert again.load(again.row(digest("a"), RATE, FREE)) == 7


def test_an_adder_that_waited_for_the_lock_finds_the_row_another_added_meanwhile() -> None:
    buffer, cells = prepared()
    rows: list[int] = []

    @contextmanager
    def beaten() -> Iterator[None]:
        rows.append(Cells(buffer, 4).row(digest("a"), RATE, FREE))
        yield

    assert [cells.row(digest("a"), RATE, beaten())] == rows
    assert cells.rows == 1


def test_a_full_table_says_so_and_still_serves_the_rows_it_has() -> None:
    _, cells = prepared(rows=3)
    rows = [cells.row(digest(name), CONCURRENCY, FREE) for name in range(3)]
    with pytest.raises(TableFullError, match="all 3 rows"):
        cells.row(digest("one more"), RATE, FREE)
    assert [cells.row(digest(name), CONCURRENCY, FREE) for name in range(3)] == rows
    assert cells.capacity == cells.rows == 3


def test_a_table_without_rows_is_full_at_once() -> None:
    _, cells = prepared(rows=0)
    with pytest.raises(TableFullError):
        cells.row(digest("a"), RATE, FREE)


# Digests with one first half begin their search at one slot; of 32 slots, the last is followed by the first.
colliding = st.builds(
    lambda low, high: struct.pack("<QQ", low, high), st.sampled_from([0, 1, 30, 31]), st.integers(0, 5)
)
kinds = st.sampled_from([RATE, CONCURRENCY, MONEY])


@given(wanted=st.dictionaries(colliding, kinds, max_size=16))
def test_every_digest_has_a_row_of_its_own_however_they_collide(wanted: dict[bytes, int]) -> None:
    _, cells = prepared(rows=16)
    rows = {key: cells.row(key, kind, FREE) for key, kind in wanted.items()}
    assert len(set(rows.values())) == len(wanted)
    assert {key: cells.row(key, kind, FREE) for key, kind in wanted.items()} == rows
    assert all(cells.kind(rows[key]) == kind for key, kind in wanted.items())


def test_a_digest_cannot_be_of_two_kinds() -> None:
    _, cells = prepared()
    cells.row(digest("a"), RATE, FREE)
    with pytest.raises(ValueError, match="is of kind 1, not 2"):
        cells.row(digest("a"), CONCURRENCY, FREE)


@pytest.mark.parametrize(("key", "kind"), [(b"short", RATE), (bytes(17), RATE), (bytes(16), 0), (bytes(16), 255)])
def test_a_row_needs_a_whole_digest_and_a_known_kind(key: bytes, kind: int) -> None:
    _, cells = prepared()
    with pytest.raises(ValueError, match=r"16 bytes|no kind"):
        cells.row(key, kind, FREE)


@pytest.mark.parametrize("row", [-1, 16, 2**62])
def test_a_row_outside_the_table_is_refused(row: int) -> None:
    _, cells = prepared()
    for use in (cells.load, cells.kind, lambda row: cells.add(row, 1), lambda row: cells.enter(row, 0, 1)):
        with pytest.raises(IndexError):
            use(row)


# Buffers


def test_a_buffer_that_is_no_table_is_refused() -> None:
    buffer, cells = prepared()
    del cells
    alterations = [
        (0, b"NOTCELLS", "does not hold"),
        (8, struct.pack("=Q", 2), "format 2; this build reads format 1"),
        (16, struct.pack("=Q", 5), "made for 5 workers, not 4"),
        (24, struct.pack("=Q", 9), "cut short: 9 rows, room for 8"),
        (24, struct.pack("=Q", 2**63), "cut short"),
    ]
    for offset, change, reason in alterations:
        altered = bytearray(buffer)
        altered[offset : offset + len(change)] = change
        with pytest.raises(ValueError, match=reason):
            Cells(altered, 4)


def test_a_buffer_cut_anywhere_is_refused() -> None:
    buffer, cells = prepared()
    del cells
    for length in range(0, len(buffer), 8):
        with pytest.raises(ValueError, match=r"too short|cut short"):
            Cells(buffer[:length], 4)


def test_a_buffer_must_be_writable_and_aligned() -> None:
    with pytest.raises(BufferError):
        Cells(bytes(size_for(1)))
    with pytest.raises(ValueError, match="aligned"):
        Cells(memoryview(bytearray(size_for(2)))[1:])


def test_a_table_is_not_used_before_it_is_prepared() -> None:
    cells = Cells(bytearray(size_for(2)))
    with pytest.raises(ValueError, match="not prepared"):
        cells.row(digest("a"), RATE, FREE)
    with pytest.raises(IndexError):
        cells.load(0)
    assert cells.reap(0) == 0
    with pytest.raises(ValueError, match="16 bytes"):
        cells.prepare(b"short")


def test_damaged_places_are_errors_and_never_other_memory() -> None:
    buffer, cells = prepared()
    row = cells.row(digest("a"), CONCURRENCY, FREE)
    struct.pack_into("=Q", buffer, HEADER + row * 32 + 16, CONCURRENCY | 10**9 << 8)
    for use in (lambda: cells.enter(row, 0, 9), lambda: cells.leave(row, 0), lambda: cells.reap(0)):
        with pytest.raises(ValueError, match="does not count concurrency"):
            use()


# Boots


def test_a_new_boot_restarts_rates_and_concurrency_and_keeps_money() -> None:
    buffer, cells = prepared()
    rate, many, money = (cells.row(digest(kind), kind, FREE) for kind in (RATE, CONCURRENCY, MONEY))
    cells.add(rate, 10**9)
    cells.enter(many, 1, 5)
    cells.add(money, 10**9)
    assert Cells(buffer, 4).prepare(BOOT) is False
    assert cells.rows == 3
    assert Cells(buffer, 4).prepare(NEXT_BOOT) is True
    assert (cells.boot, cells.rows) == (NEXT_BOOT, 1)
    assert cells.load(cells.row(digest(MONEY), MONEY, FREE)) == 10**9
    assert cells.load(cells.row(digest(RATE), RATE, FREE)) == 0
    many = cells.row(digest(CONCURRENCY), CONCURRENCY, FREE)
    assert cells.reap(0) == 0
    assert cells.load(many) == 0


def check_after_boot(cells: Cells, before: dict[bytes, int]) -> None:
    """Money rows have their cells; the room of the others is free; nothing that was counted is left in it."""
    money = {key for key, kind in before.items() if kind == MONEY}
    assert cells.rows == len(money)
    for number, (key, kind) in enumerate(before.items()):
        assert cells.load(cells.row(key, kind, FREE)) == (number + 1 if key in money else 0)
    assert cells.rows == len(before)
    for number in range(cells.capacity - len(before)):
        row = cells.row(digest(number), CONCURRENCY, FREE)
        assert cells.load(row) == 0
        with pytest.raises(RuntimeError):
            cells.leave(row, 1)
    assert all(cells.load(cells.row(key, MONEY, FREE)) > 0 for key in money)


@given(before=st.dictionaries(colliding, kinds, max_size=16), cut=st.integers(0, size_for(16, 4) // 8))
def test_a_new_boot_frees_the_room_of_what_it_drops_even_when_cut_off_half_way(
    before: dict[bytes, int], cut: int
) -> None:
    buffer, cells = prepared(rows=16)
    for number, (key, kind) in enumerate(before.items()):
        row = cells.row(key, kind, FREE)
        if kind == CONCURRENCY:
            cells.enter(row, 1, 9)
        else:
            cells.add(row, number + 1)
    old = bytes(buffer)
    cells.prepare(NEXT_BOOT)
    # Rows are dropped from the back and the boot id is written last: a death in between leaves the old front.
    cut = max(HEADER, cut * 8)
    half = bytearray(old[:cut] + buffer[cut:])
    check_after_boot(cells, before)
    resumed = Cells(half, 4)
    assert resumed.prepare(NEXT_BOOT) is True
    check_after_boot(resumed, before)


def test_a_new_boot_without_money_gives_a_table_as_good_as_new() -> None:
    buffer, cells = prepared()
    for name in range(8):
        row = cells.row(digest(name), (RATE, CONCURRENCY)[name % 2], FREE)
        cells.add(row, 1)
    cells.prepare(NEXT_BOOT)
    fresh = bytearray(len(buffer))
    Cells(fresh, 4).prepare(NEXT_BOOT)
    assert buffer == fresh


def test_the_room_lasts_for_any_number_of_boots() -> None:
    _, cells = prepared()
    money = cells.row(digest("money"), MONEY, FREE)
    for boot in range(50):
        rows = {cells.row(digest((boot, name)), CONCURRENCY, FREE) for name in range(7)}
        assert len(rows | {money}) == 8
        assert cells.row(digest("money"), MONEY, FREE) == money
        assert cells.add(money, 1) == boot + 1
        cells.prepare(boot.to_bytes(16, "big"))


def test_a_header_lost_in_a_power_cut_gives_an_empty_table() -> None:
    buffer, cells = prepared()
    cells.enter(cells.row(digest("a"), CONCURRENCY, FREE), 0, 5)
    del cells
    buffer[:HEADER] = bytes(HEADER)
    cells = Cells(buffer, 4)
    assert cells.prepare(BOOT) is True
    row = cells.row(digest("a"), CONCURRENCY, FREE)
    assert (cells.rows, cells.load(row), cells.reap(3), cells.load(row)) == (1, 0, 0, 0)


# Processes


def mapped(path: Path, rows: int = 16) -> Cells:
    path.write_bytes(bytes(size_for(rows)))
    with path.open("r+b") as file:
        cells = Cells(mmap.mmap(file.fileno(), 0))
    cells.prepare(BOOT)
    return cells


ADDER = """
import fcntl, json, mmap, random, sys
from contextlib import contextmanager
from core.cells import CONCURRENCY, RATE, Cells
path, seed = sys.argv[1], int(sys.argv[2])

@contextmanager
def locked(file):
    fcntl.flock(file, fcntl.LOCK_EX)
    yield
    fcntl.flock(file, fcntl.LOCK_UN)

with open(path, "r+b") as file, open(path + ".lock", "w") as lock:
    cells = Cells(mmap.mmap(file.fileno(), 0))
    names = list(range(1000))
    random.Random(seed).shuffle(names)
    print(flush=True)
    sys.stdin.readline()
    print(json.dumps({n: cells.row(n.to_bytes(16, "little"), (RATE, CONCURRENCY)[n % 2], locked(lock)) for n in names}))
"""


def test_processes_that_add_the_same_rows_agree_on_them(tmp_path: Path) -> None:
    cells = mapped(tmp_path / "limits", rows=1000)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ADDER, str(tmp_path / "limits"), str(seed)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    first, second = (json.loads(process.communicate(timeout=30)[0]) for process in processes)
    assert first == second
    assert len(set(first.values())) == cells.rows == 1000
