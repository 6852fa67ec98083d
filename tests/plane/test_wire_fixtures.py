"""The wire files of the smaller dialects: requests survive a round trip, streams say what answers say."""

from pathlib import Path
from typing import Any

import pytest

from plane.canonical import Carry, Event, Failed, UsageCounted
from plane.dialects import cohere, mistral, ollama
from tests.plane.gathered import gather, plain
from tests.plane.splits import splits

FILES = Path(__file__).parents[1] / "golden" / "dialects"
DIALECTS: dict[str, Any] = {
    "cohere": cohere.build(cohere.Options()),
    "mistral": mistral.build(mistral.Options()),
    "ollama": ollama.build(ollama.Options()),
}
CASES = [
    (name, path.name.removesuffix(".stream")) for name in DIALECTS for path in sorted((FILES / name).glob("*.stream"))
]
TOLD = [(name, case) for name, case in CASES if case != "error"]
VARIED = [(name, case) for name, case in TOLD if case in ("parallel_tools", "thinking")]


def translator(name: str) -> Any:
    return DIALECTS[name].translators["chat"]


def wire(name: str, case: str, kind: str) -> bytes:
    return (FILES / name / f"{case}.{kind}").read_bytes()


def read(name: str, pieces: list[bytes]) -> list[Event]:
    """Return the events of a stream that comes in `pieces`."""
    reader = translator(name).event_reader(Carry("provider-model"))
    events: list[Event] = [event for piece in pieces for event in reader.feed(piece)]
    events += reader.flush()
    counted = [event.usage for event in events if isinstance(event, UsageCounted)]
    assert counted == ([reader.usage] if reader.usage is not None else [])
    return events


def test_there_are_all_cases() -> None:
    assert len(CASES) == 15 * len(DIALECTS)


@pytest.mark.parametrize(("name", "case"), CASES)
def test_a_request_is_the_same_after_a_round_trip(name: str, case: str) -> None:
    request = translator(name).read_request(wire(name, case, "request.json"), "caller-model", False)
    carry = Carry("caller-model")
    written = translator(name).write_request(request, carry)
    assert translator(name).read_request(written, "caller-model", False) == request
    assert carry.names == []


@pytest.mark.parametrize(("name", "case"), TOLD)
def test_an_answer_is_the_same_after_a_round_trip(name: str, case: str) -> None:
    request = translator(name).read_request(wire(name, case, "request.json"), "provider-model", False)
    answer = translator(name).read_answer(wire(name, case, "answer.json"), Carry("provider-model"))
    again = translator(name).read_answer(translator(name).write_answer(answer, request), Carry("provider-model"))
    assert plain(again.choices[0].parts) == plain(answer.choices[0].parts)
    assert repr(again.usage) == repr(answer.usage)


@pytest.mark.parametrize(("name", "case"), TOLD)
def test_a_stream_says_what_the_answer_says(name: str, case: str) -> None:
    answer = translator(name).read_answer(wire(name, case, "answer.json"), Carry("provider-model"))
    streamed = gather(read(name, [wire(name, case, "stream")]))
    assert plain(streamed.choices[0].parts) == plain(answer.choices[0].parts)
    assert streamed.choices[0].stop == answer.choices[0].stop
    assert repr(streamed.usage) == repr(answer.usage)


@pytest.mark.parametrize(("name", "case"), VARIED)
def test_a_stream_is_read_alike_under_every_split(name: str, case: str) -> None:
    data = wire(name, case, "stream")
    whole = gather(read(name, [data]))
    for pieces in splits(data):
        streamed = gather(read(name, pieces))
        assert plain(streamed.choices[0].parts) == plain(whole.choices[0].parts)
        assert repr(streamed.usage) == repr(whole.usage)


@pytest.mark.parametrize(("name", "case"), TOLD)
def test_a_stream_is_the_same_after_a_round_trip(name: str, case: str) -> None:
    request = translator(name).read_request(wire(name, case, "request.json"), "provider-model", True)
    events = read(name, [wire(name, case, "stream")])
    writer = translator(name).event_writer(request)
    written = b"".join(writer.write([event]) for event in events) + writer.flush()
    again, first = gather(read(name, [written])), gather(events)
    assert plain(again.choices[0].parts) == plain(first.choices[0].parts)
    assert repr(again.usage) == repr(first.usage)
    assert writer.flush() == b""


@pytest.mark.parametrize("name", DIALECTS)
def test_an_error_ends_a_stream_and_nothing_comes_after_it(name: str) -> None:
    for pieces in splits(wire(name, "error", "stream")):
        events = read(name, pieces)
        assert isinstance(events[-1], Failed)
        assert events[-1].fault.message
        assert sum(isinstance(event, Failed) for event in events) == 1


@pytest.mark.parametrize("name", DIALECTS)
def test_a_stream_that_breaks_off_fails_wherever_it_is_cut(name: str) -> None:
    data = wire(name, "thinking", "stream")
    for cut in range(len(data)):
        events = [] if cut == 0 else read(name, [data[:cut]])
        if not any(isinstance(event, UsageCounted) for event in events):
            assert cut == 0 or isinstance(events[-1], Failed)
    assert isinstance(read(name, [])[-1], Failed)


@pytest.mark.parametrize("name", DIALECTS)
def test_a_failure_is_told_to_the_caller_without_a_clean_end(name: str) -> None:
    request = translator(name).read_request(wire(name, "plain", "request.json"), "m", True)
    writer = translator(name).event_writer(request)
    written = writer.write(read(name, [wire(name, "error", "stream")]))
    assert writer.flush() == b""
    assert b"[DONE]" not in written
    assert isinstance(read(name, [written])[-1], Failed)
