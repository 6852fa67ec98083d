"""plane.dialects._event_stream: Amazon's binary messages, as botocore reads them, under any split, never damaged."""

import json
import struct
from itertools import pairwise
from uuid import UUID
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from core.errors import GatewayError
from plane.dialects._event_stream import EventStream, HeaderValue, Message
from tests.plane.splits import splits
from tests.providers.event_stream import event, exception, header, message

HELLO = event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "héllo"}})


def read(pieces: list[bytes]) -> list[Message]:
    stream = EventStream()
    found = [found for piece in pieces for found in stream.feed(piece)]
    stream.flush()
    return found


def until_bad(pieces: list[bytes]) -> list[Message]:
    """Return the good messages of a stream that must break."""
    stream = EventStream()
    found = []

    def drain() -> None:
        for piece in pieces:
            found.extend(stream.feed(piece))
        stream.flush()

    with pytest.raises(GatewayError) as caught:
        drain()
    assert (caught.value.status, caught.value.code, caught.value.source) == (502, "upstream_bad_answer", "upstream")
    return found


def theirs(data: bytes) -> list[Message]:
    """Return what botocore reads; it does not make UUIDs of their bytes."""
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return [Message(found.headers, found.payload) for found in buffer]


names = st.text(min_size=1, max_size=20).filter(lambda name: len(name.encode()) < 256)
values = st.one_of(
    st.tuples(st.just(0), st.just(True)),
    st.tuples(st.just(1), st.just(False)),
    *(
        st.tuples(st.just(kind), st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1))
        for kind, bits in [(2, 8), (3, 16), (4, 32), (5, 64), (8, 64)]
    ),
    st.tuples(st.just(6), st.binary(max_size=300)),
    st.tuples(st.just(7), st.text(max_size=300)),
    st.tuples(st.just(9), st.uuids()),
)
messages = st.tuples(st.dictionaries(names, values, max_size=5), st.binary(max_size=200))


def written(headers: dict[str, tuple[int, HeaderValue]], payload: bytes) -> bytes:
    return message(b"".join(header(name, kind, value) for name, (kind, value) in headers.items()), payload)


@given(st.lists(messages, max_size=4), st.lists(st.integers(0, 1000), max_size=5))
def test_messages_come_back_with_headers_of_every_type_however_they_are_cut(
    sent: list[tuple[dict[str, tuple[int, HeaderValue]], bytes]], cuts: list[int]
) -> None:
    data = b"".join(written(*one) for one in sent)
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    pieces = [data[start:end] for start, end in pairwise(places)]
    expected = [Message({name: value for name, (_, value) in headers.items()}, payload) for headers, payload in sent]
    assert read(pieces) == expected
    for one in expected:
        for name, value in one.headers.items():
            if isinstance(value, UUID):
                one.headers[name] = value.bytes
    assert theirs(data) == expected


@given(messages, st.integers(0), st.integers(0, 7))
def test_a_flipped_bit_anywhere_is_found(
    sent: tuple[dict[str, tuple[int, HeaderValue]], bytes], at: int, bit: int
) -> None:
    data = bytearray(written(*sent))
    data[at % len(data)] ^= 1 << bit
    assert until_bad([HELLO, bytes(data)]) == read([HELLO])


def test_a_stream_of_events_is_the_same_under_every_split() -> None:
    data = HELLO + event("messageStop", {"stopReason": "end_turn"})
    data += exception("throttlingException", {"message": "slow"})
    expected = read([data])
    assert [found.headers[":message-type"] for found in expected] == ["event", "event", "exception"]
    assert json.loads(expected[0].payload)["delta"]["text"] == "héllo"
    for pieces in splits(data):
        assert read(pieces) == expected


def test_a_stream_that_is_cut_off_within_a_message_is_bad_at_its_end() -> None:
    for cut in range(1, len(HELLO)):
        assert until_bad([HELLO, HELLO[:cut]]) == read([HELLO])


def prelude(length: int, headers_length: int) -> bytes:
    lengths = struct.pack(">II", length, headers_length)
    return lengths + struct.pack(">I", crc32(lengths))


@pytest.mark.parametrize(
    ("length", "headers_length"),
    [(15, 0), (0, 0), (16 * 1024 * 1024 + 1, 0), (200 * 1024, 128 * 1024 + 1), (30, 20), (2**32 - 1, 0)],
)
def test_lengths_that_are_out_of_bounds_are_not_waited_for(length: int, headers_length: int) -> None:
    stream = EventStream()
    with pytest.raises(GatewayError, match="out of bounds"):
        list(stream.feed(prelude(length, headers_length)))


@pytest.mark.parametrize(
    "headers",
    [
        b"\x05ab",  # The name does not end.
        b"\x01a",  # No type.
        b"\x01a\x0a",  # A type that there is not.
        b"\x01a\x07\x00\x05ab",  # The value does not end.
        b"\x01a\x04\x00",  # A number does not end.
        b"\x01a\x07\x00\x01\xff",  # Not UTF-8.
        b"\x01a\x00\x01a\x01",  # Twice.
        b"\x01a\x09" + bytes(15),  # A UUID does not end.
    ],
)
def test_headers_that_cannot_be_read_are_refused(headers: bytes) -> None:
    assert until_bad([message(headers, b"")]) == []


def test_messages_of_many_kinds_are_told_apart_and_few_are_remembered() -> None:
    stream = EventStream()
    data = b"".join(message(header("n", 4, number % 40), b"") for number in range(80))
    assert [found.headers["n"] for found in stream.feed(data)] == [number % 40 for number in range(80)]
    assert len(stream._headers) == 16


def test_the_longest_message_is_read() -> None:
    payload = bytes(16 * 1024 * 1024 - 16)
    assert read([message(b"", payload)]) == [Message({}, payload)]
