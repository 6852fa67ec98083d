"""A stream is taken apart into its messages, however its bytes were split."""

from __future__ import annotations

import pytest

from core.errors import GatewayError
from plane.framing_events import EventSplitter, LineSplitter
from tests.plane.splits import splits

EVENTS = (
    b"\xef\xbb\xbf: hello\n\n"
    b'event: message_start\ndata: {"a":1}\n\n'
    b"data:{}\nid: 7\n\n\n"
    b"data: one\ndata\ndata: two\n\n"
    b"retry: 5\n\n"
    b"event: ping\n\n"
    b"data: [DONE]\n\n"
)
WANTED = [(b"message_start", b'{"a":1}'), (b"", b"{}"), (b"", b"one\n\ntwo"), (b"", b"[DONE]")]


def events_of(pieces: list[bytes]) -> list[tuple[bytes, bytes]]:
    splitter = EventSplitter()
    return [event for piece in pieces for event in splitter.feed(piece)] + splitter.flush()


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_events_are_the_same_under_every_split_and_line_end(line_end: bytes) -> None:
    for pieces in splits(EVENTS.replace(b"\n", line_end)):
        assert events_of(pieces) == WANTED


def test_an_event_is_returned_with_the_bytes_that_end_it() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: 1\r\n\r") == [(b"", b"1")]
    assert splitter.feed(b"\ndata: 2\n\nda") == [(b"", b"2")]
    assert splitter.flush() == []


def test_the_end_of_the_stream_ends_an_event() -> None:
    assert events_of([b"data: 1\n"]) == [(b"", b"1")]
    assert events_of([b"data: 1"]) == [(b"", b"1")]
    assert events_of([]) == []


@pytest.mark.parametrize("splitter", [EventSplitter(8), LineSplitter(8)])
def test_a_message_that_does_not_end_is_refused(splitter: EventSplitter | LineSplitter) -> None:
    splitter.feed(b"data: 12")
    with pytest.raises(GatewayError) as raised:
        splitter.feed(b"3")
    assert (raised.value.status, raised.value.code) == (502, "upstream_bad_answer")


def test_lines_are_the_same_under_every_split() -> None:
    for pieces in splits(b'\n{"a":1}\r\n\n {"b":2}\n{"c":3}'):
        splitter = LineSplitter()
        lines = [line for piece in pieces for line in splitter.feed(piece)] + splitter.flush()
        assert lines == [b'{"a":1}', b'{"b":2}', b'{"c":3}']
