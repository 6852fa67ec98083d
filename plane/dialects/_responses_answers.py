"""Answers of OpenAI's Responses API, read from a provider and written for a caller. Wire format: the types of its SDK.

An answer is a list of items, and has no word for why the model stopped: that follows from the status and the items.
"""

from __future__ import annotations

from time import time
from typing import Any
from uuid import uuid4

import msgspec
from msgspec import Raw, Struct, field

from core.errors import GatewayError
from plane.canonical import (
    Answer,
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
from plane.dialects._responses_reading import REDACTED, CallItem, CustomCallItem, ReasoningItem, thought_of
from plane.dialects._responses_writing import choice_of, format_of, tools_of
from plane.usage import Usage

__all__ = [
    "ITEMS",
    "KIND",
    "Counted",
    "Ended",
    "Json",
    "MessageItem",
    "Trouble",
    "call_item",
    "chat_logprobs",
    "close_response",
    "fault_of",
    "message_item",
    "open_response",
    "own_logprobs",
    "parts_of",
    "read_answer",
    "refusal_content",
    "status_of",
    "stop_of",
    "text_content",
    "thought_item",
    "usage_of",
    "write_answer",
]

Json = dict[str, Any]


class InputDetails(Struct, gc=False):
    """Parts of the input count."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class OutputDetails(Struct, gc=False):
    """Parts of the output count."""

    reasoning_tokens: int | None = None


class Counted(Struct):
    """The `usage` object of a response."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None


class Content(Struct):
    """A part of a message."""

    type: str = ""
    text: str = ""
    refusal: str = ""
    logprobs: Raw = Raw(b"")


class MessageItem(Struct):
    """What the model said."""

    id: str = ""
    content: list[Content] = field(default_factory=list)


class Kind(Struct, gc=False):
    """What every item has."""

    type: str = ""
    id: str | None = None


class Reason(Struct, gc=False):
    """`incomplete_details`."""

    reason: str | None = None


class Trouble(Struct, gc=False):
    """`error` of a response, of an event or of an error answer."""

    message: str | None = None
    code: str | int | None = None
    type: str | None = None
    param: str | None = None


class Ended(Struct):
    """What is read of a whole response."""

    id: str = ""
    model: str = ""
    created_at: float = 0
    status: str | None = None
    output: list[Raw] = field(default_factory=list)
    usage: Counted | None = None
    error: Trouble | None = None
    incomplete_details: Reason | None = None
    service_tier: str | None = None


ENDED = msgspec.json.Decoder(Ended)
KIND = msgspec.json.Decoder(Kind)
ITEMS: dict[str, msgspec.json.Decoder[Any]] = {
    "message": msgspec.json.Decoder(MessageItem),
    "function_call": msgspec.json.Decoder(CallItem),
    "custom_tool_call": msgspec.json.Decoder(CustomCallItem),
    "reasoning": msgspec.json.Decoder(ReasoningItem),
}
ENTRIES = msgspec.json.Decoder(list[Raw])


class Logprobs(Struct):
    """Chat's `logprobs` of a choice; its entries are those of this API."""

    content: list[Raw] | None = None


LOGPROBS = msgspec.json.Decoder(Logprobs)

FAILURES = {"rate_limit_exceeded": 429, "invalid_prompt": 400}
"""In-object error codes that are not the provider's own failure, and the status they would have had."""


def read_answer(body: bytes) -> Answer:
    """Return what a provider answered; GatewayError 502 where that is no response, or one that has failed."""
    try:
        ended = ENDED.decode(body)
        parts, logprobs = parts_of(ended.output)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise GatewayError(502, "upstream_bad_answer", "upstream", "The provider's answer is not valid.") from None
    if ended.status == "failed":
        raise fault_error(fault_of(ended.error))
    if ended.status not in (None, "completed", "incomplete") or not (ended.id or ended.output):
        raise GatewayError(502, "upstream_bad_answer", "upstream", "The provider's response has not come to its end.")
    return Answer(
        ended.model,
        [Choice(parts, stop_of(ended, parts), logprobs=logprobs)],
        ended.id,
        int(ended.created_at),
        usage_of(ended.usage, ended.service_tier),
        ended.service_tier or "",
    )


def parts_of(output: list[Raw]) -> tuple[list[Part], str]:
    """Return the parts of all items that the hub knows, and the logprobs of the words in chat's form."""
    parts: list[Part] = []
    logprobs: list[Raw] = []
    for raw in output:
        decoder = ITEMS.get(KIND.decode(raw).type)
        if decoder is None:
            continue
        item = decoder.decode(raw)
        if isinstance(item, MessageItem):
            for content in item.content:
                if content.type == "refusal":
                    parts.append(Refusal(content.refusal))
                elif content.type == "output_text":
                    parts.append(Text(content.text))
                    if bytes(content.logprobs) not in (b"", b"null", b"[]"):
                        logprobs += ENTRIES.decode(content.logprobs)
        elif isinstance(item, CallItem):
            parts.append(ToolCall(item.call_id, item.name, item.arguments or "{}"))
        elif isinstance(item, CustomCallItem):
            parts.append(ToolCall(item.call_id, item.name, item.input, custom=True))
        else:
            thought = thought_of(item)
            if thought is not None:
                parts.append(thought)
    return parts, chat_logprobs(logprobs)


def chat_logprobs(entries: list[Raw]) -> str:
    """Return chat's form of logprobs, "" for none."""
    return msgspec.json.encode({"content": entries, "refusal": None}).decode() if entries else ""


def own_logprobs(text: str) -> list[Raw]:
    """Return the entries of chat's form of logprobs."""
    return LOGPROBS.decode(text).content or [] if text else []


def stop_of(ended: Ended, parts: list[Part]) -> Stop:
    """Return why the model stopped."""
    if ended.status == "incomplete":
        reason = ended.incomplete_details.reason if ended.incomplete_details is not None else None
        return "content_filter" if reason == "content_filter" else "length"
    if any(isinstance(part, ToolCall) for part in parts):
        return "tool_calls"
    return "refusal" if any(isinstance(part, Refusal) for part in parts) else "end"


def fault_of(trouble: Trouble | None) -> Fault:
    """Return what an error object says."""
    if trouble is None:
        return Fault(status=502, message="The provider did not say why.")
    code = str(trouble.code or "")
    return Fault(
        FAILURES.get(code, 502),
        trouble.message or "The provider did not say why.",
        trouble.type or "",
        code,
        trouble.param or "",
    )


def usage_of(counted: Counted | None, service_tier: str | None = None) -> Usage | None:
    """Return what a call used; None where the provider does not say."""
    if counted is None:
        return None
    taken, given = bounded(counted.input_tokens), bounded(counted.output_tokens)
    details, thought = counted.input_tokens_details or InputDetails(), counted.output_tokens_details or OutputDetails()
    cached = min(bounded(details.cached_tokens), taken)
    return Usage(
        taken,
        given,
        cached,
        min(bounded(thought.reasoning_tokens), given),
        cache_write_5m=min(bounded(details.cache_write_tokens), taken - cached),
        service_tier=service_tier or "",
    )


def bounded(count: int | None) -> int:
    """Return a token count that can be added up: what is absent, negative or absurd counts as nothing."""
    return count if count is not None and 0 <= count < 1 << 40 else 0


def open_response(request: Request, response_id: str, model: str, created: int) -> Json:
    """Return a response as it is before anything has come: all members that the SDK's types have."""
    text: Json = {"format": format_of(request.output) if request.output is not None else {"type": "text"}}
    if request.verbosity:
        text["verbosity"] = request.verbosity
    asked = request.reasoning
    return {
        "id": response_id if response_id.startswith("resp_") else f"resp_{response_id or uuid4().hex}",
        "object": "response",
        "created_at": created or int(time()),
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": "\n\n".join(part.text for part in request.system) or None,
        "max_output_tokens": request.max_tokens,
        "metadata": request.metadata,
        "model": model or request.model,
        "output": [],
        "parallel_tool_calls": request.parallel_tools is not False,
        "previous_response_id": None,
        "prompt_cache_key": request.cache_key or None,
        "reasoning": {
            "effort": asked.effort if asked is not None else None,
            "summary": "auto" if asked is not None and asked.show else None,
        },
        "service_tier": request.service_tier or "default",
        "store": False,
        "temperature": request.temperature,
        "text": text,
        "tool_choice": choice_of(request.tool_choice) if request.tool_choice is not None else "auto",
        "tools": tools_of(request),
        "top_logprobs": request.top_logprobs or 0,
        "top_p": request.top_p,
        "truncation": "disabled",
        "usage": None,
        "user": request.user or None,
    }


def close_response(response: Json, output: list[Json], stop: Stop, usage: Usage | None) -> None:
    """Make an open response the one that has come to its end."""
    response["status"] = status_of(stop)
    response["output"] = output
    response["completed_at"] = int(time()) if response["status"] == "completed" else None
    if response["status"] == "incomplete":
        reason = "content_filter" if stop == "content_filter" else "max_output_tokens"
        response["incomplete_details"] = {"reason": reason}
    elif stop == "error":
        response["error"] = {"code": "server_error", "message": "The model failed."}
    if usage is not None:
        response["usage"] = usage_object(usage)
        response["service_tier"] = usage.service_tier or response["service_tier"]


def status_of(stop: Stop) -> str:
    """Return the status of a response that stopped so."""
    if stop in ("length", "content_filter"):
        return "incomplete"
    return "failed" if stop == "error" else "completed"


def usage_object(usage: Usage) -> Json:
    """Return usage as this API tells it: cached and written tokens are part of the input."""
    return {
        "input_tokens": usage.input_total,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write_5m + usage.cache_write_1h,
        },
        "output_tokens": usage.output_total,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input_total + usage.output_total,
    }


