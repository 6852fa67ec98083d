"""OpenAI's embeddings, from and to the hub; many other vendors and servers speak them.

Wire format: the public API reference of OpenAI (``/v1/embeddings``) and the types of its Python SDK, which asks for
base64 unless told otherwise. So base64 is asked of the provider as well, and made here where it sends numbers.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from core.errors import GatewayError
from plane.canonical import Carry
from plane.dialects._json import read_answered, read_asked, unknown_members
from plane.embedding import EmbeddingAnswer, EmbeddingRequest, Input, Vector, unsupported_input
from plane.usage import Usage

__all__ = ["OpenAIEmbeddings"]

LIMIT = 1 << 40
"""A count from here on is no count of tokens."""


class Asked(Struct):
    """A caller's request."""

    input: str | list[str | int | list[int]]
    dimensions: int | None = None
    encoding_format: str | None = None
    user: str | None = None


class Data(Struct):
    """One vector of an answer."""

    embedding: list[float] | str
    index: int | None = None


class Counted(Struct, gc=False):
    """The `usage` of an answer."""

    prompt_tokens: int | None = None
    total_tokens: int | None = None


class Answered(Struct):
    """A provider's answer."""

    data: list[Data]
    model: str | None = None
    usage: Counted | None = None
    id: str | None = None


KNOWN = frozenset(["model", *Asked.__struct_fields__])


class OpenAIEmbeddings:
    """The translator of the kind ``embeddings``."""

    def __init__(self) -> None:
        self.asked = msgspec.json.Decoder(Asked)
        self.answered = msgspec.json.Decoder(Answered)

    def read_request(self, body: bytes, model: str) -> EmbeddingRequest:
        """Return what a caller asks for."""
        asked = read_asked(self.asked, body)
        if asked.encoding_format not in (None, "float", "base64"):
            raise GatewayError(
                400,
                "invalid_request",
                "caller",
                "encoding_format must be 'float' or 'base64'.",
                param="encoding_format",
            )
        inputs, single = inputs_of(asked.input)
        return EmbeddingRequest(
            model,
            inputs,
            single,
            dimensions=asked.dimensions,
            base64=None if asked.encoding_format is None else asked.encoding_format == "base64",
            user=asked.user or "",
            extras=unknown_members(body, KNOWN),
        )

    def write_request(self, request: EmbeddingRequest, carry: Carry) -> bytes:
        """Return the body for a provider."""
        inputs = request.inputs
        for one in inputs:
            if not isinstance(one, str | list):
                raise unsupported_input("pictures")
        if any(isinstance(one, list) for one in inputs) and any(isinstance(one, str) for one in inputs):
            raise unsupported_input("text and tokens in one call")
        body: dict[str, Any] = {"model": carry.model, "input": inputs[0] if request.single else inputs}
        if request.dimensions is not None:
            body["dimensions"] = request.dimensions
        if request.base64 is not None:
            body["encoding_format"] = "base64" if request.base64 else "float"
        if request.user:
            body["user"] = request.user
        if request.purpose:
            carry.hint("input_type")
        if request.title:
            carry.hint("title")
        for name in request.extras:
            carry.drop(name)
        return msgspec.json.encode(body)

    def read_answer(self, body: bytes, carry: Carry) -> EmbeddingAnswer:
        """Return what a provider answered."""
        answered = read_answered(self.answered, body)
        vectors = [
            Vector(place if data.index is None else data.index, packed=data.embedding)
            if isinstance(data.embedding, str)
            else Vector(place if data.index is None else data.index, data.embedding)
            for place, data in enumerate(answered.data)
        ]
        vectors.sort(key=index_of)
        return EmbeddingAnswer(answered.model or carry.model, vectors, usage_of(answered.usage), answered.id or "")

    def write_answer(self, answer: EmbeddingAnswer, request: EmbeddingRequest) -> bytes:
        """Return the body for a caller."""
        tokens = answer.usage.input_total if answer.usage is not None else 0
        return msgspec.json.encode(
            {
                "object": "list",
                "data": [
                    {
                        "object": "embedding",
                        "index": vector.index,
                        "embedding": vector.base64() if request.base64 else vector.floats(),
                    }
                    for vector in answer.vectors
                ],
                "model": answer.model,
                "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            }
        )


def inputs_of(asked: str | list[str | int | list[int]]) -> tuple[list[Input], bool]:
    """Return the inputs, and whether it is one that stood in no list; GatewayError 400 where they are of two sorts."""
    if isinstance(asked, str):
        return [asked], True
    if not asked:
        raise GatewayError(400, "invalid_request", "caller", "input must not be empty.", param="input")
    sort = type(asked[0])
    if any(type(one) is not sort for one in asked):
        raise GatewayError(
            400,
            "invalid_request",
            "caller",
            "input must be text, tokens, or a list of either.",
            param="input",
        )
    if sort is int:
        return [[one for one in asked if isinstance(one, int)]], True
    return [one for one in asked if not isinstance(one, int)], False


def index_of(vector: Vector) -> int:
    """Return the key that vectors are ordered by."""
    return vector.index


def usage_of(counted: Counted | None) -> Usage | None:
    """Return what a call used; None where the provider did not say. Some count only `total_tokens`."""
    if counted is None:
        return None
    count = counted.prompt_tokens if counted.prompt_tokens is not None else counted.total_tokens
    return Usage(count, 0) if count is not None and 0 <= count < LIMIT else None
