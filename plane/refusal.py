"""Answers that refuse: the model will not, or a filter of its provider's lets nothing through.

A provider says so with a good status. Where a model's `retries` name `refusal`, another target is asked as long as the
caller has seen nothing of the answer; nothing here runs for other models but `is_content`.
"""

from __future__ import annotations

import msgspec

from core.errors import GatewayError
from plane.canonical import (
    Answer,
    Carry,
    Event,
    Failed,
    PartEnded,
    PartStarted,
    Refusal,
    RefusalDelta,
    Started,
    Stopped,
    UsageCounted,
)
from plane.exchange import Exchange

__all__ = ["is_content", "is_refusal", "refuses"]

REFUSED = ("refusal", "content_filter")
"""Why a model stops that refuses, in the hub's words."""
NOT_CONTENT = (Started, PartEnded, UsageCounted, Failed)
"""Events that give the caller nothing of the answer; a part that starts does so only if it is a tool call."""


def is_content(event: Event) -> bool:
    """Tell whether an event gives the caller something of the answer, so that no other target can give it anew."""
    if isinstance(event, PartStarted):
        return event.kind == "tool_call" or bool(event.redacted)
    return not isinstance(event, NOT_CONTENT)


def is_refusal(event: Event) -> bool:
    """Tell whether the first event with content refuses."""
    return isinstance(event, RefusalDelta) or (isinstance(event, Stopped) and event.stop in REFUSED)


def refuses(exchange: Exchange) -> bool:
    """Tell whether the answer refuses: a whole one, or a stream by the first it says; False where it cannot be read."""
    way = exchange.way
    # What passes is in the caller's dialect here, whatever a host makes of its stream.
    listener = (way.dialect if way.translates else exchange.route.dialect).translators.get("chat")
    if listener is None or way.operation.kind != "chat":
        return False
    try:
        if not exchange.answer_streams:
            body = b"".join(exchange.answer_parts)
            return answer_refuses(listener.read_answer(body, Carry(exchange.target.model)))
        if way.translates:
            return exchange.scan.refuses is True
        events = listener.event_reader(Carry(exchange.target.model)).feed(exchange.early)
    except (GatewayError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return next((is_refusal(event) for event in events if is_content(event)), False)


def answer_refuses(answer: Answer) -> bool:
    """Tell whether all choices of a whole answer refuse."""
    return bool(answer.choices) and all(
        choice.stop in REFUSED or any(isinstance(part, Refusal) for part in choice.parts) for choice in answer.choices
    )