def write_answer(answer: Answer, request: Request) -> bytes:
    """Return the body for a caller."""
    choice = answer.choices[0] if answer.choices else Choice([])
    response = open_response(request, answer.id, answer.model, answer.created)
    if answer.service_tier:
        response["service_tier"] = answer.service_tier
    suffix = response["id"][5:]
    status = "incomplete" if status_of(choice.stop) == "incomplete" else "completed"
    output: list[Json] = []
    content: list[Json] = []
    logprobs = own_logprobs(choice.logprobs)
    for part in choice.parts:
        place = f"{suffix}_{len(output)}"
        if isinstance(part, Text | Refusal):
            if not content:
                output.append(message_item(f"msg_{place}", status, content))
            content.append(
                refusal_content(part.text) if isinstance(part, Refusal) else text_content(part.text, logprobs)
            )
            logprobs = []  # They are of the whole choice, and stand once.
            continue
        content = []
        if isinstance(part, ToolCall):
            output.append(call_item(f"fc_{place}", part, "completed"))
        elif isinstance(part, Thinking):
            output.append(thought_item(f"rs_{place}", part))
    close_response(response, output, choice.stop, answer.usage)
    return msgspec.json.encode(response)


def message_item(item_id: str, status: str, content: list[Json]) -> Json:
    """Return what the model says as an item."""
    return {"id": item_id, "type": "message", "status": status, "role": "assistant", "content": content}


