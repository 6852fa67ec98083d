"""The sections of a snapshot: how a config is cut into them, and what a worker reads out of them.

A section is at most `LIMIT` bytes: its kind (1 byte), 3 zeros, the number of its entries (4), then the entries in
strictly rising order; numbers are little-endian. Their forms:

    providers, models, upstreams, routes    msgpack: an array of [name, value], by name
    prices                                  msgpack: an array of [name, rows], by name: parts of a provider's price list
                                            (`core.price_list`), named PROVIDER and a count that keeps their order
    consumers                               number of grants (4), tag (8) of each name, end (4) of each record, end (4)
                                            of each grant, the records, the grants; by tag.
                                            A record is the number of its grant (2), the number of its keys (2), their
                                            digests (32 each), the name. A grant is a consumer without keys in msgpack:
                                            what those of a section have in common stands there once
    keys                                    tag (8) of each key's digest, tag (8) of the consumer it stands in; by tag

Where a section ends is a matter of the name before the cut alone (but for the limit of size), so that one changed entry
changes one section. Consumers and keys are read in place, an entry at a time: no object is made of an entry until it is
asked for. The keys are only an index, and a key is compared in whole with the record that the index leads to: a wrong
index can hide a consumer, and never show another one.
"""

import hashlib
import re
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from operator import lt, mul
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import msgspec

from core.errors import ConfigError, SnapshotError
from core.model import Config, Consumer, Key, Model, ModelName, Name, Provider, Route, Upstream
from core.price_list import PriceList, PriceRow

__all__ = [
    "KINDS",
    "LIMIT",
    "NO_PRICES",
    "Consumers",
    "Directory",
    "Keys",
    "cut",
    "entries",
    "price_lists",
    "tag",
    "with_keys",
]

NO_PRICES: Mapping[str, Sequence[PriceRow]] = MappingProxyType({})
LIMIT = 256 * 1024
"""Bytes of a section at most."""
KINDS = ("providers", "models", "upstreams", "routes", "consumers", "keys", "prices")

# How many entries a section has on average, so that most stay near 32 KiB, and one is decoded in 2 ms at most; `_MOST`
# times as many are where it ends in any case.
_ENTRIES = {
    "providers": 128,
    "models": 128,
    "upstreams": 128,
    "routes": 128,
    "consumers": 512,
    "keys": 2048,
    "prices": 2,
}
_MOST = 4
_HEAD = struct.Struct("<B3xI")
_ARRAY = b"\xdd"  # msgpack: an array whose length follows in 4 bytes, big-endian
_GRANTS = struct.Struct("<I")
_RECORD = struct.Struct("<HH")  # which grant, how many keys
_DIGEST = 32

_encoder = msgspec.msgpack.Encoder(order="sorted")
_TYPES: dict[str, Any] = {
    "providers": Provider,
    "models": Model,
    "upstreams": Upstream,
    "routes": Route,
    "prices": tuple[PriceRow, ...],
}
_ROWS = 64  # of a price list in one entry
_NAMED: dict[str, Any] = {"models": ModelName, "prices": str}  # others have the names of `Name`
_maps = {
    kind: msgspec.msgpack.Decoder(list[tuple[_NAMED.get(kind, Name), made]])  # type: ignore[misc]
    for kind, made in _TYPES.items()
}
_grant = msgspec.msgpack.Decoder(Consumer)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")


def tag(text: bytes) -> int:
    """Return the 64-bit number that stands for `text`: the first 8 bytes of its SHA-256."""
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "little")


