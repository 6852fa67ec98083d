"""The access log: one line for each call, whatever stands in it, and no more than that."""

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from control import access
from control.access import AccessLog
from control.log import Log
from core.usage import UsageEvent, make_id

EVENT = UsageEvent(
    make_id(3, 1_700_000_000, 5), 1_795_424_400_123, "ab" * 32, "r-1", "alice", "chat.completions", "m", "p/m", 200, "",
    True, 2, 5000, 800, 10, 5, 4, 3, True, "POST", "/v1/chat/completions", "10.0.0.7", 120, 340, "https",
)  # fmt: skip


def written(target: Path, *events: UsageEvent) -> list[dict[str, Any]]:
    """Return the lines that a log has written when it is closed."""
    log = AccessLog(str(target), Log("test"))
    log.start()
    for event in events:
        log.add(event)
    log.close()
    assert log.dropped == 0
    return [json.loads(line) for line in target.read_text().splitlines()]


def test_a_line_says_all_of_a_call(tmp_path: Path) -> None:
    (line,) = written(tmp_path / "log", EVENT)
    assert line == {
        "time": "2026-11-23T09:00:00.123Z",
        "request_id": "r-1",
        "consumer": "alice",
        "method": "POST",
        "path": "/v1/chat/completions",
        "peer": "10.0.0.7",
        "door": "https",
        "route": "chat.completions",
        "model": "m",
        "target": "p/m",
        "status": 200,
        "error": "",
        "stream": True,
        "attempts": 2,
        "latency_us": 5000,
        "first_us": 800,
        "bytes_in": 120,
        "bytes_out": 340,
        "input_tokens": 10,
        "output_tokens": 5,
        "cache_read_tokens": 4,
        "reasoning_tokens": 3,
        "snapshot": "abababababab",
        "worker": 3,
        "id": EVENT.id,
    }


def test_tokens_that_nobody_told_are_null(tmp_path: Path) -> None:
    (line,) = written(tmp_path / "log", msgspec.structs.replace(EVENT, usage_known=False))
    assert [line[f"{kind}_tokens"] for kind in ("input", "output", "cache_read", "reasoning")] == [None] * 4


def test_no_byte_of_a_path_breaks_a_line_or_reaches_a_terminal(tmp_path: Path) -> None:
    paths = [f"/{chr(code)}x" for code in range(256)] + ['/"}\n{"status":200', "/\u2028\x9b31m"]
    lines = written(tmp_path / "log", *(msgspec.structs.replace(EVENT, path=path) for path in paths))
    assert [line["path"] for line in lines] == paths
    assert set((tmp_path / "log").read_bytes()) <= {10, *range(32, 127)}


def test_a_file_that_was_moved_away_is_opened_anew(tmp_path: Path) -> None:
    target = tmp_path / "log"
    log = AccessLog(str(target), Log("test"))
    log.add(EVENT)
    log._write()
    target.rename(tmp_path / "log.1")
    log.add(msgspec.structs.replace(EVENT, request_id="r-2"))
    log._write()
    assert json.loads((tmp_path / "log.1").read_text())["request_id"] == "r-1"
    assert json.loads(target.read_text())["request_id"] == "r-2"
    assert target.stat().st_mode & 0o007 == 0


def test_lines_are_added_to_a_file_that_is_there(tmp_path: Path) -> None:
    written(tmp_path / "log", EVENT)
    assert len(written(tmp_path / "log", EVENT)) == 2


def test_what_cannot_be_written_is_counted_told_once_and_tried_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = AccessLog(str(tmp_path / "folder" / "log"), Log("test"))
    for _ in range(2):
        log.add(EVENT)
        log._write()
    assert log.dropped == 2
    assert capfd.readouterr().err.count("access-log-failed") == 1
    (tmp_path / "folder").mkdir()
    log.add(EVENT)
    log._write()
    assert log.dropped == 2
    assert len((tmp_path / "folder" / "log").read_text().splitlines()) == 1


def test_the_queue_is_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(access, "QUEUE", 3)
    log = AccessLog(str(tmp_path / "log"), Log("test"))
    for _ in range(5):
        log.add(EVENT)
    assert log.dropped == 2


def test_a_reader_that_has_stopped_holds_nobody_up(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    log = AccessLog(str(path), Log("test"))
    for _ in range(1000):  # More than a pipe holds.
        log.add(EVENT)
    log.start()
    log.close(0.5)
    log.add(EVENT)
    assert log.dropped == 0
    os.close(reader)
