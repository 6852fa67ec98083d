"""Whole answers of OpenAI's chat completions, from and to the hub, and errors of providers."""

from __future__ import annotations

import secrets
import time
from typing import Any

import msgspec
from msgspec import Raw, Struct

from plane.canonical import (
    Answer,
    Carry,
    Choice,
    Fault,
    Part,
    Refusal,
    Request,
    Text,
    Thinking,
    ToolCall,
    fault_error,
    foreign_signature,
    pack_call_id,
)
from plane.dialects._json import read_answered
from plane.dialects._openai_usage import Counted, usage_of
from plane.dialects._openai_wire import (
    ENCODER,
    TIERS,
    capabilities_of,
    raw,
    stop_of,
    stop_word,
    text_of,
    usage_json,
)
from plane.fault_words import status_of

__all__ = ["call_json", "fault_of", "read_answer", "read_fault", "thinking_block", "write_answer"]

NULL = Raw(b"null")
MAX_WAIT = 86_400.0
"""Seconds; a longer wait than that is not one to tell a caller."""


class Function(Struct, gc=False):
    """The call of a function."""

    name: str = ""
    arguments: str | None = None


class Custom(Struct, gc=False):
    """The call of a tool that takes free text."""

    name: str = ""
    input: str | None = None


class Call(Struct):
    """A tool call; some servers leave out the id."""

    id: str | None = None
    function: Function | None = None
    custom: Custom | None = None


class Piece(Struct, gc=False):
    """A part of content, as few servers send it, and of `reasoning_details`."""

    text: str | None = None
    summary: str | None = None


class Said(Struct):
    """The message of an answer."""

    content: str | list[Piece] | None = None
    refusal: str | None = None
    tool_calls: list[Call] | None = None
    function_call: Function | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[Piece] | None = None


class Answered(Struct):
    """One choice."""

    message: Said
    index: int | None = None
    finish_reason: str | None = None
    logprobs: Raw = NULL


class Told(Struct):
    """An answer, or an error that came with status 200."""

    choices: list[Answered] | None = None
    id: str | None = None
    created: float | None = None
    model: str | None = None
    usage: Counted | None = None
    service_tier: str | None = None
    error: Raw = NULL


class Error(Struct):
    """The error object; codes were seen as numbers, too."""

    message: str | None = None
    type: str | None = None
    code: str | int | None = None
    param: str | None = None


class ErrorTold(Struct):
    """The body of an error."""

    error: Error | str | None = None
    message: str | None = None
    detail: str | None = None


TOLD = msgspec.json.Decoder(Told)
ERROR = msgspec.json.Decoder(ErrorTold)


def read_answer(body: bytes, carry: Carry) -> Answer:
    """Return what a provider answered; GatewayError for an error that came with status 200."""
    told = read_answered(TOLD, body)
    if told.choices is None or (not told.choices and bytes(told.error) != b"null"):
        raise fault_error(fault_of(200, body))
    choices = [choice_of(answered, place, carry) for place, answered in enumerate(told.choices)]
    usage = None
    if told.usage is not None:
        can = capabilities_of(carry)
        usage = usage_of(told.usage, reasoning_counted=can.reasoning_counted, service_tier=told.service_tier or "")
    return Answer(told.model or "", choices, told.id or "", int(told.created or 0), usage, told.service_tier or "")


def choice_of(answered: Answered, place: int, carry: Carry) -> Choice:
    """Return one choice."""
    said = answered.message
    parts: list[Part] = []
    thoughts = said.reasoning_content or said.reasoning or joined(said.reasoning_details)
    if thoughts:
        parts.append(Thinking(thoughts))
    words = said.content if isinstance(said.content, str) else joined(said.content)
    if words:
        parts.append(Text(words))
    if said.refusal:
        parts.append(Refusal(said.refusal))
    calls = said.tool_calls or []
    for call in calls:
        if call.custom is not None:
            name = carry.tool_names.get(call.custom.name, call.custom.name)
            parts.append(ToolCall(call.id or new_call_id(), name, call.custom.input or "", custom=True))
        elif call.function is not None:
            parts.append(function_call(call.id, call.function, carry))
    if said.function_call is not None and not calls:
        parts.append(function_call(None, said.function_call, carry))
    stop = stop_of(answered.finish_reason, calls=bool(calls or said.function_call), refused=bool(said.refusal))
    index = answered.index if answered.index is not None else place
    return Choice(parts, stop, logprobs=text_of(answered.logprobs), index=index)


