"""Saved snapshots that were altered at random: none is ever served, and the one before always is."""

import os
import random
from collections.abc import Callable

import msgspec

from core.lastgood import Envelope, load, name_of, seal_envelope, section_name
from core.model import Config
from core.seal import Keyring
from core.snapshot import Snapshot, build
from tests.soak.counts import count

KEYS = Keyring(bytes(range(32)))
ROUNDS = count(10_000, 500)


def snapshot(version: int) -> Snapshot:
    config = {
        "providers": {"p": {"dialect": "openai", "base_url": "http://127.0.0.1:9/v1", "credential": "env:KEY"}},
        "models": {f"m{version}-{number}": {"targets": [{"provider": "p", "model": "m"}]} for number in range(20)},
    }
    return build(msgspec.convert(config, Config), version)


def files_of(of: Snapshot) -> dict[str, bytes]:
    envelope = Envelope(of.version, 1, of.digest, "00" * 32, of.manifest, {"env:KEY": "sk-canary"})
    files = {section_name(digest): body for digest, body in of.sections.items()}
    return {**files, name_of(of.version, 1): seal_envelope(envelope, KEYS, os.urandom)}


def flip(body: bytearray, dice: random.Random) -> None:
    for _ in range(dice.choice((1, 1, 2, 16))):
        body[dice.randrange(len(body))] ^= 1 << dice.randrange(8)


def cut(body: bytearray, dice: random.Random) -> None:
    del body[dice.randrange(len(body)) :]


def lose(body: bytearray, dice: random.Random) -> None:
    at = dice.randrange(len(body))
    del body[at : at + dice.randrange(1, 64)]


def grow(body: bytearray, dice: random.Random) -> None:
    at = dice.randrange(len(body) + 1)
    body[at:at] = dice.randbytes(dice.randrange(1, 64))


def blank(body: bytearray, dice: random.Random) -> None:
    """What a lost write leaves: zeros for a whole block."""
    at = dice.randrange(len(body)) & ~511
    body[at : at + 512] = bytes(len(body[at : at + 512]))


WAYS: tuple[Callable[[bytearray, random.Random], None], ...] = (flip, cut, lose, grow, blank)


def test_of_altered_snapshots_all_are_refused_and_the_one_before_is_found() -> None:
    dice = random.Random(4711)
    before, newest = files_of(snapshot(1)), files_of(snapshot(2))
    altered = [name for name in newest if name not in before]
    refused = 0
    for _ in range(ROUNDS):
        files = {**newest, **before}
        name = dice.choice(altered)
        body = bytearray(files[name])
        dice.choice(WAYS)(body, dice)
        if bytes(body) == files[name]:
            continue
        files[name] = bytes(body)
        reasons: dict[str, str] = {}

        def read(wanted: str, limit: int, files: dict[str, bytes] = files) -> bytes:
            return files[wanted]

        assert [found.snapshot.version for found in load(files, read, KEYS, reasons.__setitem__)] == [1]
        assert list(reasons) == ["2-1"]
        refused += 1
    assert refused >= ROUNDS * 0.95
