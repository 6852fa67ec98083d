"""control.keyfile: made once, and refused unless it is a file of ours alone."""

import os
import stat
from pathlib import Path

import pytest

from control.datadir import DataError
from control.keyfile import open_keyring


def test_a_key_is_made_once_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "key"
    first = repr(open_keyring(path))
    body = path.read_bytes()
    assert (len(body), stat.S_IMODE(path.stat().st_mode), path.stat().st_nlink) == (32, 0o600, 1)
    assert repr(open_keyring(path)) == first
    assert path.read_bytes() == body
    assert os.listdir(tmp_path) == ["key"]


def test_two_directories_have_two_keys(tmp_path: Path) -> None:
    assert repr(open_keyring(tmp_path / "a")) != repr(open_keyring(tmp_path / "b"))


def test_a_new_key_before_the_old_one_is_an_exchange(tmp_path: Path) -> None:
    path = tmp_path / "key"
    sealed = open_keyring(path).seal("p", b"secret", b"", os.urandom)
    path.write_bytes(b"n" * 32 + path.read_bytes())
    assert open_keyring(path).open("p", sealed, b"") == b"secret"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o666])
def test_a_key_that_others_may_use_is_refused_with_what_to_do(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    open_keyring(path)
    path.chmod(mode)
    with pytest.raises(DataError, match="others may use the key file; run chmod 600"):
        open_keyring(path)


def test_a_symlink_is_refused_even_to_a_good_key(tmp_path: Path) -> None:
    open_keyring(tmp_path / "real")
    (tmp_path / "key").symlink_to(tmp_path / "real")
    with pytest.raises(DataError, match="cannot be read"):
        open_keyring(tmp_path / "key")


def test_a_symlink_to_nowhere_is_refused_and_nothing_is_made_there(tmp_path: Path) -> None:
    (tmp_path / "key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="cannot be read"):
        open_keyring(tmp_path / "key")
    assert not (tmp_path / "elsewhere").exists()


def test_a_directory_or_a_pipe_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("folder", "pipe"):
        with pytest.raises(DataError, match="not a regular file"):
            open_keyring(tmp_path / name)


@pytest.mark.parametrize("body", [b"", b"short", bytes(32), b"k" * 33, b"k" * 32 * 9])
def test_a_file_without_keys_is_refused_and_left_as_it_is(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(body)
    path.chmod(0o600)
    with pytest.raises(DataError, match="not a key file") as caught:
        open_keyring(path)
    assert path.read_bytes() == body
    assert "kkk" not in str(caught.value)


if os.geteuid() == 0:  # Only root can give a file away.

    def test_a_key_of_another_user_is_refused(tmp_path: Path) -> None:
        path = tmp_path / "key"
        open_keyring(path)
        os.chown(path, 65534, 65534)
        with pytest.raises(DataError, match="belongs to user 65534"):
            open_keyring(path)


def test_what_was_left_of_an_unfinished_start_does_not_stand_in_the_way(tmp_path: Path) -> None:
    for name in ("key.made", "key.made.new"):
        (tmp_path / name).write_bytes(b"half")
    open_keyring(tmp_path / "key")
    assert os.listdir(tmp_path) == ["key"]
