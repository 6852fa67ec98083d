"""Mistral's embeddings, from and to the hub: OpenAI's, but of text only, and with another word for dimensions."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec
from msgspec import Raw

from core.errors import GatewayError
from core.splice import insert_member
from plane.canonical import Carry
from plane.dialects._openai_embeddings import OpenAIEmbeddings
from plane.embedding import EmbeddingAnswer, EmbeddingRequest, unsupported_input

__all__ = ["MistralEmbeddings"]

OWN = ("output_dtype", "metadata")
"""Members that only Mistral has; a caller of another dialect that sends them as extras means them."""


class MistralEmbeddings(OpenAIEmbeddings):
    """The translator of the kind ``embeddings``; answers are OpenAI's with an id, which the SDK insists on."""

    def read_request(self, body: bytes, model: str) -> EmbeddingRequest:
        """Return what a caller asks for."""
        request = super().read_request(body, model)
        dimensions = request.extras.pop("output_dimension", "")
        if dimensions:
            if not dimensions.isdecimal():
                raise GatewayError(
                    400, "invalid_request", "caller", "output_dimension must be a number.", param="output_dimension"
                )
            request.dimensions = int(dimensions)
        if request.extras.get("output_dtype") == '"float"':
            del request.extras["output_dtype"]
        return request

    def write_request(self, request: EmbeddingRequest, carry: Carry) -> bytes:
        """Return the body for a provider."""
        for one in request.inputs:
            if not isinstance(one, str):
                raise unsupported_input("tokens" if isinstance(one, list) else "pictures")
        body: dict[str, Any] = {"model": carry.model, "input": request.inputs[0] if request.single else request.inputs}
        if request.dimensions is not None:
            body["output_dimension"] = request.dimensions
        if request.base64 is not None:
            body["encoding_format"] = "base64" if request.base64 else "float"
        for field, name in (("user", "user"), ("title", "title"), ("purpose", "input_type")):
            if getattr(request, field):
                carry.hint(name)
        for name, text in request.extras.items():
            if name in OWN:
                body[name] = Raw(text.encode())
            else:
                carry.drop(name)
        return msgspec.json.encode(body)

    def write_answer(self, answer: EmbeddingAnswer, request: EmbeddingRequest) -> bytes:
        """Return the body for a caller."""
        answer_id = msgspec.json.encode(answer.id or secrets.token_hex(16))
        return insert_member(super().write_answer(answer, request), b'"id":' + answer_id)