def text_content(text: str, logprobs: list[Raw]) -> Json:
    """Return words as a part of a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


def refusal_content(text: str) -> Json:
    """Return the words of a refusal as a part of a message."""
    return {"type": "refusal", "refusal": text}


def call_item(item_id: str, call: ToolCall, status: str) -> Json:
    """Return a call as an item; the proof of a signed one stands in its `call_id`, which comes back."""
    call_id = pack_call_id(call.id, call.family, call.signature)
    if call.custom:
        return {
            "id": item_id.replace("fc_", "ctc_", 1),
            "type": "custom_tool_call",
            "status": status,
            "call_id": call_id,
            "name": call.name,
            "input": call.arguments,
        }
    return {
        "id": item_id,
        "type": "function_call",
        "status": status,
        "call_id": call_id,
        "name": call.name,
        "arguments": call.arguments,
    }


def thought_item(item_id: str, thought: Thinking) -> Json:
    """Return a thought as an item; what proves it stands in its `encrypted_content`, which comes back."""
    if thought.redacted:
        encrypted = foreign_signature(f"{REDACTED}{thought.family}", thought.redacted)
    else:
        encrypted = foreign_signature(thought.family, thought.signature)
    summary = [{"type": "summary_text", "text": thought.text}] if thought.text else []
    return {"id": item_id, "type": "reasoning", "summary": summary, "encrypted_content": encrypted or None}
