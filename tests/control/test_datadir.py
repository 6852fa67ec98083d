import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from control.datadir import DataError, bind_tcp, bind_unix, lock, prepare


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def listeners() -> Iterator[list[socket.socket]]:
    opened: list[socket.socket] = []
    yield opened
    for listener in opened:
        listener.close()


def test_a_missing_data_directory_is_made_for_its_owner_alone(folder: Path) -> None:
    made = prepare(folder / "a" / "data")
    assert made == folder / "a" / "data"
    assert mode(made) == 0o700


def test_a_data_directory_others_may_read_is_closed_to_them(folder: Path) -> None:
    (folder / "data").mkdir(mode=0o755)
    assert mode(prepare(folder / "data")) == 0o700


@pytest.mark.parametrize("writable", [0o770, 0o707, 0o777])
def test_a_data_directory_others_may_write_to_is_refused(folder: Path, writable: int) -> None:
    (folder / "data").mkdir()
    (folder / "data").chmod(writable)
    with pytest.raises(DataError, match=r"others may write .* chmod 700"):
        prepare(folder / "data")


def test_a_symlink_is_refused_as_data_directory(folder: Path) -> None:
    (folder / "real").mkdir(mode=0o700)
    (folder / "data").symlink_to(folder / "real")
    with pytest.raises(DataError, match="symlink"):
        prepare(folder / "data")


def test_a_file_is_refused_as_data_directory(folder: Path) -> None:
    (folder / "data").touch()
    with pytest.raises(DataError, match="cannot make the data directory"):
        prepare(folder / "data")


def test_a_path_too_long_for_a_unix_socket_is_refused_with_its_length(folder: Path) -> None:
    fits = 107 - len(os.fsencode(folder)) - len("/") - len("/control.sock")
    assert prepare(folder / ("d" * fits)).is_dir()
    with pytest.raises(DataError, match=r"too long for a Unix socket \(108 bytes"):
        prepare(folder / ("d" * (fits + 1)))


def test_one_directory_serves_one_supervisor_and_the_refusal_names_it(folder: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from control.datadir import lock; "
        "held = lock(Path(sys.argv[1]), ['plane']); print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(DataError, match=rf"already in use by another headgate \(process {other.pid}\)"):
            lock(folder, ["control", "plane"])
        other.communicate(timeout=5)
    # What the other held is free, and so is what the refused one had taken before it was refused.
    for handle in lock(folder, ["control", "plane"]):
        os.close(handle)


def test_a_unix_socket_is_for_its_owner_alone_from_the_start(folder: Path, listeners: list[socket.socket]) -> None:
    before = os.umask(0)
    try:
        listeners.append(bind_unix(folder / "admin.sock"))
    finally:
        os.umask(before)
    assert mode(folder / "admin.sock") == 0o600


def test_a_stale_socket_is_replaced(folder: Path, listeners: list[socket.socket]) -> None:
    listeners += [bind_unix(folder / "admin.sock"), bind_unix(folder / "admin.sock")]
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(folder / "admin.sock"))
        listeners[1].accept()[0].close()


def test_a_file_in_the_place_of_a_socket_is_left_alone(folder: Path) -> None:
    (folder / "admin.sock").write_text("mine")
    with pytest.raises(DataError, match="is not a socket; remove it"):
        bind_unix(folder / "admin.sock")
    assert (folder / "admin.sock").read_text() == "mine"


def test_an_address_in_use_is_refused_by_name(listeners: list[socket.socket]) -> None:
    listeners.append(bind_tcp("127.0.0.1:0"))
    port = listeners[0].getsockname()[1]
    with pytest.raises(DataError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
        bind_tcp(f"127.0.0.1:{port}")


def test_a_host_in_brackets_is_ipv6(listeners: list[socket.socket]) -> None:
    listeners.append(bind_tcp("[::1]:0"))
    assert listeners[0].family == socket.AF_INET6


def test_a_host_that_is_not_ours_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"cannot listen on 192\.0\.2\.1:80: Cannot assign requested address"):
        bind_tcp("192.0.2.1:80")
