"""The key file that control made, read by a worker that seals or signs."""

from __future__ import annotations

import os
from pathlib import Path

from core.errors import SealError
from core.rootkey import MAX_ROOTS, ROOT_SIZE, key_fault

__all__ = ["open_only", "read_key"]


def read_key(path: Path) -> bytes:
    """Return what is in the key file; OSError if it cannot be read, SealError if it is not to be trusted."""
    handle = open_only(path)
    try:
        found = os.fstat(handle)
        if fault := key_fault(found.st_mode, found.st_uid, os.geteuid()):
            raise SealError(fault)
        return os.read(handle, ROOT_SIZE * MAX_ROOTS + 1)
    finally:
        os.close(handle)


def open_only(path: Path) -> int:
    """Return a descriptor of a file that is read; OSError if there is none."""
    # No symlinks; and a pipe under that name must not hold the worker up.
    return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
