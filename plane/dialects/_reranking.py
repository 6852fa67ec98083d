"""Reranking, from and to the hub, in its two forms: Cohere's second, and the first, which Jina and many servers speak.

The first (``/v1/rerank``) can repeat the documents in its answer and counts tokens in `usage`; the second
(``/v2/rerank``) does not repeat them and counts searches in `meta.billed_units`. Both readers take either.
Wire formats: the API references of Cohere and Jina, and the types of Cohere's Python SDK.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from core.errors import GatewayError
from plane.canonical import Carry
from plane.dialects._carrying import bounded
from plane.dialects._json import read_answered, read_asked, unknown_members
from plane.reranking import Ranked, RerankAnswer, RerankRequest
from plane.usage import Usage

__all__ = ["Reranking", "rerank_usage"]


class Asked(Struct):
    """A caller's request. A document is text, or an object that has it as `text`."""

    query: str
    documents: list[str | dict[str, Any]]
    top_n: int | None = None
    max_tokens_per_doc: int | None = None
    return_documents: bool | None = None


class Billed(Struct, gc=False):
    """What Cohere bills."""

    search_units: float | None = None
    input_tokens: float | None = None


class Meta(Struct):
    """What Cohere says beside the results."""

    billed_units: Billed | None = None


class Counted(Struct, gc=False):
    """The `usage` of servers that count tokens."""

    total_tokens: int | None = None
    prompt_tokens: int | None = None


class Result(Struct):
    """One result."""

    index: int
    relevance_score: float
    document: str | dict[str, Any] | None = None


class Counts(Struct):
    """What an answer says of its usage."""

    meta: Meta | None = None
    usage: Counted | None = None


class Answered(Counts, kw_only=True):
    """A provider's answer."""

    results: list[Result]
    id: str | None = None
    model: str | None = None


KNOWN = frozenset(["model", *Asked.__struct_fields__])

_counts = msgspec.json.Decoder(Counts)


class Reranking:
    """The translator of the kind ``rerank``. echoes: it is the first form, in which documents can be repeated."""

    def __init__(self, *, echoes: bool) -> None:
        self.echoes = echoes
        self.asked = msgspec.json.Decoder(Asked)
        self.answered = msgspec.json.Decoder(Answered)

    def read_request(self, body: bytes, model: str) -> RerankRequest:
        """Return what a caller asks for."""
        asked = read_asked(self.asked, body)
        if not asked.documents:
            raise GatewayError(400, "invalid_request", "caller", "documents must not be empty.", param="documents")
        return RerankRequest(
            model,
            asked.query,
            [text_of(document) for document in asked.documents],
            asked.top_n,
            asked.max_tokens_per_doc,
            asked.return_documents,
            unknown_members(body, KNOWN),
        )

    def write_request(self, request: RerankRequest, carry: Carry) -> bytes:
        """Return the body for a provider. Documents to be repeated need not come back from it: the gateway has them."""
        body: dict[str, Any] = {"model": carry.model, "query": request.query, "documents": request.documents}
        if request.top_n is not None:
            body["top_n"] = request.top_n
        if request.max_tokens_per_document is not None:
            body["max_tokens_per_doc"] = request.max_tokens_per_document
        if self.echoes:
            body["return_documents"] = False
        for name in request.extras:
            carry.drop(name)
        return msgspec.json.encode(body)

    def read_answer(self, body: bytes, carry: Carry) -> RerankAnswer:
        """Return what a provider answered."""
        answered = read_answered(self.answered, body)
        results = [
            Ranked(one.index, one.relevance_score, "" if one.document is None else echoed(one.document))
            for one in answered.results
        ]
        return RerankAnswer(answered.model or carry.model, results, usage_of(answered), answered.id or "")

    def write_answer(self, answer: RerankAnswer, request: RerankRequest) -> bytes:
        """Return the body for a caller."""
        results: list[dict[str, Any]] = []
        for one in answer.results:
            result: dict[str, Any] = {"index": one.index, "relevance_score": one.score}
            if self.echoes and request.echo:
                result["document"] = {"text": document_of(one, request)}
            results.append(result)
        usage = answer.usage
        body: dict[str, Any] = {"id": answer.id, "results": results}
        if usage is not None and usage.units:
            body["meta"] = {"billed_units": {"search_units": usage.units}}
        elif usage is not None and not self.echoes:
            body["meta"] = {"tokens": {"input_tokens": usage.input_total}}
        if self.echoes:
            body["model"] = answer.model
            if usage is not None:
                body["usage"] = {"prompt_tokens": usage.input_total, "total_tokens": usage.input_total}
        return msgspec.json.encode(body)


def text_of(document: str | dict[str, Any]) -> str:
    """Return the text of a caller's document; GatewayError 400 where it has none."""
    if isinstance(document, str):
        return document
    text = document.get("text")
    if isinstance(text, str):
        return text
    raise GatewayError(
        400, "unsupported", "caller", "A document must be text, or an object with 'text'.", param="documents"
    )


def echoed(document: str | dict[str, Any]) -> str:
    """Return the text of a document that a provider repeats."""
    text = document if isinstance(document, str) else document.get("text")
    return text if isinstance(text, str) else ""


def document_of(one: Ranked, request: RerankRequest) -> str:
    """Return the text of a result's document, from the request where the provider does not repeat it."""
    if one.document or not 0 <= one.index < len(request.documents):
        return one.document
    return request.documents[one.index]


def rerank_usage(body: bytes) -> Usage | None:
    """Return what a call used whose answer passed through; None where it does not say, or cannot be read."""
    try:
        return usage_of(_counts.decode(body))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def usage_of(counts: Counts) -> Usage | None:
    """Return what a call used: searches, tokens, or both; None where the provider did not say."""
    if counts.meta is not None and counts.meta.billed_units is not None:
        billed = counts.meta.billed_units
        if billed.search_units is not None or billed.input_tokens is not None:
            return Usage(bounded(billed.input_tokens), 0, units=bounded(billed.search_units))
    if counts.usage is None:
        return None
    told = counts.usage.total_tokens if counts.usage.total_tokens is not None else counts.usage.prompt_tokens
    return None if told is None else Usage(bounded(told), 0)
