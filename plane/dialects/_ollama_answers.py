"""Answers and streams of Ollama's own chat, from and to the hub: JSON, and lines of JSON that look much alike.

A line holds whole tool calls, never pieces. The last line has `done`, why, and the counts.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from datetime import datetime
from typing import Any, Protocol

import msgspec

from core.errors import GatewayError
from plane.canonical import (
    Answer,
    ArgumentsDelta,
    Carry,
    Choice,
    Event,
    Failed,
    Fault,
    Part,
    PartEnded,
    PartStarted,
    Refusal,
    RefusalDelta,
    Request,
    Started,
    Stop,
    Stopped,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    UsageCounted,
)
from plane.dialects._carrying import bounded, text_of
from plane.dialects._json import read_answered
from plane.dialects._ollama_requests import FAMILY, write_asked_call
from plane.dialects._ollama_wire import Answered, WireCall
from plane.dialects._open_parts import OpenParts
from plane.framing_events import LineSplitter
from plane.usage import Usage

__all__ = ["OllamaEventReader", "OllamaEventWriter", "failure", "read_answer", "usage_of", "write_answer"]

REASONS: dict[Stop, str] = {"length": "length"}
"""Why a model stopped, in Ollama's words; all else is ``stop``."""

_answered = msgspec.json.Decoder(Answered)


def read_answer(body: bytes, carry: Carry) -> Answer:
    """Return what a provider answered."""
    answered = read_answered(_answered, body)
    message = answered.message
    if message is None:
        raise GatewayError(502, "upstream_bad_answer", "upstream", "The provider's answer has no message.")
    parts: list[Part] = []
    if message.thinking:
        parts.append(Thinking(message.thinking, family=FAMILY))
    if message.content:
        parts.append(Text(message.content))
    parts += [ToolCall(*named(call)) for call in message.tool_calls or ()]
    choice = Choice(parts, stop_of(answered, bool(message.tool_calls)), logprobs=read_log_probs(answered.logprobs))
    return Answer(carry.model, [choice], created=moment(answered.created_at), usage=usage_of(answered))


def named(call: WireCall) -> tuple[str, str, str]:
    """Return id, name and arguments of a call; one without an id gets one."""
    return call.id or f"call_{secrets.token_hex(8)}", call.function.name, text_of(call.function.arguments) or "{}"


def stop_of(answered: Answered, called: bool) -> Stop:
    """Return why a model stopped; Ollama has no word for tool calls."""
    if answered.done_reason == "length":
        return "length"
    return "tool_calls" if called else "end"


class Counting(Protocol):
    """What has the counts of a call."""

    @property
    def prompt_eval_count(self) -> int | None:
        """Tokens of the prompt that were looked at."""

    @property
    def eval_count(self) -> int | None:
        """Tokens of the answer."""


def usage_of(answered: Counting | None) -> Usage | None:
    """Return what a call used; None where nothing was counted, as when a model was only loaded.

    A prompt that was wholly in the server's cache has no count: what it was is not known, so the usage is marked.
    """
    if answered is None or (answered.prompt_eval_count is None and answered.eval_count is None):
        return None
    return Usage(
        bounded(answered.prompt_eval_count), bounded(answered.eval_count), estimated=answered.prompt_eval_count is None
    )


def moment(text: str | None) -> int:
    """Return seconds since 1970 of a time as Ollama writes it; 0 where it is none."""
    try:
        return int(datetime.fromisoformat(text or "").timestamp())
    except ValueError:
        return 0


def read_log_probs(told: list[dict[str, Any]] | None) -> str:
    """Return probabilities in OpenAI's form, "" for none."""
    if not told:
        return ""
    content = [
        {**completed(one), "top_logprobs": [completed(other) for other in one.get("top_logprobs") or ()]}
        for one in told
    ]
    return msgspec.json.encode({"content": content, "refusal": None}).decode()


def completed(one: dict[str, Any]) -> dict[str, Any]:
    """Return the probability of a token with all members of OpenAI's form."""
    return {"token": one.get("token", ""), "logprob": one.get("logprob", 0.0), "bytes": one.get("bytes")}


def log_probs(text: str) -> list[dict[str, Any]]:
    """Return probabilities in Ollama's form."""
    content = msgspec.json.decode(text).get("content")
    return content if isinstance(content, list) else []


def write_answer(answer: Answer, request: Request) -> bytes:
    """Return the body for a caller."""
    choice = answer.choices[0] if answer.choices else Choice([])
    parts = choice.parts
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(part.text for part in parts if isinstance(part, Text | Refusal)),
    }
    thinking = "".join(part.text for part in parts if isinstance(part, Thinking))
    if thinking:
        message["thinking"] = thinking
    calls = [write_asked_call(part) for part in parts if isinstance(part, ToolCall)]
    if calls:
        message["tool_calls"] = calls
    body = line_of(request.model, answer.created, message)
    if choice.logprobs:
        body["logprobs"] = log_probs(choice.logprobs)
    return msgspec.json.encode(finished(body, choice.stop, answer.usage))


