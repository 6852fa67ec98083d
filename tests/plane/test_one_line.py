"""A message of a stream is one line, whoever laid out the JSON within it: the caller, the provider, a model."""

import json
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from plane.canonical import (
    ArgumentsDelta,
    Carry,
    Event,
    Failed,
    Fault,
    PartEnded,
    PartStarted,
    RefusalDelta,
    SignatureDelta,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    UsageCounted,
)
from plane.framing_events import EventSplitter
from plane.usage import Usage
from tests.golden.pairs import BUDGETS, DIALECTS, KNOWN

CALLERS = sorted(name for name, (dialect, _) in KNOWN.items() if dialect.prefixes)
STREAMS = sorted(name for name in KNOWN if name not in ("bedrock", "ollama"))
"""Whose streams are server-sent events, which may have an event's data on several lines."""
CASES = ("plain", "tools", "parallel_tools", "schema", "thinking_tools")
ENDS = pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])


def laid_out(text: bytes | str, end: str) -> str:
    """Return JSON on many lines."""
    return json.dumps(json.loads(text), indent=2).replace("\n", end)


def request_of(caller: str, case: str, end: str) -> Any:
    body = laid_out((DIALECTS / caller / f"{case}.request.json").read_bytes(), end).encode()
    return KNOWN[caller][0].translators["chat"].read_request(body, "caller-model", True)


def messages(caller: str, out: bytes) -> Iterator[Any]:
    """Yield the messages of a stream; fails where one is not on a line of its own."""
    if caller == "ollama":
        assert b"\r" not in out
        for line in out.removesuffix(b"\n").split(b"\n"):
            yield json.loads(line)
        return
    for block in out.replace(b"\r\n", b"\n").removesuffix(b"\n\n").split(b"\n\n"):
        assert b"\r" not in block
        *names, data = block.split(b"\n")
        assert all(name.startswith(b"event: ") for name in names), block
        assert data.startswith(b"data: "), block
        if data != b"data: [DONE]":
            yield json.loads(data[6:])


def said(end: str) -> list[Event]:
    """Return a stream with JSON that was laid out, wherever JSON can be carried."""
    token = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}
    logprobs = laid_out(json.dumps({"content": [token], "refusal": None}), end)
    arguments = laid_out('{"a":[1,{"b":"c\\nd"}]}', end)
    return [
        Started("id", "model", 1),
        PartStarted(0, "thinking", family="anthropic"),
        ThinkingDelta(0, "a\r\nb"),
        SignatureDelta(0, "sig", "anthropic"),
        PartEnded(0),
        PartStarted(1, "text"),
        TextDelta(1, "Hi\n", logprobs),
        PartEnded(1),
        PartStarted(2, "tool_call", id="c1", name="f"),
        ArgumentsDelta(2, arguments[:7]),
        ArgumentsDelta(2, arguments[7:]),
        PartEnded(2),
        PartStarted(3, "tool_call", id="c2", name="g", custom=True),
        ArgumentsDelta(3, "x\r\ny"),
        PartEnded(3),
        PartStarted(4, "refusal"),
        RefusalDelta(4, "no\rno"),
        PartEnded(4),
        Stopped("tool_calls"),
        UsageCounted(Usage(1, 2)),
    ]


@ENDS
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("caller", CALLERS)
def test_a_writer_puts_each_message_on_one_line(caller: str, case: str, end: str) -> None:
    writer = KNOWN[caller][0].translators["chat"].event_writer(request_of(caller, case, end))
    out = writer.write(said(end)) + writer.flush()
    found = list(messages(caller, out))
    assert len(found) > 4
    assert "logprob" not in json.dumps(found) or "-0.5" in json.dumps(found)


@ENDS
@pytest.mark.parametrize("caller", CALLERS)
def test_a_writer_puts_an_error_on_one_line(caller: str, end: str) -> None:
    writer = KNOWN[caller][0].translators["chat"].event_writer(request_of(caller, "tools", end))
    out = writer.write([Started("id", "m", 1), Failed(Fault(500, f"a{end}b"))]) + writer.flush()
    *_, last = messages(caller, out)
    assert f"a{end}b" in walk(last)


def walk(value: Any) -> Iterator[str]:
    """Yield the texts within a message."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from walk(inner)
    elif isinstance(value, str):
        yield value


TALKS = [
    (caller, provider, case)
    for caller, provider, case in product(CALLERS, STREAMS, CASES)
    if (DIALECTS / caller / f"{case}.request.json").exists() and (DIALECTS / provider / f"{case}.stream").exists()
]


@pytest.mark.parametrize(("caller", "provider", "case"), TALKS)
def test_a_provider_s_data_on_many_lines_comes_out_on_one(caller: str, provider: str, case: str) -> None:
    splitter = EventSplitter()
    told = splitter.feed((DIALECTS / provider / f"{case}.stream").read_bytes()) + splitter.flush()
    stream = b""
    for name, data in told:
        stream += b"event: %b\n" % name if name else b""
        lines = laid_out(data, "\n").encode().split(b"\n") if data.startswith(b"{") else [data]
        stream += b"".join(b"data: %b\n" % line for line in lines) + b"\n"
    dialect, options = KNOWN[provider]
    reader = dialect.translators["chat"].event_reader(Carry("m", budgets=BUDGETS, options=options))
    writer = KNOWN[caller][0].translators["chat"].event_writer(request_of(caller, case, "\n"))
    out = writer.write(reader.feed(stream) + reader.flush()) + writer.flush()
    assert list(messages(caller, out))
