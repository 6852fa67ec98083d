"""The ring: against a deque, at its edges, and through the death of its writer at any instruction."""

import mmap
import os
import random
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.records import LARGEST, cut
from core.ring import Ring, ring_size
from tests.soak.counts import count

ROOM = 200


def ring_of(room: int = ROOM) -> Ring:
    return Ring(bytearray(ring_size(room)))


def bodies(records: bytes) -> list[bytes]:
    found = list(cut(records))
    assert (found[-1][0] if found else 0) == len(records)
    assert all(body is not None for _, body in found)
    return [body for _, body in found if body is not None]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.binary(min_size=1, max_size=ROOM - 8)),
        st.tuples(st.just("take"), st.integers(0, ROOM)),
        st.tuples(st.just("again"), st.just(0)),
    ),
    max_size=200,
)


@settings(deadline=None)
@given(STEPS)
def test_a_ring_is_a_queue_of_bytes_with_bounded_room(steps: list[tuple[str, bytes | int]]) -> None:
    buffer = bytearray(ring_size(ROOM))
    ring, model = Ring(buffer), deque[bytes]()
    for _, value in steps:
        if isinstance(value, bytes):
            fits = sum(8 + len(body) for body in model) + 8 + len(value) <= ROOM
            assert ring.push(value) == fits
            if fits:
                model.append(value)
        elif value:
            records = ring.peek(value)
            taken = bodies(records)
            assert taken == [model.popleft() for _ in taken]
            assert bool(taken) == (ring.head != ring.tail)
            assert len(records) <= value or len(taken) == 1
            ring.free(ring.tail + len(records))
        else:
            # The next process finds what this one left.
            del ring
            ring = Ring(buffer)
            assert ring.begin(0) == 0
    assert bodies(ring.peek(ROOM)) == list(model)


@pytest.mark.parametrize("length", [0, ROOM - 7, LARGEST + 1])
def test_a_record_that_can_never_fit_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        ring_of().push(b"x" * length)


def test_a_position_ahead_of_the_head_is_refused_and_one_behind_the_tail_changes_nothing() -> None:
    ring = ring_of()
    ring.push(b"one")
    with pytest.raises(ValueError, match="ahead of the ring"):
        ring.free(12)
    ring.free(11)
    ring.free(0)
    assert (ring.tail, ring.head) == (11, 11)


@pytest.mark.parametrize(
    ("word", "value", "reason"),
    [
        (0, 5, "does not hold a ring"),
        (1, 9, "format 9"),
        (2, 3, "made with 3 bytes"),
        (4, 1 << 62, "positions"),
        (5, 1, "positions"),
        (5, (1 << 64) - 1, "positions"),
    ],
)
def test_a_buffer_that_is_no_ring_of_ours_is_refused(word: int, value: int, reason: str) -> None:
    buffer = bytearray(ring_size(ROOM))
    Ring(buffer)
    buffer[8 * word : 8 * word + 8] = value.to_bytes(8, "little")
    with pytest.raises(ValueError, match=reason):
        Ring(buffer)


def test_a_buffer_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        Ring(bytearray(ring_size(8)))


def test_numbers_grow_through_generations_and_never_repeat_though_the_clock_goes_back() -> None:
    buffer = bytearray(ring_size(ROOM))
    numbers = []
    for second in (100, 50, 50, 200):
        ring = Ring(buffer)
        ring.begin(second)
        numbers += [ring.next_number() for _ in range(3)]
    assert numbers == sorted(set(numbers))
    assert [number >> 25 for number in numbers[::3]] == [100, 101, 102, 200]


def test_what_a_crash_of_the_host_left_unreadable_is_cut_off_and_what_is_before_it_stays() -> None:
    buffer = bytearray(ring_size(ROOM))
    ring = Ring(buffer)
    ring.push(b"good")
    lost = ring.head
    ring.push(b"lost")
    buffer[64 + lost : 64 + lost + 4] = bytes(4)
    assert ring.begin(1) == 12
    assert bodies(ring.peek(ROOM)) == [b"good"]
    assert ring.push(b"next")
    assert bodies(ring.peek(ROOM)) == [b"good", b"next"]


WRITER = """
import mmap, os, sys
from core.ring import Ring
file = os.open(sys.argv[1], os.O_RDWR)
ring = Ring(mmap.mmap(file, 0))
ring.begin(0)
shared = ring.head
os.write(1, b"go")
while True:
    number = ring.next_number()
    if not ring.push(number.to_bytes(8, "big") * (1 + number % 40)):
        ring.free(ring.tail + len(ring.peek(4096)))
"""


def test_a_writer_killed_at_any_instruction_leaves_whole_records_in_order(tmp_path: Path) -> None:
    path = tmp_path / "ring"
    path.write_bytes(bytes(ring_size(1 << 16)))
    last = -1
    for _ in range(count(1000, 30)):
        writer = subprocess.Popen(
            [sys.executable, "-S", "-c", WRITER, str(path)], stdout=subprocess.PIPE, env=environment()
        )
        assert writer.stdout is not None
        assert writer.stdout.read(2) == b"go"
        spin(random.random() * 0.003)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        with path.open("r+b") as file:
            ring = Ring(mmap.mmap(file.fileno(), 0))
        found = bodies(ring.peek(1 << 20))
        numbers = [int.from_bytes(body[:8], "big") for body in found]
        assert all(body == body[:8] * (1 + number % 40) for body, number in zip(found, numbers, strict=True))
        assert numbers == sorted(set(numbers))
        assert not numbers or numbers[0] > last
        last = max([last, *numbers])
        ring.free(ring.head)


def spin(seconds: float) -> None:
    """Let time pass without giving up the processor: so short a sleep would always be the same."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