def function_call(call_id: str | None, function: Function, carry: Carry) -> ToolCall:
    """Return the call of a function."""
    name = carry.tool_names.get(function.name, function.name)
    return ToolCall(call_id or new_call_id(), name, function.arguments or "{}")


def joined(pieces: list[Piece] | None) -> str:
    """Return the words of some pieces."""
    return "".join(piece.text or piece.summary or "" for piece in pieces or ())


def new_call_id() -> str:
    """Return an id for a call that has none."""
    return f"call_{secrets.token_hex(12)}"


def write_answer(answer: Answer, request: Request) -> bytes:
    """Return the body for a caller."""
    told: dict[str, Any] = {
        "id": answer.id or f"chatcmpl-{secrets.token_hex(12)}",
        "object": "chat.completion",
        "created": answer.created or int(time.time()),
        "model": answer.model or request.model,
        "choices": [choice_json(choice) for choice in answer.choices],
    }
    if answer.usage is not None:
        told["usage"] = usage_json(answer.usage)
    if answer.service_tier in TIERS:
        told["service_tier"] = answer.service_tier
    return ENCODER.encode(told)


def choice_json(choice: Choice) -> dict[str, Any]:
    """Return one choice as a caller gets it."""
    words: list[str] = []
    refusals: list[str] = []
    thoughts: list[str] = []
    blocks: list[dict[str, str]] = []
    calls: list[dict[str, Any]] = []
    for part in choice.parts:
        if isinstance(part, Text):
            words.append(part.text)
        elif isinstance(part, Thinking):
            if part.text:
                thoughts.append(part.text)
            if part.signature or part.redacted:
                blocks.append(thinking_block(part))
        elif isinstance(part, ToolCall):
            calls.append(call_json(part))
        elif isinstance(part, Refusal):
            refusals.append(part.text)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(words) if words else None,
        "refusal": "".join(refusals) if refusals else None,
    }
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    if blocks:
        message["thinking_blocks"] = blocks
    if calls:
        message["tool_calls"] = calls
    return {
        "index": choice.index,
        "message": message,
        "logprobs": raw(choice.logprobs) if choice.logprobs else None,
        "finish_reason": stop_word(choice.stop, refused=bool(refusals)),
    }


def thinking_block(part: Thinking) -> dict[str, str]:
    """Return a thought with its proof, which a caller sends back unchanged."""
    if part.redacted:
        return {"type": "redacted_thinking", "data": foreign_signature(part.family, part.redacted)}
    signature = foreign_signature(part.family, part.signature)
    return {"type": "thinking", "thinking": part.text, "signature": signature}


def call_json(part: ToolCall) -> dict[str, Any]:
    """Return a tool call as a caller gets it."""
    call_id = pack_call_id(part.id, part.family, part.signature)
    if part.custom:
        return {"id": call_id, "type": "custom", "custom": {"name": part.name, "input": part.arguments}}
    return {"id": call_id, "type": "function", "function": {"name": part.name, "arguments": part.arguments or "{}"}}


def read_fault(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Fault:
    """Return what an error answer says; of a body that is not the dialect's, no more than the status."""
    fault = fault_of(status, body)
    fault.retry_after = retry_after(headers)
    return fault


def fault_of(status: int, body: bytes) -> Fault:
    """Return what an error object says; status: of HTTP, 200 where it came in an answer that had begun well."""
    try:
        told = ERROR.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return Fault(status if status >= 400 else 502, "The provider answered with an error that cannot be read.")
    error = told.error
    if isinstance(error, str):
        error = Error(error)
    if error is None:
        error = Error(told.message or told.detail)
    code = error.code
    if status < 400:
        status = status_of(error.type, code)
        if status == 529:  # Anthropic's own; others call it 503.
            status = 503
    return Fault(
        status,
        error.message or "The provider answered with an error.",
        error.type or "",
        str(code) if code is not None else "",
        error.param or "",
    )


def retry_after(headers: list[tuple[bytes, bytes]]) -> float:
    """Return in how many seconds a provider wants to be asked again, -1.0 where it does not say."""
    fields = {name.lower(): value for name, value in headers}
    try:
        if b"retry-after-ms" in fields:
            seconds = float(fields[b"retry-after-ms"]) / 1000
        else:
            seconds = float(fields.get(b"retry-after", b"-1"))
    except ValueError:  # A date: rare of providers of models, and no clock of ours agrees with theirs.
        return -1.0
    return seconds if 0 <= seconds < MAX_WAIT else -1.0
