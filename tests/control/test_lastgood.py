"""control.lastgood: what control leaves on the disk, and what it takes from there after every kind of loss."""

import os
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest

from control.lastgood import SnapshotFiles
from control.log import Log
from core.lastgood import Envelope
from core.model import Config
from core.snapshot import Snapshot, build

CANARY = "sk-canary-4711"
LOG = Log("test")


def snapshot(version: int, name: str = "") -> Snapshot:
    config = {
        "providers": {"p": {"dialect": "openai", "base_url": "http://127.0.0.1:9/v1", "credential": "env:KEY"}},
        "models": {name or f"m{version}": {"targets": [{"provider": "p", "model": "m"}]}},
    }
    return build(msgspec.convert(config, Config), version)


def save(files: SnapshotFiles, of: Snapshot, generation: int = 1) -> None:
    files.stage(of.version, generation, of.sections)
    files.commit(Envelope(of.version, generation, of.digest, "00" * 32, of.manifest, {"env:KEY": CANARY}))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def files(data: Path) -> SnapshotFiles:
    return SnapshotFiles(data, LOG)


def envelopes(data: Path) -> set[str]:
    return {path.name for path in (data / "snapshots").iterdir() if "-" in path.name}


def sections(data: Path) -> set[str]:
    return {path.name for path in (data / "snapshots" / "sections").iterdir()}


def damage(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)


def newest(data: Path) -> int:
    found = SnapshotFiles(data, LOG).newest()
    return found.snapshot.version if found else 0


def test_what_was_committed_is_what_the_next_process_finds(files: SnapshotFiles, data: Path) -> None:
    assert SnapshotFiles(data, LOG).newest() is None
    save(files, snapshot(1))
    found = SnapshotFiles(data, LOG).newest()
    assert found is not None
    assert found.snapshot == snapshot(1)
    assert found.envelope.secrets == {"env:KEY": CANARY}


def test_what_was_staged_and_not_committed_is_not_gone_on_with_and_its_number_is_spent(
    files: SnapshotFiles, data: Path
) -> None:
    save(files, snapshot(1))
    files.stage(2, 5, snapshot(2).sections)
    again = SnapshotFiles(data, LOG)
    assert newest(data) == 1
    assert (again.last_version, again.last_generation, again.active_version) == (2, 5, 1)


def test_the_last_three_are_kept_and_the_sections_they_need(files: SnapshotFiles, data: Path) -> None:
    for version in range(1, 7):
        save(files, snapshot(version))
    assert envelopes(data) == {"4-1", "5-1", "6-1"}
    assert sections(data) == {digest.hex() for version in (4, 5, 6) for digest in snapshot(version).sections}


def test_a_section_that_a_kept_version_shares_with_a_removed_one_stays(files: SnapshotFiles, data: Path) -> None:
    for version, name in ((1, "same"), (2, ""), (3, ""), (4, "same"), (5, ""), (6, "")):
        save(files, snapshot(version, name))
        assert newest(data) == version
    damage(data / "snapshots" / "6-1")
    damage(data / "snapshots" / "5-1")
    assert newest(data) == 4


def test_no_section_is_removed_while_a_kept_envelope_cannot_be_read(files: SnapshotFiles, data: Path) -> None:
    for version in (1, 2, 3):
        save(files, snapshot(version))
    whole = (data / "snapshots" / "3-1").read_bytes()
    damage(data / "snapshots" / "3-1")
    for version in (4, 5):
        save(files, snapshot(version))
        assert {digest.hex() for digest in snapshot(3).sections} <= sections(data)
    (data / "snapshots" / "3-1").write_bytes(whole)
    for version in (4, 5):
        damage(data / "snapshots" / f"{version}-1")
    assert newest(data) == 3


def test_a_damaged_section_is_written_again(files: SnapshotFiles, data: Path) -> None:
    save(files, snapshot(1, "same"))
    digest = next(iter(snapshot(1, "same").sections))
    damage(data / "snapshots" / "sections" / digest.hex())
    assert newest(data) == 0
    save(files, snapshot(2, "same"))
    assert newest(data) == 2


