"""Segments of usage events: what was appended is read back, whatever a crash tore off at the end."""

import os
import struct
import zlib
from pathlib import Path

import msgspec
import pytest

from control import segments
from control.log import Log
from control.segments import Segments, bodies, events, segments_in
from core.usage import UsageEvent
from tests.ledgers import records_of
from tests.usage_events import event

HOST = bytes(range(16))
LOG = Log("test")


def opened(folder: Path, host: bytes = HOST) -> Segments:
    return Segments(folder, host, LOG)


def ids(folder: Path) -> list[int]:
    return [one.id for path in segments_in(folder) for _, _, one in events(path)]


def put(kept: Segments, *numbers: int) -> None:
    kept.append(records_of(*(event(number) for number in numbers)))


def test_what_is_appended_is_read_back_with_its_host_and_where_it_ends(tmp_path: Path) -> None:
    kept = opened(tmp_path / "usage")
    put(kept, 1, 2)
    put(kept, 3)
    (path,) = segments_in(tmp_path / "usage")
    found = list(events(path))
    assert [(host, one.id) for host, _, one in found] == [(HOST, 1), (HOST, 2), (HOST, 3)]
    assert kept.position == (path.stem, found[-1][1])
    assert [one.id for _, _, one in events(path, found[0][1])] == [2, 3]


def test_the_format_is_the_documented_one(tmp_path: Path) -> None:
    kept = opened(tmp_path / "usage")
    put(kept, 7)
    kept.close()
    (path,) = segments_in(tmp_path / "usage")
    data = path.read_bytes()
    magic, version, host, _ = struct.unpack("<8sI16sQ", data[:36])
    assert (magic, version, host) == (b"HGUSAGE1", 1, HOST)
    length, checksum = struct.unpack("<II", data[36:44])
    body = data[44 : 44 + length]
    assert len(data) == 44 + length
    assert checksum == zlib.crc32(body)
    fields = msgspec.msgpack.decode(body)
    assert dict(zip(UsageEvent.__struct_fields__, fields, strict=True))["id"] == 7


def test_a_folder_nobody_wrote_to_has_no_segment(tmp_path: Path) -> None:
    opened(tmp_path / "usage").close()
    assert segments_in(tmp_path / "usage") == []


def test_a_large_segment_is_sealed_and_the_next_one_has_a_greater_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "LARGEST_SEGMENT", 300)
    kept = opened(tmp_path)
    for number in range(20):
        put(kept, number)
    paths = segments_in(tmp_path)
    assert len(paths) > 3
    assert [path.suffix for path in paths] == [".seg"] * (len(paths) - 1) + [".open"]
    assert all(path.stat().st_size <= 300 for path in paths)
    assert ids(tmp_path) == list(range(20))
    kept.sync()
    kept.close()


def test_an_old_segment_is_sealed_and_one_that_is_not_stays_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = opened(tmp_path)
    put(kept, 1)
    kept.roll_if_old()
    assert segments_in(tmp_path)[0].suffix == ".open"
    monkeypatch.setattr(segments, "LONGEST_SEGMENT", -1.0)
    kept.roll_if_old()
    assert segments_in(tmp_path)[0].suffix == ".seg"
    put(kept, 2)
    assert ids(tmp_path) == [1, 2]


def test_the_next_process_goes_on_with_the_segment_that_was_open(tmp_path: Path) -> None:
    first = opened(tmp_path)
    put(first, 1)
    first.close()
    put(opened(tmp_path), 2)
    assert len(segments_in(tmp_path)) == 1
    assert ids(tmp_path) == [1, 2]


def test_a_segment_cut_at_any_byte_goes_on_after_its_last_whole_record(tmp_path: Path) -> None:
    kept = opened(tmp_path)
    put(kept, 1, 2)
    (path,) = segments_in(tmp_path)
    whole = path.read_bytes()
    ends = [end for end, _ in bodies(path)]
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        again = opened(tmp_path)
        assert ids(tmp_path) == [1, 2][: sum(end <= size for end in ends)]
        put(again, 9)
        assert ids(tmp_path)[-1] == 9
        again.close()
        for other in segments_in(tmp_path):
            other.unlink()
        path.write_bytes(b"")


def test_zeros_that_a_loss_of_power_left_at_the_end_are_cut_off(tmp_path: Path) -> None:
    put(opened(tmp_path), 1)
    (path,) = segments_in(tmp_path)
    with path.open("ab") as file:
        file.write(bytes(4096))
    put(opened(tmp_path), 2)
    assert ids(tmp_path) == [1, 2]


def test_a_record_in_the_middle_whose_checksum_is_wrong_is_passed_over(tmp_path: Path) -> None:
    kept = opened(tmp_path)
    put(kept, 1, 2, 3)
    (path,) = segments_in(tmp_path)
    end = next(bodies(path))[0]
    data = bytearray(path.read_bytes())
    data[end + 12] ^= 1
    path.write_bytes(data)
    assert ids(tmp_path) == [1, 3]
    assert [body is None for _, body in bodies(path)] == [False, True, False]


def test_a_disk_that_takes_half_a_batch_leaves_none_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = opened(tmp_path)
    put(kept, 1)
    before = kept.position
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, data[:10]) if len(data) > 60 else full())
    with pytest.raises(OSError, match="No space left"):
        put(kept, 2, 3)
    monkeypatch.undo()
    assert kept.position == before
    put(kept, 4)
    assert ids(tmp_path) == [1, 4]


def full() -> int:
    raise OSError(28, "No space left on device")


def test_a_segment_of_another_host_is_sealed_as_it_is(tmp_path: Path) -> None:
    put(opened(tmp_path), 1)
    put(opened(tmp_path, bytes(16)), 1)
    paths = segments_in(tmp_path)
    assert [path.suffix for path in paths] == [".seg", ".open"]
    assert [(host, one.id) for path in paths for host, _, one in events(path)] == [(HOST, 1), (bytes(16), 1)]


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "is no segment"), (b"x" * 60, "is no segment"), (b"HGUSAGE1" + b"\2\0\0\0" + bytes(24), "has format 2")],
)
def test_a_file_that_is_no_segment_is_refused_by_name(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "00000000000000000001.seg"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"{path}: {reason}"):
        list(events(path))


def test_an_open_file_that_is_no_segment_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "00000000000000000001.open").write_bytes(b"x" * 60)
    put(opened(tmp_path), 1)
    assert (tmp_path / "00000000000000000001.damaged").exists()
    assert ids(tmp_path) == [1]
