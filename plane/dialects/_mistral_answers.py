"""Answers of Mistral's chat, from and to the hub, and its errors, which come in several forms."""

from __future__ import annotations

import secrets
import time
from typing import Any

import msgspec
from msgspec import Raw, Struct

from core.errors import GatewayError
from plane.canonical import (
    Answer,
    Carry,
    Choice,
    Fault,
    Part,
    Refusal,
    Request,
    Stop,
    Text,
    Thinking,
    ToolCall,
    fault_error,
    foreign_signature,
    pack_call_id,
)
from plane.dialects import _mistral_wire as wire
from plane.dialects._carrying import bounded, text_of
from plane.dialects._json import read_answered
from plane.dialects._mistral_requests import FAMILY, arguments_of, thinking_of
from plane.dialects._passing import fault, found
from plane.usage import Usage

__all__ = [
    "FINISH",
    "STOPS",
    "call_of",
    "error_body",
    "pages_of",
    "read_answer",
    "read_fault",
    "usage_json",
    "usage_of",
    "write_answer",
]

STOPS: dict[str, Stop] = {
    "stop": "end",
    "length": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "error": "error",
}
"""Why a model stopped, in the hub's words; a new word counts as the end."""

FINISH: dict[Stop, str] = {"length": "length", "tool_calls": "tool_calls", "error": "error", "content_filter": "error"}
"""Why a model stopped, in Mistral's words; all else is ``stop``."""

TYPES = {400: "invalid_request_error", 401: "authentication_error", 404: "invalid_model", 429: "rate_limited"}

_told = msgspec.json.Decoder(wire.Told)


class Pages(Struct):
    """The `usage_info` of documents that were read."""

    pages_processed: int


_pages = msgspec.json.Decoder(Pages)


class Place(Struct):
    """What is wrong with one member of a request."""

    msg: str = ""
    loc: list[str | int] = []


class Detail(Struct):
    """What is wrong with a request."""

    detail: list[Place] | str = ""


class Said(Struct):
    """An error, of any of its forms."""

    message: str | Detail | None = None
    type: str | None = None
    code: str | int | None = None
    detail: list[Place] | str | None = None


class Wrapped(Struct):
    """An error within a member, as OpenAI has it."""

    error: Said | str | None = None


_said = msgspec.json.Decoder(Said)
_wrapped = msgspec.json.Decoder(Wrapped)


def read_answer(body: bytes, carry: Carry) -> Answer:
    """Return what a provider answered."""
    told = read_answered(_told, body)
    if told.choices is None:
        if told.object == "error" or text_of(told.error):
            raise fault_error(read_fault(502, [], body))
        raise GatewayError(502, "upstream_bad_answer", "upstream", "The provider's answer has no choices.")
    choices = [choice_of(choice, carry) for choice in told.choices]
    return Answer(told.model or carry.model, choices, told.id or "", told.created or 0, usage_of(told.usage))


def choice_of(choice: wire.Choice, carry: Carry) -> Choice:
    """Return one choice."""
    message = choice.message
    parts: list[Part] = []
    if isinstance(message.content, str):
        if message.content:
            parts.append(Text(message.content))
    else:
        for chunk in message.content or ():
            if chunk.type == "thinking":
                parts.append(thinking_of(chunk))
            elif chunk.type == "text" and chunk.text:
                parts.append(Text(chunk.text))
            elif chunk.type == "reference":
                carry.hint("citations")
    parts += [
        ToolCall(call_id_of(call), call.function.name, arguments_of(call) or "{}") for call in message.tool_calls or ()
    ]
    stop = STOPS.get(choice.finish_reason or "", "end")
    if stop == "end" and message.tool_calls:
        stop = "tool_calls"
    return Choice(parts, stop, logprobs=text_of(choice.logprobs), index=choice.index)


def call_id_of(call: wire.WireCall) -> str:
    """Return the id of a call; one without gets one of Mistral's form."""
    return call.id if call.id and call.id != "null" else secrets.token_hex(5)[:9]


