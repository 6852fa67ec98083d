"""Ollama's embeddings, from and to the hub (``/api/embed``): text in, numbers out."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from core.errors import GatewayError
from plane.canonical import Carry
from plane.dialects._carrying import bounded
from plane.dialects._json import read_answered, read_asked, unknown_members
from plane.embedding import EmbeddingAnswer, EmbeddingRequest, Vector, unsupported_input
from plane.usage import Usage

__all__ = ["OllamaEmbeddings"]

OWN = ("truncate", "keep_alive", "options")
"""Members that only Ollama has; a caller of another dialect that sends them as extras means them."""


class Asked(Struct):
    """A caller's request."""

    input: str | list[str]
    dimensions: int | None = None


class Answered(Struct):
    """A provider's answer."""

    embeddings: list[list[float]]
    prompt_eval_count: int | None = None


KNOWN = frozenset(["model", *Asked.__struct_fields__])


class OllamaEmbeddings:
    """The translator of the kind ``embeddings``; preset and keep_alive as of the chat's."""

    def __init__(self, preset: dict[str, Any], keep_alive: str) -> None:
        self.preset = preset
        self.keep_alive = keep_alive
        self.asked = msgspec.json.Decoder(Asked)
        self.answered = msgspec.json.Decoder(Answered)

    def read_request(self, body: bytes, model: str) -> EmbeddingRequest:
        """Return what a caller asks for."""
        asked = read_asked(self.asked, body)
        if not asked.input and not isinstance(asked.input, str):
            raise GatewayError(400, "invalid_request", "caller", "input must not be empty.", param="input")
        single = isinstance(asked.input, str)
        return EmbeddingRequest(
            model,
            [asked.input] if isinstance(asked.input, str) else [*asked.input],
            single,
            dimensions=asked.dimensions,
            extras=unknown_members(body, KNOWN),
        )

    def write_request(self, request: EmbeddingRequest, carry: Carry) -> bytes:
        """Return the body for a provider."""
        for one in request.inputs:
            if not isinstance(one, str):
                raise unsupported_input("tokens" if isinstance(one, list) else "pictures")
        body: dict[str, Any] = {
            "model": carry.model,
            "input": request.inputs[0] if request.single else request.inputs,
        }
        if request.dimensions is not None:
            body["dimensions"] = request.dimensions
        if self.preset:
            body["options"] = self.preset
        if self.keep_alive:
            body["keep_alive"] = self.keep_alive
        for field, name in (("user", "user"), ("title", "title"), ("purpose", "input_type")):
            if getattr(request, field):
                carry.hint(name)
        for name, text in request.extras.items():
            if name in OWN:
                body[name] = Raw(text.encode())
            else:
                carry.drop(name)
        return msgspec.json.encode(body)

    def read_answer(self, body: bytes, carry: Carry) -> EmbeddingAnswer:
        """Return what a provider answered."""
        answered = read_answered(self.answered, body)
        vectors = [Vector(index, values) for index, values in enumerate(answered.embeddings)]
        count = answered.prompt_eval_count
        return EmbeddingAnswer(carry.model, vectors, None if count is None else Usage(bounded(count), 0))

    def write_answer(self, answer: EmbeddingAnswer, request: EmbeddingRequest) -> bytes:
        """Return the body for a caller."""
        body: dict[str, Any] = {
            "model": request.model,
            "embeddings": [vector.floats() for vector in answer.vectors],
        }
        if answer.usage is not None:
            body["prompt_eval_count"] = answer.usage.input_total
        return msgspec.json.encode(body)
