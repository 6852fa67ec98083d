"""Ten thousand snapshots with something wrong, to a real worker over a real socket: each is refused, none is served."""

import hashlib
import http.client
import random
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from bench.pushing import Worker, key_of, large, worker
from core.model import Config, Match, Model, Route, Target
from core.sections import KINDS, LIMIT
from core.snapshot import FORMAT, Snapshot, build, parse
from core.wire import Ack, Nack
from tests.soak.counts import count

LIVE = build(large(30, 600), 1)
NEXT = build(large(30, 600, team="other", changed=3), 2)
CONFIG = large(30, 600, team="other", changed=3)
HEADER = struct.Struct(">8sHQI")

Made = list[tuple[str, bytes]]
Case = tuple[Snapshot, Callable[[list[bytes]], list[bytes]]]


def made() -> Made:
    """Return the kinds and sections of `NEXT`."""
    return [(part.kind, NEXT.sections[part.digest]) for part in parse(NEXT.manifest).parts]


def resealed(sections: Made, number: int = FORMAT) -> Snapshot:
    """Return a snapshot whose digests are all right, whatever its sections hold."""
    digests = [hashlib.sha256(section).digest() for _, section in sections]
    rows = b"".join(
        struct.pack(">BI32s", KINDS.index(kind), len(section), digest)
        for (kind, section), digest in zip(sections, digests, strict=True)
    )
    fields = HEADER.pack(b"HEADGATE", number, 2, len(sections)) + rows
    manifest = fields + hashlib.sha256(fields).digest()
    held = dict(zip(digests, (section for _, section in sections), strict=True))
    return Snapshot(2, hashlib.sha256(rows).hexdigest(), manifest, held)


def as_sent(sections: list[bytes]) -> list[bytes]:
    return sections


def flipped(data: bytes, at: int, pick: random.Random) -> bytes:
    """Return `data` with one bit of the byte `at` changed."""
    return data[:at] + bytes([data[at] ^ 1 << pick.randrange(8)]) + data[at + 1 :]


def of(sections: Made, kind: str) -> int:
    """Return where the first section of a kind stands."""
    return next(at for at, (found, _) in enumerate(sections) if found == kind)


# --- what is damaged on its way: the digests tell


def manifest_bit(pick: random.Random) -> Case:
    manifest = flipped(NEXT.manifest, pick.randrange(len(NEXT.manifest)), pick)
    return msgspec.structs.replace(NEXT, manifest=manifest), as_sent


def manifest_length(pick: random.Random) -> Case:
    manifest = NEXT.manifest[: pick.randrange(len(NEXT.manifest))] if pick.random() < 0.9 else NEXT.manifest + b"\0"
    return msgspec.structs.replace(NEXT, manifest=manifest), as_sent


def announced(pick: random.Random) -> Case:
    wrong = {"version": pick.randrange(3, 2**63)} if pick.random() < 0.5 else {"digest": pick.randbytes(32).hex()}
    return msgspec.structs.replace(NEXT, **wrong), as_sent


def section_bit(pick: random.Random) -> Case:
    def change(sections: list[bytes]) -> list[bytes]:
        at = pick.randrange(len(sections))
        sections[at] = flipped(sections[at], pick.randrange(len(sections[at])), pick)
        return sections

    return NEXT, change


def section_length(pick: random.Random) -> Case:
    def change(sections: list[bytes]) -> list[bytes]:
        at = pick.randrange(len(sections))
        size = pick.randrange(len(sections[at]))
        sections[at] = pick.choice([sections[at][:size], sections[at] + b"\0", b"", bytes(2 * LIMIT)])
        return sections

    return NEXT, change


def section_order(pick: random.Random) -> Case:
    def change(sections: list[bytes]) -> list[bytes]:
        one, two = pick.sample(range(len(sections)), 2)
        sections[one], sections[two] = sections[two], sections[one]
        return sections

    return NEXT, change


# --- nonsense with right digests: only what reads the sections can tell


def foreign_format(pick: random.Random) -> Case:
    return resealed(made(), pick.choice([0, 1, FORMAT + 1, 65535])), as_sent


def random_section(pick: random.Random) -> Case:
    sections = made()
    at = pick.randrange(len(sections))
    kind, section = sections[at]
    head = section[:8] if pick.random() < 0.5 else b""
    sections[at] = (kind, head + pick.randbytes(pick.randrange(1, 2000)))
    return resealed(sections), as_sent


def cut_section(pick: random.Random) -> Case:
    sections = made()
    at = pick.randrange(len(sections))
    kind, section = sections[at]
    sections[at] = (kind, section[: pick.randrange(len(section))] if pick.random() < 0.9 else section + b"\0")
    return resealed(sections), as_sent


