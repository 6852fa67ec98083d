"""Cohere's chat, second version, as its Structs: what is read of requests, answers and events.

Wire format: Cohere's API reference (``/v2/chat``) and the types of its Python SDK. Members that nothing is done with
are not here.
"""

from __future__ import annotations

from msgspec import Raw, Struct, field

__all__ = ["Answered", "Asked", "Content", "Counted", "Event", "LogProbs", "Turn", "WireCall"]

NOTHING = Raw()
"""JSON that is not there; null may stand for it (see `_carrying.text_of`)."""


class ImageUrl(Struct, gc=False):
    """Where a picture is."""

    url: str
    detail: str | None = None


class Source(Struct):
    """A document that the model may cite: any object as `data`."""

    data: Raw
    id: str | None = None


class Content(Struct):
    """A part of a message."""

    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    image_url: ImageUrl | None = None
    document: Source | None = None


class Function(Struct, gc=False):
    """What a tool call calls; arguments are JSON text."""

    name: str | None = None
    arguments: str | None = None


class WireCall(Struct):
    """A tool call."""

    id: str | None = None
    function: Function | None = None


class Turn(Struct):
    """A message of a request."""

    role: str
    content: str | list[Content] | None = None
    tool_plan: str | None = None
    tool_calls: list[WireCall] | None = None
    tool_call_id: str | None = None


class Declared(Struct):
    """A function that can be called."""

    name: str
    description: str | None = None
    parameters: Raw = NOTHING


class Offered(Struct):
    """A tool of a request."""

    function: Declared


class ResponseFormat(Struct):
    """The form of the answer."""

    type: str
    json_schema: Raw = NOTHING


class ThinkingMode(Struct, gc=False):
    """Whether the model thinks, and how much."""

    type: str
    token_budget: int | None = None


class Asked(Struct):
    """A caller's request."""

    messages: list[Turn]
    tools: list[Offered] | None = None
    strict_tools: bool | None = None
    tool_choice: str | None = None
    response_format: ResponseFormat | None = None
    max_tokens: int | None = None
    stop_sequences: list[str] | None = None
    temperature: float | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    k: int | None = None
    p: float | None = None
    logprobs: bool | None = None
    thinking: ThinkingMode | None = None


class Units(Struct, gc=False):
    """Tokens, or what is billed; JSON numbers that may have a point."""

    input_tokens: float | None = None
    output_tokens: float | None = None
    search_units: float | None = None


class Counted(Struct):
    """The `usage` of an answer."""

    billed_units: Units | None = None
    tokens: Units | None = None
    cached_tokens: float | None = None


class LogProbs(Struct):
    """Words of the answer, and the logarithms of the probabilities of their tokens."""

    text: str | None = None
    logprobs: list[float] | None = None


class Message(Struct):
    """The message of an answer."""

    content: list[Content] | None = None
    tool_plan: str | None = None
    tool_calls: list[WireCall] | None = None
    citations: list[Raw] | None = None


class Answered(Struct):
    """A provider's answer."""

    message: Message
    id: str | None = None
    finish_reason: str | None = None
    usage: Counted | None = None
    logprobs: list[LogProbs] | None = None


class Added(Struct):
    """What an event adds to the message. A start has a whole call, later events only more of its arguments."""

    content: Content | list[Content] | None = None
    tool_plan: str | None = None
    tool_calls: WireCall | list[WireCall] | None = None


class Delta(Struct):
    """What an event adds."""

    message: Added | None = None
    finish_reason: str | None = None
    usage: Counted | None = None
    error: str | None = None


class Event(Struct):
    """One event of a stream; its `type` is that of the SSE field, too."""

    type: str
    index: int | None = None
    id: str | None = None
    delta: Delta = field(default_factory=Delta)
    logprobs: LogProbs | None = None
    message: str | None = None
