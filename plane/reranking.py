"""The hub for reranking: documents put in the order of how well they answer a query, whoever's wire format it was."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct, field

from plane.canonical import Carry
from plane.usage import Usage

__all__ = ["Ranked", "RerankAnswer", "RerankRequest", "RerankTranslator"]


class RerankRequest(Struct):
    """A call of a reranking model. What is None or empty was not said.

    top_n: how many results to give back, best first. echo: the results shall repeat their documents.
    extras: what the caller said that has no field here, by the name in its dialect, as JSON text.
    """

    model: str
    query: str
    documents: list[str]
    top_n: int | None = None
    max_tokens_per_document: int | None = None
    echo: bool | None = None
    extras: dict[str, str] = field(default_factory=dict)


class Ranked(Struct, gc=False):
    """How relevant document `index` of the request is; the higher, the better. document: its text, "" if not told."""

    index: int
    score: float
    document: str = ""


class RerankAnswer(Struct):
    """The results, best first. id: as the provider says, "" where it does not; usage counts searches as `units`."""

    model: str
    results: list[Ranked]
    usage: Usage | None = None
    id: str = ""


class RerankTranslator(Protocol):
    """Calls of the kind ``rerank`` in one dialect, from and to the hub; errors as of `plane.dialect.Translator`."""

    def read_request(self, body: bytes, model: str) -> RerankRequest:
        """Return what a caller asks for; model as `Dialect.read` found it."""

    def write_request(self, request: RerankRequest, carry: Carry) -> bytes:
        """Return the body for a provider; what it has no place for is told to `carry`."""

    def read_answer(self, body: bytes, carry: Carry) -> RerankAnswer:
        """Return what a provider answered."""

    def write_answer(self, answer: RerankAnswer, request: RerankRequest) -> bytes:
        """Return the body for a caller; request is what it asked, whose documents are repeated where it wanted."""
