"""The last good snapshots as files: what stands in each, and which of them a process may go on with.

    <version>-<generation>    one published snapshot with its secrets: an envelope
    sections/<hex digest>     a section of the snapshots, shared by all that hold it
    highest                   the highest numbers ever given away, and the version that is active

An envelope is, with integers big-endian:

    8 bytes   ``HGSAVED\\0``
    2         format
    8, 8      version, generation of the secrets
    32, 32    digest of the snapshot, digest of the config that ``--config`` named last
    4, 4      size of the manifest, size of the sealed secrets
    ...       the manifest; in the clear, as the sections are: these hold references to secrets, never their values
    ...       the secrets, reference -> value in msgpack, sealed; all that stands before the sizes is their context
    40        tag over everything before it (`core.seal`)

It is checked from the outside in: length, tag, format, numbers, then the sections by their digests. So nothing in it is
parsed before it is known to be what control wrote.

Nothing here opens a file: a reader ``read(name, limit)`` is handed in. It returns the bytes of a file in the directory,
or raises OSError; ValueError for one of more than `limit` bytes.
"""

import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec
from msgspec import Struct

from core.errors import SealError, SnapshotError
from core.seal import TAG_SIZE, Entropy, Keyring
from core.sections import LIMIT
from core.snapshot import MAX_VERSION, Snapshot, check, parse

__all__ = [
    "HIGHEST",
    "KEPT",
    "MAX_ENVELOPE",
    "SECTIONS",
    "Envelope",
    "LastGood",
    "Marks",
    "Reader",
    "load",
    "name_of",
    "newest_first",
    "open_envelope",
    "open_marks",
    "seal_envelope",
    "seal_marks",
    "section_name",
]

KEPT = 3
"""How many envelopes are kept: two of them may be damaged, and there is still one to go on with."""
MAX_ENVELOPE = 32 * 1024 * 1024
HIGHEST = "highest"
SECTIONS = "sections"

FORMAT = 1
_NAME = re.compile(r"([1-9][0-9]{0,18})-([1-9][0-9]{0,18})")
_MAGIC = b"HGSAVED\0"
_BOUND = struct.Struct(">8sHQQ32s32s")
_SIZES = struct.Struct(">II")
_HEADER = _BOUND.size + _SIZES.size
_MARKS_MAGIC = b"HGHIGH\0\0"
_MARKS = struct.Struct(">8sHQQQ")
_PURPOSE_SECRETS = "last-good-secrets"
_PURPOSE_ENVELOPE = "last-good-envelope"
_PURPOSE_MARKS = "last-good-highest"

_encoder = msgspec.msgpack.Encoder(order="sorted")
_decoder = msgspec.msgpack.Decoder(dict[str, str])

Reader = Callable[[str, int], bytes]


class Envelope(Struct, frozen=True):
    """A published snapshot without its sections, and its secrets.

    digest: 64 hex digits, of the snapshot. source: 64 hex digits, of the config that ``--config`` named last.
    """

    version: int
    generation: int
    digest: str
    source: str
    manifest: bytes
    secrets: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Envelope({name_of(self.version, self.generation)}, digest={self.digest!r}, secrets=***)"


class LastGood(Struct, frozen=True):
    """An envelope that was found to be whole, and the snapshot it belongs to."""

    envelope: Envelope
    snapshot: Snapshot


class Marks(Struct, frozen=True):
    """The highest version and the highest generation ever given away, and the version that was made active last."""

    version: int = 0
    generation: int = 0
    active_version: int = 0


def name_of(version: int, generation: int) -> str:
    """Return the name of the envelope with these numbers."""
    return f"{version}-{generation}"


def section_name(digest: bytes) -> str:
    """Return the name of the section with this digest."""
    return f"{SECTIONS}/{digest.hex()}"


def newest_first(names: Iterable[str]) -> list[tuple[int, int]]:
    """Return the (version, generation) of every name that is an envelope's, whatever stands in the file."""
    found = (_NAME.fullmatch(name) for name in names)
    return sorted(((int(match[1]), int(match[2])) for match in found if match), reverse=True)


def load(names: Iterable[str], read: Reader, keys: Keyring, refuse: Callable[[str, str], None]) -> Iterator[LastGood]:
    """Yield what can be gone on with, newest first, of the newest `KEPT`; tell `refuse` (name, why) of the others.

    The next is read when it is asked for: whoever can build the first looks at no other.
    """
    for version, generation in newest_first(names)[:KEPT]:
        name = name_of(version, generation)
        try:
            envelope = open_envelope(read(name, MAX_ENVELOPE), keys)
            if (envelope.version, envelope.generation) != (version, generation):
                raise SnapshotError(f"it is {name_of(envelope.version, envelope.generation)} under another name")
            snapshot = _snapshot(envelope, read)
        except OSError as error:
            refuse(name, f"{error.filename or name}: {error.strerror or error}")
        except (SealError, SnapshotError, ValueError) as error:
            refuse(name, str(error))
        else:
            yield LastGood(envelope, snapshot)


