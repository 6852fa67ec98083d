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
from core.seal import Keyring
from plane.keyfile import open_only, read_key

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
        keys = Keyring(read_key(key))
    except (OSError, SealError) as error:
        refuse(str(key), str(error))
        return
    yield from load(names, lambda name, limit: _read(folder / name, limit), keys, refuse)


def _read(path: Path, limit: int) -> bytes:
    """Return what is in a file; ValueError if it is not a regular one of at most `limit` bytes."""
    handle = open_only(path)
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_size > limit:
            raise ValueError(f"not a regular file of at most {limit} bytes")
        with open(handle, "rb", closefd=False) as file:
            return file.read(limit)
    finally:
        os.close(handle)
