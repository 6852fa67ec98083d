"""A snapshot: one immutable config with a version, as a manifest and sections; so it travels and is stored.

The manifest, big-endian:

    8 bytes   ``HEADGATE``
    2         format; read first, so that bytes of a newer build are told apart from damaged ones
    8         version
    4         number of sections
    37 each   kind (1: the place in `KINDS`), size (4), SHA-256 (32)
    32        SHA-256 of all before

The digest of a snapshot is the SHA-256 of the list of sections: it covers all that the config says, and no version.
`core.sections` tells what stands in a section.
"""

import hashlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import Struct

from core.errors import ConfigError, SnapshotError
from core.model import Config
from core.price_list import PriceList, PriceRow
from core.sections import KINDS, LIMIT, NO_PRICES, Consumers, Directory, Keys, cut, entries, price_lists, with_keys

__all__ = [
    "FORMAT",
    "MAX_SECTIONS",
    "MAX_VERSION",
    "Manifest",
    "Part",
    "Snapshot",
    "assemble",
    "build",
    "check",
    "config_of",
    "digest_of",
    "entries_of",
    "parse",
    "prices_of",
    "renumbered",
]

FORMAT = 2
MAX_SECTIONS = 8192
MAX_VERSION = 2**63 - 1

_MAGIC = b"HEADGATE"
_FIELDS = struct.Struct(">8sHQI")
_ROW = struct.Struct(">BI32s")


class Part(NamedTuple):
    """What the manifest says of one section. digest: 32 bytes."""

    kind: str
    size: int
    digest: bytes


class Manifest(NamedTuple):
    """A manifest, read. digest: of the config, 64 hex digits."""

    version: int
    digest: str
    parts: tuple[Part, ...]


class Snapshot(Struct, frozen=True):
    """A config as pushed. Make it with `build`, or with `assemble` of what `build` made.

    version: counts publications, from 1. digest: 64 hex digits, of the config alone. sections: digest (32 bytes) ->
    bytes, for every section the manifest names.
    """

    version: int
    digest: str
    manifest: bytes
    sections: Mapping[bytes, bytes]

    def of_kind(self, kind: str) -> list[bytes]:
        """Return the sections of a kind, in their order."""
        return [self.sections[part.digest] for part in parse(self.manifest).parts if part.kind == kind]

    def __repr__(self) -> str:
        return f"Snapshot(version={self.version}, digest={self.digest!r}, sections=<{len(self.sections)}>)"


def build(config: Config, version: int, prices: Mapping[str, Sequence[PriceRow]] = NO_PRICES) -> Snapshot:
    """Return `config` as the snapshot `version`, with price lists of providers for the models that it does not name.

    ConfigError: `config` cannot be cut into sections. SnapshotError: the version is not from 1 to `MAX_VERSION`.
    """
    sections: dict[bytes, bytes] = {}
    rows = []
    for kind, section in cut(config, prices):
        digest = hashlib.sha256(section).digest()
        sections[digest] = section
        rows.append(_ROW.pack(KINDS.index(kind), len(section), digest))
    if len(rows) > MAX_SECTIONS:
        raise ConfigError([f"the config takes {len(rows)} sections; a snapshot has at most {MAX_SECTIONS}"])
    listed = b"".join(rows)
    return Snapshot(version, hashlib.sha256(listed).hexdigest(), _manifest(version, listed), sections)


def digest_of(config: Config) -> str:
    """Return the digest (64 hex digits) of what `config` says, whatever the order of its names."""
    return build(config, 1).digest


def renumbered(snapshot: Snapshot, version: int) -> Snapshot:
    """Return the same config as another version; SnapshotError if that is not from 1 to `MAX_VERSION`."""
    listed = snapshot.manifest[_FIELDS.size : -32]
    return Snapshot(version, snapshot.digest, _manifest(version, listed), snapshot.sections)


