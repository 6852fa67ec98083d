import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import wire
from core.errors import FrameError

FRAMES = [
    wire.Hello(format=wire.FORMAT, worker=0, pid=42, boot="b-1"),
    wire.Push(version=3, digest="cd" * 32, generation=2, manifest=b"\x00\xffbytes", secrets={"env:KEY": "sk-secret"}),
    wire.Need(version=3, digest="cd" * 32, generation=2, sections=[b"\x01" * 32, b"\x02" * 32]),
    wire.Section(data=b"\x00\xff" * 100),
    wire.Ack(version=3, digest="cd" * 32, generation=2),
    wire.Nack(version=4, digest="ef" * 32, generation=2, reason="two routes match the same requests"),
    wire.Usage(number=1, records=b"\x00\xffrecords"),
    wire.Usage(number=2**53, records=b""),
    wire.UsageTaken(number=2),
    wire.Draining(),
]
STREAM = b"".join(wire.pack(frame) for frame in FRAMES)


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def test_frames_come_out_as_they_went_in() -> None:
    assert wire.FrameReader().feed(STREAM) == FRAMES


def test_a_stream_split_at_any_byte_gives_the_same_frames() -> None:
    for cut in range(len(STREAM) + 1):
        reader = wire.FrameReader()
        assert reader.feed(STREAM[:cut]) + reader.feed(STREAM[cut:]) == FRAMES


def test_a_stream_fed_byte_by_byte_gives_the_same_frames() -> None:
    reader = wire.FrameReader()
    assert [frame for byte in STREAM for frame in reader.feed(bytes([byte]))] == FRAMES


def test_an_oversize_frame_is_refused_from_its_length_alone() -> None:
    with pytest.raises(FrameError, match="over the limit"):
        wire.FrameReader().feed((wire.MAX_FRAME + 1).to_bytes(4, "big"))


def test_a_frame_of_exactly_the_limit_is_accepted_and_one_byte_more_is_not() -> None:
    data = wire.pack(FRAMES[0])
    assert wire.FrameReader(limit=len(data) - 4).feed(data) == FRAMES[:1]
    with pytest.raises(FrameError, match="over the limit"):
        wire.FrameReader(limit=len(data) - 5).feed(data)


def test_pack_refuses_a_frame_that_no_reader_would_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_FRAME", 10)
    with pytest.raises(FrameError, match="over the limit"):
        wire.pack(FRAMES[0])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\x80",
        b"\x91" * 100_000 + b"\xc0",
        b"\x81\xa4type" + b"\x91" * 100_000 + b"\xc0",
        b"\x81\xa4type\xa5reset",
        b"\x82\xa4type\xa3ack\xa7version\x01",
        b"\x83\xa4type\xa3ack\xa7version\xa1x\xa6digest\xa0",
        b"\x84\xa4type\xa3ack\xa7version\x01\xa6digest\xa0\xa5extra" + b"\x91" * 100_000 + b"\xc0",
        b"\x83\xa4type\xa3ack\xa7version\x01\xa6digest\xa1\xff",
        b"\x82\xa4type\xa5usage\xa6events\x91\x93\x01\x02\x03",
        b"\x82\xa4type\xa5usage\xa6events\xdd\xff\xff\xff\xff",
        wire.pack(FRAMES[0])[4:] + b"\x00",
    ],
)
def test_garbage_in_a_frame_is_a_frame_error(body: bytes) -> None:
    with pytest.raises(FrameError):
        wire.FrameReader().feed(framed(body))


def test_a_reader_stays_broken_after_the_first_error() -> None:
    reader = wire.FrameReader()
    with pytest.raises(FrameError):
        reader.feed(framed(b"\xc1"))
    with pytest.raises(FrameError, match="broken before"):
        reader.feed(STREAM)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_give_frames_or_a_frame_error(data: bytes) -> None:
    for stream in (data, framed(data)):
        try:
            wire.FrameReader().feed(stream)
        except FrameError:
            continue


@settings(deadline=None)
@given(position=st.integers(0, len(STREAM) - 1), byte=st.integers(0, 255), tail=st.integers(0, 20))
def test_a_corrupted_stream_gives_frames_or_a_frame_error(position: int, byte: int, tail: int) -> None:
    data = bytearray(STREAM)
    data[position] = byte
    try:
        wire.FrameReader().feed(bytes(data[: len(data) - tail]))
    except FrameError:
        return


def test_a_push_never_shows_its_secrets() -> None:
    for text in (repr(FRAMES[1]), str(FRAMES[1]), f"{FRAMES[1]}"):
        assert "sk-secret" not in text
        assert "***" in text


def test_a_section_is_shown_by_its_length_alone() -> None:
    assert repr(wire.Section(data=b"x" * 70_000)) == "Section(<70000 bytes>)"
