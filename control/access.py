"""The access log: one JSON line for each finished call, made of its usage event.

It holds names, numbers and the path without its query; no header, no key, nothing of a body. A thread writes, so that a
slow disk or a reader that has stopped never holds control up; what its queue has no room for is dropped and counted.
"""

import json
import os
import threading
from collections import deque
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from control.log import Log
from core.money import usd
from core.usage import Detail, UsageEvent

__all__ = ["AccessLog"]

PAUSE = 0.2
"""Seconds between two writes."""
QUEUE = 50_000
"""Lines that may wait to be written."""
NO_DETAIL = Detail()


class Line(Struct, gc=False, omit_defaults=True):
    """One call, as it is written; the fields mean what those of `UsageEvent` mean.

    Those behind `id` stand there only if they are not nothing; `cost_usd` is left out where the call is unpriced.
    """

    time: str
    request_id: str
    consumer: str
    method: str
    path: str
    peer: str
    door: str
    route: str
    model: str
    target: str
    status: int
    error: str
    stream: bool
    attempts: int
    latency_us: int
    first_us: int
    bytes_in: int
    bytes_out: int
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    reasoning_tokens: int | None
    snapshot: str
    worker: int
    id: int
    cost_usd: str = ""
    price: str = ""
    cache_write_tokens: int = 0
    audio_in_tokens: int = 0
    audio_out_tokens: int = 0
    image_in_tokens: int = 0
    image_out_tokens: int = 0
    units: int = 0
    audio_ms: int = 0
    server_tools: int = 0
    service_tier: str = ""
    estimated: bool = False
    requested: str = ""


class AccessLog:
    """Writes the access log to a file, or to standard output where `target` is ``stdout``.

    A file is opened anew when it has been moved away, so that rotating it needs no signal. dropped: lines lost because
    they could not be written, or not fast enough.
    """

    def __init__(self, target: str, log: Log) -> None:
        self.dropped = 0
        self._target = target
        self._log = log
        self._lines: deque[bytes] = deque()
        self._encode = msgspec.json.Encoder().encode
        self._second = -1
        self._prefix = ""
        self._file = -1
        self._failing = False
        self._stop = threading.Event()
        # A daemon: a reader of standard output that has stopped must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def add(self, event: UsageEvent) -> None:
        """Queue the line of one call."""
        if len(self._lines) >= QUEUE:
            self.dropped += 1
            return
        self._lines.append(self._line(event))

    def close(self, seconds: float = 2.0) -> None:
        """Write what waits, for `seconds` at most."""
        self._stop.set()
        self._thread.join(seconds)

    def _line(self, event: UsageEvent) -> bytes:
        second, millisecond = divmod(event.time_ms, 1000)
        if second != self._second:
            self._second = second
            self._prefix = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        known = event.usage_known
        cost = event.cost_nano
        detail = event.detail or NO_DETAIL
        line = self._encode(
            Line(
                f"{self._prefix}.{millisecond:03d}Z",
                event.request_id,
                event.consumer,
                event.method,
                event.path,
                event.peer,
                event.door,
                event.route,
                event.model,
                event.target,
                event.status,
                event.error,
                event.stream,
                event.attempts,
                event.latency_us,
                event.first_us,
                event.bytes_in,
                event.bytes_out,
                event.input_total if known else None,
                event.output_total if known else None,
                event.cache_read if known else None,
                event.reasoning if known else None,
                event.snapshot[:12],
                event.worker,
                event.id,
                usd(cost) if cost is not None else "",
                event.price,
                detail.cache_write_5m + detail.cache_write_1h,
                detail.audio_in,
                detail.audio_out,
                detail.image_in,
                detail.image_out,
                detail.units,
                detail.milliseconds,
                detail.server_tools,
                detail.service_tier,
                detail.estimated,
                detail.requested,
            )
        )
        if not line.isascii() or b"\x7f" in line:
            # JSON lets them stand; a terminal that shows the log may obey them.
            line = json.dumps(json.loads(line), separators=(",", ":")).replace("\x7f", "\\u007f").encode()
        return line

    def _run(self) -> None:
        while not self._stop.wait(PAUSE):
            self._write()
        self._write()

    def _write(self) -> None:
        lines = []
        while self._lines:
            lines.append(self._lines.popleft())
        if not lines:
            return
        try:
            self._reopen()
            left = b"\n".join(lines) + b"\n"
            while left:
                left = left[os.write(self._file, left) :]
        except OSError as error:
            self.dropped += len(lines)
            if not self._failing:
                self._log("access-log-failed", target=self._target, reason=error)
            self._failing = True
        else:
            self._failing = False

    def _reopen(self) -> None:
        """Open the file, unless it is open and still stands at its path."""
        if self._target == "stdout":
            self._file = 1
            return
        if self._file >= 0:
            now = os.fstat(self._file)
            try:
                there = os.stat(self._target)
            except FileNotFoundError:
                there = None
            if there is not None and (there.st_dev, there.st_ino) == (now.st_dev, now.st_ino):
                return
            os.close(self._file)
            self._file = -1
        self._file = os.open(self._target, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
