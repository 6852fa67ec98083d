import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from core import sections, snapshot
from core.errors import ConfigError, SnapshotError
from core.model import (
    Config,
    Consumer,
    Key,
    Limits,
    Listen,
    Match,
    Model,
    Provider,
    Route,
    Static,
    Target,
    Upstream,
)
from core.sections import KINDS, cut
from core.snapshot import assemble, build, config_of, digest_of, parse, renumbered

ROOT = Path(__file__).parents[2]
DATA = {
    "providers": {
        "openai": {"dialect": "openai", "base_url": "https://api.openai.com/v1", "credential": "env:OPENAI_API_KEY"},
        "other": {"dialect": "openai", "base_url": "http://10.0.0.9:9000/v1"},
    },
    "models": {
        "small": {"targets": [{"provider": "openai", "model": "gpt-4o-mini"}]},
        "smart": {"strategy": "weighted", "targets": [{"provider": "other", "model": "m", "weight": 3}]},
    },
    "consumers": {
        "payments": {"keys": [{"sha256": "9f" * 32}], "models": ["small"], "limits": {"requests": "100/s"}},
    },
    "upstreams": {"orders": {"endpoints": ["http://10.0.0.5:8000"]}},
    "routes": {"orders": {"match": {"path": "/orders/*", "methods": ["GET"]}, "upstream": "orders"}},
}
CONFIG = msgspec.convert(DATA, Config)
SNAPSHOT = build(CONFIG, 12)
MANIFEST = SNAPSHOT.manifest
HEADER = 22
ROW = 37


def forged(rows: bytes, *, version: int = 1, number: int = snapshot.FORMAT, count: int | None = None) -> bytes:
    """Return a manifest whose checksum is right, whatever the rest says."""
    listed = len(rows) // ROW if count is None else count
    head = b"HEADGATE" + number.to_bytes(2, "big") + version.to_bytes(8, "big") + listed.to_bytes(4, "big") + rows
    return head + hashlib.sha256(head).digest()


def resealed(*made: tuple[str, bytes]) -> tuple[bytes, dict[bytes, bytes]]:
    """Return a manifest and sections whose digests are right, whatever the sections hold."""
    rows = b""
    found = {}
    for kind, section in made:
        digest = hashlib.sha256(section).digest()
        found[digest] = section
        rows += bytes([KINDS.index(kind)]) + len(section).to_bytes(4, "big") + digest
    return forged(rows), found


def reversed_keys(value: object) -> object:
    if isinstance(value, dict):
        return {key: reversed_keys(item) for key, item in reversed(value.items())}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


def test_a_snapshot_comes_back_as_it_was() -> None:
    assert assemble(MANIFEST, SNAPSHOT.sections) == SNAPSHOT
    assert config_of(SNAPSHOT) == CONFIG


def test_an_empty_config_comes_back_as_it_was() -> None:
    empty = build(Config(), 1)
    assert empty.sections == {}
    assert config_of(assemble(empty.manifest, {})) == Config()


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,20}", fullmatch=True)
urls = st.integers(1, 65535).map(lambda port: f"http://127.0.0.1:{port}/x")
limits = st.builds(Limits, st.sampled_from([None, "1/s", "5000/min"]), st.none(), st.none() | st.integers(1, 64))
keys = st.binary(min_size=32, max_size=32).map(lambda digest: Key(digest.hex()))
configs = st.builds(
    Config,
    providers=st.dictionaries(names, st.builds(Provider, dialect=st.just("openai"), base_url=urls), max_size=5),
    models=st.dictionaries(names, st.builds(Model, st.tuples(st.builds(Target, names, names))), max_size=5),
    consumers=st.dictionaries(
        names, st.builds(Consumer, st.lists(keys, max_size=3).map(tuple), st.tuples(names), limits), max_size=20
    ),
    upstreams=st.dictionaries(names, st.builds(Upstream, st.tuples(urls)), max_size=5),
    routes=st.dictionaries(
        names, st.builds(Route, st.builds(Match, names.map(lambda name: f"/{name}")), names), max_size=20
    ),
)


@settings(deadline=None)
@given(config=configs, rate=st.sampled_from([1, 2, 100]))
def test_any_config_comes_back_however_it_is_cut(config: Config, rate: int) -> None:
    held = [key for consumer in config.consumers.values() for key in consumer.keys]
    assume(len(set(held)) == len(held))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sections, "_ENTRIES", dict.fromkeys(KINDS, rate))
        built = build(config, 3)
    assert config_of(assemble(built.manifest, built.sections)) == config
    assert [part.size for part in parse(built.manifest).parts] == [len(built.sections[d]) for d in built.sections]


