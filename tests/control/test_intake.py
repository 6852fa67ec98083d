"""The intake: each event is kept and counted once, through repeats, restarts and crashes at any byte."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control import intake as module
from control.intake import Intake
from control.log import Log
from control.segments import events, segments_in
from core.records import record
from core.usage import make_id
from tests import usage_events
from tests.ledgers import records_of

HOST = bytes(16)


def batch(*numbers: int, worker: int = 0) -> bytes:
    return records_of(*(usage_events.event(make_id(worker, 1, number), consumer="c", model="m") for number in numbers))


def opened(folder: Path, host: bytes = HOST) -> Intake:
    return Intake(folder / "usage", host, Log("test"))


def counted(intake: Intake) -> int:
    return sum(row.requests for row in intake.table.rows())


def kept(folder: Path) -> list[int]:
    return [one.id for path in segments_in(folder / "usage") for _, _, one in events(path)]


def ids(*numbers: int, worker: int = 0) -> list[int]:
    return [make_id(worker, 1, number) for number in numbers]


def test_a_batch_that_comes_again_is_kept_and_counted_once(tmp_path: Path) -> None:
    intake = opened(tmp_path)
    for _ in range(3):
        intake.take(0, batch(1, 2))
    intake.take(0, batch(1, 2, 3))
    assert kept(tmp_path) == ids(1, 2, 3)
    assert counted(intake) == 3


def test_events_that_stand_twice_in_a_batch_are_taken_once(tmp_path: Path) -> None:
    intake = opened(tmp_path)
    intake.take(0, batch(1, 2, 3, 2, 3, 4))
    assert kept(tmp_path) == ids(1, 2, 3, 4)


def test_each_worker_has_ids_of_its_own(tmp_path: Path) -> None:
    intake = opened(tmp_path)
    intake.take(1, batch(5, worker=1))
    intake.take(0, batch(1))
    assert kept(tmp_path) == [*ids(5, worker=1), *ids(1)]


@pytest.mark.parametrize("end", ["closed", "killed", "killed without a checkpoint"])
def test_totals_and_what_was_taken_are_known_after_a_restart(tmp_path: Path, end: str) -> None:
    first = opened(tmp_path)
    first.take(0, batch(1, 2))
    if end != "killed without a checkpoint":
        first.close()
    if end == "killed":
        again = opened(tmp_path)
        again.take(0, batch(3))
    second = opened(tmp_path)
    second.take(0, batch(1, 2, 3, 4))
    assert kept(tmp_path) == ids(1, 2, 3, 4)
    assert counted(second) == 4


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_control_killed_at_any_byte_of_a_write_neither_loses_nor_doubles(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("killed")
    first = opened(folder)
    first.take(0, batch(1, 2))
    if data.draw(st.booleans()):
        first.close()
        first = opened(folder)
    before = first.segments.position[1]
    first.take(0, batch(3, 4))
    (path,) = segments_in(folder / "usage")
    size = data.draw(st.integers(before, path.stat().st_size))
    path.write_bytes(path.read_bytes()[:size])
    # Control did not answer: the worker sends it again.
    second = opened(folder)
    second.take(0, batch(3, 4))
    assert kept(folder) == ids(1, 2, 3, 4)
    assert counted(second) == 4
    shutil.rmtree(folder)


def test_a_checkpoint_spares_reading_what_is_counted(tmp_path: Path) -> None:
    first = opened(tmp_path)
    first.take(0, batch(1, 2))
    first.segments.roll()
    first.close()
    for path in segments_in(tmp_path / "usage"):
        path.unlink()
    second = opened(tmp_path)
    second.take(0, batch(1, 2, 3))
    assert counted(second) == 3
    assert kept(tmp_path) == ids(3)


def test_a_damaged_checkpoint_is_said_and_everything_is_counted_anew(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    first = opened(tmp_path)
    first.take(0, batch(1, 2))
    first.close()
    path = tmp_path / "usage" / "checkpoint"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    second = opened(tmp_path)
    second.take(0, batch(2, 3))
    assert counted(second) == 3
    assert "usage-checkpoint" in capfd.readouterr().err


def test_another_host_word_begins_its_own_ids_and_keeps_the_totals(tmp_path: Path) -> None:
    first = opened(tmp_path)
    first.take(0, batch(5))
    first.close()
    second = opened(tmp_path, b"another-host-abc")
    second.take(0, batch(1))
    assert counted(second) == 2


@pytest.mark.parametrize("saved", [True, False])
def test_a_disk_that_is_full_takes_nothing_and_counts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: bool
) -> None:
    intake = opened(tmp_path)
    if saved:
        intake.take(0, batch(1))

    def full(_: int, __: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.write", full)
    with pytest.raises(OSError, match="No space left"):
        intake.take(0, batch(2))
    monkeypatch.undo()
    intake.take(0, batch(2))
    assert kept(tmp_path) == ids(*([1, 2] if saved else [2]))
    assert counted(intake) == 1 + saved


def test_what_cannot_be_read_is_counted_said_and_left_out(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    torn = bytearray(batch(2))
    torn[-1] ^= 1
    intake = opened(tmp_path)
    intake.take(0, batch(1) + torn + record(b"\xc1") + batch(3, worker=5) + batch(4) + b"\1\0\0")
    assert kept(tmp_path) == ids(1, 4)
    assert intake.damaged == 4
    said = capfd.readouterr().err
    assert said.count("usage-damaged") == 4
    assert "it is of worker 5" in said


def test_a_segment_that_cannot_be_read_is_said_and_the_others_count(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "usage").mkdir()
    (tmp_path / "usage" / "00000000000000000001.seg").write_bytes(b"nonsense")
    intake = opened(tmp_path)
    intake.take(0, batch(1))
    assert counted(opened(tmp_path)) == 1
    assert "usage-segment" in capfd.readouterr().err


async def test_a_checkpoint_is_written_when_there_is_something_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECKPOINT", 0.0)
    intake = opened(tmp_path)
    path = tmp_path / "usage" / "checkpoint"
    await intake.settle()
    assert not path.exists()
    intake.take(0, batch(1))
    await intake.settle()
    for segment in segments_in(tmp_path / "usage"):
        segment.unlink()
    assert counted(opened(tmp_path)) == 1
    path.unlink()
    await intake.settle()
    assert not path.exists()
