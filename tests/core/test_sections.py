"""The sections of a config: what one edit changes, what is found in them in place, and what is no section."""

import hashlib
import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import sections
from core.errors import ConfigError, SnapshotError
from core.model import Config, Consumer, Key, Match, Model, Route, Target
from core.sections import KINDS, LIMIT, Consumers, Directory, Keys, cut, entries, tag


def sha(name: object) -> bytes:
    return hashlib.sha256(repr(name).encode()).digest()


def people(count: int, **changes: Consumer) -> Config:
    own = {f"c{number}": Consumer((Key(sha(number).hex()),), ("*",)) for number in range(count)}
    return Config(consumers=own | changes)


def of_kind(config: Config, kind: str) -> list[bytes]:
    return [section for found, section in cut(config) if found == kind]


def directory(config: Config) -> Directory:
    consumers = [Consumers(section) for section in of_kind(config, "consumers")]
    for part in consumers:
        for _ in part.records():
            pass
    return Directory(consumers, [Keys(section) for section in of_kind(config, "keys")])


digests = st.integers(0, 30).map(sha) | st.integers(0, 255).map(lambda byte: bytes(31) + bytes([byte]))


@given(
    owned=st.dictionaries(digests, st.sampled_from(["a", "b", "c", "d/e", "F" * 128]), max_size=30),
    others=st.lists(digests, max_size=20),
)
def test_the_directory_finds_what_a_dict_finds(owned: dict[bytes, str], others: list[bytes]) -> None:
    consumers = {
        name: Consumer(tuple(Key(digest.hex()) for digest, owner in owned.items() if owner == name))
        for name in owned.values()
    }
    found = directory(Config(consumers=consumers))
    for digest in [*owned, *others]:
        match = found.find(digest)
        assert (None if match is None else match[0]) == owned.get(digest)
    for name in ("a", "b", "nobody"):
        assert (found.named(name) is not None) == (name in consumers)


def test_a_key_with_any_one_bit_changed_is_unknown() -> None:
    found = directory(people(1))
    assert found.find(sha(0)) is not None
    for bit in range(256):
        near = (int.from_bytes(sha(0), "big") ^ 1 << bit).to_bytes(32, "big")
        assert found.find(near) is None


def test_ten_thousand_keys_are_all_found_in_a_hundred_bytes_each() -> None:
    config = people(10_000)
    assert sum(len(section) for _, section in cut(config)) < 100 * 10_000
    found = directory(config)
    for number in range(10_000):
        match = found.find(sha(number))
        assert match is not None
        assert match[0] == f"c{number}"
        assert found.find(sha(-1 - number)) is None


@settings(max_examples=20, deadline=None)
@given(number=st.integers(0, 4_999), kind=st.sampled_from(["change", "remove", "add"]))
def test_one_edit_changes_one_section_of_consumers_and_one_of_keys(number: int, kind: str) -> None:
    before = people(5_000)
    after = dict(before.consumers)
    if kind == "change":
        after[f"c{number}"] = msgspec.structs.replace(after[f"c{number}"], models=("other",))
    elif kind == "remove":
        del after[f"c{number}"]
    else:
        after["new"] = Consumer((Key(sha("new").hex()),))
    changed = Config(consumers=after)
    for part, most in (("consumers", 1), ("keys", 0 if kind == "change" else 1)):
        old, new = set(of_kind(before, part)), set(of_kind(changed, part))
        # A name that ends a section, or one that comes to do so, touches its neighbour as well.
        assert len(new - old) <= most + 1
        assert len(old) > 1


def test_no_section_is_over_the_limit_and_a_run_without_a_boundary_is_cut_by_force(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sections, "LIMIT", 4096)
    monkeypatch.setattr(sections, "tag", lambda text: tag(text) | 1)
    config = people(600)
    config = msgspec.structs.replace(
        config, routes={f"r{number}": Route(Match(f"/r{number}"), "u") for number in range(600)}
    )
    made = list(cut(config))
    assert {kind for kind, _ in made} == {"routes", "consumers", "keys"}
    assert max(len(section) for _, section in made) <= 4096
    assert min(sum(kind == one for kind, _ in made) for one in ("routes", "consumers", "keys")) > 2
    assert dict(entries("routes", [section for kind, section in made if kind == "routes"])) == config.routes


