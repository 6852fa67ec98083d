"""Whole answers in Anthropic's dialect: a provider's read into the hub, a caller's written from it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import msgspec

from core.errors import GatewayError
from plane.canonical import (
    Answer,
    Carry,
    Choice,
    Part,
    Refusal,
    Stop,
    Text,
    Thinking,
    ToolCall,
    foreign_signature,
    pack_call_id,
)
from plane.dialects._anthropic_wire import FAMILY, STOPS, Answered, bad_answer, rendered, usage_of
from plane.dialects._anthropic_writing import input_of

__all__ = ["ENDED_IN_ERROR", "made_id", "own", "read_answer", "stop_words", "write_answer"]

WORDS: dict[Stop, str] = {
    "end": "end_turn",
    "length": "max_tokens",
    "stop_sequence": "stop_sequence",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "refusal": "refusal",
    "pause": "pause_turn",
}
ENDED_IN_ERROR = "The provider broke the answer off with an error."
WITHHELD = "The provider's content filter withheld the answer."

_answered = msgspec.json.Decoder(Answered)


def read_answer(body: bytes, carry: Carry) -> Answer:
    """Return what a provider answered. Blocks of tools that the provider ran are left out: nobody else knows them."""
    try:
        said = _answered.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise bad_answer(str(error).rstrip(".")) from None
    if said.type != "message":
        raise bad_answer(said.error.message if said.error is not None else "it is not a message")
    parts: list[Part] = []
    for block in said.content:
        if block.type == "text":
            if block.text:
                parts.append(Text(block.text))
        elif block.type == "tool_use":
            name = carry.tool_names.get(block.name, block.name)
            parts.append(ToolCall(block.id, name, bytes(block.input).decode()))
        elif block.type == "thinking":
            parts.append(Thinking(block.thinking, block.signature, family=FAMILY))
        elif block.type == "redacted_thinking":
            parts.append(Thinking(redacted=block.data, family=FAMILY))
    details = said.stop_details
    if details is not None and details.explanation:
        parts.append(Refusal(details.explanation))
    choice = Choice(parts, STOPS.get(said.stop_reason or "end_turn", "end"), said.stop_sequence or "")
    usage = usage_of(said.usage) if said.usage is not None else None
    tier = said.usage.service_tier if said.usage is not None else None
    return Answer(said.model, [choice], said.id, usage=usage, service_tier=tier or "")


def write_answer(answer: Answer) -> bytes:
    """Return the body for a caller; of several choices, the first."""
    choice = answer.choices[0] if answer.choices else Choice([], "error")
    content: list[dict[str, Any]] = []
    refused: list[str] = []
    for part in choice.parts:
        if isinstance(part, Text):
            if part.text:
                content.append({"type": "text", "text": part.text, "citations": None})
        elif isinstance(part, ToolCall):
            call_id = pack_call_id(part.id, part.family, part.signature)
            content.append({"type": "tool_use", "id": call_id, "name": part.name, "input": input_of(part)})
        elif isinstance(part, Thinking):
            if part.redacted:
                content.append({"type": "redacted_thinking", "data": own(part.family, part.redacted)})
            else:
                signature = own(part.family, part.signature)
                content.append({"type": "thinking", "thinking": part.text, "signature": signature})
        elif isinstance(part, Refusal):
            refused.append(part.text)
    return msgspec.json.encode(
        {
            "id": answer.id or made_id(),
            "type": "message",
            "role": "assistant",
            "model": answer.model,
            "content": content,
            **stop_words(choice.stop, choice.stop_sequence, "".join(refused)),
            "usage": rendered(answer.usage),
        }
    )


def stop_words(stop: Stop, sequence: str, refused: str) -> dict[str, object]:
    """Return the members that say why an answer ended; GatewayError 502 where it did in an error.

    refused: the model's words for why it does not answer.
    """
    if stop == "error":
        raise GatewayError(502, "upstream_bad_answer", "upstream", ENDED_IN_ERROR)
    reason = "refusal" if refused else WORDS[stop]
    details = None
    if reason == "refusal":
        explanation = refused or (WITHHELD if stop == "content_filter" else None)
        details = {"type": "refusal", "category": None, "explanation": explanation}
    return {"stop_reason": reason, "stop_sequence": sequence or None, "stop_details": details}


def own(family: str, signature: str) -> str:
    """Return a thought's proof in the form in which a caller brings it back: Anthropic's as it is, others' wrapped."""
    return signature if family in (FAMILY, "") else foreign_signature(family, signature)


def made_id() -> str:
    """Return the id of a message whose provider gave it none."""
    return f"msg_{uuid4().hex[:24]}"
