"""Requests, answers and streams of Mistral, Cohere and Ollama: refused in the right words, or read without a fault."""

from collections.abc import Hashable
from typing import Any

from core.errors import GatewayError
from plane.canonical import Carry, Event, Failed, PartEnded, PartStarted, Request, Started, Stopped, UsageCounted
from plane.dialects import cohere, mistral, ollama
from plane.dialects._line_scan import LineScan
from tests.fuzz.engine import cuts

# fmt: off
WORDS = (
    b'"messages":[', b'{"role":"user","content":"hi"}', b'"role":"assistant"', b'"role":"tool"', b'"content":[',
    b'{"type":"text","text":"a"}', b'{"type":"thinking","thinking":[{"type":"text","text":"t"}],"signature":"s"}',
    b'"tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"}}]', b'"arguments":{"a":1}', b'"tool_plan":"x"',
    b'"tools":[{"type":"function","function":{"name":"f","parameters":{}}}]', b'"tool_choice":"any"', b"null", b"[]",
    b'"options":{"num_ctx":1,"stop":["a"]}', b'"think":"low"', b'"format":{}', b'"images":["aGk="]', b'"k":1,"p":0.5',
    b'"document":{"data":{"text":"a"}}', b'"logprobs":[{"text":"a","logprobs":[-1]}]', b'"usage":{"prompt_tokens":1}',
    b'data: {"type":"message-start"}\n\n', b'data: {"type":"content-delta","delta":', b'"finish_reason":"COMPLETE"',
    b'data: {"choices":[{"index":0,"delta":', b'"finish_reason":"stop"', b"data: [DONE]\n\n", b'{"error":"no"}\n',
    b'{"message":{"content":"a"},"done":false}\n', b'"done":true', b'"eval_count":1', b"\n\n", b"\n", b"\r\n",
)
# fmt: on
CHATS: tuple[Any, ...] = tuple(
    module.build(module.Options()).translators["chat"] for module in (mistral, cohere, ollama)
)


def check(data: bytes) -> Hashable:
    """Take `data` for all that it could be."""
    lines(data)
    return tuple((request(chat, data), answer(chat, data), stream(chat, data)) for chat in CHATS)


def request(chat: Any, data: bytes) -> Hashable:
    """Read a request, write it for a provider, and read that."""
    carry = Carry("m", drops=True)
    try:
        asked = chat.read_request(data, "m", False)
        written = chat.write_request(asked, carry)
    except GatewayError as error:
        return refused(error, 400, "caller")
    chat.read_request(written, "m", False)
    return tuple(carry.names)


def refused(error: GatewayError, status: int, source: str) -> Hashable:
    """Return what a refusal says."""
    assert (error.status, error.source) == (status, source), error
    return error.code, error.param


def answer(chat: Any, data: bytes) -> Hashable:
    """Read an answer, and write it for a caller."""
    try:
        read = chat.read_answer(data, Carry("m"))
    except GatewayError as error:
        return refused(error, 502, "upstream")
    chat.read_answer(chat.write_answer(read, Request("m", [])), Carry("m"))
    return len(read.choices)


def stream(chat: Any, data: bytes) -> Hashable:
    """Compare one read with many, look whether parts begin and end in order, and write it for a caller."""
    events = outcome(chat, [data])
    other = outcome(chat, cuts(data))
    if isinstance(events, GatewayError) or isinstance(other, GatewayError):
        assert type(events) is type(other)
        return "refused"
    assert [type(event) for event in events] == [type(event) for event in other], "another cut, other events"
    assert isinstance(events[-1], Failed | Stopped | UsageCounted), "the end is not told"
    open_parts: set[tuple[int, int]] = set()
    for place, event in enumerate(events):
        assert not isinstance(event, Started) or place == 0
        if isinstance(event, PartStarted):
            open_parts.add((event.choice, event.index))
        elif isinstance(event, PartEnded):
            open_parts.remove((event.choice, event.index))
        elif isinstance(event, Stopped):
            assert not any(choice == event.choice for choice, _ in open_parts)
        elif not isinstance(event, Started | Failed | UsageCounted):
            assert (event.choice, event.index) in open_parts
    writer = chat.event_writer(Request("m", [], stream=True))
    writer.write(events)
    writer.flush()
    return tuple(type(event).__name__ for event in events[:8]), type(events[-1]).__name__


def outcome(chat: Any, pieces: list[bytes]) -> list[Event] | GatewayError:
    """Return all events, or why there are none."""
    reader = chat.event_reader(Carry("m"))
    try:
        return [event for piece in pieces for event in reader.feed(piece)] + reader.flush()
    except GatewayError as error:
        refused(error, 502, "upstream")
        return error


def lines(data: bytes) -> None:
    """Look that lines pass unchanged, however they are cut."""
    found = []
    for pieces in ([data], cuts(data)):
        scan = LineScan(1 << 20)
        passed = b"".join(scan.feed(piece) for piece in pieces) + scan.flush()
        assert passed == data, "bytes were changed"
        found.append((scan.usage, scan.done, scan.error))
    assert found[0] == found[1], "another cut, another outcome"
