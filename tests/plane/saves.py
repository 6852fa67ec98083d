"""What control saves for workers, made without it."""

import os
from collections.abc import Mapping
from pathlib import Path

from core.lastgood import Envelope, name_of, seal_envelope, section_name
from core.seal import Keyring
from core.snapshot import Snapshot

__all__ = ["SOURCE", "save"]

SOURCE = "5a" * 32


def save(data: Path, snapshot: Snapshot, generation: int = 1, secrets: Mapping[str, str] | None = None) -> Path:
    """Save `snapshot` as control does; return the path of its envelope."""
    key, folder = data / "key", data / "snapshots"
    if not key.exists():
        key.touch(0o600)
        key.write_bytes(os.urandom(32))
    (folder / "sections").mkdir(parents=True, exist_ok=True)
    for digest, body in snapshot.sections.items():
        (folder / section_name(digest)).write_bytes(body)
    version, digest = snapshot.version, snapshot.digest
    envelope = Envelope(version, generation, digest, SOURCE, snapshot.manifest, secrets or {})
    path = folder / name_of(version, generation)
    path.write_bytes(seal_envelope(envelope, Keyring(key.read_bytes()), os.urandom))
    return path