def test_a_whole_section_is_not_written_again(files: SnapshotFiles, data: Path) -> None:
    save(files, snapshot(1, "same"))
    digest = next(iter(snapshot(1, "same").sections))
    before = (data / "snapshots" / "sections" / digest.hex()).stat()
    save(files, snapshot(2, "same"))
    after = (data / "snapshots" / "sections" / digest.hex()).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_the_highest_numbers_are_known_when_the_newest_file_is_damaged_and_when_the_marks_are(
    files: SnapshotFiles, data: Path
) -> None:
    save(files, snapshot(1))
    save(files, snapshot(7), 4)
    damage(data / "snapshots" / "7-4")
    again = SnapshotFiles(data, LOG)
    assert newest(data) == 1
    assert (again.last_version, again.last_generation, again.active_version) == (7, 4, 7)
    damage(data / "snapshots" / "highest")
    again = SnapshotFiles(data, LOG)
    assert (again.last_version, again.last_generation, again.active_version) == (7, 4, 7)
    (data / "snapshots" / "highest").unlink()
    assert SnapshotFiles(data, LOG).last_version == 7


def test_a_newest_file_that_was_removed_is_still_known_by_its_numbers(files: SnapshotFiles, data: Path) -> None:
    save(files, snapshot(1))
    save(files, snapshot(7), 4)
    (data / "snapshots" / "7-4").unlink()
    again = SnapshotFiles(data, LOG)
    assert (again.last_version, again.last_generation, again.active_version) == (7, 4, 7)


def test_everything_is_for_its_owner_alone_and_no_secret_is_in_the_clear(files: SnapshotFiles, data: Path) -> None:
    save(files, snapshot(1))
    paths = [data / "key", *(data / "snapshots").rglob("*")]
    assert len(paths) == 6
    for path in paths:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
        assert path.is_dir() or CANARY.encode() not in path.read_bytes()
    assert stat.S_IMODE((data / "snapshots").stat().st_mode) == 0o700


def test_what_a_killed_control_left_unfinished_is_removed(files: SnapshotFiles, data: Path) -> None:
    for path in (data / "snapshots" / "1-1.new", data / "snapshots" / "sections" / "00.new"):
        path.write_bytes(b"half")
    SnapshotFiles(data, LOG)
    assert not list((data / "snapshots").rglob("*.new"))


def test_a_symlink_under_the_name_of_an_envelope_is_not_followed(files: SnapshotFiles, data: Path) -> None:
    save(files, snapshot(1))
    save(files, snapshot(2))
    (data / "snapshots" / "2-1").rename(data / "elsewhere")
    (data / "snapshots" / "2-1").symlink_to(data / "elsewhere")
    assert newest(data) == 1


def test_a_pipe_under_the_name_of_an_envelope_holds_nobody_up(files: SnapshotFiles, data: Path) -> None:
    save(files, snapshot(1))
    os.mkfifo(data / "snapshots" / "2-1")
    assert newest(data) == 1


def test_files_sealed_with_a_lost_key_are_passed_over_and_their_numbers_are_not_used_again(
    files: SnapshotFiles, data: Path, capfd: Any
) -> None:
    save(files, snapshot(3), 2)
    (data / "key").unlink()
    again = SnapshotFiles(data, LOG)
    assert again.newest() is None
    assert (again.last_version, again.last_generation) == (3, 2)
    assert "made with key" in capfd.readouterr().err
    save(again, snapshot(4), 3)
    assert newest(data) == 4


@pytest.mark.parametrize("at", range(10))
def test_a_control_that_is_killed_at_any_write_leaves_the_old_snapshot_or_the_new_one(
    files: SnapshotFiles, data: Path, at: int
) -> None:
    """Every write and every sync of a stage and a commit is the last one, in turn: in a process that ends there."""
    save(files, snapshot(1))
    child = os.fork()
    if child == 0:
        left = at

        def end(_: int) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                os._exit(1)

        os.fsync = end
        try:
            save(SnapshotFiles(data, LOG), snapshot(2))
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    found = newest(data)
    assert found == 2 if status == 0 else found in (1, 2)
    again = SnapshotFiles(data, LOG)
    save(again, snapshot(again.last_version + 1))
    assert newest(data) == again.last_version
