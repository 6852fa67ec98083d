"""Cohere's embeddings, second version, from and to the hub.

What the vectors are for must be said here; a caller that cannot say it gets the provider's option `input_type`.
Wire format: Cohere's API reference (``/v2/embed``) and the types of its Python SDK.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct, field

from core.errors import GatewayError
from plane.canonical import Carry, Image
from plane.dialects._carrying import bounded, data_uri, from_uri
from plane.dialects._cohere_wire import Content
from plane.dialects._json import read_answered, read_asked, unknown_members
from plane.embedding import EmbeddingAnswer, EmbeddingRequest, Input, Purpose, Vector, unsupported_input
from plane.usage import Usage

__all__ = ["CohereEmbeddings"]

OWN = ("truncate", "max_tokens", "priority")
"""Members that only Cohere has; a caller of another dialect that sends them as extras means them."""

PURPOSES: dict[str, Purpose] = {
    "search_query": "query",
    "search_document": "document",
    "classification": "classification",
    "clustering": "clustering",
    "image": "image",
}
INPUT_TYPES: dict[Purpose, str] = {
    **{purpose: word for word, purpose in PURPOSES.items()},
    "question": "search_query",
    "fact": "search_query",
    "code": "search_query",
}


class Mixed(Struct):
    """An input of several parts."""

    content: list[Content]


class Asked(Struct):
    """A caller's request."""

    texts: list[str] | None = None
    images: list[str] | None = None
    inputs: list[Mixed] | None = None
    input_type: str | None = None
    embedding_types: list[str] | None = None
    output_dimension: int | None = None


class Vectors(Struct):
    """The vectors, by form; one form is asked for."""

    float_: list[list[float]] | None = field(default=None, name="float")
    base64: list[str] | None = None


class Billed(Struct, gc=False):
    """What is billed."""

    input_tokens: float | None = None
    image_tokens: float | None = None
    images: float | None = None


class Meta(Struct):
    """What Cohere says beside the vectors."""

    billed_units: Billed | None = None


class Answered(Struct):
    """A provider's answer."""

    embeddings: Vectors
    id: str | None = None
    meta: Meta | None = None


KNOWN = frozenset(["model", *Asked.__struct_fields__])


class CohereEmbeddings:
    """The translator of the kind ``embeddings``. input_type: what vectors are for where the caller does not say."""

    def __init__(self, input_type: str) -> None:
        self.input_type = input_type
        self.asked = msgspec.json.Decoder(Asked)
        self.answered = msgspec.json.Decoder(Answered)

    def read_request(self, body: bytes, model: str) -> EmbeddingRequest:
        """Return what a caller asks for."""
        asked = read_asked(self.asked, body)
        forms = asked.embedding_types or ["float"]
        if forms not in (["float"], ["base64"]):
            raise unsupported("embedding_types", "embedding_types can only be one of 'float' and 'base64' here.")
        inputs: list[Input] = [*(asked.texts or ()), *map(from_uri, asked.images or ())]
        inputs += [read_input(mixed) for mixed in asked.inputs or ()]
        if not inputs:
            raise GatewayError(400, "invalid_request", "caller", "There is nothing to embed.", param="texts")
        return EmbeddingRequest(
            model,
            inputs,
            dimensions=asked.output_dimension,
            base64=forms == ["base64"],
            purpose=PURPOSES.get(asked.input_type or "", ""),
            extras=unknown_members(body, KNOWN),
        )

    def write_request(self, request: EmbeddingRequest, carry: Carry) -> bytes:
        """Return the body for a provider."""
        input_type = INPUT_TYPES.get(request.purpose)
        if input_type is None:
            input_type = self.input_type
            if request.purpose:
                carry.hint("input_type")
        form = "base64" if request.base64 else "float"
        body: dict[str, Any] = {"model": carry.model, "input_type": input_type, "embedding_types": [form]}
        if all(isinstance(one, str) for one in request.inputs):
            body["texts"] = request.inputs
        else:
            body["inputs"] = [{"content": [write_part(one)]} for one in request.inputs]
        if request.dimensions is not None:
            body["output_dimension"] = request.dimensions
        for name in ("user", "title"):
            if getattr(request, name):
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
        vectors = [Vector(index, packed=text) for index, text in enumerate(answered.embeddings.base64 or ())]
        if not vectors:
            vectors = [Vector(index, values) for index, values in enumerate(answered.embeddings.float_ or ())]
        return EmbeddingAnswer(carry.model, vectors, usage_of(answered.meta), answered.id or "")

    def write_answer(self, answer: EmbeddingAnswer, request: EmbeddingRequest) -> bytes:
        """Return the body for a caller."""
        vectors: dict[str, Any]
        if request.base64:
            vectors = {"base64": [vector.base64() for vector in answer.vectors]}
        else:
            vectors = {"float": [vector.floats() for vector in answer.vectors]}
        body: dict[str, Any] = {
            "id": answer.id,
            "embeddings": vectors,
            "texts": [one for one in request.inputs if isinstance(one, str)],
            "response_type": "embeddings_by_type",
        }
        if answer.usage is not None:
            body["meta"] = {"billed_units": {"input_tokens": answer.usage.input_total}}
        return msgspec.json.encode(body)


def read_input(mixed: Mixed) -> Input:
    """Return an input of one part; those of several are Cohere's alone."""
    if len(mixed.content) == 1:
        part = mixed.content[0]
        if part.type == "text" and part.text is not None:
            return part.text
        if part.type == "image_url" and part.image_url is not None:
            return from_uri(part.image_url.url)
    raise unsupported("inputs", "An input must be one text or one picture.")


def write_part(one: Input) -> dict[str, Any]:
    """Return an input as a part of one."""
    if isinstance(one, str):
        return {"type": "text", "text": one}
    if isinstance(one, Image) and (one.data or one.url):
        return {"type": "image_url", "image_url": {"url": data_uri(one)}}
    raise unsupported_input("tokens")


def unsupported(name: str, message: str) -> GatewayError:
    """Return the refusal of what only Cohere could answer."""
    return GatewayError(400, "unsupported", "caller", message, param=name)


def usage_of(meta: Meta | None) -> Usage | None:
    """Return what a call used: tokens and, of older models, pictures by count."""
    if meta is None or meta.billed_units is None:
        return None
    billed = meta.billed_units
    text, pictures = bounded(billed.input_tokens), bounded(billed.image_tokens)
    return Usage(text + pictures, 0, image_in=pictures, units=bounded(billed.images))
