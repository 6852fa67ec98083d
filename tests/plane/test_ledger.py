"""What a worker keeps for control: in the ring, in the spill when that is full, in memory when the disk is full too."""

import fcntl
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.records import record
from core.ring import ring_size
from core.usage import encode_event
from plane import rings
from plane.ledger import Ledger
from plane.rings import open_ledger
from tests.ledgers import events_in, make_ledger, take
from tests.usage_events import event

SIZE = len(record(encode_event(event(1))))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "rings"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give rings room for some ten events."""
    monkeypatch.setattr(rings, "ROOM", 10 * SIZE)


@contextmanager
def full_disk(size: int = 0) -> Iterator[None]:
    """Let no file of this process grow beyond `size` bytes: a write fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def put(ledger: Ledger, *numbers: int) -> None:
    for number in numbers:
        ledger.append(event(number))


def ids(ledger: Ledger) -> list[int]:
    return [one.id for one in take(ledger)]


def test_events_come_out_once_and_in_order() -> None:
    ledger = make_ledger()
    put(ledger, 1, 2, 3)
    assert ids(ledger) == [1, 2, 3]
    assert ids(ledger) == []


def test_a_batch_stays_until_control_has_it() -> None:
    ledger = make_ledger()
    put(ledger, 1)
    first = ledger.batch()
    lost = ledger.number
    put(ledger, 2)
    ledger.give_up()
    ledger.taken(lost)
    assert [one.id for one in events_in(ledger.batch())] == [1, 2]
    ledger.taken(lost)
    assert ledger.backlog() == len(first) * 2
    ledger.taken(ledger.number)
    ledger.taken(ledger.number)
    assert ledger.backlog() == 0


def test_event_ids_and_request_ids_are_never_given_twice() -> None:
    ledger = make_ledger(7)
    assert [ledger.next_event_id() - (7 << 57) for _ in range(3)] == [1, 2, 3]
    given_ids = [ledger.next_id() for _ in range(20)]
    assert len(set(given_ids)) == 20
    assert given_ids[0] == b"hg-01234567-7-1"
    assert set(given_ids).isdisjoint(make_ledger(7, "fedcba9876543210").next_id() for _ in range(20))
    assert set(given_ids).isdisjoint(make_ledger(6).next_id() for _ in range(20))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["append", "batch", "taken", "lost", "full", "free"]), st.integers(1, 9))))
def test_whatever_happens_every_event_is_delivered_in_order(steps: list[tuple[str, int]]) -> None:
    ledger = make_ledger(room=5 * SIZE)
    sent = seen = 0
    unanswered: list[int] = []
    disk_full = False

    def take_in() -> None:
        nonlocal seen
        numbers = unanswered
        assert numbers == sorted(numbers)
        assert not numbers or numbers[0] <= seen + 1
        seen = max([seen, *numbers])

    for what, count in steps:
        with full_disk() if disk_full else full_disk(1 << 30):
            if what == "append":
                put(ledger, *range(sent + 1, sent + count + 1))
                sent += count
            elif what == "batch" and not ledger.unanswered:
                unanswered = [one.id for one in events_in(ledger.batch())]
                take_in()
            elif what == "taken" and ledger.unanswered:
                ledger.taken(ledger.number)
            elif what == "lost":
                ledger.give_up()
            elif what in ("full", "free"):
                disk_full = what == "full"
    while True:
        unanswered = [one.id for one in events_in(ledger.batch())]
        if not unanswered:
            break
        take_in()
        ledger.taken(ledger.number)
    assert seen == sent
    assert ledger.dropped == 0
    ledger.close()


def test_a_full_ring_spills_and_the_spill_comes_out_first(folder: Path, small: None) -> None:
    ledger = open_ledger(folder, 3, "boot")
    put(ledger, *range(35))
    assert (folder / "3.spill").stat().st_size > 0
    assert ledger.dropped == 0
    assert ids(ledger) == list(range(35))
    assert (folder / "3.spill").stat().st_size == 0


