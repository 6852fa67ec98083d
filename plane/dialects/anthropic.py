"""Anthropic's dialect: Messages and the counting of their tokens, passed through byte by byte, or by the hub.

Of a request that passes through only `model` and `stream` are read, and the name of the model is replaced where it
stands: prompt caches go by exact prefixes, so that nothing else may change. Usage is read from all events that have it.
Wire format: the public API reference of Anthropic and the types of its Python SDK.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Literal

import msgspec
from msgspec import Struct

from core.errors import GatewayError
from core.splice import last_member, replace, scan
from core.sse import EventScan, Marks
from plane.canonical import Fault
from plane.dialect import Dialect, Operation
from plane.dialects._anthropic_chat import Chat, Count
from plane.dialects._anthropic_events import fault_of
from plane.dialects._anthropic_wire import FAMILY, Answered, Counted, Problem, error_type, merged, usage_of
from plane.exchange import Exchange
from plane.runtime import Target
from plane.usage import Usage

__all__ = ["Anthropic", "Options", "build"]

MAX_EVENT = 16 * 1024 * 1024
"""Bytes of one event; a longer one ends the stream with an error."""

USAGE = b"usage"
ROUTED = (b"model", b"stream")
MARKS = Marks(
    within=b"message",
    ends=frozenset({b"message_stop"}),
    heads=frozenset({b"message_start", b"ping", b"content_block_start"}),
    every=True,
)
OAUTH = "sk-ant-oat"
"""How tokens of OAuth begin, which go in another field than keys."""


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """What a provider of this dialect can be told.

    thinking: how its models are told to think: ``budget`` (a number of tokens), ``adaptive`` (an effort), or by the
    model's name. system_turns: it takes instructions amid the talk; else they become words of the user. auth: how the
    credential goes: as a ``key`` (``x-api-key``), or as a ``bearer`` token, as tokens of OAuth do anyway.
    """

    thinking: Literal["auto", "adaptive", "budget"] = "auto"
    system_turns: bool = True
    auth: Literal["key", "bearer"] = "key"


class Asked(Struct, gc=False):
    """What is read of a request."""

    model: str
    stream: bool | None = None


class Anthropic(Dialect):
    """The dialect, as a set of pure functions over exchanges."""

    name = "anthropic"
    family = FAMILY
    operations = (
        Operation("messages", "/v1/messages", True, "chat"),
        Operation("messages.count_tokens", "/v1/messages/count_tokens", False, "count_tokens"),
    )
    prefixes = ("", "/anthropic")  # type: tuple[str, ...]
    fields = ((b"anthropic-version", b"2023-06-01"),)  # type: tuple[tuple[bytes, bytes], ...]
    forwarded = frozenset({b"anthropic-beta", b"anthropic-version", b"anthropic-user-profile-id"})

    id_field = b"request-id"

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.bearer = options.auth == "bearer"
        self.translators = {
            "chat": Chat(options.thinking, options.system_turns),
            "count_tokens": Count(options.thinking, options.system_turns),
        }
        self.asked = msgspec.json.Decoder(Asked)
        self.counted: msgspec.json.Decoder[Counted | None] = msgspec.json.Decoder(Counted | None)
        self.answered = msgspec.json.Decoder(Answered)

    def credential_line(self, secret: str) -> bytes:
        """Return the header line that carries a provider's credential."""
        if self.bearer or secret.startswith(OAUTH):
            return b"authorization: Bearer %b\r\n" % secret.encode()
        return b"x-api-key: %b\r\n" % secret.encode()

    def read(self, exchange: Exchange) -> None:
        """Read what the request asks for; GatewayError 400 where its body is not a request."""
        body = exchange.body
        exchange.edits = scan(body, ROUTED)
        try:
            asked = self.asked.decode(body)
        except msgspec.ValidationError as error:
            raise GatewayError(400, "invalid_request", "caller", f"The request body is not valid: {error}.") from None
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            raise GatewayError(400, "invalid_json", "caller", "The request body is not valid JSON.") from None
        exchange.model_name = asked.model
        exchange.stream = exchange.route.operation.streams and asked.stream is True

    def write(self, exchange: Exchange, target: Target) -> bytes:
        """Return the body for `target`: the caller's bytes with its model's name."""
        return replace(exchange.body, exchange.edits[0], target.model_json)

    def scan(self, exchange: Exchange) -> EventScan:
        """Return what reads the events of the answer."""
        return EventScan(MAX_EVENT, MARKS)

    def usage(self, exchange: Exchange) -> Usage | None:
        """Return what the upstream says the call used; None where it does not say.

        Of a stream that was cut short the input is known and the output estimated: an event is about a token.
        """
        try:
            if exchange.scan is not None:
                return self.streamed(exchange.scan, exchange.answer_ended)
            if exchange.reply and exchange.answer_status < 300:
                start, end = last_member(exchange.reply, USAGE)
                if start >= 0:
                    counted = self.counted.decode(exchange.reply[start:end])
                    return usage_of(counted) if counted is not None else None
        except (msgspec.MsgspecError, GatewayError, RecursionError, UnicodeDecodeError):
            pass  # An answer that is not JSON says nothing of its usage; it is relayed all the same.
        return None

    def streamed(self, events: EventScan, ended: bool) -> Usage | None:
        """Return what the events of a stream say."""
        if not events.usage:
            return None
        counted: Counted | None = None
        for said in [*events.usages, events.usage]:
            start, end = scan(said, (USAGE,))[0]
            now = self.counted.decode(said[start:end])
            if now is not None:
                counted = merged(counted, now)
        if counted is None:
            return None
        usage = usage_of(counted)
        if not (ended or events.done) or events.error:
            usage.output_total = max(usage.output_total, events.events - 1)
            usage.estimated = True
        return usage

    def read_fault(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Fault:
        """Return what a provider's error answer says."""
        problem: Problem | None = None
        # What is no error of the dialect is a page of a proxy's.
        with suppress(msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            problem = self.answered.decode(body).error
        return fault_of(problem, status, wait_of(headers))

    def error(self, error: GatewayError) -> bytes:
        """Return the body of an error answer."""
        message = f"{error.message} {error.hint}" if error.hint else error.message
        said: dict[str, object] = {"type": "error", "error": {"type": error_type(error.status), "message": message}}
        if error.request_id:
            said["request_id"] = error.request_id
        return msgspec.json.encode(said)

    def error_event(self, error: GatewayError) -> bytes:
        """Return the event that ends a stream which broke off; no `message_stop` follows."""
        return b"event: error\ndata: %b\n\n" % self.error(error)


def wait_of(headers: list[tuple[bytes, bytes]]) -> float:
    """Return after how many seconds a provider wants to be asked again, -1.0 where it does not say."""
    for name, value in headers:
        if name.lower() == b"retry-after":
            try:
                return max(0.0, float(value))
            except ValueError:
                return -1.0
    return -1.0


def build(options: Options) -> Anthropic:
    """Return the dialect."""
    return Anthropic(options)
