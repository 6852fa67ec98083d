"""Cohere's dialect, second version: chat, embeddings and reranking.

Usage is what is billed (`usage.billed_units`), which is less than the tokens where Cohere adds a prompt of its own.
Wire format: Cohere's API reference and the types of its Python SDK.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

from core.errors import GatewayError
from core.sse import EventScan, Marks
from plane.canonical import Answer, Carry, Fault, Request
from plane.dialect import Dialect, Operation
from plane.dialects import _cohere_answers as answers
from plane.dialects import _cohere_embed as embed
from plane.dialects import _cohere_events as events
from plane.dialects import _cohere_requests as requests
from plane.dialects._cohere_wire import Counted
from plane.dialects._passing import MAX_EVENT, fault, found, member, note_model, passed, told, with_model
from plane.dialects._reranking import Reranking, rerank_usage
from plane.exchange import Exchange
from plane.runtime import Target
from plane.usage import Usage

__all__ = ["Cohere", "Options", "build"]

MARKS = Marks(within=b"delta")
INVALID_TOKEN = 498
"""What Cohere answers to a key that is none."""


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """input_type: what embeddings are for where a caller's dialect cannot say it."""

    input_type: Literal["search_document", "search_query", "classification", "clustering", "image"] = "search_document"


class Said(Struct):
    """An error."""

    message: str = ""


class CohereChat:
    """The translator of the kind ``chat``."""

    def read_request(self, body: bytes, model: str, stream: bool) -> Request:
        """Return what a caller asks for."""
        return requests.read_request(body, model, stream)

    def write_request(self, request: Request, carry: Carry) -> bytes:
        """Return the body for a provider."""
        return requests.write_request(request, carry)

    def read_answer(self, body: bytes, carry: Carry) -> Answer:
        """Return what a provider answered."""
        return answers.read_answer(body, carry)

    def write_answer(self, answer: Answer, request: Request) -> bytes:
        """Return the body for a caller."""
        return answers.write_answer(answer, request)

    def event_reader(self, carry: Carry) -> events.CohereEventReader:
        """Return what reads one stream."""
        return events.CohereEventReader(carry)

    def event_writer(self, request: Request) -> events.CohereEventWriter:
        """Return what writes one stream."""
        return events.CohereEventWriter()


class Cohere(Dialect):
    """The dialect, as a set of functions without state."""

    name = "cohere"
    family = requests.FAMILY
    operations = (
        Operation("cohere.chat", "/v2/chat", True, "chat"),
        Operation("cohere.embed", "/v2/embed", False, "embeddings"),
        Operation("cohere.rerank", "/v2/rerank", False, "rerank"),
    )
    prefixes = ("", "/cohere")

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.translators = {
            "chat": CohereChat(),
            "embeddings": embed.CohereEmbeddings(options.input_type),
            "rerank": Reranking(echoes=False),
        }
        self.counted = msgspec.json.Decoder(Counted)
        self.meta = msgspec.json.Decoder(embed.Meta)
        self.said = msgspec.json.Decoder(Said)

    def credential_line(self, secret: str) -> bytes:
        """Return the header line that carries a provider's credential."""
        return b"authorization: Bearer %b\r\n" % secret.encode()

    def read(self, exchange: Exchange) -> None:
        """Find model and stream in a caller's request."""
        note_model(exchange)

    def write(self, exchange: Exchange, target: Target) -> bytes:
        """Return a caller's body with the model's name as `target` knows it."""
        return with_model(exchange, target)

    def scan(self, exchange: Exchange) -> EventScan:
        """Return what follows a stream that passes through."""
        return EventScan(MAX_EVENT, MARKS)

    def usage(self, exchange: Exchange) -> Usage | None:
        """Return what a call that passed through used."""
        body = passed(exchange)
        kind = exchange.route.operation.kind
        if kind == "chat":
            return answers.usage_of(found(self.counted, member(body, b"usage")))
        if kind == "rerank":
            return rerank_usage(body)
        return embed.usage_of(found(self.meta, member(body, b"meta")))

    def read_fault(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Fault:
        """Return what a provider's error answer says."""
        said = found(self.said, body)
        return fault(401 if status == INVALID_TOKEN else status, headers, said.message if said is not None else "")

    def error(self, error: GatewayError) -> bytes:
        """Return the body of an error answer to a caller."""
        return msgspec.json.encode({"message": told(error)})

    def error_event(self, error: GatewayError) -> bytes:
        """Return the event that ends a caller's stream which broke off."""
        return events.failure(told(error))


def build(options: Any) -> Cohere:
    """Return the dialect."""
    return Cohere(options)
