"""OpenAI's dialect: chat completions, completions, embeddings and reranking, passed through byte by byte.

Of a request only `model`, `stream` and `stream_options` are read; the name of the model is replaced where it stands
and, for a stream, the usage is asked for and taken out of the answer again. Everything else goes through as it came.
Wire format: the public API reference of OpenAI and the types of its Python SDK. Reranking is not OpenAI's own, but what
servers of its dialect have (Jina, vLLM and others).
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from core.errors import GatewayError
from core.splice import insert_member, last_key, last_member, replace, scan
from core.sse import EventScan
from plane.canonical import Fault, Request
from plane.dialect import Dialect, Operation
from plane.dialects._kept import FILES
from plane.dialects._openai_answers import read_fault
from plane.dialects._openai_chat import OpenAIChat
from plane.dialects._openai_cost import with_cost
from plane.dialects._openai_embeddings import OpenAIEmbeddings
from plane.dialects._openai_media import other_usage
from plane.dialects._openai_usage import counts_at
from plane.dialects._openai_wire import Options, error_body
from plane.dialects._reranking import Reranking
from plane.exchange import Exchange
from plane.runtime import Target
from plane.upload import read_form, write_form
from plane.usage import Usage

__all__ = ["OpenAI", "Options", "build"]

MAX_EVENT = 16 * 1024 * 1024
"""Bytes of one event; a longer one ends the stream with an error."""

USAGE = b"usage"
TIER = b"service_tier"
USUAL_TIERS = (b'"default"', b'"auto"', b'"standard"', b"null")
"""Tiers, as JSON, that are not kept, since they are what most calls have."""
CACHED_FIELD = b"fireworks-cached-prompt-tokens"
COUNTED = ("chat", "completions")
"""Kinds whose streams tell their usage when asked to by `stream_options`; others do so by themselves, or never."""
ROUTED = (b"model", b"stream", b"stream_options")
INCLUDE_USAGE = b'"stream_options":{"include_usage":true}'

NO_OPTIONS = Options()


class Asked(Struct, gc=False):
    """What is read of a request."""

    model: str = ""
    stream: bool | None = None


class OpenAI(Dialect):
    """The dialect, as a set of pure functions over exchanges."""

    name = "openai"
    family = "openai"
    operations = (
        Operation("chat.completions", "/chat/completions", True, "chat"),
        Operation("completions", "/completions", True, "completions"),
        Operation("embeddings", "/embeddings", False, "embeddings"),
        Operation("rerank", "/rerank", False, "rerank"),
        Operation("moderations", "/moderations", False, "moderations", model="omni-moderation-latest"),
        Operation("images.generations", "/images/generations", True, "images"),
        Operation("images.edits", "/images/edits", True, "image edits", form=True),
        Operation("images.variations", "/images/variations", False, "image variations", form=True),
        Operation("audio.speech", "/audio/speech", True, "speech", at_once=True),
        Operation("audio.transcriptions", "/audio/transcriptions", True, "transcriptions", form=True),
        Operation("audio.translations", "/audio/translations", False, "audio translations", form=True),
        *FILES,
    )  # type: tuple[Operation, ...]
    prefixes = ("/v1", "", "/openai/v1", "/openai")  # type: tuple[str, ...]
    forwarded = frozenset({b"openai-beta"})

    def __init__(self, options: Options = NO_OPTIONS) -> None:
        super().__init__()
        self.can = options
        self.translators = {
            "chat": OpenAIChat(),
            "embeddings": OpenAIEmbeddings(),
            "rerank": Reranking(echoes=True),
        }
        self.asked = msgspec.json.Decoder(Asked)

    def credential_line(self, secret: str) -> bytes:
        """Return the header line that carries a provider's credential."""
        return b"authorization: Bearer %b\r\n" % secret.encode()

    def read(self, exchange: Exchange) -> None:
        """Read what the request asks for; GatewayError 400 where its body is not a request."""
        if exchange.upload is not None:
            read_form(exchange)
            return
        body = exchange.body
        exchange.edits = scan(body, ROUTED)
        try:
            asked = self.asked.decode(body)
        except msgspec.ValidationError as error:
            raise GatewayError(400, "invalid_request", "caller", f"The request body is not valid: {error}.") from None
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            raise GatewayError(400, "invalid_json", "caller", "The request body is not valid JSON.") from None
        operation = exchange.route.operation
        exchange.model_name = asked.model
        if exchange.edits[0][0] < 0:
            exchange.model_name = operation.model
        if exchange.edits[0][0] < 0 and not operation.model:
            raise GatewayError(
                400,
                "invalid_request",
                "caller",
                "The request body is not valid: Object missing required field `model`.",
                param="model",
            )
        exchange.stream = operation.streams and asked.stream is True
        if exchange.stream and operation.kind in COUNTED:
            spans = exchange.edits
            options = spans[2]
            text = body[options[0] : options[1]] if options[0] >= 0 else b""
            switched = with_usage(text)
            # A chunk that is to say what the call cost cannot leave before that is known.
            exchange.strip_usage = switched != text or exchange.tells_cost
            exchange.edits = [spans[0], options, switched]

    def write(self, exchange: Exchange, target: Target) -> bytes:
        """Return the body for `target`: the caller's bytes with its model's name and, in a stream, usage asked for."""
        if exchange.upload is not None:
            return write_form(exchange, target)
        body = exchange.body
        spans = exchange.edits
        name = spans[0]
        if name[0] < 0:
            return insert_member(body, b'"model":' + target.model_json)
        if not exchange.strip_usage or not self.can.stream_options:
            return replace(body, name, target.model_json)
        options = spans[1]
        if options[0] < 0:
            return insert_member(replace(body, name, target.model_json), INCLUDE_USAGE)
        if options[0] < name[0]:  # The later one first, so that the offsets of the other hold.
            return replace(replace(body, name, target.model_json), options, spans[2])
        return replace(replace(body, options, spans[2]), name, target.model_json)

    def scan(self, exchange: Exchange) -> EventScan:
        """Return what reads the events of the answer."""
        events = EventScan(MAX_EVENT)
        events.strip_usage = exchange.strip_usage
        return events

    def usage(self, exchange: Exchange) -> Usage | None:
        """Return what the upstream says the call used; None where it does not say, or was cut short."""
        counts = None
        tier = b""
        try:
            if exchange.scan is not None:
                said = exchange.scan.usage
                if said and (exchange.answer_ended or exchange.scan.done):
                    spans = scan(said, (USAGE, TIER))
                    counts = counts_at(said, spans[0][0], spans[0][1])
                    tier = said[spans[1][0] : spans[1][1]] if spans[1][0] >= 0 else b""
            elif exchange.reply and exchange.answer_status < 300:
                start, end = last_member(exchange.reply, USAGE)
                if start >= 0:
                    counts = counts_at(exchange.reply, start, end)
                    tier = tier_of(exchange.reply, end)
        except (msgspec.MsgspecError, GatewayError, RecursionError, UnicodeDecodeError):
            return None  # An answer that is not JSON says nothing of its usage; it is relayed all the same.
        if counts is None:
            return other_usage(exchange, None)
        if counts.is_silent():
            return other_usage(exchange, counts.decoded)
        usage: Usage = counts.usage(self.can.reasoning_counted)
        if usage.cache_read == 0 and exchange.answer_headers is not None:
            usage.cache_read = min(cached_by_field(exchange.answer_headers), usage.input_total)
        if tier and tier not in USUAL_TIERS:
            usage.service_tier = tier[1:-1].decode("latin-1")[:32]
        return usage

    def read_head(self, exchange: Exchange, request: Request) -> None:
        """Ask for the usage where its chunk is to say what the call cost."""
        if exchange.tells_cost:
            request.usage_wanted = True

    def with_cost(self, exchange: Exchange) -> bytes:
        """Return the terminal bytes of a stream with the cost in the chunk that tells the usage."""
        return with_cost(exchange) if exchange.route.operation.kind in COUNTED else exchange.tail

    def read_fault(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Fault:
        """Return what a provider's error answer says."""
        return read_fault(status, headers, body)

    def error(self, error: GatewayError) -> bytes:
        """Return the body of an error answer."""
        message = f"{error.message} {error.hint}" if error.hint else error.message
        return error_body(error.status, error.code, message, error.param)

    def error_event(self, error: GatewayError) -> bytes:
        """Return the event that ends a stream which broke off; no ``[DONE]`` follows."""
        return b"data: %b\n\n" % self.error(error)


def tier_of(reply: bytes, after: int) -> bytes:
    """Return the JSON of an answer's service tier, b"" if none stands behind its usage, where OpenAI writes it."""
    at = last_key(reply, TIER, after, len(reply))
    if at < 0:
        return b""
    start = reply.find(b'"', at + 14)
    end = reply.find(b'"', start + 1)
    return reply[start : end + 1] if reply[at + 14 : start].strip() == b":" and end > 0 else b""


def cached_by_field(headers: list[tuple[bytes, bytes]]) -> int:
    """Return the count of cache reads that Fireworks writes into the head of an answer, 0 if there is none."""
    for field in headers:
        if len(field[0]) == len(CACHED_FIELD) and field[0].lower() == CACHED_FIELD and field[1].isdigit():
            return int(field[1][:12])
    return 0


def with_usage(options: bytes) -> bytes:
    """Return the text of `stream_options`, b"" or null if there are none, with the usage asked for."""
    if options == b"" or options == b"null":
        return b'{"include_usage":true}'
    if not options.startswith(b"{"):
        raise GatewayError(
            400, "invalid_request", "caller", "stream_options must be an object.", param="stream_options"
        )
    asked = scan(options, (b"include_usage",))[0]
    if asked[0] < 0:
        return insert_member(options, b'"include_usage":true')
    return replace(options, asked, b"true")


def build(options: Options) -> OpenAI:
    """Return the dialect."""
    return OpenAI(options)
