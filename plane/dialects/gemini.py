"""Gemini's dialect: generateContent and what belongs to it, at Google AI Studio and at Vertex AI.

The model stands in the path, so that bodies pass through byte by byte, but for the requests within a batch of
embeddings and of countTokens, which repeat its name. Wire format: the public reference of Gemini's API and of Vertex
AI, and the types of Google's Python SDK.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from msgspec import Struct

from core.errors import GatewayError
from core.splice import last_member
from plane.canonical import Fault, Request
from plane.dialect import Dialect, Operation
from plane.dialects._gemini_chat import GeminiChat
from plane.dialects._gemini_counting import GeminiCounting
from plane.dialects._gemini_embeddings import GeminiEmbeddings
from plane.dialects._gemini_incoming import Asked
from plane.dialects._gemini_passing import ArrayScan, event_scan, model_in_path, read_usage, wants_array, with_model
from plane.dialects._gemini_wire import error_body, fault_of
from plane.exchange import Exchange
from plane.runtime import Target
from plane.usage import Usage

__all__ = ["Gemini", "Options", "build"]

STREAM = "streamGenerateContent"
WITHIN = {"countTokens": b"generateContentRequest", "batchEmbedContents": b"requests", "embedContent": b""}
"""Where a body repeats the model's name; b"" is in the body itself."""

EVENTS = b"text/event-stream"
ARRAY = b"application/json"


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """Of a provider that speaks Gemini's dialect.

    project, location: of Vertex AI, whose paths hold them; without a project it is Google AI Studio. version: of the
    API, which stands first in the path; "" for ``v1beta`` at AI Studio and ``v1`` at Vertex AI.
    """

    project: str = ""
    location: str = "global"
    version: str = ""


class Gemini(Dialect):
    """The dialect; vertex: the provider is Vertex AI."""

    name = "gemini"
    family = "gemini"
    operations = (
        Operation("generateContent", "/models/{model}:generateContent", False, "chat"),
        Operation(STREAM, "/models/{model}:streamGenerateContent", True, "chat"),
        Operation("countTokens", "/models/{model}:countTokens", False, "count_tokens"),
        Operation("batchEmbedContents", "/models/{model}:batchEmbedContents", False, "embeddings"),
        Operation("embedContent", "/models/{model}:embedContent", False, "embeddings"),
    )
    prefixes = (
        "/v1beta",
        "/v1",
        "/genai/v1beta",
        "/genai/v1",
        "/v1/publishers/google",
        "/v1beta1/publishers/google",
        "/v1/projects/{project}/locations/{location}/publishers/google",
        "/v1beta1/projects/{project}/locations/{location}/publishers/google",
    )
    forwarded = frozenset({b"x-goog-api-client"})
    query_keys = frozenset({"key"})

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.vertex = bool(options.project)
        self.base = f"/{options.version or ('v1' if self.vertex else 'v1beta')}"
        if self.vertex:
            project, location = quote(options.project, safe=""), quote(options.location, safe="")
            self.base += f"/projects/{project}/locations/{location}/publishers/google"
        self.translators["chat"] = GeminiChat(vertex=self.vertex)
        self.translators["count_tokens"] = GeminiCounting(vertex=self.vertex)
        self.translators["embeddings"] = GeminiEmbeddings()

    def credential_line(self, secret: str) -> bytes:
        """Return the header line that carries a provider's credential: an API key, or Vertex AI's access token."""
        return b"%b%b\r\n" % (b"authorization: Bearer " if self.vertex else b"x-goog-api-key: ", secret.encode())

    def path(self, operation: Operation, model: str, stream: bool) -> str:
        """Return where a provider is asked. A stream is asked for as events, whatever the caller will get."""
        start = f"{self.base}/models/{quote(model.removeprefix('models/'), safe='')}:"
        if operation.kind == "chat":
            return start + (f"{STREAM}?alt=sse" if stream else "generateContent")
        return start + operation.name

    def read(self, exchange: Exchange) -> None:
        """Find the model in the path; the body stays unread."""
        exchange.model_name = model_in_path(exchange.path)
        exchange.stream = exchange.route.operation.streams

    def write(self, exchange: Exchange, target: Target) -> bytes:
        """Return the body for a target: the caller's, with the model's name where it is repeated."""
        within = WITHIN.get(exchange.route.operation.name)
        if within is None:
            return exchange.body
        return with_model(exchange.body, within, target.model.removeprefix("models/"))

    def read_head(self, exchange: Exchange, request: Request) -> None:
        """Note the form of the stream that the caller asks for."""
        if isinstance(request, Asked):
            request.array = exchange.stream and wants_array(exchange.query)

    def stream_type(self, exchange: Exchange) -> bytes:
        """Return the content type of a stream to this caller."""
        return ARRAY if wants_array(exchange.query) else EVENTS

    def scan(self, exchange: Exchange) -> Any:
        """Return what follows a stream that passes through, and makes an array of it for a caller that wants one."""
        return ArrayScan() if wants_array(exchange.query) else event_scan()

    def usage(self, exchange: Exchange) -> Usage | None:
        """Return what a call that passed through used. Of a stream cut short it is what was counted up to there."""
        if exchange.scan is not None:
            usage = read_usage(exchange.scan.usage) if exchange.scan.usage else None
            if usage is not None and not exchange.answer_ended:
                usage.estimated = True
            return usage
        if exchange.reply and exchange.answer_status < 300:
            try:
                start, end = last_member(exchange.reply, b"usageMetadata")
            except GatewayError:
                return None  # An answer that is not JSON says nothing of its usage; it is relayed all the same.
            return read_usage(b'{"usageMetadata":%b}' % exchange.reply[start:end]) if start >= 0 else None
        return None

    def read_fault(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Fault:
        """Return what a provider's error answer says."""
        fault = fault_of(status, body)
        if fault.retry_after < 0:
            fault.retry_after = seconds_of(headers)
        return fault

    def error(self, error: GatewayError) -> bytes:
        """Return the body of an error answer to a caller."""
        message = f"{error.message} {error.hint}" if error.hint else error.message
        return error_body(error.status, message, error.code, error.retry_after)

    def error_event(self, error: GatewayError) -> bytes:
        """Return the event that ends a caller's stream which broke off."""
        return b"data: %b\r\n\r\n" % self.error(error)


def seconds_of(headers: list[tuple[bytes, bytes]]) -> float:
    """Return the seconds of the field retry-after, -1.0 where there are none."""
    for name, value in headers:
        if name.lower() == b"retry-after" and value.isdigit():
            return float(value[:9])
    return -1.0


def build(options: Options) -> Any:
    """Return the dialect."""
    return Gemini(options)