def cut(config: Config, prices: Mapping[str, Sequence[PriceRow]] = NO_PRICES) -> Iterator[tuple[str, bytes]]:
    """Yield (kind, section) for all that `config` says, and for price lists by provider, in the order of `KINDS`.

    ConfigError: an entry is too large for any section, a key belongs to two consumers, or two tags are the same.
    """
    for kind in KINDS[:4]:
        yield from _cut_map(kind, getattr(config, kind))
    records: list[_Person] = []
    index: list[_Entry] = []
    names: dict[int, str] = {}
    owners: dict[int, str] = {}
    for name, consumer in config.consumers.items():
        own = tag(name.encode())
        if names.setdefault(own, name) is not name:
            raise ConfigError([f"consumers.{name}: cannot stand beside {names[own]!r}; rename one of them"])
        digests = [bytes.fromhex(key.sha256) for key in consumer.keys]
        for digest in digests:
            at = tag(digest)
            if at in owners:
                raise ConfigError([f"consumers: the key digest {digest.hex()} comes twice, in {owners[at]} and {name}"])
            owners[at] = name
            index.append(_Entry(at, struct.pack("<QQ", at, own)))
        grant = _encoder.encode(msgspec.structs.replace(consumer, keys=()))
        person = _Person(own, name.encode(), b"".join(digests), grant)
        _check_size("consumers", name, person.size)
        records.append(person)
    for people in _grouped("consumers", sorted(records)):
        yield "consumers", _people(people)
    for group in _grouped("keys", sorted(index)):
        pairs = b"".join(item.data for item in group)
        numbers = memoryview(pairs).cast("Q")
        yield "keys", b"".join([_head("keys", len(group)), numbers[::2].tobytes(), numbers[1::2].tobytes()])
    lists = {
        f"{provider}#{at // _ROWS:06d}": tuple(rows[at : at + _ROWS])
        for provider, rows in prices.items()
        for at in range(0, len(rows), _ROWS)
    }
    yield from _cut_map("prices", lists)


class _Person(NamedTuple):
    """A consumer on its way into a section. tag: of its name. digests: of its keys, end to end. grant: as msgpack."""

    tag: int
    name: bytes
    digests: bytes
    grant: bytes

    @property
    def size(self) -> int:
        """Bytes that it takes at most, if its grant is nobody else's."""
        return 8 + 4 + _RECORD.size + len(self.digests) + len(self.name) + 4 + len(self.grant)


