"""Mistral's chat as its Structs: what is read of requests, answers and the chunks of a stream.

Near OpenAI's, but what a model thinks stands within the content, which is a list of chunks then, in deltas as well.
Wire format: Mistral's API reference (``/v1/chat/completions``) and the types of its Python SDK. Members that nothing is
done with are not here.
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct, field

__all__ = ["Asked", "Chunk", "Counted", "Told", "Turn", "WireCall"]

NOTHING = Raw()
"""JSON that is not there; null may stand for it (see `_carrying.text_of`)."""


class Url(Struct, gc=False):
    """Where a picture is."""

    url: str
    detail: str | None = None


class Chunk(Struct):
    """A part of a message. thinking: chunks of text."""

    type: str = "text"
    text: str | None = None
    thinking: list[Chunk] | None = None
    signature: str | None = None
    image_url: str | Url | None = None
    document_url: str | None = None
    document_name: str | None = None
    file_id: str | None = None
    input_audio: str | None = None


class Function(Struct):
    """What a tool call calls; arguments are JSON text, or, as the types allow, an object."""

    name: str = ""
    arguments: Raw = NOTHING


class WireCall(Struct):
    """A tool call; the SDK's word for no id is ``null``."""

    function: Function
    id: str | None = None
    index: int | None = None


class Turn(Struct):
    """A message of a request or an answer, or a delta."""

    role: str | None = None
    content: str | list[Chunk] | None = None
    tool_calls: list[WireCall] | None = None
    tool_call_id: str | None = None
    name: str | None = None


class Declared(Struct):
    """A function that can be called."""

    name: str
    description: str | None = None
    parameters: Raw = NOTHING
    strict: bool | None = None


class Offered(Struct):
    """A tool of a request; those that Mistral runs itself have no function."""

    function: Declared | None = None


class Named(Struct):
    """The one tool of a choice."""

    name: str


class Chosen(Struct):
    """A choice of one tool."""

    function: Named


class Schema(Struct):
    """A schema for the answer."""

    name: str = ""
    schema: Raw = NOTHING
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(Struct):
    """The form of the answer."""

    type: str = "text"
    json_schema: Schema | None = None


class Asked(Struct):
    """A caller's request."""

    messages: list[Turn]
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    stop: str | list[str] | None = None
    random_seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    n: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    response_format: ResponseFormat | None = None
    tools: list[Offered] | None = None
    tool_choice: str | Chosen | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None
    prompt_mode: str | None = None
    prompt_cache_key: str | None = None
    service_tier: str | None = None
    metadata: dict[str, Any] | None = None


class InputDetails(Struct, gc=False):
    """Parts of the input count."""

    cached_tokens: int | None = None


class Counted(Struct):
    """The `usage` of an answer."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: InputDetails | None = None
    prompt_audio_seconds: float | None = None


class Choice(Struct):
    """One answer, whole or a piece of it."""

    index: int = 0
    message: Turn = field(default_factory=Turn)
    delta: Turn = field(default_factory=Turn)
    finish_reason: str | None = None
    logprobs: Raw = NOTHING


class Told(Struct):
    """An answer, or one chunk of a stream; an error mid-stream is one as well."""

    choices: list[Choice] | None = None
    id: str | None = None
    created: int | None = None
    model: str | None = None
    usage: Counted | None = None
    object: str | None = None
    error: Raw = NOTHING
