"""Lines of JSON on their way through: whole lines out, and the last one kept for what it counts.

As `core.sse.EventScan` is for server-sent events. Bytes are never rewritten.
"""

from __future__ import annotations

from core.errors import GatewayError
from core.splice import scan
from core.stream_scan import StreamScan

__all__ = ["LineScan"]

KEYS = (b"done", b"error")


class LineScan(StreamScan):
    """Follow one stream of Ollama's; see `StreamScan`.

    limit: how many bytes of an unfinished line are held back at most. usage: the last line, b"" until it came.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.usage = b""
        self._limit = limit
        self._held = bytearray()

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes and return those of all lines that are whole by now.

        Raises GatewayError 502 ``upstream_bad_answer`` when a line is longer than the limit and not at its end.
        """
        cut = chunk.rfind(b"\n") + 1
        if cut == 0:
            self._held += chunk
            out = b""
        else:
            out = bytes(self._held) + chunk[:cut]
            self._held[:] = chunk[cut:]
            for line in out.splitlines():
                self._inspect(line)
        if len(self._held) > self._limit:
            raise GatewayError(502, "upstream_bad_answer", "upstream", "The upstream sent an event that is too long.")
        return out

    def flush(self) -> bytes:
        """Return what is held back, at the end of the stream; it is read as a whole line."""
        tail = bytes(self._held)
        self._held.clear()
        self._inspect(tail)
        return tail

    def _inspect(self, line: bytes) -> None:
        """Note what a line says. Most lines have neither key with a value, and are told by that."""
        if not line.strip():
            return
        self.events += 1
        if b'"error"' not in line and b"true" not in line:
            self.content = True
            return
        try:
            done, error = scan(line, KEYS)
        except GatewayError:
            return
        if error[0] >= 0 and line[error[0] : error[1]] not in (b"null", b'""'):
            self.error = True
            return
        self.content = True
        if done[0] >= 0 and line[done[0] : done[1]] == b"true":
            self.done = True
            self.usage = line