def parse(manifest: bytes) -> Manifest:
    """Return what a manifest says; SnapshotError if a single bit is not as `build` wrote it."""
    if len(manifest) < _FIELDS.size + 32:
        raise SnapshotError(f"truncated: a manifest of {len(manifest)} bytes")
    magic, number, version, count = _FIELDS.unpack_from(manifest)
    if magic != _MAGIC:
        raise SnapshotError("not a snapshot")
    if number != FORMAT:
        raise SnapshotError(f"format {number}; this build reads format {FORMAT}")
    if count > MAX_SECTIONS:
        raise SnapshotError(f"{count} sections; a snapshot has at most {MAX_SECTIONS}")
    if len(manifest) != _FIELDS.size + count * _ROW.size + 32:
        raise SnapshotError(f"a manifest of {len(manifest)} bytes, and it says that it lists {count} sections")
    if hashlib.sha256(manifest[:-32]).digest() != manifest[-32:]:
        raise SnapshotError("the manifest was altered")
    listed = manifest[_FIELDS.size : -32]
    parts = []
    last = 0
    for kind, size, digest in _ROW.iter_unpack(listed):
        if kind >= len(KINDS) or kind < last:
            raise SnapshotError(f"a section of kind {kind} where there is none")
        if size > LIMIT:
            raise SnapshotError(f"a section of {size} bytes is over the limit of {LIMIT}")
        last = kind
        parts.append(Part(KINDS[kind], size, digest))
    if len({part.digest for part in parts}) != len(parts):
        raise SnapshotError("a section is listed twice")
    return Manifest(_checked(version), hashlib.sha256(listed).hexdigest(), tuple(parts))


def check(part: Part, section: bytes | None) -> None:
    """Raise SnapshotError unless `section` is the one that the manifest lists as `part`."""
    if section is None:
        raise SnapshotError(f"a section of {part.kind} is missing")
    if len(section) != part.size:
        raise SnapshotError(f"a section of {part.kind} has {len(section)} bytes, and the manifest says {part.size}")
    if hashlib.sha256(section).digest() != part.digest:
        raise SnapshotError(f"a section of {part.kind} was altered")


def assemble(manifest: bytes, sections: Mapping[bytes, bytes]) -> Snapshot:
    """Return the snapshot of a manifest and (at least) its sections, all read once; SnapshotError on any fault.

    It takes as long as it takes: a second for 100,000 consumers. A worker that serves goes through the steps of
    `plane.compile` instead.
    """
    listed = parse(manifest)
    for part in listed.parts:
        check(part, sections.get(part.digest))
    own = {part.digest: sections[part.digest] for part in listed.parts}
    snapshot = Snapshot(listed.version, listed.digest, manifest, own)
    config_of(snapshot)
    return snapshot


def config_of(snapshot: Snapshot) -> Config:
    """Return the config that a snapshot holds; SnapshotError if its sections are not what `build` makes."""
    maps: dict[str, Any] = {kind: dict(entries_of(snapshot, kind)) for kind in KINDS[:4]}
    parts = [Consumers(section) for section in snapshot.of_kind("consumers")]
    consumers = {name: with_keys(consumer, digests) for part in parts for name, consumer, digests in part.records()}
    Directory(parts, [Keys(section) for section in snapshot.of_kind("keys")])
    prices_of(snapshot)
    return Config(**maps, consumers=consumers)


def prices_of(snapshot: Snapshot) -> dict[str, PriceList]:
    """Return the price lists of a snapshot by provider; SnapshotError if their sections are not what `build` makes."""
    return price_lists(snapshot.of_kind("prices"))


def entries_of(snapshot: Snapshot, kind: str) -> Iterator[tuple[str, Any]]:
    """Yield (name, value) of all entries of a `kind`, except consumers and keys; see `core.sections.entries`."""
    return entries(kind, snapshot.of_kind(kind))


def _manifest(version: int, listed: bytes) -> bytes:
    fields = _FIELDS.pack(_MAGIC, FORMAT, _checked(version), len(listed) // _ROW.size) + listed
    return fields + hashlib.sha256(fields).digest()


def _checked(version: int) -> int:
    if not 1 <= version <= MAX_VERSION:
        raise SnapshotError(f"version {version} is not from 1 to {MAX_VERSION}")
    return version
