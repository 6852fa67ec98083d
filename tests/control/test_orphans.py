"""Rings of dead workers: control drains them, spill first, and leaves those alone that somebody holds."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from control import orphans as module
from control.intake import Intake
from control.log import Log
from control.orphans import Orphans
from control.segments import events, segments_in
from core.ring import ring_size
from plane.rings import open_ledger

DEAD = """
import os, sys
from pathlib import Path
from plane import rings
from tests.usage_events import event
rings.ROOM = int(sys.argv[3])
ledger = rings.open_ledger(Path(sys.argv[1]), 7, "boot")
for number in range(int(sys.argv[2])):
    ledger.append(event(ledger.next_event_id(), consumer="c"))
print("done", flush=True)
if sys.argv[4] == "stay":
    sys.stdin.read()
os.kill(os.getpid(), 9)
"""
ROOM = 4096


def worker(folder: Path, count: int, then: str = "die") -> "subprocess.Popen[bytes]":
    """Return a worker's ledger in a process of its own, with `count` events in it."""
    arguments = [sys.executable, "-c", DEAD, str(folder), str(count), str(ROOM), then]
    return subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def dead_worker(folder: Path, count: int) -> None:
    process = worker(folder, count)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.fixture
def intake(tmp_path: Path) -> Intake:
    return Intake(tmp_path / "usage", bytes(16), Log("test"))


def drained(orphans: Orphans) -> int:
    total = 0
    for path in orphans.rings():
        while taken := orphans.drain(path):
            total += taken
    return total


def ids(tmp_path: Path) -> list[int]:
    return [one.id for path in segments_in(tmp_path / "usage") for _, _, one in events(path)]


def consecutive(numbers: list[int], count: int) -> bool:
    return len(numbers) == count and numbers == list(range(numbers[0], numbers[0] + count))


@pytest.mark.parametrize("count", [10, 500], ids=["in the ring", "in the spill and the ring"])
@pytest.mark.parametrize("batch", [100, 1 << 20])
def test_what_a_dead_worker_left_is_taken_once_and_in_order(
    tmp_path: Path, intake: Intake, count: int, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", batch)
    monkeypatch.setattr(module, "READ", batch)
    folder = tmp_path / "rings"
    dead_worker(folder, count)
    orphans = Orphans(folder, intake, {}, Log("test"))
    assert drained(orphans) > 0
    assert drained(orphans) == 0
    assert consecutive(ids(tmp_path), count)
    assert (folder / "7.spill").stat().st_size == 0


def test_the_next_worker_goes_on_where_control_stopped(
    tmp_path: Path, intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READ", 1000)
    monkeypatch.setattr("plane.rings.ROOM", ROOM)
    folder = tmp_path / "rings"
    dead_worker(folder, 500)
    orphans = Orphans(folder, intake, {}, Log("test"))
    assert orphans.drain(folder / "7") > 0
    ledger = open_ledger(folder, 7, "boot")
    while records := ledger.batch():
        intake.take(7, records)
        ledger.taken(ledger.number)
    assert consecutive(ids(tmp_path), 500)


def test_a_ring_that_a_living_worker_holds_is_left_alone(tmp_path: Path, intake: Intake) -> None:
    folder = tmp_path / "rings"
    process = worker(folder, 5, "stay")
    assert process.stdout is not None
    assert process.stdout.readline() == b"done\n"
    orphans = Orphans(folder, intake, {}, Log("test"))
    assert drained(orphans) == 0
    process.communicate()
    assert drained(orphans) > 0
    assert consecutive(ids(tmp_path), 5)


def test_a_connected_worker_s_ring_is_not_even_looked_at(tmp_path: Path, intake: Intake) -> None:
    dead_worker(tmp_path / "rings", 5)
    assert Orphans(tmp_path / "rings", intake, {7}, Log("test")).rings() == []


def test_no_rings_are_no_orphans(tmp_path: Path, intake: Intake) -> None:
    assert Orphans(tmp_path / "rings", intake, {}, Log("test")).rings() == []


def test_a_ring_that_somebody_removes_meanwhile_is_no_more(tmp_path: Path, intake: Intake) -> None:
    assert Orphans(tmp_path / "rings", intake, {}, Log("test")).drain(tmp_path / "rings" / "0") == 0


@pytest.mark.parametrize("data", [b"", b"\xff" * ring_size(ROOM)], ids=["empty", "no ring"])
def test_a_file_that_is_no_ring_is_kept_and_said_once(
    tmp_path: Path, intake: Intake, data: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "rings"
    folder.mkdir()
    (folder / "3").write_bytes(data)
    orphans = Orphans(folder, intake, {}, Log("test"))
    assert [drained(orphans), drained(orphans)] == [0, 0]
    assert (folder / "3").read_bytes() == data
    assert capfd.readouterr().err.count("orphan-kept") == (1 if data else 0)


def test_what_the_disk_does_not_take_stays_in_the_ring(
    tmp_path: Path, intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead_worker(tmp_path / "rings", 500)
    orphans = Orphans(tmp_path / "rings", intake, {}, Log("test"))
    real = os.write

    def full(file: int, data: bytes) -> int:
        if file == 2:
            return real(file, data)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    assert drained(orphans) == 0
    monkeypatch.undo()
    assert drained(orphans) > 0
    assert consecutive(ids(tmp_path), 500)
