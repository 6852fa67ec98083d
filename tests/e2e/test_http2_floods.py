"""HTTP/2's own ways to cost a server more than they cost the caller: the same worker survives each, within bounds."""

import contextlib
import select
import ssl
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from pathlib import Path

import pytest
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.e2e.conftest import Stage
from tests.e2e.harness import DEADLINE, nonce
from tests.e2e.http2 import Http2Caller, request_fields
from tests.soak.counts import count

MIB = 1024 * 1024
GROWTH = 64 * MIB
LAST = b"all sent"
ENDED, PROTOCOL_ERROR, CALM = -1, 1, 11
GET = request_fields("/v1/models", method="GET")
POST = request_fields()


def resident(pid: int) -> int:
    """Return the bytes of memory that a process has in use."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


@pytest.fixture
def harmless(stage: Stage) -> Iterator[Callable[[], int]]:
    """Return what tells how much the worker has grown; afterwards it must be the same one, serving, and not grown."""
    with stage.connect_http2() as caller:
        assert caller.chat("warm").text == "You said: warm"
    pids = stage.gateway.pids()
    before = resident(pids[0])
    yield lambda: resident(pids[0]) - before
    assert stage.gateway.pids() == pids
    for door in ("http", "https"):
        with stage.connect(door) as plain:
            plain.send(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n")
            assert plain.receive().status == 200
    with stage.connect_http2() as caller:
        word = nonce()
        assert caller.chat(word).text == f"You said: {word}"
    assert resident(pids[0]) - before <= GROWTH


def head(stream: int, fields: list[tuple[str, str]], *flags: str) -> bytes:
    """Return a HEADERS frame; the encoder is new, so nothing is in its table."""
    return HeadersFrame(stream, Encoder().encode(fields), flags=flags).serialize()


def pour(caller: Http2Caller, blocks: Iterable[bytes]) -> int:
    """Send `blocks`, reading what comes meanwhile; return the error code of a GOAWAY, 0 if the gateway just
    went on, -1 (`ENDED`) if it closed without a word.

    A ping behind the flood is answered once everything before it has been looked at.
    """
    # One thread does both: an `ssl` socket is not made for two.
    caller.socket.setblocking(False)
    coming, unread, unsent = iter([*blocks, PingFrame(0, LAST).serialize()]), b"", b""
    code = ENDED
    try:
        while True:
            unsent = unsent or next(coming, b"")
            wanted = [caller.socket] if unsent else []
            assert any(select.select([caller.socket], wanted, [], DEADLINE)), "the gateway neither takes nor gives"
            with contextlib.suppress(ssl.SSLWantReadError):
                data = caller.socket.recv(65536)
                if not data:
                    return code
                unread += data
            while len(unread) >= 9 and len(unread) >= (size := 9 + int.from_bytes(unread[:3])):
                frame, unread = unread[:size], unread[size:]
                if frame[3] == 7:  # GOAWAY
                    code = int.from_bytes(frame[13:17])
                if frame[3] == 6 and frame[9:] == LAST:
                    return 0
            with contextlib.suppress(ssl.SSLWantWriteError, ssl.SSLWantReadError):
                unsent = unsent[caller.socket.send(unsent[:16384]) :] if unsent else b""
    except OSError:
        return code


FLOODS = {
    "settings": SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 1}).serialize() * 100,
    "pings": PingFrame(0, b"12345678").serialize() * 100,
    "priorities": PriorityFrame(1, depends_on=0, stream_weight=1).serialize() * 100,
    "resets of no stream": RstStreamFrame(9, 0).serialize() * 100,
    "empty settings": SettingsFrame(0).serialize() * 100,
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_of_frames_about_nothing(name: str, stage: Stage, harmless: Callable[[], int]) -> None:
    with stage.connect_http2() as caller:
        assert pour(caller, repeat(FLOODS[name], count(10_000, 300))) in (0, ENDED, PROTOCOL_ERROR, CALM)
    assert harmless() <= GROWTH


def test_a_head_without_end_is_ended(stage: Stage, harmless: Callable[[], int]) -> None:
    with stage.connect_http2() as caller:
        caller.raw(head(1, GET))
        part = ContinuationFrame(1, Encoder().encode([("x-more", "v" * 8000)])).serialize()
        assert pour(caller, repeat(part, 5000)) in (ENDED, CALM)
    assert harmless() <= GROWTH


def test_a_head_of_empty_parts_is_ended(stage: Stage, harmless: Callable[[], int]) -> None:
    with stage.connect_http2() as caller:
        caller.raw(head(1, GET))
        assert pour(caller, repeat(ContinuationFrame(1, b"").serialize() * 100, 5000)) in (ENDED, CALM)
    assert harmless() <= GROWTH


def test_streams_that_are_reset_at_once_end_the_connection(stage: Stage, harmless: Callable[[], int]) -> None:
    with stage.connect_http2() as caller:
        resets = (
            head(stream, GET, "END_HEADERS", "END_STREAM") + RstStreamFrame(stream, 8).serialize()
            for stream in range(1, 2 * count(100_000, 5000), 2)
        )
        assert pour(caller, resets) in (ENDED, CALM)
    assert harmless() <= GROWTH


def test_empty_parts_of_a_body_end_the_connection(stage: Stage, harmless: Callable[[], int]) -> None:
    with stage.connect_http2() as caller:
        caller.raw(head(1, POST, "END_HEADERS"))
        assert pour(caller, repeat(DataFrame(1, b"").serialize() * 100, count(100_000, 2000))) in (ENDED, CALM)
    assert harmless() <= GROWTH


def test_streams_beyond_the_bound_are_refused(stage: Stage, harmless: Callable[[], int]) -> None:
    with stage.connect_http2() as caller:
        for stream in range(1, 601, 2):
            caller.raw(head(stream, POST, "END_HEADERS"))
        refused = set()
        buffer = b""
        while len(refused) < 200:
            data = caller.socket.recv(65536)
            assert data
            buffer += data
            while len(buffer) >= 9 and len(buffer) >= (size := 9 + int.from_bytes(buffer[:3])):
                frame, buffer = buffer[:size], buffer[size:]
                if frame[3] == 3:  # RST_STREAM
                    assert int.from_bytes(frame[9:13]) == 7  # REFUSED_STREAM
                    refused.add(int.from_bytes(frame[5:9]))
        assert refused == set(range(201, 601, 2))
    assert harmless() <= GROWTH


def test_a_window_beyond_its_bound_ends_the_stream_or_the_connection(stage: Stage, harmless: Callable[[], int]) -> None:
    with stage.connect_http2() as caller:
        caller.raw(WindowUpdateFrame(0, window_increment=2**31 - 1).serialize() * 2)
        while caller.read():
            pass
        assert caller.goaway == 3  # FLOW_CONTROL_ERROR
    assert harmless() <= GROWTH


@pytest.mark.parametrize(
    "garbage",
    [
        b"\0" * 64,
        b"\xff" * 64,
        bytes(range(256)) * 4,
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
        b"\xff\xff\xff\x00\x00\x00\x00\x00\x01",
        b"\x00\x00\x01\x01\x05\x00\x00\x00\x01\x80",
        b"\x00\x00\x04\x01\x05\x00\x00\x00\x01\xff\xff\xff\xff",
        b"\x00\x00\x01\x00\x01\x00\x00\x00\x01x",
        b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00",
        b"\x00\x00\x08\x01\x2d\x00\x00\x00\x01\x00\x00\x00\x01\xff\x82\x84\x87",
    ],
    ids=repr,
)
@pytest.mark.parametrize("after_preface", [True, False])
def test_garbage_ends_the_connection(
    garbage: bytes, after_preface: bool, stage: Stage, harmless: Callable[[], int]
) -> None:
    assert stage.authority is not None
    if after_preface:
        with stage.connect_http2() as caller:
            caller.raw(garbage + garbage)
            with contextlib.suppress(OSError):
                caller.socket.unwrap().settimeout(20)
    else:
        with stage.gateway.connect_tls(stage.authority.context("h2")) as plain:
            plain.send(garbage)
            with contextlib.suppress(OSError):
                plain.socket.unwrap()


def test_one_byte_references_to_a_long_field_hold_no_memory(stage: Stage, harmless: Callable[[], int]) -> None:
    """A field of 4 KB goes into the table once, single bytes name it thousands of times; no window lets answers out."""
    grown = []
    with contextlib.ExitStack() as opened:
        callers = [opened.enter_context(stage.connect_http2(acknowledge=False)) for _ in range(3)]
        for caller in callers:
            encoder = Encoder()
            first = encoder.encode([*GET, ("x-long", "v" * 3900)])
            again = encoder.encode([("x-long", "v" * 3900)])
            assert len(again) == 1
            blocks = [SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 0}).serialize()]
            blocks.append(HeadersFrame(1, first, flags=("END_HEADERS", "END_STREAM")).serialize())
            for stream in range(3, 203, 2):
                block = encoder.encode(GET) + again * 20_000
                blocks.append(HeadersFrame(stream, block[:16_000], flags=("END_STREAM",)).serialize())
                blocks.append(ContinuationFrame(stream, block[16_000:], flags=("END_HEADERS",)).serialize())
            assert pour(caller, blocks) in (0, ENDED, CALM)
            grown.append(harmless())
        assert max(grown) <= GROWTH
