"""What a start makes ready before any process runs."""

import struct
from contextlib import nullcontext

from control.launch import reap
from core.cells import CONCURRENCY, Cells, size_for

COLUMN = struct.Struct("<Q")


def test_two_workers_that_died_between_two_writes_are_reaped_together() -> None:
    buffer = bytearray(size_for(8, 4))
    cells = Cells(buffer, 4)
    cells.prepare(bytes(16))
    row = cells.row(b"0123456789abcdef", CONCURRENCY, nullcontext())
    for worker in range(3):
        cells.enter(row, worker, 10)
    # An odd sequence in a column is a worker that stood between cell and column; columns follow the slots of the rows.
    for worker in (0, 1):
        place = size_for(0) + cells.capacity * 64 + worker * 8
        torn = COLUMN.unpack_from(buffer, place)[0] | 1 << 32
        COLUMN.pack_into(buffer, place, torn)
    assert cells.reap(0) == 1
    assert reap(cells, [0, 1]) == 0
    assert cells.load(row) == 1


def test_a_row_that_a_living_worker_holds_up_is_reported_not_waited_for() -> None:
    buffer = bytearray(size_for(8, 4))
    cells = Cells(buffer, 4)
    cells.prepare(bytes(16))
    row = cells.row(b"0123456789abcdef", CONCURRENCY, nullcontext())
    cells.enter(row, 0, 10)
    cells.enter(row, 1, 10)
    place = size_for(0) + cells.capacity * 64 + 8
    COLUMN.pack_into(buffer, place, COLUMN.unpack_from(buffer, place)[0] | 1 << 32)
    assert reap(cells, [0]) == 1
