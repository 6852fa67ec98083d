"""DATA/snapshots: the last published snapshots, written by control alone; `core.lastgood` says what stands in each.

A file gets its name when all of it is on disk, and an envelope is written after its sections: so whatever is killed at
any moment, what can be seen is whole.
"""

import os
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

import msgspec

from control.files import UNFINISHED, read_file, sync_folder, write_file
from control.keyfile import KEY, open_keyring
from control.log import Log
from core.errors import SealError, SnapshotError
from core.lastgood import (
    HIGHEST,
    KEPT,
    MAX_ENVELOPE,
    SECTIONS,
    Envelope,
    LastGood,
    Marks,
    load,
    name_of,
    newest_first,
    open_envelope,
    open_marks,
    seal_envelope,
    seal_marks,
    section_name,
)
from core.sections import LIMIT
from core.snapshot import parse

__all__ = ["SNAPSHOTS", "SnapshotFiles"]

SNAPSHOTS = "snapshots"
MAX_MARKS = 4096  # bytes


class SnapshotFiles:
    """The directory, its key, and the numbers given away so far.

    Makes what is missing. DataError if the key file cannot be trusted, OSError if the disk does not take it.
    """

    def __init__(self, data: Path, log: Log) -> None:
        self._folder = data / SNAPSHOTS
        self._log = log
        self._keys = open_keyring(data / KEY)
        for folder in (self._folder, self._folder / SECTIONS):
            folder.mkdir(mode=0o700, exist_ok=True)
            for left in folder.glob(f"*{UNFINISHED}"):
                left.unlink()
        self._marks = self._read_marks()
        try:
            # Under the newest key from now on, and not below what the names told.
            self._write_marks(self._marks)
        except OSError as error:
            # Serving comes first; nothing new can be published until the disk takes it.
            self._log("unsaved", file=self._folder / HIGHEST, reason=error)

    @property
    def last_version(self) -> int:
        """The highest version a snapshot has had, refused and lost ones included; 0 if there was none."""
        return self._marks.version

    @property
    def last_generation(self) -> int:
        """The highest generation secrets have had, refused and lost ones included; 0 if there were none."""
        return self._marks.generation

    @property
    def active_version(self) -> int:
        """The version that was active last, be its files whole or not; 0 if none was."""
        return self._marks.active_version

    def newest(self) -> LastGood | None:
        """Return the newest snapshot that is whole, None if none is; logs why those newer than it cannot be used."""
        return next(load(os.listdir(self._folder), self._read, self._keys, self._refuse), None)

    def stage(self, version: int, generation: int, sections: Mapping[bytes, bytes]) -> None:
        """Write down what is about to be offered: that its numbers are given away, and its sections.

        Raises OSError; then nothing may be offered.
        """
        version, generation = max(version, self._marks.version), max(generation, self._marks.generation)
        self._mark(msgspec.structs.replace(self._marks, version=version, generation=generation))
        missing = [digest for digest in sections if not self._holds(digest)]
        for digest in missing:
            write_file(self._folder / section_name(digest), sections[digest])
        if missing:
            sync_folder(self._folder / SECTIONS)

    def commit(self, envelope: Envelope) -> None:
        """Make a staged snapshot the one to go on with; raises OSError if the disk does not take it.

        Then what no longer counts is removed. If that fails it is logged, and tried again the next time.
        """
        name = name_of(envelope.version, envelope.generation)
        write_file(self._folder / name, seal_envelope(envelope, self._keys, os.urandom))
        sync_folder(self._folder)
        try:
            self._mark(msgspec.structs.replace(self._marks, active_version=envelope.version))
            self._prune()
        except OSError as error:
            self._log("unpruned", folder=self._folder, reason=error)

    def _read(self, name: str, limit: int) -> bytes:
        return read_file(self._folder / name, limit)

    def _refuse(self, name: str, reason: str) -> None:
        self._log("saved-unusable", file=self._folder / name, reason=reason)

    def _read_marks(self) -> Marks:
        """Return the marks, not below what the names of the files tell: those are there when `highest` is damaged."""
        try:
            marks = open_marks(self._read(HIGHEST, MAX_MARKS), self._keys)
        except FileNotFoundError:
            marks = Marks()
        except (OSError, ValueError, SealError, SnapshotError) as error:
            self._refuse(HIGHEST, str(error))
            marks = Marks()
        named = newest_first(os.listdir(self._folder)) or [(0, 0)]
        version, generation = named[0][0], max(generation for _, generation in named)
        return Marks(max(marks.version, version), max(marks.generation, generation), max(marks.active_version, version))

    def _mark(self, marks: Marks) -> None:
        if marks != self._marks:
            self._write_marks(marks)
            self._marks = marks

    def _write_marks(self, marks: Marks) -> None:
        write_file(self._folder / HIGHEST, seal_marks(marks, self._keys))
        sync_folder(self._folder)

    def _holds(self, digest: bytes) -> bool:
        """Tell whether the section is there, and whole: it is not written again for every version that has it."""
        try:
            return sha256(self._read(section_name(digest), LIMIT)).digest() == digest
        except (OSError, ValueError):
            return False

    def _prune(self) -> None:
        """Remove all envelopes but the newest `KEPT`, and the sections that none of these needs."""
        numbers = newest_first(os.listdir(self._folder))
        for version, generation in numbers[KEPT:]:
            (self._folder / name_of(version, generation)).unlink()
        needed = self._needed(numbers[:KEPT])
        if needed is None:
            return
        for name in os.listdir(self._folder / SECTIONS):
            if name not in needed:
                (self._folder / SECTIONS / name).unlink()

    def _needed(self, numbers: Iterable[tuple[int, int]]) -> set[str] | None:
        """Return the file names of these envelopes' sections; None if one of them cannot be read.

        It may be readable again, with the right key: then its sections must still be there.
        """
        needed: set[str] = set()
        try:
            for version, generation in numbers:
                envelope = open_envelope(self._read(name_of(version, generation), MAX_ENVELOPE), self._keys)
                needed.update(part.digest.hex() for part in parse(envelope.manifest).parts)
        except (OSError, ValueError, SealError, SnapshotError):
            return None
        return needed