def line_of(model: str, created: int, message: dict[str, Any]) -> dict[str, Any]:
    """Return the members that every line has."""
    made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(created or time.time()))
    return {"model": model, "created_at": made, "message": message, "done": False}


def finished(line: dict[str, Any], stop: Stop, usage: Usage | None) -> dict[str, Any]:
    """Return `line` as the last one."""
    line["done"] = True
    line["done_reason"] = REASONS.get(stop, "stop")
    if usage is not None:
        line["prompt_eval_count"] = usage.input_total
        line["eval_count"] = usage.output_total
    return line


class OllamaEventReader:
    """Reads the stream of a provider."""

    def __init__(self, carry: Carry) -> None:
        self.usage: Usage | None = None
        self.carry = carry
        self.splitter = LineSplitter()
        self.parts = OpenParts()
        self.started = False
        self.called = False
        self.ended = False

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that are whole with these bytes."""
        for line in self.splitter.feed(data):
            self._read(line)
        return self.parts.take()

    def flush(self) -> list[Event]:
        """Return what is left at the end of the bytes."""
        with contextlib.suppress(GatewayError):  # What is held may be a piece.
            for line in self.splitter.flush():
                self._read(line)
        if not self.ended:
            self._fail("The provider broke the stream off.")
        return self.parts.take()

    def _read(self, text: bytes) -> None:
        """Take in one line; those after the end say nothing."""
        if self.ended:
            return
        line = read_answered(_answered, text)
        if line.error:
            self._fail(line.error)
            return
        if not self.started:
            self.started = True
            self.parts.events.append(Started(model=self.carry.model, created=moment(line.created_at)))
        if line.message is not None:
            self.parts.thinking(line.message.thinking or "")
            self.parts.text(line.message.content or "", read_log_probs(line.logprobs))
            for call in line.message.tool_calls or ():
                self.called = True
                call_id, name, arguments = named(call)
                index = self.parts.call(call_id, name)
                self.parts.arguments(index, arguments)
                self.parts.end_call(index)
        if line.done:
            self.ended = True
            self.parts.close()
            self.parts.events.append(Stopped(stop_of(line, self.called)))
            self.usage = usage_of(line)
            if self.usage is not None:
                self.parts.events.append(UsageCounted(self.usage))

    def _fail(self, message: str) -> None:
        """End the stream with an error."""
        self.ended = True
        self.parts.close()
        self.parts.events.append(Failed(Fault(502, message)))


class OllamaEventWriter:
    """Writes a stream for a caller. Calls are held until they are whole, and the last line until usage has come."""

    def __init__(self, request: Request) -> None:
        self.model = request.model
        self.created = 0
        self.calls: dict[int, ToolCall] = {}
        self.stop: Stop | None = None
        self.usage: Usage | None = None
        self.ended = False

    def write(self, events: list[Event]) -> bytes:
        """Return the bytes of these events."""
        return b"".join(self._write(event) for event in events)

    def flush(self) -> bytes:
        """Return the last line; none after a failure."""
        if self.ended or self.stop is None:
            return b""
        self.ended = True
        line = line_of(self.model, self.created, {"role": "assistant", "content": ""})
        return msgspec.json.encode(finished(line, self.stop, self.usage)) + b"\n"

    def _write(self, event: Event) -> bytes:
        """Return one event's bytes. Answers beyond the first have no place, nor have opaque thoughts."""
        if getattr(event, "choice", 0):
            return b""
        if isinstance(event, TextDelta | RefusalDelta):
            logprobs = event.logprobs if isinstance(event, TextDelta) else ""
            return self._line({"role": "assistant", "content": event.text}, logprobs)
        if isinstance(event, ThinkingDelta):
            return self._line({"role": "assistant", "content": "", "thinking": event.text})
        if isinstance(event, PartStarted) and event.kind == "tool_call":
            self.calls[event.index] = ToolCall(event.id, event.name, "", event.signature, event.family)
        elif isinstance(event, ArgumentsDelta) and event.index in self.calls:
            self.calls[event.index].arguments += event.text
        elif isinstance(event, PartEnded) and event.index in self.calls:
            call = self.calls.pop(event.index)
            call.arguments = call.arguments or "{}"
            return self._line({"role": "assistant", "content": "", "tool_calls": [write_asked_call(call)]})
        elif isinstance(event, Started):
            self.created = event.created
        elif isinstance(event, Stopped):
            self.stop = event.stop
        elif isinstance(event, UsageCounted):
            self.usage = event.usage
        elif isinstance(event, Failed):
            self.ended = True
            return failure(event.fault.message)
        return b""

    def _line(self, message: dict[str, Any], logprobs: str = "") -> bytes:
        """Return a line that adds to the message."""
        line = line_of(self.model, self.created, message)
        if logprobs:
            line["logprobs"] = log_probs(logprobs)
        return msgspec.json.encode(line) + b"\n"


def failure(message: str) -> bytes:
    """Return the line that ends a stream which broke off."""
    return msgspec.json.encode({"error": message}) + b"\n"
