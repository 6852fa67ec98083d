"""Files that must be whole or not there, whatever is killed and whenever the power fails."""

import os
import stat
from pathlib import Path

__all__ = ["UNFINISHED", "read_file", "sync_folder", "write_file"]

UNFINISHED = ".new"
"""What the name of a file ends with until it is whole."""


def read_file(path: Path, limit: int) -> bytes:
    """Return what is in `path`; OSError if it cannot be read (a symlink cannot), ValueError if it is not a regular file
    of at most `limit` bytes."""
    # O_NONBLOCK: a pipe under that name must not hold us up.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_size > limit:
            raise ValueError(f"{path}: not a regular file of at most {limit} bytes")
        with open(handle, "rb", closefd=False) as file:
            return file.read(limit)
    finally:
        os.close(handle)


def write_file(path: Path, body: bytes) -> None:
    """Make or replace `path` (0600) in one step; that outlives a loss of power once `sync_folder` has returned, too."""
    new = path.with_name(path.name + UNFINISHED)
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(handle, "wb") as file:
        file.write(body)
        file.flush()
        os.fsync(handle)
    new.replace(path)


def sync_folder(folder: Path) -> None:
    """Have the disk remember which files `folder` holds."""
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
