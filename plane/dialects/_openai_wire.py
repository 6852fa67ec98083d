"""OpenAI chat completions on the wire, as far as the hub knows them; `_openai_requests` and the others use these.

Format: the public API reference of OpenAI, the types of its Python SDK, and what servers that say they are compatible
were seen to send.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from plane.canonical import Carry, Stop
from plane.usage import Usage

__all__ = [
    "ENCODER",
    "TIERS",
    "Options",
    "capabilities_of",
    "error_body",
    "raw",
    "stop_of",
    "stop_word",
    "text_of",
    "usage_json",
]

ENCODER = msgspec.json.Encoder()
TIERS = ("auto", "default", "flex", "scale", "priority", "fast")
"""What OpenAI calls its tiers of service."""
TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
STOPS: dict[str, Stop] = {
    "stop": "end",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "error": "error",
}
WORDS: dict[Stop, str] = {
    "end": "stop",
    "length": "length",
    "stop_sequence": "stop",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "content_filter",
    "pause": "stop",
    "error": "stop",
}


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """In what a server that speaks OpenAI's dialect differs from OpenAI's own.

    max_completion_tokens: it knows the field; else ``max_tokens`` is written. stream_options: it takes
    ``include_usage``. reasoning_effort: it takes that. reasoning_counted: its completion tokens include those of
    reasoning. reasoning_content: it takes back what the model thought, in that member of a message. files: it takes
    content parts of the type ``file``. strict: it takes ``strict`` of tools and schemas.
    """

    max_completion_tokens: bool = True
    stream_options: bool = True
    reasoning_effort: bool = True
    reasoning_counted: bool = True
    reasoning_content: bool = False
    files: bool = True
    strict: bool = True


def usage_json(usage: Usage) -> dict[str, Any]:
    """Return usage as OpenAI tells it."""
    into = {"cached_tokens": usage.cache_read, "audio_tokens": usage.audio_in}
    written = usage.cache_write_5m + usage.cache_write_1h
    if written:
        into["cache_write_tokens"] = written
    return {
        "prompt_tokens": usage.input_total,
        "completion_tokens": usage.output_total,
        "total_tokens": usage.input_total + usage.output_total,
        "prompt_tokens_details": into,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning, "audio_tokens": usage.audio_out},
    }


def stop_of(word: str | None, *, calls: bool, refused: bool) -> Stop:
    """Return why a model stopped; servers were seen to say ``stop`` where there are tool calls, and nothing at all."""
    stop = STOPS.get(word or "stop", "end")
    if stop == "end" and calls:
        return "tool_calls"
    if stop == "end" and refused:
        return "refusal"
    return stop


def stop_word(stop: Stop, *, refused: bool) -> str:
    """Return OpenAI's word for why a model stopped; it tells a refusal by the message's member of that name."""
    return "stop" if refused and stop == "refusal" else WORDS[stop]


def error_body(status: int, code: str, message: str, param: str | None) -> bytes:
    """Return an error as OpenAI tells it."""
    kind = TYPES.get(status)
    if kind is None:
        kind = "invalid_request_error" if status < 500 else "server_error"
    return ENCODER.encode({"error": {"message": message, "type": kind, "param": param, "code": code}})


def capabilities_of(carry: Carry) -> Options:
    """Return what the provider of a call can do."""
    return carry.options if isinstance(carry.options, Options) else Options()


def raw(text: str) -> Raw:
    """Return JSON text as it is to stand in what is encoded."""
    return Raw(text.encode())


def text_of(value: Raw) -> str:
    """Return the JSON text of a member, "" for null."""
    text = bytes(value)
    return "" if text == b"null" else text.decode()
