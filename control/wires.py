"""The supervisor's ends of its sockets: lines in, lines out, and nothing that could make it wait."""

import selectors
import socket
from collections import deque
from collections.abc import Callable

__all__ = ["Lines"]

LONGEST = 4096  # bytes of a line that comes in
MOST_WAITING = 16  # lines that the other end has no room for yet


class Lines:
    """Lines of text over one stream socket; `heard` is called with each that comes. Owns the socket.

    Closes itself when the other end has gone, or sends a line longer than `LONGEST`.
    """

    def __init__(self, end: socket.socket, selector: selectors.BaseSelector, heard: Callable[[str], None]) -> None:
        end.setblocking(False)
        self.open = True
        self._end = end
        self._selector = selector
        self._heard = heard
        self._rest = b""
        self._unsent = b""
        self._waiting: deque[bytes] = deque(maxlen=MOST_WAITING)
        selector.register(end, selectors.EVENT_READ, self._ready)

    def _ready(self) -> None:
        self._flush()
        self.read()

    def read(self) -> None:
        """Take in what has come."""
        if not self.open:
            return
        try:
            data = self._end.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._heard(line.decode(errors="replace"))
        if not data or len(self._rest) > LONGEST:
            self.close()

    def send(self, line: str) -> None:
        """Send a line. While the other end has no room it waits; the oldest goes where too many do."""
        self._waiting.append(line.encode() + b"\n")
        self._flush()

    def _flush(self) -> None:
        try:
            while self.open and (self._unsent or self._waiting):
                self._unsent = self._unsent or self._waiting.popleft()
                self._unsent = self._unsent[self._end.send(self._unsent) :]
        except BlockingIOError:
            self._selector.modify(self._end, selectors.EVENT_READ | selectors.EVENT_WRITE, self._ready)
        except OSError:
            self.close()
        else:
            if self.open:
                self._selector.modify(self._end, selectors.EVENT_READ, self._ready)

    def close(self) -> None:
        """Say and hear no more."""
        if self.open:
            self.open = False
            self._selector.unregister(self._end)
            self._end.close()
