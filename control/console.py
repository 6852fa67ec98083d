"""The supervisor's own socket, ``DATA/HALF.ctl``: what restarts processes must work with every one of them dead.

A caller sends one line, ``restart workers`` or ``restart control``, and is sent lines until the end::

    progress worker-0 (process 4711) is replaced by worker-2 (process 4733)
    done                         or: failed REASON
"""

import os
import selectors
import socket
import struct
from collections.abc import Callable
from pathlib import Path

from control.datadir import DataError
from control.log import Log
from control.wires import Lines

__all__ = ["Console", "ask"]

MOST = 8  # callers at once
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid as the kernel saw them at connect


class Console:
    """Takes in what is asked for on one listening socket.

    asked: called with a caller's line and with what answers it.
    """

    def __init__(
        self,
        listener: socket.socket,
        selector: selectors.BaseSelector,
        asked: Callable[[str, Lines], None],
        log: Log,
    ) -> None:
        self._listener = listener
        self._selector = selector
        self._asked = asked
        self._log = log
        self._callers: list[Lines] = []
        selector.register(listener, selectors.EVENT_READ, self._accept)

    def _accept(self) -> None:
        try:
            end, _ = self._listener.accept()
        except OSError:
            return  # It has gone again.
        pid, uid, _ = _CREDENTIALS.unpack(end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        self._callers = [caller for caller in self._callers if caller.open]
        if uid not in (os.geteuid(), 0) or len(self._callers) >= MOST:
            self._log("refused", pid=pid, user=uid, reason="another user, or too many callers")
            end.close()
            return
        caller = Lines(end, self._selector, lambda line: self._asked(line, caller))
        self._callers.append(caller)


def ask(path: Path, command: str, show: Callable[[str], None]) -> str:
    """Send `command` to the supervisor that listens at `path`; return why it failed, "" if it was done.

    show: called with each line of progress. Raises DataError if no supervisor answers there.
    """
    with socket.socket(socket.AF_UNIX) as end:
        try:
            end.connect(str(path))
            end.sendall(command.encode() + b"\n")
            with end.makefile(encoding="utf-8") as lines:
                for line in lines:
                    word, _, rest = line.rstrip("\n").partition(" ")
                    if word != "progress":
                        return rest
                    show(rest)
        except OSError as error:
            raise DataError(
                f"no supervisor answers at {path} ({error.strerror or error}); is the gateway running, as this user, "
                "with this data directory?"
            ) from error
    return "the supervisor went away before it was done"