def test_more_sections_than_the_snapshot_has_do_no_harm() -> None:
    assert assemble(MANIFEST, {**SNAPSHOT.sections, b"x" * 32: b"other"}) == SNAPSHOT


def test_the_same_config_has_another_version_and_the_same_sections() -> None:
    again = renumbered(SNAPSHOT, 13)
    assert again == build(CONFIG, 13)
    assert again.sections is SNAPSHOT.sections


def test_the_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest_of(msgspec.convert(reversed_keys(DATA), Config)) == digest_of(CONFIG)


def test_the_digest_does_not_depend_on_the_version() -> None:
    assert build(CONFIG, 1).digest == build(CONFIG, 2).digest == digest_of(CONFIG)


def test_a_default_written_out_does_not_change_the_digest() -> None:
    written = msgspec.convert({"models": {"m": {"targets": [], "strategy": "priority"}}}, dict)
    written["models"]["m"]["targets"] = [{"provider": "p", "model": "x", "weight": 1}]
    short = {"models": {"m": {"targets": [{"provider": "p", "model": "x"}]}}}
    assert digest_of(msgspec.convert(written, Config)) == digest_of(msgspec.convert(short, Config))


def test_the_order_of_targets_changes_the_digest() -> None:
    targets = [{"provider": "a", "model": "x"}, {"provider": "b", "model": "x"}]
    one = msgspec.convert({"models": {"m": {"targets": targets}}}, Config)
    two = msgspec.convert({"models": {"m": {"targets": targets[::-1]}}}, Config)
    assert digest_of(one) != digest_of(two)


def test_any_change_of_a_value_changes_the_digest() -> None:
    changed = msgspec.json.decode(msgspec.json.encode(DATA).replace(b"100/s", b"101/s"))
    assert digest_of(msgspec.convert(changed, Config)) != digest_of(CONFIG)


def test_another_process_finds_the_same_digest() -> None:
    program = (
        "import sys, msgspec; from core.model import Config; from core.snapshot import digest_of\n"
        "print(digest_of(msgspec.json.decode(sys.stdin.buffer.read(), type=Config)))"
    )
    for seed in ("1", "2"):
        ran = subprocess.run(
            [sys.executable, "-c", program],
            input=msgspec.json.encode(reversed_keys(DATA)),
            capture_output=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            check=True,
        )
        assert ran.stdout.decode().strip() == digest_of(CONFIG)


def test_every_corruption_of_a_byte_of_the_manifest_is_noticed() -> None:
    for position in range(len(MANIFEST)):
        for flip in range(1, 256):
            data = bytearray(MANIFEST)
            data[position] ^= flip
            with pytest.raises(SnapshotError):
                parse(bytes(data))


def test_every_flipped_bit_of_a_section_is_noticed() -> None:
    for digest, section in SNAPSHOT.sections.items():
        for position in range(len(section)):
            for bit in range(8):
                data = bytearray(section)
                data[position] ^= 1 << bit
                with pytest.raises(SnapshotError, match="was altered"):
                    assemble(MANIFEST, {**SNAPSHOT.sections, digest: bytes(data)})


def test_every_truncation_and_every_longer_string_is_noticed() -> None:
    for length in range(len(MANIFEST)):
        with pytest.raises(SnapshotError):
            parse(MANIFEST[:length])
    with pytest.raises(SnapshotError):
        parse(MANIFEST + b"\x00")
    for digest, section in SNAPSHOT.sections.items():
        for wrong in (section[:-1], section + b"\x00", b""):
            with pytest.raises(SnapshotError, match="and the manifest says"):
                assemble(MANIFEST, {**SNAPSHOT.sections, digest: wrong})


def test_a_missing_section_is_noticed() -> None:
    for digest in SNAPSHOT.sections:
        rest = {other: section for other, section in SNAPSHOT.sections.items() if other != digest}
        with pytest.raises(SnapshotError, match=r"a section of \w+ is missing"):
            assemble(MANIFEST, rest)