def test_with_the_disk_full_events_wait_in_memory_and_what_is_beyond_that_is_counted_and_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ledger = make_ledger(room=10 * SIZE, memory=5 * SIZE)
    with full_disk():
        put(ledger, *range(20))
        assert ledger.dropped == 20 - 10 - (5 * SIZE) // (SIZE - 8)
        assert ledger.dropped > 0
    messages = [entry.getMessage() for entry in caplog.records if entry.levelno >= logging.ERROR]
    assert messages == ["spill-failed", "ledger-dropped"]
    kept = 20 - ledger.dropped
    assert ids(ledger) == list(range(kept))
    put(ledger, 20)
    assert ids(ledger) == [20]


def test_a_write_that_the_disk_took_half_of_leaves_nothing_in_the_spill(
    folder: Path, small: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, logger="headgate.ledger")
    ledger = open_ledger(folder, 0, "boot")
    with full_disk(SIZE + SIZE // 2):
        put(ledger, *range(15))
    assert (folder / "0.spill").stat().st_size == 0
    assert ids(ledger) == list(range(15))


def test_the_next_worker_of_an_index_goes_on_with_what_the_last_one_left(folder: Path, small: None) -> None:
    code = """
import os, sys
from pathlib import Path
from plane import rings
from tests.usage_events import event
rings.ROOM = int(sys.argv[2])
ledger = rings.open_ledger(Path(sys.argv[1]), 5, "boot")
for _ in range(35):
    ledger.append(event(ledger.next_event_id()))
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", code, str(folder), str(rings.ROOM)], check=False)
    assert done.returncode == -signal.SIGKILL
    ledger = open_ledger(folder, 5, "boot")
    ledger.append(event(ledger.next_event_id()))
    found = ids(ledger)
    assert sorted(set(found)) == found
    assert len(found) == 36
    assert found[34] - found[0] == 34
    assert found[35] >> 25 > found[34] >> 25


def test_what_a_torn_write_left_in_the_spill_is_cut_off_and_in_the_ring_still(folder: Path, small: None) -> None:
    first = open_ledger(folder, 0, "boot")
    put(first, *range(25))
    spilled = first.spill.size
    os.write(first.spill.file, record(b"x" * 40)[:20])
    release(first, folder)
    second = open_ledger(folder, 0, "boot")
    assert second.spill.size == spilled
    assert ids(second) == list(range(25))


def test_records_that_stand_in_the_spill_and_the_ring_come_out_twice_with_the_same_ids(
    folder: Path, small: None
) -> None:
    first = open_ledger(folder, 0, "boot")
    put(first, *range(8))
    # Death after the write to the spill, and before the ring is told.
    first.spill.append(first.ring.peek(SIZE * 3))
    release(first, folder)
    assert ids(open_ledger(folder, 0, "boot")) == [0, 1, 2, *range(8)]


def test_a_file_that_is_no_ring_is_put_aside_and_said_so(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder.mkdir()
    (folder / "2").write_bytes(b"\xff" * ring_size(rings.ROOM))
    (folder / "4").write_bytes(b"short")
    for worker in (2, 4):
        ledger = open_ledger(folder, worker, "boot")
        put(ledger, 1)
        assert ids(ledger) == [1]
    aside = {path.name.partition("-")[0] for path in folder.iterdir() if "damaged" in path.name}
    assert aside == {"2.damaged", "4.damaged"}
    assert [entry.getMessage() for entry in caplog.records] == ["ring-put-aside"] * 2


def test_a_ring_that_another_process_holds_is_refused_with_its_path(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rings, "LOCK_TIME", 0.0)
    held = open_ledger(folder, 1, "boot")
    with pytest.raises(OSError, match=r"rings/1: another process holds this ring"):
        open_ledger(folder, 1, "boot")
    assert held.backlog() == 0


def test_the_generation_is_the_second_of_the_opening_or_one_more_than_before(folder: Path) -> None:
    before = int(time.time())
    first = open_ledger(folder, 1, "boot")
    assert before <= first.ring.generation <= int(time.time())
    release(first, folder)
    assert open_ledger(folder, 1, "boot").ring.generation > before


def release(ledger: Ledger, folder: Path) -> None:
    """Let go of the lock as the end of the process does, so that the same process can open the ring again."""
    path = str(folder / str(ledger.worker))
    with os.scandir("/proc/self/fd") as entries:
        held = [int(entry.name) for entry in entries if os.readlink(entry.path) == path]
    fcntl.flock(held[0], fcntl.LOCK_UN)