def wrong_kind(pick: random.Random) -> Case:
    sections = made()
    at = pick.randrange(len(sections))
    sections[at] = (pick.choice([kind for kind in KINDS if kind != sections[at][0]]), sections[at][1])
    return resealed(sections), as_sent


def wrong_list(pick: random.Random) -> Case:
    sections = made()
    at = pick.randrange(len(sections))
    if pick.random() < 0.5:
        sections.insert(at, sections[at])
    else:
        # Without its keys or its consumers; without anything else it would be another config.
        people = [at for at, (kind, _) in enumerate(sections) if kind in ("consumers", "keys")]
        del sections[pick.choice(people)]
    return resealed(sections), as_sent


def wrong_index(pick: random.Random) -> Case:
    sections = made()
    at = of(sections, "keys")
    section = sections[at][1]
    keys = (len(section) - 8) // 16
    numbers = list(struct.unpack_from(f"<{2 * keys}Q", section, 8))
    one, two = pick.sample(range(keys), 2)
    match pick.randrange(4):
        case 0:  # another owner
            numbers[keys + one] = pick.getrandbits(64)
        case 1:  # two owners exchanged
            numbers[keys + one], numbers[keys + two] = numbers[keys + two], numbers[keys + one]
        case 2:  # another key
            numbers[one] = pick.getrandbits(64)
        case _:  # not in order
            numbers[one], numbers[two] = numbers[two], numbers[one]
    sections[at] = ("keys", section[:8] + struct.pack(f"<{2 * keys}Q", *numbers))
    return resealed(sections), as_sent


def wrong_place(pick: random.Random) -> Case:
    """Change a tag, or the end, of a record of a consumer."""
    sections = made()
    at = of(sections, "consumers")
    section = sections[at][1]
    (number,) = struct.unpack_from("<I", section, 4)
    sections[at] = ("consumers", flipped(section, pick.randrange(4, 8 + 12 * number), pick))
    return resealed(sections), as_sent


def dangling(pick: random.Random) -> Case:
    """Return a config that no control would have let through: every digest is right, and so is every section."""
    routes, models = dict(CONFIG.routes), dict(CONFIG.models)
    name = pick.choice(list(routes))
    match pick.randrange(4):
        case 0:
            routes[name] = msgspec.structs.replace(routes[name], upstream=f"gone-{pick.random()}")
        case 1:
            routes["twin"] = Route(Match(routes[name].match.path), routes[name].upstream)
        case 2:
            models["new"] = Model((Target(f"gone-{pick.random()}", "m"),))
        case _:
            del models[pick.choice(list(models))]
    config = Config(CONFIG.providers, models, CONFIG.consumers, CONFIG.upstreams, routes)
    return build(config, 2), as_sent


CASES = [
    *(manifest_bit, manifest_length, announced, section_bit, section_length, section_order),
    *(foreign_format, random_section, cut_section, wrong_kind, wrong_list, wrong_index, wrong_place, dangling),
]


@pytest.fixture(scope="module")
def running() -> Iterator[Worker]:
    with tempfile.TemporaryDirectory(prefix="hg") as name, worker(Path(name)) as front:
        assert isinstance(front.push(LIVE).answer, Ack)
        yield front


def served(front: Worker) -> tuple[int, str]:
    """Return the status of a call with a consumer's key, and the config that answered it."""
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=20)
    connection.request("GET", "/v1/models", headers={"authorization": f"Bearer {key_of(7)}"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.headers["x-headgate-config"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_every_corrupted_snapshot_is_refused_and_the_worker_serves_on(
    running: Worker, case: Callable[[random.Random], Case]
) -> None:
    pick = random.Random(case.__name__)
    times = -(-count(10_000, 300) // len(CASES))
    reasons: set[str] = set()
    for _ in range(times):
        snapshot, change = case(pick)
        answer = running.push(snapshot, change=change).answer
        assert isinstance(answer, Nack), "the worker took it"
        assert (answer.version, answer.digest) == (snapshot.version, snapshot.digest)
        assert "building it failed" not in answer.reason
        reasons.add(answer.reason)
    assert all(reasons)
    assert running.process.poll() is None
    assert served(running) == (200, LIVE.digest[:12])


def test_after_all_that_a_good_snapshot_is_taken(running: Worker) -> None:
    assert isinstance(running.push(NEXT).answer, Ack)
    assert served(running) == (200, NEXT.digest[:12])
    assert isinstance(running.push(LIVE).answer, Ack)
    assert served(running) == (200, LIVE.digest[:12])