def _snapshot(envelope: Envelope, read: Reader) -> Snapshot:
    """Return the snapshot, its sections known to be those that were written; what they say is not looked at."""
    manifest = parse(envelope.manifest)
    if (manifest.version, manifest.digest) != (envelope.version, envelope.digest):
        raise SnapshotError("its manifest is that of another snapshot")
    sections = {}
    for part in manifest.parts:
        sections[part.digest] = read(section_name(part.digest), LIMIT)
        check(part, sections[part.digest])
    return Snapshot(manifest.version, manifest.digest, envelope.manifest, sections)


def seal_envelope(envelope: Envelope, keys: Keyring, entropy: Entropy) -> bytes:
    """Return the file of `envelope`; SnapshotError if it is larger than what is read again."""
    digest, source = bytes.fromhex(envelope.digest), bytes.fromhex(envelope.source)
    bound = _BOUND.pack(_MAGIC, FORMAT, envelope.version, envelope.generation, digest, source)
    sealed = keys.seal(_PURPOSE_SECRETS, _encoder.encode(dict(envelope.secrets)), bound, entropy)
    signed = bound + _SIZES.pack(len(envelope.manifest), len(sealed)) + envelope.manifest + sealed
    if len(signed) + TAG_SIZE > MAX_ENVELOPE:
        raise SnapshotError(f"an envelope of {len(signed) + TAG_SIZE} bytes is over the limit of {MAX_ENVELOPE}")
    return signed + keys.sign(_PURPOSE_ENVELOPE, signed)


def open_envelope(data: bytes, keys: Keyring) -> Envelope:
    """Return the envelope that `data` is; SealError or SnapshotError if a single bit is not as it was written."""
    signed = _checked(data, MAX_ENVELOPE, _HEADER, keys, _PURPOSE_ENVELOPE)
    magic, number, version, generation, digest, source = _BOUND.unpack_from(signed)
    _check_format(magic, _MAGIC, number)
    if not (1 <= version <= MAX_VERSION and 1 <= generation <= MAX_VERSION):
        raise SnapshotError(f"version {version} or generation {generation} is not from 1 to {MAX_VERSION}")
    manifest_size, sealed_size = _SIZES.unpack_from(signed, _BOUND.size)
    if _HEADER + manifest_size + sealed_size != len(signed):
        raise SnapshotError("its sizes do not add up to its length")
    manifest, sealed = signed[_HEADER : _HEADER + manifest_size], signed[_HEADER + manifest_size :]
    plain = keys.open(_PURPOSE_SECRETS, sealed, signed[: _BOUND.size])
    try:
        secrets = _decoder.decode(plain)
    except (msgspec.MsgspecError, ValueError):
        # What went wrong may quote what it found.
        raise SnapshotError("its secrets are not a map of texts") from None
    return Envelope(version, generation, digest.hex(), source.hex(), manifest, secrets)


def seal_marks(marks: Marks, keys: Keyring) -> bytes:
    """Return the file of `marks`."""
    signed = _MARKS.pack(_MARKS_MAGIC, FORMAT, *msgspec.structs.astuple(marks))
    return signed + keys.sign(_PURPOSE_MARKS, signed)


def open_marks(data: bytes, keys: Keyring) -> Marks:
    """Return the marks that `data` is; SealError or SnapshotError if a single bit is not as it was written."""
    signed = _checked(data, _MARKS.size + TAG_SIZE, _MARKS.size, keys, _PURPOSE_MARKS)
    magic, number, *numbers = _MARKS.unpack(signed)
    _check_format(magic, _MARKS_MAGIC, number)
    return Marks(*numbers)


def _checked(data: bytes, most: int, least: int, keys: Keyring, purpose: str) -> bytes:
    """Return what was signed of `data`."""
    if not least + TAG_SIZE <= len(data) <= most:
        raise SnapshotError(f"it has {len(data)} bytes; {least + TAG_SIZE} to {most} are possible")
    keys.check(purpose, data[:-TAG_SIZE], data[-TAG_SIZE:])
    return data[:-TAG_SIZE]


def _check_format(magic: bytes, expected: bytes, number: int) -> None:
    if magic != expected or number != FORMAT:
        raise SnapshotError(f"format {number}; this build reads format {FORMAT}")
