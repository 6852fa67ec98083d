"""What a finished call costs on its way: the event, its encoding, the ring; and all that control does with it."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from control.intake import Intake
from control.log import Log
from core.records import record
from core.ring import Ring, ring_size
from core.usage import UsageEvent, encode_event, make_id
from plane.ledger import Ledger
from plane.rings import open_ledger

BATCH = 1000
FEW = 20  # Events in a batch for control: a thousand calls of it are written to the disk in each round.
Measure = Callable[..., None]


def event(number: int) -> UsageEvent:
    """Return an event as a chat call leaves it."""
    return UsageEvent(
        *(make_id(0, 1_790_000_000, number), 1_790_000_000_000, "a" * 64, "hg-01234567-0-1f3a", "payments"),
        *("chat.completions", "gpt-4o-mini", "openai/gpt-4o-mini", 200, "", False, 1, 812_000, 811_000),
        *(21, 256, 0, 0, True, "POST", "/v1/chat/completions", "10.0.0.1", 512, 1024, "http"),
    )


def test_build_an_event(measure: Measure) -> None:
    measure("a usage event", event, 1)


def test_encode_an_event(measure: Measure) -> None:
    measure("an event in msgpack", encode_event, event(1))


def test_push_into_a_ring(measure: Measure) -> None:
    ring = Ring(bytearray(ring_size(1 << 20)))
    body = encode_event(event(1))

    def push(body: bytes) -> None:
        if not ring.push(body):
            ring.free(ring.head)
            ring.push(body)

    measure("an encoded event into the ring, with its checksum", push, body)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Return a ledger in files."""
    opened = open_ledger(tmp_path / "rings", 0, "0123456789abcdef")
    yield opened
    opened.close()


@pytest.mark.parametrize("delivered", [True, False], ids=["delivered", "spilled"])
def test_append(measure: Measure, ledger: Ledger, delivered: bool) -> None:
    count = itertools.count(1)

    def append(one: UsageEvent) -> None:
        ledger.append(one)
        if delivered and next(count) % BATCH == 0:
            ledger.batch()
            ledger.taken(ledger.number)

    measure(f"an event into the ledger, {'delivered' if delivered else 'spilled'}", append, event(1))


def test_take(measure: Measure, tmp_path: Path) -> None:
    intake = Intake(tmp_path / "usage", bytes(16), Log("bench"))
    batch = b"".join(record(encode_event(event(number))) for number in range(FEW))

    def take(records: bytes) -> None:
        intake.marks.clear()
        intake.take(0, records)

    measure("an event into a segment, the totals and the metrics", take, batch, operations=FEW)
