"""OpenAI's Responses API, passed through byte by byte, and its place in the hub.

Of a request only `model` and `stream` are read, and the name of the model is replaced where it stands; items and events
that this gateway has never heard of go through as they came. Wire format: the public API reference of OpenAI and the
types of its Python SDK.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from core.errors import GatewayError
from core.splice import last_member, replace, scan
from core.sse import EventScan, Marks
from plane.canonical import Fault
from plane.dialect import Dialect, Operation
from plane.dialects._json import read_asked
from plane.dialects._kept import kept
from plane.dialects._responses_answers import Counted, Trouble, usage_of
from plane.dialects._responses_chat import ResponsesChat
from plane.exchange import Exchange
from plane.kept import pinned_id
from plane.runtime import Target
from plane.usage import Usage

__all__ = ["OpenAIResponses", "Options", "build"]

MAX_EVENT = 16 * 1024 * 1024
"""Bytes of one event; a longer one ends the stream with an error."""

MODEL = b"model"
USAGE = b"usage"
COUNTED_IN = (USAGE, b"service_tier", b"status")
"""Members of a response that tell its usage."""
UNDER_WAY = (b'"queued"', b'"in_progress"')
"""Statuses, as JSON, of a response whose usage is not known yet, whatever it says."""
MARKS = Marks(
    within=b"response",
    ends=frozenset([b"response.completed", b"response.incomplete", b"response.failed"]),
    heads=frozenset([b"response.created", b"response.queued", b"response.in_progress"]),
)
"""The last event holds the whole response, and the usage in it."""

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """The Responses API has no options."""


class Conversation(Struct, gc=False):
    """A conversation, where it is named by an object."""

    id: str


class Asked(Struct, gc=False):
    """What is read of a request."""

    model: str
    stream: bool | None = None
    store: bool | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: str | Conversation | None = None


class Refused(Struct):
    """An error answer."""

    error: Trouble | str | None = None


ASKED = msgspec.json.Decoder(Asked)
COUNTED = msgspec.json.Decoder(Counted | None)
TIER = msgspec.json.Decoder(str | None)
REFUSED = msgspec.json.Decoder(Refused)


class OpenAIResponses(Dialect):
    """The dialect, as a set of functions over exchanges."""

    name = "openai_responses"
    family = "openai"
    operations = (
        Operation("responses", "/responses", True, "chat", keeps=True),
        Operation("responses.input_tokens", "/responses/input_tokens", False, "responses.input_tokens"),
        Operation("responses.compact", "/responses/compact", False, "responses.compact"),
        kept("responses.retrieve", "/responses/{id}", "GET", streams=True),
        kept("responses.delete", "/responses/{id}", "DELETE"),
        kept("responses.cancel", "/responses/{id}/cancel"),
        kept("responses.input_items", "/responses/{id}/input_items", "GET", keeps=False),
        kept("conversations.create", "/conversations"),
        kept("conversations.retrieve", "/conversations/{id}", "GET"),
        kept("conversations.update", "/conversations/{id}"),
        kept("conversations.delete", "/conversations/{id}", "DELETE"),
        kept("conversations.items", "/conversations/{id}/items", "GET", keeps=False),
        kept("conversations.add", "/conversations/{id}/items", keeps=False),
        kept("conversations.item", "/conversations/{id}/items/{item}", "GET", keeps=False),
        kept("conversations.remove", "/conversations/{id}/items/{item}", "DELETE"),
    )  # type: tuple[Operation, ...]
    prefixes = ("/v1", "", "/openai/v1", "/openai")  # type: tuple[str, ...]
    forwarded = frozenset({b"openai-beta"})

    def __init__(self) -> None:
        super().__init__()
        self.translators["chat"] = ResponsesChat()

    def credential_line(self, secret: str) -> bytes:
        """Return the header line that carries a provider's credential."""
        return b"authorization: Bearer %b\r\n" % secret.encode()

    def read(self, exchange: Exchange) -> None:
        """Read what the request asks for; GatewayError 400 where its body is not a request."""
        body = exchange.body
        exchange.edits = scan(body, (MODEL, b"stream"))[0]
        asked = read_asked(ASKED, body)
        exchange.model_name = asked.model
        operation = exchange.route.operation
        exchange.stream = operation.streams and asked.stream is True
        exchange.keeps = operation.keeps and asked.store is not False
        exchange.background = exchange.keeps and asked.background is True
        if asked.previous_response_id:
            pinned_id(exchange, asked.previous_response_id, "previous_response_id")
        if asked.conversation:
            named = asked.conversation
            pinned_id(exchange, named if isinstance(named, str) else named.id, "conversation")

    def write(self, exchange: Exchange, target: Target) -> bytes:
        """Return the body for `target`: the caller's bytes with its model's name."""
        return replace(exchange.body, exchange.edits, target.model_json)

    def scan(self, exchange: Exchange) -> EventScan:
        """Return what reads the events of the answer."""
        return EventScan(MAX_EVENT, MARKS)

    def usage(self, exchange: Exchange) -> Usage | None:
        """Return what the upstream says the call used; None where it does not say, or was cut short."""
        try:
            if exchange.scan is not None:
                said: bytes = exchange.scan.usage
                if said and (exchange.answer_ended or exchange.scan.done):
                    return counted_in(said, scan(said, COUNTED_IN))
            elif exchange.reply and exchange.answer_status < 300:
                return counted_in(exchange.reply, [last_member(exchange.reply, key) for key in COUNTED_IN])
        except (msgspec.MsgspecError, GatewayError, RecursionError, UnicodeDecodeError):
            return None  # An answer that is not JSON says nothing of its usage; it is relayed all the same.
        return None

    def read_fault(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Fault:
        """Return what a provider's error answer says."""
        try:
            trouble = REFUSED.decode(body).error
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            trouble = None  # Something between the provider and us has answered.
        if not isinstance(trouble, Trouble):
            trouble = Trouble(trouble or f"The provider answered with status {status}.")
        return Fault(
            status,
            trouble.message or f"The provider answered with status {status}.",
            trouble.type or "",
            str(trouble.code or ""),
            trouble.param or "",
            retry_after(headers),
        )

    def error(self, error: GatewayError) -> bytes:
        """Return the body of an error answer."""
        kind = TYPES.get(error.status)
        if kind is None:
            kind = "invalid_request_error" if error.status < 500 else "server_error"
        told = {"message": message_of(error), "type": kind, "param": error.param, "code": error.code}
        return msgspec.json.encode({"error": told})

    def error_event(self, error: GatewayError) -> bytes:
        """Return the event that ends a stream which broke off.

        Its number is 0, as nobody has counted the events that went by; clients look at its type.
        """
        told = {
            "type": "error",
            "code": error.code,
            "message": message_of(error),
            "param": error.param,
            "sequence_number": 0,
        }
        return b"event: error\ndata: %b\n\n" % msgspec.json.encode(told)


def counted_in(text: bytes, spans: list[tuple[int, int]]) -> Usage | None:
    """Return the usage of a response whose members `COUNTED_IN` stand at `spans`."""
    (start, end), (tier_start, tier_end), (status_start, status_end) = spans
    if start < 0 or (status_start >= 0 and text[status_start:status_end].strip() in UNDER_WAY):
        return None
    tier = TIER.decode(text[tier_start:tier_end]) if tier_start >= 0 else None
    return usage_of(COUNTED.decode(text[start:end]), tier)


def message_of(error: GatewayError) -> str:
    """Return what a caller is told."""
    return f"{error.message} {error.hint}" if error.hint else error.message


def retry_after(headers: list[tuple[bytes, bytes]]) -> float:
    """Return the seconds that a provider wants to be left alone for, -1.0 where it does not say."""
    said = {name.lower(): value for name, value in headers}
    for name, unit in ((b"retry-after-ms", 1000), (b"retry-after", 1)):
        try:
            return max(0.0, float(said[name]) / unit)
        except (KeyError, ValueError):
            continue
    return -1.0


def build(_: Options) -> OpenAIResponses:
    """Return the dialect."""
    return OpenAIResponses()