def test_sections_that_are_left_out_or_exchanged_with_right_digests_are_noticed() -> None:
    made = list(cut(CONFIG))
    assert assemble(*resealed(*made)).digest == SNAPSHOT.digest
    index = next(at for at, (kind, _) in enumerate(made) if kind == "keys")
    with pytest.raises(SnapshotError, match="not as many as the consumers have"):
        assemble(*resealed(*made[:index]))
    for first in range(len(made)):
        for second in range(first):
            kinds = [kind for kind, _ in made]
            kinds[first], kinds[second] = kinds[second], kinds[first]
            with pytest.raises(SnapshotError):
                assemble(*resealed(*zip(kinds, (section for _, section in made), strict=True)))


def test_a_section_altered_together_with_all_digests_is_read_or_a_snapshot_error() -> None:
    pick = random.Random(1)
    made = list(cut(CONFIG))
    refused = 0
    for _ in range(3_000):
        at = pick.randrange(len(made))
        kind, section = made[at]
        data = bytearray(section)
        data[pick.randrange(len(data))] = pick.randrange(256)
        try:
            assemble(*resealed(*made[:at], (kind, bytes(data)), *made[at + 1 :]))
        except SnapshotError:
            refused += 1
    assert refused > 1_500


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_a_snapshot_error(data: bytes) -> None:
    with pytest.raises(SnapshotError):
        parse(data)


@settings(deadline=None)
@given(kind=st.sampled_from(KINDS), body=st.binary(max_size=100), count=st.integers(0, 3))
def test_any_section_with_a_right_digest_is_a_snapshot_error(kind: str, body: bytes, count: int) -> None:
    for section in (body, bytes([KINDS.index(kind), 0, 0, 0, count, 0, 0, 0]) + body):
        with pytest.raises(SnapshotError):
            assemble(*resealed((kind, section)))


LISTED = MANIFEST[HEADER:-32]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "truncated"),
        (MANIFEST[:50], "truncated"),
        (b"GATEHEAD" + MANIFEST[8:], "not a snapshot"),
        (MANIFEST[:-1], "it lists 6 sections"),
        (MANIFEST[:-1] + bytes([MANIFEST[-1] ^ 1]), "the manifest was altered"),
        (MANIFEST[:12] + b"\x01" + MANIFEST[13:], "the manifest was altered"),
        (forged(LISTED, number=1), "format 1; this build reads format 2"),
        (forged(LISTED, number=3), "format 3"),
        (forged(LISTED, version=0), "version 0"),
        (forged(LISTED, version=2**63), "version"),
        (forged(LISTED, count=2**32 - 1), "4294967295 sections; a snapshot has at most 8192"),
        (forged(LISTED, count=5), "it lists 5 sections"),
        (forged(LISTED + LISTED[-ROW:]), "a section is listed twice"),
        (forged(LISTED[ROW:] + LISTED[:ROW]), "of kind 0 where there is none"),
        (forged(bytes([len(KINDS)]) + LISTED[1:ROW]), f"of kind {len(KINDS)} where there is none"),
        (forged(LISTED[:1] + (2**18 + 1).to_bytes(4, "big") + LISTED[5:]), "262145 bytes is over the limit of 262144"),
    ],
)
def test_wrong_manifests_are_told_apart(data: bytes, reason: str) -> None:
    with pytest.raises(SnapshotError, match=reason):
        parse(data)


def test_a_config_of_too_many_sections_is_refused_before_it_is_pushed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "MAX_SECTIONS", 5)
    with pytest.raises(ConfigError, match="takes 6 sections; a snapshot has at most 5"):
        build(CONFIG, 12)


@pytest.mark.parametrize("version", [0, -1, 2**63])
def test_a_version_out_of_range_is_refused(version: int) -> None:
    with pytest.raises(SnapshotError, match="is not from 1"):
        build(CONFIG, version)
    with pytest.raises(SnapshotError, match="is not from 1"):
        renumbered(SNAPSHOT, version)


def test_the_largest_version_travels() -> None:
    assert parse(build(CONFIG, snapshot.MAX_VERSION).manifest).version == snapshot.MAX_VERSION


def test_a_snapshot_cannot_be_changed_and_is_shown_without_its_bytes() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        build(CONFIG, 1).version = 2
    with pytest.raises(AttributeError, match="immutable"):
        CONFIG.models["small"].strategy = "fastest"
    assert repr(SNAPSHOT) == f"Snapshot(version=12, digest='{SNAPSHOT.digest}', sections=<6>)"


def test_static_keys_are_no_part_of_a_snapshot() -> None:
    names = {item.name for item in msgspec.structs.fields(Static)}
    assert not names & {item.name for item in msgspec.structs.fields(Config)}
    assert isinstance(Static().listen, Listen)
