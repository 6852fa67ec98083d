"""Answers of Cohere's chat, from and to the hub. Citations have no place in the hub and are left out."""

from __future__ import annotations

from typing import Any

import msgspec

from plane.canonical import Answer, Carry, Choice, Part, Refusal, Request, Stop, Text, Thinking, ToolCall
from plane.dialects._carrying import tokens
from plane.dialects._cohere_requests import FAMILY, write_asked_call
from plane.dialects._cohere_wire import Answered, Counted, LogProbs, WireCall
from plane.dialects._json import read_answered
from plane.usage import Usage

__all__ = ["FINISH", "STOPS", "log_probs", "read_answer", "read_log_probs", "usage_of", "write_answer", "write_usage"]

STOPS: dict[str, Stop] = {
    "COMPLETE": "end",
    "STOP_SEQUENCE": "stop_sequence",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR": "error",
    "TIMEOUT": "error",
}
"""Why a model stopped, in the hub's words; a new word counts as the end."""

FINISH: dict[Stop, str] = {
    "end": "COMPLETE",
    "length": "MAX_TOKENS",
    "stop_sequence": "STOP_SEQUENCE",
    "tool_calls": "TOOL_CALL",
    "content_filter": "ERROR",
    "refusal": "COMPLETE",
    "pause": "COMPLETE",
    "error": "ERROR",
}

_answered = msgspec.json.Decoder(Answered)


def read_answer(body: bytes, carry: Carry) -> Answer:
    """Return what a provider answered."""
    answered = read_answered(_answered, body)
    message = answered.message
    parts: list[Part] = []
    for content in message.content or ():
        if content.type == "thinking" or (content.type is None and content.thinking):
            parts.append(Thinking(content.thinking or "", family=FAMILY))
        elif content.text:
            parts.append(Text(content.text))
    if message.tool_plan:
        parts.append(Text(message.tool_plan))
    parts += [read_call(call) for call in message.tool_calls or ()]
    if message.citations:
        carry.hint("citations")
    stop = STOPS.get(answered.finish_reason or "", "end")
    choice = Choice(parts, stop, logprobs=read_log_probs(answered.logprobs))
    return Answer(carry.model, [choice], answered.id or "", usage=usage_of(answered.usage))


def read_call(call: WireCall) -> ToolCall:
    """Return a call that a model made."""
    function = call.function
    if function is None:
        return ToolCall(call.id or "", "")
    return ToolCall(call.id or "", function.name or "", function.arguments or "{}")


def usage_of(counted: Counted | None) -> Usage | None:
    """Return what a call used: what is billed, else the tokens; they differ, as Cohere's own prompt is not billed."""
    if counted is None:
        return None
    billed = counted.billed_units
    if billed is None or (billed.input_tokens is None and billed.output_tokens is None):
        told = counted.tokens
        searches = billed.search_units if billed is not None else None
    else:
        told, searches = billed, billed.search_units
    if told is None:
        return tokens(None, None, None, searches) if searches is not None else None
    return tokens(told.input_tokens, told.output_tokens, counted.cached_tokens, searches)


def read_log_probs(told: list[LogProbs] | None) -> str:
    """Return probabilities in OpenAI's form, "" for none. Words of several tokens have the product of theirs."""
    if not told:
        return ""
    content: list[dict[str, Any]] = [
        {"token": one.text or "", "logprob": sum(one.logprobs or ()), "bytes": None, "top_logprobs": []} for one in told
    ]
    return msgspec.json.encode({"content": content, "refusal": None}).decode()


def log_probs(text: str) -> list[dict[str, Any]]:
    """Return probabilities in Cohere's form; ids of tokens are not known."""
    said = msgspec.json.decode(text)
    return [
        {"text": one.get("token", ""), "token_ids": [], "logprobs": [one.get("logprob", 0.0)]}
        for one in (said.get("content") or ())
    ]


def write_answer(answer: Answer, request: Request) -> bytes:
    """Return the body for a caller."""
    choice = answer.choices[0] if answer.choices else Choice([])
    content: list[dict[str, Any]] = []
    for part in choice.parts:
        if isinstance(part, Thinking) and part.text:
            content.append({"type": "thinking", "thinking": part.text})
        elif isinstance(part, Text | Refusal) and part.text:
            content.append({"type": "text", "text": part.text})
    message: dict[str, Any] = {"role": "assistant"}
    if content:
        message["content"] = content
    calls = [write_asked_call(part) for part in choice.parts if isinstance(part, ToolCall)]
    if calls:
        message["tool_calls"] = calls
    body: dict[str, Any] = {"id": answer.id, "finish_reason": FINISH[choice.stop], "message": message}
    if answer.usage is not None:
        body["usage"] = write_usage(answer.usage)
    if choice.logprobs:
        body["logprobs"] = log_probs(choice.logprobs)
    return msgspec.json.encode(body)


def write_usage(usage: Usage) -> dict[str, Any]:
    """Return the `usage` of an answer. The gateway knows one count, which is told as both."""
    counted = {"input_tokens": usage.input_total, "output_tokens": usage.output_total}
    billed = {**counted, "search_units": usage.units} if usage.units else counted
    return {"billed_units": billed, "tokens": counted, "cached_tokens": usage.cache_read}
