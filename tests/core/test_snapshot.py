import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import snapshot
from core.errors import SnapshotError
from core.model import Config, Listen, Static
from core.snapshot import decode, digest_of, encode, seal

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
BYTES = encode(seal(CONFIG, 12))
HEADER = len(BYTES) - len(msgspec.msgpack.encode(CONFIG, order="sorted"))


def forged(body: bytes, *, version: int = 1, number: int = snapshot.FORMAT, length: int | None = None) -> bytes:
    """Return bytes whose checksums are right, whatever the rest says."""
    size = len(body) if length is None else length
    head = b"HEADGATE" + number.to_bytes(2, "big") + version.to_bytes(8, "big") + size.to_bytes(8, "big")
    head += hashlib.sha256(body).digest()
    return head + hashlib.sha256(head).digest() + body


def reversed_keys(value: object) -> object:
    if isinstance(value, dict):
        return {key: reversed_keys(item) for key, item in reversed(value.items())}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


def test_a_snapshot_comes_back_as_it_was() -> None:
    assert decode(BYTES) == seal(CONFIG, 12)


def test_an_empty_config_comes_back_as_it_was() -> None:
    assert decode(encode(seal(Config(), 1))) == seal(Config(), 1)


def test_the_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest_of(msgspec.convert(reversed_keys(DATA), Config)) == digest_of(CONFIG)


def test_the_digest_does_not_depend_on_the_version() -> None:
    assert seal(CONFIG, 1).digest == seal(CONFIG, 2).digest == digest_of(CONFIG)


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


def test_every_corruption_of_a_header_byte_is_noticed() -> None:
    for position in range(HEADER):
        for flip in range(1, 256):
            data = bytearray(BYTES)
            data[position] ^= flip
            with pytest.raises(SnapshotError):
                decode(bytes(data))


def test_every_flipped_bit_of_the_config_is_noticed() -> None:
    for position in range(HEADER, len(BYTES)):
        for bit in range(8):
            data = bytearray(BYTES)
            data[position] ^= 1 << bit
            with pytest.raises(SnapshotError):
                decode(bytes(data))


def test_every_truncation_and_every_longer_string_is_noticed() -> None:
    for length in range(len(BYTES)):
        with pytest.raises(SnapshotError):
            decode(BYTES[:length])
    with pytest.raises(SnapshotError):
        decode(BYTES + b"\x00")


def test_a_config_altered_together_with_its_checksums_is_decoded_or_a_snapshot_error() -> None:
    pick = random.Random(1)
    body = BYTES[HEADER:]
    refused = 0
    for _ in range(3_000):
        data = bytearray(body)
        data[pick.randrange(len(data))] = pick.randrange(256)
        try:
            decode(forged(bytes(data)))
        except SnapshotError:
            refused += 1
    assert refused > 1_000


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_a_snapshot_error(data: bytes) -> None:
    with pytest.raises(SnapshotError):
        decode(data)


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=100))
def test_any_config_bytes_with_right_checksums_are_decoded_or_a_snapshot_error(body: bytes) -> None:
    try:
        assert decode(forged(body)).config == Config()
    except SnapshotError:
        return


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "truncated"),
        (BYTES[:50], "truncated"),
        (b"GATEHEAD" + BYTES[8:], "not a snapshot"),
        (BYTES[:-1], "the header says"),
        (BYTES[:-1] + b"\xc1", "does not have the digest"),
        (BYTES[:12] + b"\x01" + BYTES[13:], "header was altered"),
        (forged(b"\x80", number=2), "format 2; this build reads format 1"),
        (forged(b"\x80", number=0), "format 0"),
        (forged(b"\x80", version=0), "version 0"),
        (forged(b"\x80", version=2**63), "version"),
        (forged(b"\x80", length=2), "the header says 2"),
        (forged(b""), "not a config"),
        (forged(b"\x90"), "not a config"),
        (forged(b"\x80\x80"), "not a config"),
        (forged(b"\x81\xa5cakes\x80"), "not a config"),
        (forged(b"\x81\xa6routes" + b"\x81\xa1a" * 100_000), "not a config"),
        (forged(b"\x91" * 100_000 + b"\xc0"), "not a config"),
        (forged(b"\x81\xa6routes\xdf\xff\xff\xff\xff"), "not a config"),
        (forged(b"\x81\xa6routes\x81\xa1\xff\x80"), "not a config"),
    ],
)
def test_wrong_bytes_are_told_apart(data: bytes, reason: str) -> None:
    with pytest.raises(SnapshotError, match=reason):
        decode(data)


def test_bytes_over_the_limit_are_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "MAX_SIZE", len(BYTES) - 1)
    with pytest.raises(SnapshotError, match="over the limit"):
        decode(BYTES)
    with pytest.raises(SnapshotError, match="over the limit"):
        encode(seal(CONFIG, 12))


@pytest.mark.parametrize("version", [0, -1, 2**63])
def test_a_version_out_of_range_is_refused(version: int) -> None:
    with pytest.raises(SnapshotError, match="is not from 1"):
        seal(CONFIG, version)
    with pytest.raises(SnapshotError, match="is not from 1"):
        encode(snapshot.Snapshot(version, digest_of(CONFIG), CONFIG))


def test_the_largest_version_travels() -> None:
    assert decode(encode(seal(CONFIG, snapshot.MAX_VERSION))).version == snapshot.MAX_VERSION


def test_a_digest_that_is_not_the_configs_is_refused() -> None:
    with pytest.raises(SnapshotError, match="not that of the config"):
        encode(snapshot.Snapshot(1, "00" * 32, CONFIG))


def test_a_snapshot_cannot_be_changed() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        seal(CONFIG, 1).version = 2
    with pytest.raises(AttributeError, match="immutable"):
        CONFIG.models["small"].strategy = "fastest"


def test_static_keys_are_no_part_of_a_snapshot() -> None:
    names = {item.name for item in msgspec.structs.fields(Static)}
    assert not names & {item.name for item in msgspec.structs.fields(Config)}
    assert isinstance(Static().listen, Listen)
