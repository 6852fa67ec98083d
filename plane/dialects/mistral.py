"""Mistral's dialect: near OpenAI's, and a dialect of its own for what is not.

Seeds, tool choices, ids of calls, thoughts within the content and the forms of errors differ, and a member that Mistral
does not know is refused with 422, so that OpenAI's bytes do not pass.
Wire format: Mistral's API reference and the types of its Python SDK.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from core.errors import GatewayError
from core.sse import EventScan
from plane.canonical import Answer, Carry, Fault, Request
from plane.dialect import Dialect, Operation
from plane.dialects import _mistral_answers as answers
from plane.dialects import _mistral_events as events
from plane.dialects import _mistral_requests as requests
from plane.dialects._mistral_embeddings import MistralEmbeddings
from plane.dialects._mistral_wire import Counted
from plane.dialects._passing import MAX_EVENT, found, member, note_model, passed, told, with_model
from plane.exchange import Exchange
from plane.runtime import Target
from plane.usage import Usage

__all__ = ["Mistral", "Options", "build"]


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """Mistral's dialect has no options."""


class MistralChat:
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

    def event_reader(self, carry: Carry) -> events.MistralEventReader:
        """Return what reads one stream."""
        return events.MistralEventReader(carry)

    def event_writer(self, request: Request) -> events.MistralEventWriter:
        """Return what writes one stream."""
        return events.MistralEventWriter(request)


class Mistral(Dialect):
    """The dialect, as a set of functions without state."""

    name = "mistral"
    family = requests.FAMILY
    operations = (
        Operation("mistral.chat", "/chat/completions", True, "chat"),
        Operation("mistral.embeddings", "/embeddings", False, "embeddings"),
        Operation("mistral.fim", "/fim/completions", True, "mistral.fim"),
        Operation("mistral.ocr", "/ocr", False, "mistral.ocr"),
    )
    prefixes = ("/mistral/v1",)

    def __init__(self) -> None:
        super().__init__()
        self.translators = {"chat": MistralChat(), "embeddings": MistralEmbeddings()}
        self.counted = msgspec.json.Decoder(Counted)

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
        return EventScan(MAX_EVENT)

    def usage(self, exchange: Exchange) -> Usage | None:
        """Return what a call that passed through used."""
        if exchange.route.operation.kind == "mistral.ocr":
            return answers.pages_of(member(passed(exchange), b"usage_info"))
        return answers.usage_of(found(self.counted, member(passed(exchange), b"usage")))

    def read_fault(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Fault:
        """Return what a provider's error answer says."""
        return answers.read_fault(status, headers, body)

    def error(self, error: GatewayError) -> bytes:
        """Return the body of an error answer to a caller."""
        return answers.error_body(error.status, error.code, told(error), error.param)

    def error_event(self, error: GatewayError) -> bytes:
        """Return the event that ends a caller's stream which broke off."""
        return events.failure(error.status, error.code, told(error), error.param)


def build(_: Options) -> Any:
    """Return the dialect."""
    return Mistral()