def _people(group: Sequence[_Person]) -> bytes:
    """Return a section of these consumers."""
    grants: dict[bytes, int] = {}
    records = []
    for person in group:
        number = grants.setdefault(person.grant, len(grants))
        records.append(_RECORD.pack(number, len(person.digests) // _DIGEST) + person.digests + person.name)
    ends = [*accumulate(map(len, records)), *accumulate(map(len, grants))]
    tags = struct.pack(f"<{len(group)}Q", *(person.tag for person in group))
    places = struct.pack(f"<{len(ends)}I", *ends)
    return b"".join([_head("consumers", len(group)), _GRANTS.pack(len(grants)), tags, places, *records, *grants])


def _cut_map(kind: str, named: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    items = []
    for name in sorted(named):
        encoded = _encoder.encode((name, named[name]))
        _check_size(kind, name, len(encoded) + 5)
        items.append(_Entry(tag(name.encode()), encoded))
    for group in _grouped(kind, items):
        array = _ARRAY + len(group).to_bytes(4, "big")
        yield kind, b"".join([_head(kind, len(group)), array, *(item.data for item in group)])


class _Entry(NamedTuple):
    """Any other entry on its way into a section."""

    tag: int
    data: bytes

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return len(self.data)


Some = TypeVar("Some", _Person, _Entry)


def _grouped(kind: str, items: Iterable[Some]) -> Iterator[list[Some]]:
    """Yield `items` in groups that make a section each."""
    group: list[Some] = []
    average = _ENTRIES[kind]
    empty = _HEAD.size + 5
    size = empty
    for item in items:
        ends = item.tag % average == 0 or size + item.size > LIMIT or len(group) == _MOST * average
        if group and ends:
            yield group
            group, size = [], empty
        group.append(item)
        size += item.size
    if group:
        yield group


def _head(kind: str, count: int) -> bytes:
    return _HEAD.pack(KINDS.index(kind), count)


def _check_size(kind: str, name: str, size: int) -> None:
    if size > LIMIT - _HEAD.size:
        raise ConfigError([f"{kind}.{name}: takes {size} bytes; an entry may take {LIMIT - _HEAD.size} at most"])


def _count(kind: str, section: bytes) -> int:
    """Return how many entries a section says it has; SnapshotError if it is none of this kind."""
    if len(section) < _HEAD.size or len(section) > LIMIT:
        raise SnapshotError(f"a section of {len(section)} bytes")
    number, count = _HEAD.unpack_from(section)
    if number != KINDS.index(kind) or section[1:4] != b"\x00\x00\x00" or not count:
        raise SnapshotError(f"it is no section of {kind}")
    return int(count)


def entries(kind: str, sections: Iterable[bytes]) -> Iterator[tuple[str, Any]]:
    """Yield (name, value) of all entries in the sections of a `kind`, except consumers and keys.

    SnapshotError: a section is not one of this kind, or names do not rise from one entry to the next.
    """
    last = ""
    for section in sections:
        count = _count(kind, section)
        try:
            found = _maps[kind].decode(memoryview(section)[_HEAD.size :])
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            raise SnapshotError(f"{kind}: {str(error)[:200]}") from None
        if len(found) != count:
            raise SnapshotError(f"{kind}: {len(found)} entries, and the section says {count}")
        for name, value in found:
            if name <= last:
                raise SnapshotError(f"{kind}: {name!r} does not come after {last!r}")
            last = name
            yield name, value


def price_lists(sections: Iterable[bytes]) -> dict[str, PriceList]:
    """Return the price lists in the sections of that kind, by provider; SnapshotError as of `entries`."""
    found: dict[str, PriceList] = {}
    for name, rows in entries("prices", sections):
        found.setdefault(name.partition("#")[0], PriceList()).rows.extend(rows)
    return found


class Consumers:
    """One section of consumers, read in place.

    count, total: of the keys in it, as `Keys` has them, known once `records` has come to its end.
    """

    __slots__ = ("count", "ends", "grant_ends", "records_at", "section", "tags", "total")

    def __init__(self, section: bytes) -> None:
        number = _count("consumers", section)
        if len(section) < _HEAD.size + _GRANTS.size:
            raise SnapshotError("consumers: the section is cut short")
        (grants,) = _GRANTS.unpack_from(section, _HEAD.size)
        tags = _HEAD.size + _GRANTS.size
        ends = tags + 8 * number
        self.records_at = ends + 4 * (number + grants)
        if len(section) < self.records_at or not 0 < grants <= number:
            raise SnapshotError("consumers: the section is cut short")
        whole = memoryview(section)
        self.section = section
        self.tags = whole[tags:ends].cast("Q")
        self.ends = whole[ends : ends + 4 * number].cast("I")
        self.grant_ends = whole[ends + 4 * number : self.records_at].cast("I")
        self.count = -1
        self.total = 0

    def records(self) -> Iterator[tuple[str, Consumer, bytes]]:
        """Yield (name, consumer without keys, digests of its keys) of each record; SnapshotError at a wrong one."""
        size = len(self.section) - self.records_at
        if self.ends[-1] > size or self.ends[-1] + self.grant_ends[-1] != size or not _rise(self.grant_ends):
            raise SnapshotError("consumers: the section is not as long as it says")
        if not _rise(self.ends) or not _rise(self.tags):
            raise SnapshotError("consumers: the records are not in order")
        grants: dict[int, Consumer] = {}
        count, total = 0, 0
        for index, own in enumerate(self.tags):
            number, digests, name = self._parts(index)
            if number not in grants:
                grants[number] = self._grant(number)
            if tag(name) != own or not _NAME.fullmatch(name.decode("latin-1")):
                raise SnapshotError("consumers: one stands where another one belongs")
            for at in range(0, len(digests), _DIGEST):
                total += own * tag(digests[at : at + _DIGEST])
                count += 1
            yield name.decode(), grants[number], digests
        if len(grants) != len(self.grant_ends):
            raise SnapshotError("consumers: a grant that nobody has")
        self.count, self.total = count, total

    def record(self, index: int) -> tuple[str, Consumer, bytes]:
        """Return the record at `index` as `records` yields it, once that has come to its end."""
        number, digests, name = self._parts(index)
        return name.decode(), self._grant(number), digests

    def _parts(self, index: int) -> tuple[int, bytes, bytes]:
        """Return the number of the grant, the digests and the name of a record."""
        start = self.records_at + (self.ends[index - 1] if index else 0)
        data = self.section[start : self.records_at + self.ends[index]]
        if len(data) < _RECORD.size:
            raise SnapshotError("consumers: a record is cut short")
        number, keys = _RECORD.unpack_from(data)
        name = _RECORD.size + _DIGEST * keys
        return number, data[_RECORD.size : name], data[name:]

    def _grant(self, number: int) -> Consumer:
        """Return what a grant of the section allows."""
        if number >= len(self.grant_ends):
            raise SnapshotError("consumers: there is no such grant")
        base = self.records_at + self.ends[-1]
        start = base + (self.grant_ends[number - 1] if number else 0)
        try:
            consumer = _grant.decode(self.section[start : base + self.grant_ends[number]])
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            raise SnapshotError(f"consumers: {str(error)[:200]}") from None
        if consumer.keys:
            raise SnapshotError("consumers: a grant has keys")
        return consumer


class Keys:
    """One section of the index of keys, read in place.

    total: the sum of tag x owner over its keys. That of all sections is the same sum over the keys of all consumers,
    and is another one as soon as a key stands with an owner that is not its own.
    SnapshotError: it is no such section, or is not in order.
    """

    __slots__ = ("count", "owners", "tags", "total")

    def __init__(self, section: bytes) -> None:
        self.count = _count("keys", section)
        if len(section) != _HEAD.size + 16 * self.count:
            raise SnapshotError("keys: the section is not as long as it says")
        whole = memoryview(section)[_HEAD.size :].cast("Q")
        self.tags = whole[: self.count]
        self.owners = whole[self.count :]
        if not _rise(self.tags):
            raise SnapshotError("keys: they are not in order")
        self.total = sum(map(mul, self.tags, self.owners))


class Directory:
    """All consumers and their keys: sections that were read to their end.

    SnapshotError: they are not in order, or the index is not that of these consumers.
    """

    def __init__(self, consumers: Sequence[Consumers], keys: Sequence[Keys]) -> None:
        self.consumers = consumers
        self.keys = keys
        self._consumers = _firsts("consumers", consumers)
        self._keys = _firsts("keys", keys)
        if sum(part.count for part in consumers) != sum(part.count for part in keys):
            raise SnapshotError("keys: there are not as many as the consumers have")
        if sum(part.total for part in consumers) != sum(part.total for part in keys):
            raise SnapshotError("keys: they do not belong to the consumers that have them")

    def find(self, digest: bytes) -> tuple[str, Consumer] | None:
        """Return the name and the consumer (without keys) that has the key of this digest, None if nobody has."""
        own = tag(digest)
        at = bisect_right(self._keys, own) - 1
        if at < 0:
            return None
        part = self.keys[at]
        place = bisect_left(part.tags, own)
        if place == part.count or part.tags[place] != own:
            return None
        found = self._record(part.owners[place])
        if found is None:
            return None
        name, consumer, digests = found
        mine = any(digests[at : at + _DIGEST] == digest for at in range(0, len(digests), _DIGEST))
        return (name, consumer) if mine else None

    def named(self, name: str) -> Consumer | None:
        """Return the consumer (without keys) of this name, None if there is none."""
        found = self._record(tag(name.encode()))
        return found[1] if found is not None and found[0] == name else None

    def _record(self, own: int) -> tuple[str, Consumer, bytes] | None:
        at = bisect_right(self._consumers, own) - 1
        if at < 0:
            return None
        part = self.consumers[at]
        place = bisect_left(part.tags, own)
        return part.record(place) if place < len(part.tags) and part.tags[place] == own else None


def _rise(numbers: memoryview) -> bool:
    """Tell whether each is larger than the one before it, and the first at least 0."""
    return all(map(lt, numbers, numbers[1:]))


def _firsts(kind: str, parts: Sequence[Consumers] | Sequence[Keys]) -> list[int]:
    """Return the first tag of each section."""
    last = -1
    for part in parts:
        if part.tags[0] <= last:
            raise SnapshotError(f"{kind}: the sections are not in order")
        last = part.tags[-1]
    return [part.tags[0] for part in parts]


def with_keys(consumer: Consumer, digests: bytes) -> Consumer:
    """Return a record's consumer with the keys that stand beside it."""
    keys = tuple(Key(digests[at : at + _DIGEST].hex()) for at in range(0, len(digests), _DIGEST))
    return msgspec.structs.replace(consumer, keys=keys)