def usage_of(counted: wire.Counted | None) -> Usage | None:
    """Return what a call used; None where the provider did not say."""
    if counted is None or (counted.prompt_tokens is None and counted.completion_tokens is None):
        return None
    taken = bounded(counted.prompt_tokens)
    details = counted.prompt_tokens_details
    return Usage(
        taken,
        bounded(counted.completion_tokens),
        min(bounded(details.cached_tokens), taken) if details is not None else 0,
        milliseconds=bounded((counted.prompt_audio_seconds or 0) * 1000),
    )


def pages_of(text: bytes) -> Usage | None:
    """Return the pages read, from the JSON text of `usage_info`; None where it does not say."""
    read = found(_pages, text)
    return None if read is None else Usage(0, 0, units=bounded(read.pages_processed))


def usage_json(usage: Usage) -> dict[str, Any]:
    """Return usage as Mistral tells it."""
    return {
        "prompt_tokens": usage.input_total,
        "completion_tokens": usage.output_total,
        "total_tokens": usage.input_total + usage.output_total,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read},
    }


def write_answer(answer: Answer, request: Request) -> bytes:
    """Return the body for a caller."""
    body: dict[str, Any] = {
        "id": answer.id or secrets.token_hex(16),
        "object": "chat.completion",
        "created": answer.created or int(time.time()),
        "model": request.model,
        "choices": [choice_json(choice) for choice in answer.choices],
        "usage": usage_json(answer.usage or Usage(0, 0)),
    }
    return msgspec.json.encode(body)


def choice_json(choice: Choice) -> dict[str, Any]:
    """Return one choice as a caller gets it: its content is a list where the model thought."""
    words = "".join(part.text for part in choice.parts if isinstance(part, Text | Refusal))
    content: list[dict[str, Any]] = [thinking_chunk(part) for part in choice.parts if isinstance(part, Thinking)]
    if content and words:
        content.append({"type": "text", "text": words})
    calls = [call_of(part, place) for place, part in enumerate(calls_of(choice.parts))]
    told = {
        "index": choice.index,
        "message": {"role": "assistant", "content": content or words, "tool_calls": calls or None},
        "finish_reason": FINISH.get(choice.stop, "stop"),
    }
    return {**told, "logprobs": Raw(choice.logprobs.encode())} if choice.logprobs else told


def calls_of(parts: list[Part]) -> list[ToolCall]:
    """Return the tool calls among `parts`."""
    return [part for part in parts if isinstance(part, ToolCall)]


def thinking_chunk(part: Thinking) -> dict[str, Any]:
    """Return a thought, with the proof of whoever thought it."""
    chunk: dict[str, Any] = {"type": "thinking", "thinking": [{"type": "text", "text": part.text}], "closed": True}
    if part.signature:
        own = part.family == FAMILY
        chunk["signature"] = part.signature if own else foreign_signature(part.family, part.signature)
    return chunk


def call_of(part: ToolCall, place: int) -> dict[str, Any]:
    """Return a tool call as a caller gets it."""
    call_id = pack_call_id(part.id, part.family, part.signature)
    function = {"name": part.name, "arguments": part.arguments}
    return {"id": call_id, "type": "function", "function": function, "index": place}


def read_fault(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Fault:
    """Return what a provider's error says."""
    wrapped = found(_wrapped, body)
    said = wrapped.error if wrapped is not None and wrapped.error is not None else found(_said, body)
    if isinstance(said, str):
        said = Said(said)
    if said is None:
        return fault(status, headers, "")
    code = str(said.code) if said.code is not None else ""
    return fault(status, headers, words_of(said), said.type or "", code)


def words_of(said: Said) -> str:
    """Return an error in words: a list of what is wrong where as one line."""
    detail = said.message.detail if isinstance(said.message, Detail) else said.detail
    if isinstance(said.message, str) and said.message:
        return said.message
    if isinstance(detail, list):
        return "; ".join(f"{'.'.join(map(str, place.loc))}: {place.msg}" for place in detail)
    return detail or ""


def error_body(status: int, code: str, message: str, param: str | None) -> bytes:
    """Return an error as Mistral tells it."""
    kind = TYPES.get(status, "invalid_request_error" if status < 500 else "internal_server_error")
    return msgspec.json.encode({"object": "error", "message": message, "type": kind, "param": param, "code": code})
