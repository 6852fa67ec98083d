"""The fuzzer finds what is broken: targets with a seeded fault, each found within so many inputs."""

import logging
from collections.abc import Hashable
from pathlib import Path

import pytest

import core.sse
from core.sse import EventScan
from tests.fuzz import engine
from tests.fuzz.engine import FindingError, Fuzzer, Watched, corpus_of, cuts, saved
from tests.fuzz.targets import answer, request, splice, sse, wire


class Broken:
    """A target that cannot stand one word."""

    WORDS = (b"key", b"word")

    def check(self, data: bytes) -> Hashable:
        assert b"keyword" not in data, "the word"
        return b"key" in data, b"word" in data


def found(target: engine.Target, corpus: list[bytes], folder: Path, executions: int) -> FindingError:
    """Return what fuzzing `target` finds within so many inputs."""
    with pytest.raises(FindingError) as caught:
        Fuzzer(target, corpus, 1, folder).run(executions=executions)
    return caught.value


def test_a_fault_is_found_and_its_input_made_as_small_as_it_can_be(tmp_path: Path) -> None:
    finding = found(Broken(), [b"some text to begin with"], tmp_path, 20_000)
    assert finding.data == b"keyword"
    assert saved(finding, tmp_path).read_bytes() == b"keyword"


def test_the_same_seed_tries_the_same_inputs(tmp_path: Path) -> None:
    class Kept(Broken):
        def __init__(self) -> None:
            self.inputs: list[bytes] = []

        def check(self, data: bytes) -> Hashable:
            self.inputs.append(data)
            return len(data) % 7

    one, other = Kept(), Kept()
    for kept in (one, other):
        Fuzzer(kept, [b"abc"], 7, tmp_path).run(executions=300)
    assert one.inputs == other.inputs
    assert len(set(one.inputs)) > 100


def test_the_input_being_tried_can_be_read_from_outside(tmp_path: Path) -> None:
    Fuzzer(Broken(), [b"last words"], 1, tmp_path)
    raw = (tmp_path / "current").read_bytes()
    assert raw[8 : 8 + int.from_bytes(raw[:8], "big")] == b"last words"


def test_an_error_that_is_only_logged_is_found(tmp_path: Path) -> None:
    class Logging:
        WORDS = (b"x",)

        def check(self, data: bytes) -> Hashable:
            if b"x" in data:
                logging.getLogger("headgate.plane").error("failed inside")
            return len(data) > 3

    assert found(Watched(Logging()), [b"abc"], tmp_path, 2000).data == b"x"


def test_a_way_to_cut_an_input_depends_on_it_alone_and_loses_nothing() -> None:
    for size in (1, 2, 50, 500):
        data = bytes(range(256)) * 2
        assert cuts(data[:size]) == cuts(data[:size])
        assert b"".join(cuts(data[:size])) == data[:size]


def test_a_scan_that_depends_on_where_the_bytes_are_cut_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forgetful:
        """A scan that loses what it held back when a piece ends with a carriage return."""

        def __init__(self) -> None:
            self.scan = EventScan()

        def __getattr__(self, name: str) -> object:
            return getattr(self.scan, name)

        def feed(self, chunk: bytes) -> bytes:
            return self.scan.feed(chunk.removesuffix(b"\r") + b"\n" if chunk.endswith(b"\r") else chunk)

    monkeypatch.setattr(sse, "EventScan", Forgetful)
    assert found(sse, list(corpus_of("sse").values()), tmp_path, 5000)


def test_a_splice_that_takes_a_nested_member_for_one_at_the_top_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def naive(body: bytes, key: bytes) -> tuple[int, int]:
        at = body.rfind(b'"' + key + b'":')
        return splice.scan(body, (key,))[0] if at < 0 else (at + len(key) + 3, body.find(b"}", at))

    monkeypatch.setattr(splice, "last_member", naive)
    assert found(splice, list(corpus_of("splice").values()), tmp_path, 5000)


def test_a_frame_reader_that_forgets_the_end_of_a_read_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forgetful(wire.FrameReader):
        def feed(self, data: bytes) -> list[object]:  # type: ignore[override]
            frames = super().feed(data)
            self._buffer.clear()
            return list(frames)

    monkeypatch.setattr(wire, "FrameReader", Forgetful)
    assert found(wire, list(corpus_of("wire").values()), tmp_path, 5000)


def test_a_door_that_drops_what_follows_a_read_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Deaf(request.Caller):
        def send(self, data: bytes) -> None:
            super().send(data.removesuffix(b"\n"))

    monkeypatch.setattr(request, "Caller", Deaf)
    assert found(request, list(corpus_of("request").values()), tmp_path, 5000)


def test_a_client_that_takes_a_cut_answer_for_a_whole_one_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = answer.outcome

    def lenient(pieces: list[bytes], method: bytes, at_once: bool) -> tuple[object, ...]:
        return whole(pieces[:-1] if len(pieces) > 3 else pieces, method, at_once)

    monkeypatch.setattr(answer, "outcome", lenient)
    assert found(answer, list(corpus_of("answer").values()), tmp_path, 5000)


def test_the_compiled_scan_is_what_is_fuzzed() -> None:
    assert core.sse.__file__.endswith(".so")
