"""Gemini's translator of the kind ``embeddings``: embedContent for one input, batchEmbedContents for many.

A provider is always asked for a batch, which one input may be, too.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, field

from core.errors import GatewayError
from plane.canonical import Carry, Image, Message, Text
from plane.dialects._gemini_incoming import Members, members, objects, optional, read_part, refuse, text_of
from plane.dialects._gemini_outgoing import write_content
from plane.dialects._gemini_wire import Counted, usage_of
from plane.embedding import EmbeddingAnswer, EmbeddingRequest, Input, Purpose, Vector, unsupported_input
from plane.usage import Usage

__all__ = ["GeminiEmbeddings"]

PURPOSES: dict[str, Purpose] = {
    "RETRIEVAL_QUERY": "query",
    "RETRIEVAL_DOCUMENT": "document",
    "SEMANTIC_SIMILARITY": "similarity",
    "CLASSIFICATION": "classification",
    "CLUSTERING": "clustering",
    "QUESTION_ANSWERING": "question",
    "FACT_VERIFICATION": "fact",
    "CODE_RETRIEVAL_QUERY": "code",
}
TASKS = {purpose: task for task, purpose in PURPOSES.items()}
KNOWN = frozenset({"model", "content", "taskType", "title", "outputDimensionality"})


class Values(Struct):
    """One vector."""

    values: list[float]


class Answered(Struct, rename="camel"):
    """A provider's answer, to one input or to many."""

    embedding: Values | None = None
    embeddings: list[Values] = field(default_factory=list)
    usage_metadata: Counted | None = None


class GeminiEmbeddings:
    """The translator; see `plane.embedding.EmbeddingTranslator`."""

    def __init__(self) -> None:
        self.answered = msgspec.json.Decoder(Answered)

    def read_request(self, body: bytes, model: str) -> EmbeddingRequest:
        """Return what a caller asks for. The requests of a batch must ask alike, as the hub has one answer for all."""
        asked = members(body, "the body")
        if "requests" not in asked:
            request = EmbeddingRequest(model, [read_input(asked)], single=True)
            read_settings(asked, request)
            return request
        request = EmbeddingRequest(model, [])
        said: list[dict[str, Any]] = []
        for entry in objects(asked["requests"], "requests"):
            request.inputs.append(read_input(entry))
            said.append({name: bytes(value) for name, value in entry.items() if name not in ("model", "content")})
            if len(said) == 1:
                read_settings(entry, request)
            elif said[-1] != said[0]:
                refuse("requests", "must all ask for the same kind of embedding")
        if not request.inputs:
            refuse("requests", "must not be empty")
        return request

    def write_request(self, request: EmbeddingRequest, carry: Carry) -> bytes:
        """Return the body for a provider."""
        entry: dict[str, Any] = {"model": f"models/{carry.model.removeprefix('models/')}"}
        if request.dimensions is not None:
            entry["outputDimensionality"] = request.dimensions
        if request.purpose in TASKS:
            entry["taskType"] = TASKS[request.purpose]
        elif request.purpose:
            carry.hint("input_type")
        if request.title:
            entry["title"] = request.title
        if request.user:
            carry.hint("user")
        for name in request.extras:
            carry.drop(name)
        return msgspec.json.encode({"requests": [{**entry, "content": content(one, carry)} for one in request.inputs]})

    def read_answer(self, body: bytes, carry: Carry) -> EmbeddingAnswer:
        """Return what a provider answered."""
        try:
            answered = self.answered.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise GatewayError(
                502, "upstream_bad_answer", "upstream", "The upstream's answer holds no embeddings."
            ) from None
        found = answered.embeddings or ([answered.embedding] if answered.embedding is not None else [])
        vectors = [Vector(index, one.values) for index, one in enumerate(found)]
        return EmbeddingAnswer(carry.model, vectors, usage_of(answered.usage_metadata))

    def write_answer(self, answer: EmbeddingAnswer, request: EmbeddingRequest) -> bytes:
        """Return the body for a caller."""
        vectors = [{"values": vector.floats()} for vector in answer.vectors]
        body: dict[str, Any] = {"embedding": vectors[0]} if request.single and vectors else {"embeddings": vectors}
        if answer.usage is not None:
            body["usageMetadata"] = counted(answer.usage)
        return msgspec.json.encode(body)


def read_input(asked: Members) -> Input:
    """Return what is to be embedded: text, or one picture."""
    if "content" not in asked:
        refuse("content", "is missing")
    turn = members(asked["content"], "content")
    parts = [read_part(part) for part in objects(turn["parts"], "content.parts")] if "parts" in turn else []
    if len(parts) == 1 and isinstance(parts[0], Image):
        return parts[0]
    texts = [part.text for part in parts if isinstance(part, Text)]
    if len(texts) < len(parts) or not parts:
        refuse("content", "must be text, or one picture")
    return "\n".join(texts)


def read_settings(asked: Members, request: EmbeddingRequest) -> None:
    """Read how the vectors are to be made."""
    task = (optional(asked, "taskType", str) or "").upper()
    request.purpose = PURPOSES.get(task, "")
    request.title = optional(asked, "title", str) or ""
    request.dimensions = optional(asked, "outputDimensionality", int)
    request.extras = {name: text_of(value) for name, value in asked.items() if name not in KNOWN}
    if task and task not in PURPOSES and task != "TASK_TYPE_UNSPECIFIED":
        request.extras["taskType"] = text_of(asked["taskType"])


def content(one: Input, carry: Carry) -> dict[str, Any]:
    """Return one input as a turn; GatewayError 400 for one that is given as numbers of tokens."""
    if isinstance(one, list):
        raise unsupported_input("numbers of tokens")
    if isinstance(one, str):
        return {"parts": [{"text": one}]}
    return {"parts": write_content(Message("user", [one]), carry)["parts"]}


def counted(usage: Usage) -> dict[str, int]:
    """Return what an embedding used."""
    return {"promptTokenCount": usage.input_total, "totalTokenCount": usage.input_total}
