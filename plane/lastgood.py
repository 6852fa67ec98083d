"""What control saved last, for a worker that starts without it: read here, and never written.

Apart from `plane.first`, because the seals bring a library of 7 MB that a worker needs for nothing else.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from core.errors import SealError
from core.lastgood import LastGood, load
from core.seal import MAX_ROOTS, ROOT_SIZE, Keyring, key_fault

__all__ = ["saved"]


def saved(data: Path, refuse: Callable[[str, str], None]) -> Iterator[LastGood]:
    """Yield what can be served, newest first; tell `refuse` (file, why) of all that cannot, the key file included.

    Where control has never published there is nothing, and nothing to refuse.
    """
    key, folder = data / "key", data / "snapshots"
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return
    try:
        keys = Keyring(_read_key(key))
    except (OSError, SealError) as error:
        refuse(str(key), str(error))
        return
    yield from load(names, lambda name, limit: _read(folder / name, limit), keys, refuse)


def _read_key(path: Path) -> bytes:
    handle = _open(path)
    try:
        found = os.fstat(handle)
        if fault := key_fault(found.st_mode, found.st_uid, os.geteuid()):
            raise SealError(fault)
        return os.read(handle, ROOT_SIZE * MAX_ROOTS + 1)
    finally:
        os.close(handle)


def _read(path: Path, limit: int) -> bytes:
    """Return what is in a file; ValueError if it is not a regular one of at most `limit` bytes."""
    handle = _open(path)
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_size > limit:
            raise ValueError(f"not a regular file of at most {limit} bytes")
        with open(handle, "rb", closefd=False) as file:
            return file.read(limit)
    finally:
        os.close(handle)


def _open(path: Path) -> int:
    # No symlinks; and a pipe under that name must not hold the worker up.
    return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
