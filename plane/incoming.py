"""One push on its way in: the manifest at once, then the sections that are not here yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from core.errors import SnapshotError
from core.snapshot import Part, Snapshot, check, parse
from core.wire import Push

__all__ = ["Incoming"]


class Incoming:
    """A push, from its manifest to the last of its sections. SnapshotError: the manifest is not the one announced.

    known: sections that are here already, by digest. missing: what has to be sent, in the order it will come.
    fault: why the push is refused when its last section has come, "" so far.
    """

    def __init__(self, push: Push, known: Mapping[bytes, bytes]) -> None:
        manifest = parse(push.manifest)
        if manifest.digest != push.digest or manifest.version != push.version:
            raise SnapshotError("the snapshot is not the one that was announced")
        self.push = push
        self.parts = manifest.parts
        self.sections = {part.digest: known[part.digest] for part in manifest.parts if part.digest in known}
        self.missing: deque[Part] = deque(part for part in manifest.parts if part.digest not in known)
        self.fault = ""

    def take(self, data: bytes) -> None:
        """Take in the next section; one that is wrong becomes `fault`, and the rest is awaited as before."""
        part = self.missing.popleft()
        try:
            check(part, data)
        except SnapshotError as error:
            self.fault = self.fault or str(error)
        self.sections[part.digest] = data

    def snapshot(self) -> Snapshot:
        """Return what has come in; SnapshotError if a section of it was wrong."""
        if self.fault:
            raise SnapshotError(self.fault)
        return Snapshot(self.push.version, self.push.digest, self.push.manifest, self.sections)
