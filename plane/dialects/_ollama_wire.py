"""Ollama's own chat as its Structs: what is read of requests, answers and the lines of a stream.

Wire format: the API documentation of Ollama (``/api/chat``, ``/api/embed``) and the types of its Python SDK. Members
that nothing is done with are not here.
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct

__all__ = ["Answered", "Asked", "Settings", "Turn", "WireCall"]

NOTHING = Raw()
"""JSON that is not there; null may stand for it (see `_carrying.text_of`)."""


class Function(Struct):
    """What a tool call calls; arguments are an object, unlike elsewhere."""

    name: str = ""
    arguments: Raw = NOTHING


class WireCall(Struct):
    """A tool call. Older servers give it no id."""

    function: Function
    id: str | None = None


class Turn(Struct):
    """A message. images: base64 without more."""

    role: str = ""
    content: str | None = None
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[WireCall] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


class Declared(Struct):
    """A function that can be called."""

    name: str = ""
    description: str | None = None
    parameters: Raw = NOTHING


class Offered(Struct):
    """A tool of a request."""

    function: Declared


class Settings(Struct):
    """What stands in `options` and has a field in the hub."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    num_predict: int | None = None
    stop: list[str] | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None


class Asked(Struct):
    """A caller's request. options: read twice, as what is known in it and what is not."""

    messages: list[Turn] | None = None
    tools: list[Offered] | None = None
    format: Raw = NOTHING
    think: bool | str | None = None
    options: dict[str, Raw] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None


class Answered(Struct):
    """An answer, or one line of a stream; an error mid-stream is a line as well."""

    message: Turn | None = None
    created_at: str | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    logprobs: list[dict[str, Any]] | None = None
    error: str | None = None
