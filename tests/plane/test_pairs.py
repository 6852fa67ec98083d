"""Each recorded call between each two dialects comes out as the golden files say, however its stream is cut."""

from __future__ import annotations

import json

import pytest

from tests.golden.pairs import PAIRS, Pair, gathered, pairs, recorded, results, still, stream_of, translated

ALL = pairs()


def last_event(stream: bytes) -> bytes:
    return stream.rstrip().rpartition(b"\n\n")[2]


def named(pair: Pair) -> str:
    return f"{pair.caller}-to-{pair.provider}-{pair.case}"


@pytest.mark.parametrize("pair", ALL, ids=named)
def test_a_call_becomes_what_its_golden_files_say(pair: Pair) -> None:
    made = results(pair)
    assert {name: (pair.folder / name).read_bytes() for name in made} == made


@pytest.mark.parametrize("pair", ALL, ids=named)
def test_a_stream_is_the_same_byte_by_byte(pair: Pair) -> None:
    data = recorded(pair.provider, pair.case, "stream")
    with still():
        assert stream_of(pair, [data[at : at + 1] for at in range(len(data))]) == stream_of(pair, [data])


@pytest.mark.parametrize("pair", [pair for pair in ALL if pair.case != "error"], ids=named)
def test_a_stream_cut_short_ends_in_an_error(pair: Pair) -> None:
    data = recorded(pair.provider, pair.case, "stream")
    with still():
        whole, is_error = translated(pair, [data])
        assert not is_error
        cut, is_error = translated(pair, [data[: len(data) // 2]])
    assert is_error
    assert b"error" in last_event(cut)
    assert last_event(cut) != last_event(whole)


@pytest.mark.parametrize("pair", [pair for pair in ALL if pair.case != "error"], ids=named)
def test_a_stream_gathered_for_a_caller_that_waits_is_an_answer(pair: Pair) -> None:
    with still():
        assert json.loads(gathered(pair)).keys() == json.loads(results(pair)[f"{pair.case}.answer.json"]).keys()


def test_no_golden_file_is_left_over() -> None:
    wanted = {pair.folder / f"{pair.case}.{kind}" for pair in ALL for kind in ("request.json", "answer.json", "stream")}
    assert set(PAIRS.rglob("*.*")) == wanted
