"""core.lastgood: what was written is read again to the bit, and whatever was altered is passed over."""

import itertools
import os
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import SealError, SnapshotError
from core.lastgood import (
    KEPT,
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
from core.model import Config
from core.seal import TAG_SIZE, Keyring
from core.snapshot import MAX_VERSION, Snapshot, build

KEYS = Keyring(bytes(range(32)))
OTHER = Keyring(bytes(range(32, 64)))
CANARY = "sk-canary-4711"
SECRETS = {"env:KEY": CANARY}
SOURCE = "5a" * 32
BOUND = 90  # bytes that stand before the sizes


def snapshot(version: int, name: str = "m") -> Snapshot:
    config = {
        "providers": {"p": {"dialect": "openai", "base_url": "http://127.0.0.1:9/v1", "credential": "env:KEY"}},
        "models": {f"{name}-{version}": {"targets": [{"provider": "p", "model": "m"}]}},
    }
    return build(msgspec.convert(config, Config), version)


def envelope(of: Snapshot, generation: int = 1, secrets: Mapping[str, str] = SECRETS) -> Envelope:
    return Envelope(of.version, generation, of.digest, SOURCE, of.manifest, secrets)


class Folder:
    """A directory in memory, as the functions are handed one."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.refused: dict[str, str] = {}

    def save(self, of: Snapshot, generation: int = 1, keys: Keyring = KEYS) -> str:
        name = name_of(of.version, generation)
        self.files[name] = seal_envelope(envelope(of, generation), keys, os.urandom)
        self.files |= {section_name(digest): body for digest, body in of.sections.items()}
        return name

    def read(self, name: str, limit: int) -> bytes:
        if name not in self.files:
            raise FileNotFoundError(2, "No such file or directory", name)
        if len(self.files[name]) > limit:
            raise ValueError(f"{name}: too long")
        return self.files[name]

    def load(self, keys: Keyring = KEYS) -> list[LastGood]:
        self.refused = {}
        return list(load(self.files, self.read, keys, self.refused.__setitem__))

    def versions(self, keys: Keyring = KEYS) -> list[int]:
        return [found.snapshot.version for found in self.load(keys)]


@pytest.fixture
def folder() -> Folder:
    """Return the files of versions 1, 2 and 3."""
    made = Folder()
    for version in (1, 2, 3):
        made.save(snapshot(version))
    return made


def altered(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_what_was_written_is_read_again_with_its_secrets(folder: Folder) -> None:
    first, *_ = folder.load()
    assert first.envelope == envelope(snapshot(3))
    assert first.snapshot == snapshot(3)
    assert folder.versions() == [3, 2, 1]
    assert folder.refused == {}


def test_the_newest_is_the_highest_version_then_the_highest_generation_whatever_their_digits() -> None:
    names = ["9-1", "10-2", "10-10", "10-9", "2-99"]
    for order in itertools.permutations(names):
        assert newest_first(order) == [(10, 10), (10, 9), (10, 2), (9, 1), (2, 99)]


@pytest.mark.parametrize("name", ["highest", "sections", "1-1.new", "01-1", "1-0", "0-1", "1", "-1-1", "1-1 ", "x1-1"])
def test_other_files_are_no_envelopes(name: str) -> None:
    assert newest_first([name]) == []


def test_only_the_newest_three_are_looked_at(folder: Folder) -> None:
    folder.save(snapshot(4))
    assert folder.versions() == [4, 3, 2]
    assert KEPT == 3


def test_an_older_one_is_not_read_while_nobody_asks_for_it(folder: Folder) -> None:
    asked: list[str] = []

    def read(name: str, limit: int) -> bytes:
        asked.append(name)
        return folder.read(name, limit)

    next(load(folder.files, read, KEYS, folder.refused.__setitem__))
    assert [name for name in asked if not name.startswith("sections/")] == ["3-1"]


def test_every_altered_bit_of_the_newest_falls_back_to_the_one_before(folder: Folder) -> None:
    whole = folder.files["3-1"]
    for bit in range(len(whole) * 8):
        folder.files["3-1"] = altered(whole, bit)
        assert folder.versions() == [2, 1]
        assert list(folder.refused) == ["3-1"]


def test_every_altered_byte_of_a_section_of_its_own_falls_back_to_the_one_before(folder: Folder) -> None:
    for digest, body in own_sections(3).items():
        for at in range(len(body)):
            folder.files[section_name(digest)] = altered(body, at * 8 + at % 8)
            assert folder.versions() == [2, 1]
        folder.files[section_name(digest)] = body
    assert folder.versions() == [3, 2, 1]


def test_a_damaged_section_that_all_share_leaves_nothing_to_go_on_with(folder: Folder) -> None:
    (digest,) = snapshot(3).sections.keys() - own_sections(3).keys()
    folder.files[section_name(digest)] = altered(folder.files[section_name(digest)], 9)
    assert folder.versions() == []
    assert set(folder.refused.values()) == {"a section of providers was altered"}


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_is_done_to_the_files_nothing_else_than_what_was_written_is_read(data: Any) -> None:
    """Bits flipped, cut, lengthened, exchanged, removed, anywhere and at once: what loads is one of the three."""
    folder = Folder()
    for version in (1, 2, 3):
        folder.save(snapshot(version))
    written = {version: LastGood(envelope(snapshot(version)), snapshot(version)) for version in (1, 2, 3)}
    before = dict(folder.files)
    names = st.sampled_from(sorted(before))
    for name in data.draw(st.lists(names, min_size=1, max_size=5)):
        body = folder.files.get(name, b"")
        match data.draw(st.sampled_from(["flip", "cut", "append", "insert", "exchange", "remove"])):
            case "flip" if body:
                folder.files[name] = altered(body, data.draw(st.integers(0, len(body) * 8 - 1)))
            case "cut":
                folder.files[name] = body[: data.draw(st.integers(0, len(body)))]
            case "append":
                folder.files[name] = body + data.draw(st.binary(max_size=60))
            case "insert":
                at = data.draw(st.integers(0, len(body)))
                folder.files[name] = body[:at] + data.draw(st.binary(max_size=60)) + body[at:]
            case "exchange":
                folder.files[name] = before[data.draw(names)]
            case "remove":
                folder.files.pop(name, None)
    found = folder.load()
    assert all(one == written[one.snapshot.version] for one in found)
    whole = [version for version in (3, 2, 1) if all(folder.files.get(n) == before[n] for n in needed(version))]
    assert [one.snapshot.version for one in found] == whole
    assert CANARY not in repr(folder.refused)


def own_sections(version: int) -> dict[bytes, bytes]:
    """Return the sections that no other version has."""
    shared = snapshot(version + 1).sections
    return {digest: body for digest, body in snapshot(version).sections.items() if digest not in shared}


def needed(version: int) -> list[str]:
    """Return the names of the files that version needs."""
    return [name_of(version, 1), *(section_name(digest) for digest in snapshot(version).sections)]


def test_with_nothing_left_there_is_nothing_to_go_on_with_and_a_reason_for_each() -> None:
    folder = Folder()
    assert folder.load() == []
    for version in (1, 2, 3):
        folder.save(snapshot(version))
    for name in folder.files:
        folder.files[name] = b""
    assert folder.load() == []
    assert sorted(folder.refused) == ["1-1", "2-1", "3-1"]
    assert "it has 0 bytes" in folder.refused["1-1"]


def test_a_missing_section_is_named(folder: Folder) -> None:
    (digest,) = own_sections(3)
    del folder.files[section_name(digest)]
    assert folder.versions() == [2, 1]
    assert folder.refused == {"3-1": f"sections/{digest.hex()}: No such file or directory"}


def test_an_older_envelope_under_a_newer_name_is_refused(folder: Folder) -> None:
    folder.files["4-1"] = folder.files["1-1"]
    folder.files["3-2"] = folder.files["3-1"]
    assert folder.versions() == [3]
    assert folder.refused == {"4-1": "it is 1-1 under another name", "3-2": "it is 3-1 under another name"}


def test_another_key_opens_nothing_and_says_which_it_was(folder: Folder) -> None:
    assert folder.versions(OTHER) == []
    assert all("made with key 984103448ca23679" in reason for reason in folder.refused.values())


def test_after_an_exchange_of_keys_both_are_read(folder: Folder) -> None:
    both = Keyring(bytes(range(32, 64)) + bytes(range(32)))
    folder.save(snapshot(4), keys=both)
    assert folder.versions(both) == [4, 3, 2]
    assert folder.versions(OTHER) == [4]


def signed(body: bytes) -> bytes:
    """Return `body` with a tag that is right: what only control could write."""
    return body + KEYS.sign("last-good-envelope", body)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda body: b"X" + body[1:], "this build reads format 1"),
        (lambda body: body[:8] + b"\0\2" + body[10:], "format 2; this build reads format 1"),
        (lambda body: body[:10] + bytes(8) + body[18:], "is not from 1 to"),
        (lambda body: body[:10] + b"\xff" * 8 + body[18:], "is not from 1 to"),
        (lambda body: body[:18] + bytes(8) + body[26:], "is not from 1 to"),
        (lambda body: body + b"x", "do not add up"),
        (lambda body: body[:BOUND] + b"\xff" * 4 + body[BOUND + 4 :], "do not add up"),
        (lambda body: body[:17] + bytes([body[17] ^ 1]) + body[18:], "belong elsewhere"),
    ],
    ids=["magic", "format", "version-0", "version-high", "generation-0", "longer", "sizes", "secrets-of-another"],
)
def test_what_is_wrong_behind_a_right_tag_is_refused_too(folder: Folder, change: Any, reason: str) -> None:
    body = folder.files["3-1"][:-TAG_SIZE]
    with pytest.raises((SealError, SnapshotError), match=reason):
        open_envelope(signed(change(body)), KEYS)


def test_secrets_of_another_form_are_refused_without_a_word_of_them() -> None:
    whole = seal_envelope(envelope(snapshot(1)), KEYS, os.urandom)
    bound = whole[:BOUND]
    sealed = KEYS.seal("last-good-secrets", msgspec.msgpack.encode([CANARY]), bound, os.urandom)
    sizes = (0).to_bytes(4, "big") + len(sealed).to_bytes(4, "big")
    with pytest.raises(SnapshotError) as caught:
        open_envelope(signed(bound + sizes + sealed), KEYS)
    assert CANARY not in repr(caught.getrepr(style="long", chain=True))


def test_a_manifest_of_another_snapshot_is_refused(folder: Folder) -> None:
    three = snapshot(3)
    wrong = msgspec.structs.replace(envelope(three), manifest=snapshot(2).manifest)
    folder.files["3-1"] = seal_envelope(wrong, KEYS, os.urandom)
    assert folder.versions() == [2, 1]
    assert folder.refused == {"3-1": "its manifest is that of another snapshot"}


def test_a_secret_stands_nowhere_in_the_files_nor_in_what_is_printed(folder: Folder) -> None:
    assert not [name for name, body in folder.files.items() if CANARY.encode() in body]
    assert CANARY not in repr(folder.load())
    assert CANARY not in str(envelope(snapshot(1)))


def test_an_envelope_too_large_to_be_read_again_is_not_written() -> None:
    huge = {f"env:{number}": "x" * 8192 for number in range(4096)}
    with pytest.raises(SnapshotError, match="over the limit"):
        seal_envelope(envelope(snapshot(1), secrets=huge), KEYS, os.urandom)


numbers = st.integers(0, MAX_VERSION)


@settings(deadline=None)
@given(st.builds(Marks, numbers, numbers, numbers))
def test_marks_are_read_as_they_were_written(marks: Marks) -> None:
    assert open_marks(seal_marks(marks, KEYS), KEYS) == marks


def test_every_altered_bit_of_the_marks_and_every_cut_is_refused() -> None:
    whole = seal_marks(Marks(5, 4, 3), KEYS)
    for bit in range(len(whole) * 8):
        with pytest.raises((SealError, SnapshotError)):
            open_marks(altered(whole, bit), KEYS)
    for size in range(len(whole)):
        with pytest.raises((SealError, SnapshotError)):
            open_marks(whole[:size], KEYS)
    with pytest.raises(SnapshotError, match="it has"):
        open_marks(whole + b"\0", KEYS)


def test_marks_are_no_envelope_and_an_envelope_no_marks(folder: Folder) -> None:
    with pytest.raises((SealError, SnapshotError)):
        open_envelope(seal_marks(Marks(1, 1, 1), KEYS).ljust(300, b"\0"), KEYS)
    with pytest.raises((SealError, SnapshotError)):
        open_marks(folder.files["1-1"], KEYS)
