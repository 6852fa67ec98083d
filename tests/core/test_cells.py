"""The table of cells: its rows, its boots, its deaths; and the flat table of keys."""

import hashlib
import json
import mmap
import random
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.cells import CONCURRENCY, MONEY, RATE, Cells, KeyTable, TableFullError, size_for

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


def column_at(capacity: int, worker: int) -> int:
    """The offset of a worker's column in the first block, as the file's description has it."""
    return HEADER + capacity * 64 + worker * 8


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


# Digests that share their first half share the slot where a search begins.
colliding = st.builds(lambda low, high: struct.pack("<QQ", low, high), st.integers(0, 3), st.integers(0, 5))
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
    for number, key in enumerate(before):
        if key in money:
            assert cells.load(cells.row(key, MONEY, FREE)) == number + 1
    for number in range(cells.capacity - len(money)):
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


def test_a_header_lost_in_a_power_cut_gives_an_empty_table() -> None:
    buffer, cells = prepared()
    cells.enter(cells.row(digest("a"), CONCURRENCY, FREE), 0, 5)
    del cells
    buffer[:HEADER] = bytes(HEADER)
    cells = Cells(buffer, 4)
    assert cells.prepare(BOOT) is True
    row = cells.row(digest("a"), CONCURRENCY, FREE)
    assert (cells.rows, cells.load(row), cells.reap(3), cells.load(row)) == (1, 0, 0, 0)


# Concurrency, and the death of workers


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
        for trial in range(8):
            victim = start(1 + trial % 2)
            victim.kill()
            victim.wait()
            while cells.reap(1 + trial % 2):
                pass
        cells.add(stop, 1)
        assert survivor.wait(10) == 0
    finally:
        survivor.kill()
        survivor.wait()
    assert cells.load(row) == 0


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


# The key table


def sha(name: object) -> bytes:
    return hashlib.sha256(repr(name).encode()).digest()


# Digests whose first eight bytes are few, so that they crowd; the last bytes tell them apart.
crowded = st.builds(
    lambda first, last: first.to_bytes(8, "little") + bytes(23) + last.to_bytes(1, "little"),
    st.sampled_from([0, 1, 2**63, 2**64 - 1]),
    st.integers(0, 20),
)


@given(
    pairs=st.dictionaries(crowded | st.binary(min_size=32, max_size=32), st.integers(0, 2**32 - 2), max_size=40),
    others=st.lists(crowded | st.binary(min_size=32, max_size=32), max_size=20),
)
def test_the_key_table_finds_what_a_dict_finds(pairs: dict[bytes, int], others: list[bytes]) -> None:
    table = KeyTable(KeyTable.build(pairs.items()))
    assert len(table) == len(pairs)
    for key in [*pairs, *others]:
        assert table.find(key) == pairs.get(key, -1)


def test_a_key_with_any_one_bit_changed_is_unknown() -> None:
    table = KeyTable(KeyTable.build([(sha("key"), 7)]))
    assert table.find(sha("key")) == 7
    for bit in range(256):
        near = (int.from_bytes(sha("key"), "big") ^ 1 << bit).to_bytes(32, "big")
        assert table.find(near) == -1


def test_a_hundred_thousand_keys_are_all_found_in_fifty_bytes_each() -> None:
    numbers = range(100_000)
    built = KeyTable.build((sha(number), number) for number in numbers)
    assert len(built) <= 50 * len(numbers)
    table = KeyTable(memoryview(built))
    assert all(table.find(sha(number)) == number for number in numbers)
    assert all(table.find(sha(-1 - number)) == -1 for number in numbers)


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ([(bytes(32), 1), (bytes(32), 2)], "comes twice"),
        ([(bytes(31), 1)], "32 bytes"),
        ([(bytes(32), -1)], "value"),
        ([(bytes(32), 2**32 - 1)], "value"),
    ],
)
def test_pairs_that_are_no_keys_are_refused(pairs: list[tuple[bytes, int]], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        KeyTable.build(pairs)


def test_a_buffer_that_is_no_key_table_is_refused() -> None:
    built = KeyTable.build([(sha(name), name) for name in range(5)])
    for length in range(len(built)):
        with pytest.raises(ValueError, match=r"does not hold|cut short"):
            KeyTable(built[:length])
    for altered in (built + b"x", b"x" + built[1:], built[:8] + struct.pack("=Q", 2**60) + built[16:]):
        with pytest.raises(ValueError, match=r"does not hold|cut short"):
            KeyTable(altered)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32))
def test_a_key_table_altered_anywhere_still_answers(seed: int) -> None:
    built = bytearray(KeyTable.build([(sha(name), name) for name in range(20)]))
    rng = random.Random(seed)
    built[32:] = rng.randbytes(len(built) - 32)
    assert -1 <= KeyTable(built).find(sha(3)) < 2**32


def test_only_a_digest_is_looked_up() -> None:
    table = KeyTable(KeyTable.build([]))
    assert table.find(bytes(32)) == -1
    with pytest.raises(ValueError, match="32 bytes"):
        table.find(b"short")
    with pytest.raises(TypeError):
        table.find(None)  # type: ignore[arg-type]
