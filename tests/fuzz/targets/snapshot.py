"""Sections under a manifest that fits them: refused in words, or a config that comes back from being cut again.

An input is sections, each behind its length in two bytes. So what is inside is reached, behind the digests.
"""

import hashlib
from collections.abc import Hashable

from core.errors import ConfigError, SnapshotError
from core.sections import KINDS, Consumers, Directory, Keys
from core.snapshot import _FIELDS, _MAGIC, _ROW, FORMAT, assemble, build, config_of, parse

WORDS = (
    *(b"\x00\x00\x00\x00\x01\x00\x00\x00", b"\x04\x00\x00\x00\x01\x00\x00\x00", b"\x05\x00\x00\x00\x01\x00\x00\x00"),
    *(b"\xdd\x00\x00\x00\x01", b"\x92\xa1a", b"\xa6models\x91\xa1*", b"\xa7targets", b"\xa6limits", b"\x80", b"\xc0"),
    *(b"\xff\xff", b"\x00\x00", b"\x01\x00", b"\xa4keys", b"\xa4path\xa2/a", b"\xa5match", b"\xa8upstream\xa1a"),
)


def pieces(data: bytes) -> list[bytes]:
    """Return the sections in an input."""
    found = []
    while len(data) > 2:
        end = 2 + int.from_bytes(data[:2], "big")
        found.append(data[2:end])
        data = data[end:]
    return sorted(set(found), key=lambda section: section[:1])


def manifest_of(sections: list[bytes]) -> bytes:
    """Return a manifest that lists `sections`."""
    rows = [_ROW.pack(each[0] if each else 0, len(each), hashlib.sha256(each).digest()) for each in sections]
    fields = _FIELDS.pack(_MAGIC, FORMAT, 1, len(rows)) + b"".join(rows)
    return fields + hashlib.sha256(fields).digest()


def check(data: bytes) -> Hashable:
    """Assemble `data` as sections, and read it as a manifest."""
    try:
        parse(data)
    except SnapshotError:
        sections = pieces(data)
    else:
        return "a manifest"
    try:
        snapshot = assemble(manifest_of(sections), {hashlib.sha256(each).digest(): each for each in sections})
    except SnapshotError as error:
        return len(sections), str(error)[:40]
    config = config_of(snapshot)
    found = Directory(read(snapshot.of_kind("consumers")), [Keys(each) for each in snapshot.of_kind("keys")])
    for name, consumer in config.consumers.items():
        for key in consumer.keys:
            owner = found.find(bytes.fromhex(key.sha256))
            assert owner is None or owner[0] == name, "a key leads to another consumer"
    try:
        again = build(config, 1)
    except ConfigError as error:
        return len(sections), str(error)[:40]
    assert config_of(again) == config, "cut again, another config"
    return tuple(len(getattr(config, kind)) for kind in KINDS[:5])


def read(sections: list[bytes]) -> list[Consumers]:
    """Return sections of consumers, read to their end."""
    found = [Consumers(section) for section in sections]
    for part in found:
        for _ in part.records():
            pass
    return found
