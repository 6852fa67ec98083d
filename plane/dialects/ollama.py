"""Ollama's own dialect: chat as lines of JSON, and embeddings.

A request that does not say `stream` is streamed. Usage stands in the last line.
Wire format: the API documentation of Ollama and the types of its Python SDK.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from core.errors import GatewayError
from plane.canonical import Answer, Carry, Fault, Request
from plane.dialect import Dialect, Operation
from plane.dialects import _ollama_answers as answers
from plane.dialects import _ollama_requests as requests
from plane.dialects._line_scan import LineScan
from plane.dialects._ollama_embed import OllamaEmbeddings
from plane.dialects._passing import MAX_EVENT, fault, found, note_model, passed, told, with_model
from plane.exchange import Exchange
from plane.runtime import Target
from plane.usage import Usage

__all__ = ["Ollama", "Options", "build"]


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """What other dialects' callers cannot say.

    num_ctx: the length of the context in tokens, without which Ollama cuts off long prompts in silence; None leaves it
    to the server. keep_alive: how long the model stays loaded, as in ``10m``; "" leaves it to the server.
    """

    num_ctx: int | None = None
    keep_alive: str = ""


class Counts(Struct, gc=False):
    """What the last line, or an answer, counts."""

    prompt_eval_count: int | None = None
    eval_count: int | None = None


class Said(Struct):
    """An error."""

    error: str = ""


class OllamaChat:
    """The translator of the kind ``chat``; preset and keep_alive from the options."""

    def __init__(self, preset: dict[str, Any], keep_alive: str) -> None:
        self.preset = preset
        self.keep_alive = keep_alive

    def read_request(self, body: bytes, model: str, stream: bool) -> Request:
        """Return what a caller asks for."""
        return requests.read_request(body, model, stream)

    def write_request(self, request: Request, carry: Carry) -> bytes:
        """Return the body for a provider."""
        return requests.write_request(request, carry, self.preset, self.keep_alive)

    def read_answer(self, body: bytes, carry: Carry) -> Answer:
        """Return what a provider answered."""
        return answers.read_answer(body, carry)

    def write_answer(self, answer: Answer, request: Request) -> bytes:
        """Return the body for a caller."""
        return answers.write_answer(answer, request)

    def event_reader(self, carry: Carry) -> answers.OllamaEventReader:
        """Return what reads one stream."""
        return answers.OllamaEventReader(carry)

    def event_writer(self, request: Request) -> answers.OllamaEventWriter:
        """Return what writes one stream."""
        return answers.OllamaEventWriter(request)


class Ollama(Dialect):
    """The dialect, as a set of functions without state."""

    name = "ollama"
    family = requests.FAMILY
    operations = (
        Operation("ollama.chat", "/api/chat", True, "chat"),
        Operation("ollama.generate", "/api/generate", True, "ollama.generate"),
        Operation("ollama.embed", "/api/embed", False, "embeddings"),
    )
    prefixes = ("/ollama",)

    def __init__(self, options: Options) -> None:
        super().__init__()
        preset = {} if options.num_ctx is None else {"num_ctx": options.num_ctx}
        self.translators = {
            "chat": OllamaChat(preset, options.keep_alive),
            "embeddings": OllamaEmbeddings(preset, options.keep_alive),
        }
        self.counts = msgspec.json.Decoder(Counts)
        self.said = msgspec.json.Decoder(Said)

    def credential_line(self, secret: str) -> bytes:
        """Return the header line that carries a provider's credential."""
        return b"authorization: Bearer %b\r\n" % secret.encode()

    def read(self, exchange: Exchange) -> None:
        """Find model and stream in a caller's request."""
        note_model(exchange, streams_unless_told=True)

    def write(self, exchange: Exchange, target: Target) -> bytes:
        """Return a caller's body with the model's name as `target` knows it."""
        return with_model(exchange, target)

    def stream_type(self, exchange: Exchange) -> bytes:
        """Return the content type of a stream to this caller."""
        return b"application/x-ndjson"

    def scan(self, exchange: Exchange) -> LineScan:
        """Return what follows a stream that passes through."""
        return LineScan(MAX_EVENT)

    def usage(self, exchange: Exchange) -> Usage | None:
        """Return what a call that passed through used."""
        return answers.usage_of(found(self.counts, passed(exchange)))

    def read_fault(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Fault:
        """Return what a provider's error answer says."""
        said = found(self.said, body)
        return fault(status, headers, said.error if said is not None else "")

    def error(self, error: GatewayError) -> bytes:
        """Return the body of an error answer to a caller."""
        return msgspec.json.encode({"error": told(error)})

    def error_event(self, error: GatewayError) -> bytes:
        """Return the line that ends a caller's stream which broke off."""
        return answers.failure(told(error))


def build(options: Any) -> Ollama:
    """Return the dialect."""
    return Ollama(options)
