"""DATA/key: the root keys of what is sealed in DATA, made once. Whoever has it and DATA has the credentials."""

import contextlib
import os
from pathlib import Path

from control.datadir import DataError
from control.files import UNFINISHED, sync_folder, write_file
from core.errors import SealError
from core.rootkey import MAX_ROOTS, ROOT_SIZE, key_fault
from core.seal import Keyring

__all__ = ["KEY", "open_keyring"]

KEY = "key"


def open_keyring(path: Path) -> Keyring:
    """Return the keys in `path`, which is made, with one random key, if it is missing.

    Raises DataError if it is not a regular file (a symlink is none), is not ours, may be read or written by others, or
    does not hold keys. Such a file is never replaced: what it has sealed could not be opened any more.
    """
    if not os.path.lexists(path):
        _make(path)
    try:
        roots = _read(path)
    except OSError as error:
        raise DataError(f"{path}: the key file cannot be read: {error.strerror}") from error
    try:
        return Keyring(roots)
    except SealError as error:
        raise DataError(f"{path}: not a key file: {error}; restore it, or remove it to start with a new key") from None


def _read(path: Path) -> bytes:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(handle)
        if fault := key_fault(found.st_mode, found.st_uid, os.geteuid()):
            raise DataError(f"{path}: {fault}")
        return os.read(handle, MAX_ROOTS * ROOT_SIZE + 1)
    finally:
        os.close(handle)


def _make(path: Path) -> None:
    """Write a file with one random key; it has its name only when it is whole."""
    made = path.with_name(f"{path.name}.made")
    for left in (made, made.with_name(made.name + UNFINISHED)):
        with contextlib.suppress(FileNotFoundError):
            left.unlink()
    write_file(made, os.urandom(ROOT_SIZE))
    # A link, not a rename: it never replaces a key that came there in the meantime.
    os.link(made, path)
    made.unlink()
    sync_folder(path.parent)
