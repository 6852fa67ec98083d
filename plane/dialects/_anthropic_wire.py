"""Anthropic's Messages on the wire: what is read of requests, answers and events, and the words for stops and errors.

Formats: the public API reference of Anthropic and the types of its Python SDK. Members that mean other things in other
kinds of blocks are `Raw`, and are read where the kind is known.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import Raw, Struct

from core.errors import GatewayError
from plane.canonical import Cache, Stop
from plane.usage import Usage

__all__ = [
    "ERROR_TYPES",
    "FAMILY",
    "STOPS",
    "Answered",
    "Block",
    "CacheControl",
    "Counted",
    "Delta",
    "Problem",
    "Source",
    "WireEvent",
    "bad_answer",
    "cache_of",
    "decoded",
    "error_type",
    "invalid",
    "merged",
    "rendered",
    "usage_of",
]

T = TypeVar("T")

FAMILY = "anthropic"
NULL = Raw(b"null")

STOPS: dict[str, Stop] = {
    "end_turn": "end",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "refusal": "refusal",
}

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class CacheControl(Struct, gc=False):
    """A breakpoint of the prompt cache."""

    type: str = "ephemeral"
    ttl: str | None = None


class Source(Struct, gc=False):
    """Where an image or a document is: base64, url, text, file or content."""

    type: str
    media_type: str = ""
    data: str = ""
    url: str = ""
    file_id: str = ""
    content: Raw = NULL


class Block(Struct):
    """One block of content, of any kind."""

    type: str
    text: str = ""
    cache_control: CacheControl | None = None
    source: Raw = NULL
    title: str | None = None
    context: Raw = NULL
    citations: Raw = NULL
    thinking: str = ""
    signature: str = ""
    data: str = ""
    id: str = ""
    name: str = ""
    input: Raw = Raw(b"{}")
    tool_use_id: str = ""
    content: Raw = NULL
    is_error: bool | None = None


class CacheCreation(Struct, gc=False):
    """Tokens written to the cache, by how long they live."""

    ephemeral_5m_input_tokens: int | None = None
    ephemeral_1h_input_tokens: int | None = None


class OutputDetails(Struct, gc=False):
    """Parts of the output count."""

    thinking_tokens: int | None = None


class ServerTools(Struct, gc=False):
    """Calls of tools that the provider ran."""

    web_search_requests: int | None = None
    web_fetch_requests: int | None = None


class Counted(Struct):
    """A usage object; all of its counts are cumulative, what is null says nothing."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation: CacheCreation | None = None
    output_tokens_details: OutputDetails | None = None
    server_tool_use: ServerTools | None = None
    service_tier: str | None = None


class StopDetails(Struct, gc=False):
    """Why an answer was refused."""

    category: str | None = None
    explanation: str | None = None


class Problem(Struct, gc=False):
    """An error, as it stands in an error body and an error event."""

    type: str = ""
    message: str = ""


class Answered(Struct):
    """A whole answer; also what `message_start` holds."""

    id: str = ""
    type: str = ""
    model: str = ""
    content: list[Block] = []
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None
    usage: Counted | None = None
    error: Problem | None = None


class Delta(Struct, gc=False):
    """What a ``content_block_delta`` or ``message_delta`` adds."""

    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    partial_json: str = ""
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None


class WireEvent(Struct):
    """One event of a stream, of any type."""

    type: str = ""
    index: int = 0
    message: Answered | None = None
    content_block: Block | None = None
    delta: Delta | None = None
    usage: Counted | None = None
    error: Problem | None = None


def cache_of(control: CacheControl | None) -> Cache:
    """Return how long a breakpoint lives, "" where there is none; a bare one lives five minutes."""
    if control is None:
        return ""
    return "1h" if control.ttl == "1h" else "5m"


def merged(before: Counted | None, now: Counted) -> Counted:
    """Return what is known after a further usage object of one stream: what it says replaces what was said."""
    if before is None:
        return now
    return Counted(
        before.input_tokens if now.input_tokens is None else now.input_tokens,
        before.output_tokens if now.output_tokens is None else now.output_tokens,
        before.cache_read_input_tokens if now.cache_read_input_tokens is None else now.cache_read_input_tokens,
        before.cache_creation_input_tokens
        if now.cache_creation_input_tokens is None
        else now.cache_creation_input_tokens,
        now.cache_creation or before.cache_creation,
        now.output_tokens_details or before.output_tokens_details,
        now.server_tool_use or before.server_tool_use,
        now.service_tier or before.service_tier,
    )


def usage_of(counted: Counted) -> Usage:
    """Return a call's usage. Anthropic counts what the cache held or took beside `input_tokens`, not in it."""
    read = bounded(counted.cache_read_input_tokens)
    written = bounded(counted.cache_creation_input_tokens)
    split = counted.cache_creation
    hour = bounded(split.ephemeral_1h_input_tokens) if split is not None else 0
    minutes = bounded(split.ephemeral_5m_input_tokens) if split is not None else 0
    # Where both are told and differ, the sum is what later events have counted on.
    if written > hour + minutes:
        minutes = written - hour
    details = counted.output_tokens_details
    tools = counted.server_tool_use
    given = bounded(counted.output_tokens)
    return Usage(
        bounded(counted.input_tokens) + read + minutes + hour,
        given,
        read,
        min(bounded(details.thinking_tokens), given) if details is not None else 0,
        cache_write_5m=minutes,
        cache_write_1h=hour,
        server_tools=bounded(tools.web_search_requests) + bounded(tools.web_fetch_requests) if tools is not None else 0,
        service_tier=counted.service_tier or "",
    )


def rendered(usage: Usage | None) -> dict[str, object]:
    """Return the usage object that a caller gets, whoever counted."""
    if usage is None:
        usage = Usage(0, 0)
    written = usage.cache_write_5m + usage.cache_write_1h
    said: dict[str, object] = {
        "input_tokens": usage.input_uncached,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_5m,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
        "output_tokens": usage.output_total,
    }
    if usage.reasoning:
        said["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    if usage.service_tier in ("standard", "priority", "batch"):
        said["service_tier"] = usage.service_tier
    return said


def bounded(count: int | None) -> int:
    """Return a token count that can be added up: what is absent, negative or absurd counts as nothing."""
    return count if count is not None and 0 <= count < 1 << 40 else 0


def error_type(status: int) -> str:
    """Return Anthropic's word for an error of this status."""
    return ERROR_TYPES.get(status) or ("invalid_request_error" if status < 500 else "api_error")


def invalid(message: str, param: str | None = None) -> GatewayError:
    """Return the error for a request that is not as the dialect wants it."""
    return GatewayError(400, "invalid_request", "caller", message, param=param)


def bad_answer(reason: str) -> GatewayError:
    """Return the error for an answer that is none."""
    return GatewayError(502, "upstream_bad_answer", "upstream", f"The provider's answer is not valid: {reason}.")


def decoded(decoder: msgspec.json.Decoder[T], text: bytes | Raw) -> T:
    """Return what a part of a caller's request says; GatewayError 400 where it is not as the dialect wants it."""
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        raise invalid(f"The request body is not valid: {error}.") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise GatewayError(400, "invalid_json", "caller", "The request body is not valid JSON.") from None
