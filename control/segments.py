"""Usage events on disk: segments in ``DATA/usage``, appended to, never changed; docs/usage.md has the format.

A segment is a header and records. Its name is a number that grows from one to the next; it ends in ``.open`` while
control appends to it, and in ``.seg`` once it is sealed.
"""

import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from msgspec import MsgspecError

from control.log import Log
from core.records import LARGEST, cut, whole_length
from core.usage import UsageEvent, decode_event

__all__ = ["SEALED", "Position", "Segments", "bodies", "events", "segments_in"]

HEADER = struct.Struct("<8sI16sQ")
MAGIC = b"HGUSAGE1"
FORMAT = 1
LARGEST_SEGMENT = 64 * 1024 * 1024
"""Bytes after which a segment is sealed: about a quarter of a million calls."""
LONGEST_SEGMENT = 3600.0
"""Seconds after which a segment with events is sealed."""
OPEN, SEALED = ".open", ".seg"
READ = 4 * LARGEST
Position = tuple[str, int]
"""Where an event stands: the segment's name without its ending, and the byte behind it."""


class Segments:
    """Appends records to the newest segment, and seals it when it is large or old.

    folder: made if it is missing. host: 16 bytes, the host's word.
    position: the end of what is written; ("", 0) before the first.
    OSError: the folder cannot be made or read.
    """

    def __init__(self, folder: Path, host: bytes, log: Log) -> None:
        self.folder = folder
        self.host = host
        self.position: Position = ("", 0)
        self._file = -1
        self._started = 0.0
        self._unsynced: list[int] = []
        self._dirty = False
        folder.mkdir(mode=0o700, exist_ok=True)
        for path in segments_in(folder):
            if path.suffix == OPEN:
                self._take_up(path, log)

    def append(self, records: bytes) -> None:
        """Write `records`, all or none. OSError: the disk did not take them."""
        if self.position[1] + len(records) > LARGEST_SEGMENT:
            self.roll()
        if self._file < 0:
            self._begin()
        name, size = self.position
        try:
            _write(self._file, records)
        except OSError:
            os.truncate(self._file, size)
            raise
        self.position = name, size + len(records)
        self._dirty = True

    def roll_if_old(self) -> None:
        """Seal the segment if it is older than `LONGEST_SEGMENT`."""
        if self._file >= 0 and time.time() - self._started > LONGEST_SEGMENT:
            self.roll()

    def roll(self) -> None:
        """Seal the segment, if there is one; the next append begins another."""
        if self._file >= 0:
            path = self.folder / (self.position[0] + OPEN)
            path.rename(path.with_suffix(SEALED))
            self._unsynced.append(self._file)
            self._file = -1

    def sync(self) -> None:
        """Make what was appended before this call outlive a loss of power. Slow: to be called in a thread."""
        sealed, self._unsynced = self._unsynced, []
        for file in sealed:
            os.fdatasync(file)
            os.close(file)
        if self._dirty and self._file >= 0:
            self._dirty = False
            os.fdatasync(self._file)

    def close(self) -> None:
        """Sync and close; whoever comes next goes on with the segment."""
        self.sync()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _begin(self) -> None:
        """Begin a segment with a name above all there are."""
        number = max([time.time_ns() // 1000, *(int(path.stem) + 1 for path in segments_in(self.folder))])
        path = self.folder / f"{number:020}{OPEN}"
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            _write(file, HEADER.pack(MAGIC, FORMAT, self.host, time.time_ns() // 1_000_000))
        except OSError:
            os.close(file)
            path.unlink()
            raise
        self._file, self._started, self.position = file, time.time(), (path.stem, HEADER.size)

    def _take_up(self, path: Path, log: Log) -> None:
        """Go on with a segment that was left open, without what was torn at its end."""
        if path.stat().st_size < HEADER.size:
            path.unlink()  # Its beginner died before the first event.
            return
        try:
            host, began = _header(path)
        except ValueError as error:
            log("usage-segment", reason=error)
            path.rename(path.with_suffix(".damaged"))
            return
        self.roll()
        good = HEADER.size
        for end, body in bodies(path):
            good = end if body is not None else good
        if good < path.stat().st_size:
            log("usage-cut", file=path, bytes=path.stat().st_size - good)
            os.truncate(path, good)
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
        self._started, self.position = began / 1000, (path.stem, good)
        if host != self.host:
            self.roll()


def _write(file: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]


def segments_in(folder: Path) -> list[Path]:
    """Return the segments, sealed and open, oldest first."""
    return sorted(path for path in folder.iterdir() if path.suffix in (OPEN, SEALED) and path.stem.isdigit())


def bodies(path: Path, start: int = 0) -> Iterator[tuple[int, bytes | None]]:
    """Yield (where it ends in the file, its body) for each record; the body is None where its checksum is wrong.

    start: the byte to begin at, the end of a record; 0 for the first. Ends at a record that is cut short.
    ValueError: the file is no segment of this format.
    """
    _header(path)
    at = max(start, HEADER.size)
    with path.open("rb") as file:
        file.seek(at)
        while data := file.read(READ):
            whole = whole_length(data)
            for end, body in cut(data[:whole]):
                yield at + end, body
            if not whole:
                return
            at += whole
            file.seek(at)


def events(path: Path, start: int = 0) -> Iterator[tuple[bytes, int, UsageEvent]]:
    """Yield (host, where it ends in the file, event) for each event of a segment: what a store imports.

    (host, event.id) is unique over all segments of a folder. Records whose checksum is wrong are passed over.
    ValueError: the file is no segment of this format, or holds events of another build.
    """
    host, _ = _header(path)
    for end, body in bodies(path, start):
        if body is not None:
            try:
                yield host, end, decode_event(body)
            except MsgspecError as error:
                raise ValueError(f"{path}: the event that ends at byte {end} is of another build: {error}") from error


def _header(path: Path) -> tuple[bytes, int]:
    """Return the host and the time of beginning, in ms, of a segment."""
    with path.open("rb") as file:
        head = file.read(HEADER.size)
    if len(head) < HEADER.size or not head.startswith(MAGIC):
        raise ValueError(f"{path}: is no segment of usage events; move it away")
    _, version, host, started = HEADER.unpack(head)
    if version != FORMAT:
        raise ValueError(f"{path}: has format {version}; this build reads format {FORMAT}")
    return host, started
