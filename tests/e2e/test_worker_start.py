"""A worker's own start, in a real process: what it says on the descriptor that its supervisor handed it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.processes import DEADLINE, environment_of

LISTENER = -1  # stands for a listening socket of the test's own


CAPS = '{"limits": {"connections": 16}}'


def told(path: Path, listener: int = LISTENER, limits: bytes | None = None) -> tuple[str, int]:
    """Start a worker that finds `path` before all other modules; return what it told its supervisor, and its status."""
    if limits is not None:
        (path / "limits").write_bytes(limits)
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        reading, writing = os.pipe()
        handle = door.fileno() if listener == LISTENER else listener
        command = [sys.executable, "-P", "-m", "plane", "--worker", "0", "--drain", "1", "--data", str(path)]
        command += ["--control", str(path / "control.sock")]
        command += ["--listen", CAPS, "--listen-fd", str(handle), "--notify-fd", str(writing)]
        worker = subprocess.Popen(
            command, env=environment_of(path=str(path)), pass_fds=(door.fileno(), writing), stderr=subprocess.DEVNULL
        )
        os.close(writing)
        with open(reading, encoding="utf-8") as notices:
            said = notices.read()
        return said, worker.wait(DEADLINE)


def test_a_module_that_cannot_be_imported_is_told(tmp_path: Path) -> None:
    (tmp_path / "httptools.py").write_text("raise ImportError('built for\\nanother Python')")
    assert told(tmp_path) == ("failed ImportError: built for another Python\n", 1)


def test_a_listening_descriptor_that_is_none_is_told_by_its_number(tmp_path: Path) -> None:
    said, status = told(tmp_path, listener=999)
    assert said == "failed OSError: [Errno 9] --listen-fd 999 is no socket: Bad file descriptor\n"
    assert status == 1


def test_a_limits_file_of_another_size_is_told(tmp_path: Path) -> None:
    said, status = told(tmp_path, limits=b"")
    assert said == f"failed ValueError: {tmp_path}/limits cannot be used: cannot mmap an empty file\n"
    assert status == 1


@pytest.mark.parametrize("reason", ["a\nb", "x" * 5000], ids=["of-two-lines", "too-long"])
def test_what_is_told_is_one_short_line(tmp_path: Path, reason: str) -> None:
    (tmp_path / "httptools.py").write_text(f"raise ImportError({reason!r})")
    said, _ = told(tmp_path)
    assert said.startswith("failed ImportError: ")
    assert said.count("\n") == 1
    assert len(said) < 400
