"""plane.lastgood: what a worker finds of what control saved, and of files that are not as control left them."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from core.model import Config
from core.snapshot import Snapshot, build
from plane.lastgood import saved
from tests.plane.rig import one_model
from tests.plane.saves import save


def snapshot(version: int) -> Snapshot:
    return build(msgspec.convert(one_model(), Config), version)


class Found:
    def __init__(self, data: Path) -> None:
        self.refused: dict[str, str] = {}
        self.versions = [found.snapshot.version for found in saved(data, self.refused.__setitem__)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for version in (1, 2):
        save(tmp_path, snapshot(version))
    return tmp_path


def test_what_control_saved_is_found_newest_first_and_nothing_is_written(data: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    found = Found(data)
    assert (found.versions, found.refused) == ([2, 1], {})
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == before


def test_where_control_never_was_there_is_nothing_and_nothing_wrong_with_that(tmp_path: Path) -> None:
    found = Found(tmp_path)
    assert (found.versions, found.refused) == ([], {})


def test_without_the_key_nothing_can_be_served_and_it_is_named(data: Path) -> None:
    (data / "key").unlink()
    found = Found(data)
    assert found.versions == []
    assert found.refused == {str(data / "key"): f"[Errno 2] No such file or directory: '{data / 'key'}'"}


@pytest.mark.parametrize(
    ("mode", "body", "reason"),
    [
        (0o640, b"k" * 32, "others may use the key file"),
        (0o602, b"k" * 32, "others may use the key file"),
        (0o600, b"k" * 31, "31 bytes are not"),
        (0o600, b"", "0 bytes are not"),
    ],
)
def test_a_key_file_that_cannot_be_trusted_opens_nothing(data: Path, mode: int, body: bytes, reason: str) -> None:
    (data / "key").write_bytes(body)
    (data / "key").chmod(mode)
    found = Found(data)
    assert found.versions == []
    assert reason in found.refused[str(data / "key")]


def test_a_symlink_is_followed_nowhere(data: Path) -> None:
    (data / "snapshots" / "2-1").rename(data / "other")
    (data / "snapshots" / "2-1").symlink_to(data / "other")
    found = Found(data)
    assert found.versions == [1]
    assert "2-1" in found.refused
    (data / "key").rename(data / "real")
    (data / "key").symlink_to(data / "real")
    assert Found(data).versions == []


def test_a_pipe_or_a_huge_file_under_the_name_of_an_envelope_is_passed_over(data: Path) -> None:
    os.mkfifo(data / "snapshots" / "4-1")
    with (data / "snapshots" / "3-1").open("wb") as file:
        file.truncate(1 << 40)
    found = Found(data)
    assert found.versions == [2]
    assert set(found.refused) == {"4-1", "3-1"}


def test_a_worker_that_control_serves_never_loads_the_library_of_the_seals() -> None:
    """It takes 7 MB, in each worker."""
    program = "import sys, plane.main; print([name for name in sys.modules if name.startswith('cryptography')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