def test_an_entry_too_large_for_any_section_is_named() -> None:
    large = Model(tuple(Target("p", f"m{number}-" + "x" * 200) for number in range(2_000)))
    with pytest.raises(ConfigError, match=r"models.large: takes \d+ bytes; an entry may take 262136 at most"):
        list(cut(Config(models={"small": Model((Target("p", "m"),)), "large": large})))
    keys = tuple(Key(sha(number).hex()) for number in range(LIMIT // 32))
    with pytest.raises(ConfigError, match=r"consumers.c: takes \d+ bytes"):
        list(cut(Config(consumers={"c": Consumer(keys)})))


def test_a_key_that_stands_twice_is_named_with_both_places() -> None:
    key = (Key("ab" * 32),)
    with pytest.raises(ConfigError, match=f"the key digest {'ab' * 32} comes twice, in a and b"):
        list(cut(Config(consumers={"a": Consumer(key), "b": Consumer(key)})))
    with pytest.raises(ConfigError, match="comes twice, in a and a"):
        list(cut(Config(consumers={"a": Consumer(key * 2)})))


def test_two_names_that_cannot_be_told_apart_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sections, "tag", lambda text: 7)
    with pytest.raises(ConfigError, match=r"consumers\.b: cannot stand beside 'a'; rename one of them"):
        list(cut(Config(consumers={"a": Consumer(), "b": Consumer()})))


# --- what is no section

ROUTES = {"a": Route(Match("/a"), "u"), "b": Route(Match("/b"), "u")}
CONFIG = Config(routes=ROUTES, consumers={"c": Consumer((Key(sha(1).hex()), Key(sha(2).hex()))), "d": Consumer()})
(PAIR,) = of_kind(CONFIG, "routes")
(PEOPLE,) = of_kind(CONFIG, "consumers")
(INDEX,) = of_kind(CONFIG, "keys")


def head(kind: str, count: int) -> bytes:
    return struct.pack("<B3xI", KINDS.index(kind), count)


def packed(*pairs: Any) -> bytes:
    return head("routes", len(pairs)) + msgspec.msgpack.encode(pairs)


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        (b"", "a section of 0 bytes"),
        (PAIR[:7], "a section of 7 bytes"),
        (PAIR + bytes(LIMIT), "a section of"),
        (PEOPLE, "it is no section of routes"),
        (PAIR[:1] + b"\1" + PAIR[2:], "it is no section of routes"),
        (head("routes", 0) + b"\x90", "it is no section of routes"),
        (head("routes", 3) + PAIR[8:], "2 entries, and the section says 3"),
        (PAIR[:-1], "routes: "),
        (PAIR + b"\0", "routes: "),
        (packed(("b", ROUTES["b"]), ("a", ROUTES["a"])), "'a' does not come after 'b'"),
        (packed(("a", ROUTES["a"]), ("a", ROUTES["a"])), "'a' does not come after 'a'"),
        (packed(("a b", ROUTES["a"])), "routes: "),
        (packed(("a", {"match": {"path": "no"}, "upstream": "u"})), "routes: "),
        (packed(("a", {"match": {"path": "/"}, "upstream": "u", "more": 1})), "routes: "),
        (head("routes", 1) + b"\x91" * 100_000, "routes: "),
    ],
)
def test_bytes_that_are_no_section_of_a_map_are_told_apart(section: bytes, reason: str) -> None:
    with pytest.raises(SnapshotError, match=reason):
        list(entries("routes", [section]))


def test_names_rise_from_one_section_to_the_next() -> None:
    with pytest.raises(SnapshotError, match="'a' does not come after 'b'"):
        list(entries("routes", [PAIR, PAIR]))
    one, two = directory(people(2_000)).consumers[:2]
    with pytest.raises(SnapshotError, match="the sections are not in order"):
        Directory([two, one], [])


def test_a_consumer_stands_under_its_own_name_and_nothing_stands_between() -> None:
    def read(section: bytes) -> None:
        for _ in Consumers(section).records():
            pass

    read(PEOPLE)
    for position in range(len(PEOPLE)):
        for byte in (0, 1, 127, 255):
            altered = bytearray(PEOPLE)
            if altered[position] == byte:
                continue
            altered[position] = byte
            part = None
            try:
                part = Consumers(bytes(altered))
                for _ in part.records():
                    pass
            except SnapshotError:
                continue
            # What is left to be changed is a digest: then the sum is another one.
            assert part.total != directory(CONFIG).consumers[0].total
    for wrong in (PEOPLE[:-1], PEOPLE + b"\0", PEOPLE[:20], head("consumers", 2**32 - 1) + PEOPLE[8:]):
        with pytest.raises(SnapshotError):
            read(wrong)


def test_an_index_altered_anywhere_is_noticed() -> None:
    consumers = directory(CONFIG).consumers
    Directory(consumers, [Keys(INDEX)])
    for position in range(len(INDEX)):
        for bit in range(8):
            altered = bytearray(INDEX)
            altered[position] ^= 1 << bit
            with pytest.raises(SnapshotError):
                Directory(consumers, [Keys(bytes(altered))])
    for wrong in ([], [Keys(INDEX), Keys(INDEX)]):
        with pytest.raises(SnapshotError):
            Directory(consumers, wrong)


def test_keys_whose_owners_were_exchanged_are_noticed() -> None:
    config = Config(consumers={"a": Consumer((Key(sha(1).hex()),)), "b": Consumer((Key(sha(2).hex()),))})
    (index,) = of_kind(config, "keys")
    consumers = directory(config).consumers
    exchanged = index[:24] + index[32:40] + index[24:32]
    assert exchanged != index
    with pytest.raises(SnapshotError, match="they do not belong to the consumers that have them"):
        Directory(consumers, [Keys(exchanged)])


def test_a_wrong_index_shows_nobody_rather_than_another() -> None:
    config = Config(consumers={"a": Consumer((Key(sha(1).hex()),)), "b": Consumer((Key(sha(2).hex()),))})
    found = directory(config)
    (index,) = of_kind(config, "keys")
    found.keys = [Keys(index[:24] + index[32:40] + index[24:32])]
    assert [found.find(sha(1)), found.find(sha(2))] == [None, None]
