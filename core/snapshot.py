"""A snapshot: one immutable config, its version and its digest, and the bytes it travels and is stored in.

The bytes are a header of fixed length and the config in canonical msgpack (sorted, defaults left out):

    8 bytes   ``HEADGATE``
    2         format, big-endian; read first, so that bytes of a newer build are told apart from damaged ones
    8         version
    8         length of what follows the header
    32        SHA-256 of what follows the header: the digest
    32        SHA-256 of the header so far
"""

import hashlib
import struct

import msgspec
from msgspec import Struct

from core.consistent import Problem, consistent
from core.errors import SnapshotError
from core.model import Config

__all__ = [
    "FORMAT",
    "MAX_SIZE",
    "MAX_VERSION",
    "Problem",
    "Snapshot",
    "consistent",
    "decode",
    "digest_of",
    "encode",
    "seal",
]

FORMAT = 1
MAX_SIZE = 128 * 1024 * 1024
MAX_VERSION = 2**63 - 1

_MAGIC = b"HEADGATE"
_FIELDS = struct.Struct(">8sHQQ32s")
_HEADER = _FIELDS.size + 32

_encoder = msgspec.msgpack.Encoder(order="sorted")
_decoder = msgspec.msgpack.Decoder(Config)


class Snapshot(Struct, frozen=True):
    """A config as pushed. Make it with `seal`.

    version: counts publications, from 1. digest: 64 hex digits, of the config alone.
    """

    version: int
    digest: str
    config: Config


def digest_of(config: Config) -> str:
    """Return the SHA-256 (64 hex digits) of what `config` says, whatever the order of its keys."""
    return hashlib.sha256(_encoder.encode(config)).hexdigest()


def seal(config: Config, version: int) -> Snapshot:
    """Return `config` as the snapshot `version`; SnapshotError if that is not from 1 to `MAX_VERSION`."""
    return Snapshot(_checked(version), digest_of(config), config)


def encode(snapshot: Snapshot) -> bytes:
    """Return the bytes of `snapshot`; SnapshotError if they exceed `MAX_SIZE` or its digest is not its config's."""
    body = _encoder.encode(snapshot.config)
    digest = hashlib.sha256(body).digest()
    if digest.hex() != snapshot.digest:
        raise SnapshotError("the digest is not that of the config: make snapshots with seal()")
    if _HEADER + len(body) > MAX_SIZE:
        raise SnapshotError(f"a snapshot of {_HEADER + len(body)} bytes is over the limit of {MAX_SIZE}")
    fields = _FIELDS.pack(_MAGIC, FORMAT, _checked(snapshot.version), len(body), digest)
    return fields + hashlib.sha256(fields).digest() + body


def decode(data: bytes) -> Snapshot:
    """Return the snapshot that `encode` wrote as `data`; SnapshotError if a single bit is not as it was written."""
    if len(data) > MAX_SIZE:
        raise SnapshotError(f"a snapshot of {len(data)} bytes is over the limit of {MAX_SIZE}")
    if len(data) < _HEADER:
        raise SnapshotError(f"truncated: {len(data)} bytes, and the header alone has {_HEADER}")
    magic, number, version, length, digest = _FIELDS.unpack_from(data)
    if magic != _MAGIC:
        raise SnapshotError("not a snapshot")
    if number != FORMAT:
        raise SnapshotError(f"format {number}; this build reads format {FORMAT}")
    if hashlib.sha256(data[: _FIELDS.size]).digest() != data[_FIELDS.size : _HEADER]:
        raise SnapshotError("the header was altered")
    body = data[_HEADER:]
    if len(body) != length:
        raise SnapshotError(f"{len(body)} bytes of config, and the header says {length}")
    if hashlib.sha256(body).digest() != digest:
        raise SnapshotError("the config does not have the digest that the header says")
    try:
        config = _decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise SnapshotError(f"not a config: {error}") from None
    return Snapshot(_checked(version), digest.hex(), config)


def _checked(version: int) -> int:
    if not 1 <= version <= MAX_VERSION:
        raise SnapshotError(f"version {version} is not from 1 to {MAX_VERSION}")
    return version
