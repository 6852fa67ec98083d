"""What a worker tells its supervisor at its start, in one line of text: that it serves, or why it cannot."""

from __future__ import annotations

import contextlib
import os

__all__ = ["Notice"]

LONGEST = 300
"""Characters of a reason; the line stays below what a pipe takes in one piece."""


class Notice:
    """The worker's end of the pipe to its supervisor. The first word said is the last: the pipe is closed behind it.

    handle: the inherited descriptor; -1 where nobody listens.
    """

    def __init__(self, handle: int) -> None:
        self.handle = handle

    def serving(self, version: int) -> None:
        """Say that callers are accepted, with the snapshot of that version."""
        self.say(f"serving {version}")

    def failed(self, error: BaseException) -> None:
        """Say what ended the start. An error of a start names files, modules and options; no secret is known yet."""
        text = "".join(letter if letter.isprintable() else " " for letter in f"{type(error).__name__}: {error}")
        self.say(f"failed {text[:LONGEST]}")

    def say(self, line: str) -> None:
        """Write one line and close; a supervisor that is gone, or a descriptor that is none, is nothing to fail for."""
        if self.handle < 0:
            return
        with contextlib.suppress(OSError):
            os.write(self.handle, line.encode(errors="replace") + b"\n")
            os.close(self.handle)
        self.handle = -1
