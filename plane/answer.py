"""What the caller gets: the status, the header lines and the body, of an answer or of an error in its dialect."""

from __future__ import annotations

from math import ceil
from string import punctuation
from urllib.parse import quote

from core.errors import GatewayError
from plane.clean import Cleaner, without
from plane.exchange import Exchange
from plane.explain import announce
from plane.failure import CREDENTIAL
from plane.http1.framing import HOP_BY_HOP
from plane.kept import wrapped

__all__ = ["accept", "accept_estimate", "accept_stream", "accept_translated", "duration_text", "refuse", "send"]

RELAYED = dict.fromkeys(
    [
        *(b"retry-after", b"retry-after-ms", b"openai-processing-ms", b"openai-version", b"content-encoding"),
        *(b"Retry-After", b"Retry-After-Ms", b"Openai-Processing-Ms", b"Openai-Version", b"Content-Encoding"),
    ],
    True,
)
"""Fields of a model provider that a caller gets to see; its limits, cookies and organisation stay here."""

NOT_RELAYED = HOP_BY_HOP | {b"date", b"x-request-id"}
"""Fields of a plain HTTP API that stay here: framing and connection are ours, as are date and request id."""

RELAYED_WHOLE = ("", "upstream_error")
"""Errors of answers that the caller gets as the upstream sent them."""

RETRYABLE = (409, 429, 500, 502, 503, 504, 529)
"""Statuses of a provider's errors after which SDKs should ask again."""

PRINTABLE = punctuation.replace("%", "")

STREAM_FIELDS = b"cache-control: no-cache, no-transform\r\nx-accel-buffering: no\r\n"


def accept(exchange: Exchange) -> None:
    """Take the upstream's answer, held whole, for ours."""
    exchange.status = exchange.answer_status
    exchange.reply = exchange.take_answer()
    exchange.fields = fields_of(exchange)
    if exchange.keeps and exchange.status < 300:
        exchange.reply = wrapped(exchange)
    if exchange.status >= 400 and exchange.route.needs_model:
        exchange.error = "upstream_error"
        exchange.reply = without(exchange.reply, exchange.target.secret)
        exchange.fields = without(exchange.fields, exchange.target.secret) + error_lines(exchange)


def accept_stream(exchange: Exchange, is_event_stream: bool) -> None:
    """Take the head of the upstream's answer for ours; the body follows, an error's without our credential."""
    exchange.status = exchange.answer_status
    exchange.fields = fields_of(exchange)
    if exchange.status >= 400 and exchange.route.needs_model:
        exchange.error = "upstream_error"
        secret = exchange.target.secret
        exchange.fields = without(exchange.fields, secret) + error_lines(exchange)
        if secret:
            exchange.cleaner = Cleaner(secret)
    if is_event_stream:
        exchange.fields += STREAM_FIELDS
    if exchange.trace is not None:
        announce(exchange)


def error_lines(exchange: Exchange) -> bytes:
    """Return what a provider's error is told with beside its own words: where it is so, that asking again is no use."""
    lines = b"x-headgate-error: upstream_error\r\n"
    return lines + b"x-should-retry: false\r\n" if exchange.failure == CREDENTIAL else lines


def accept_translated(exchange: Exchange, reply: bytes) -> None:
    """Take a provider's answer, told in the caller's dialect, for ours; of a stream its head, the body follows."""
    exchange.status = 200
    exchange.reply = reply
    lines = own_fields(exchange)
    streams = exchange.stream
    kind = exchange.route.dialect.stream_type(exchange) if streams else b"application/json"
    lines += (b"content-type: ", kind, b"\r\n", exchange.target.field)
    names = exchange.translation.carry.names
    if names:
        lines += (b"x-headgate-dropped: ", quote(",".join(names), safe=PRINTABLE).encode(), b"\r\n")
    if streams:
        lines.append(STREAM_FIELDS)
    exchange.fields = b"".join(lines)
    if streams and exchange.trace is not None:
        announce(exchange)


def accept_estimate(exchange: Exchange, reply: bytes) -> None:
    """Take a count of tokens that the gateway made up for the answer, and say that it is one."""
    exchange.status = 200
    exchange.reply = reply
    lines = own_fields(exchange)
    lines += (b"content-type: application/json\r\nx-headgate-estimate: true\r\n", exchange.target.field)
    exchange.fields = b"".join(lines)


def fields_of(exchange: Exchange) -> bytes:
    """Return the header lines of a relayed answer."""
    lines = own_fields(exchange)
    if exchange.answer_type:
        lines += (b"content-type: ", exchange.answer_type, b"\r\n")
    if exchange.route.needs_model:
        lines.append(exchange.target.field)
        for field in exchange.answer_headers:
            if field[0] in RELAYED:
                lines += (field[0], b": ", field[1], b"\r\n")
    else:
        for field in exchange.answer_headers:
            if field[0].lower() not in NOT_RELAYED:
                lines += (field[0], b": ", field[1], b"\r\n")
    return b"".join(lines)


def own_fields(exchange: Exchange) -> list[bytes]:
    """Return the lines that every answer has: request id, snapshot, and the state of the consumer's limit."""
    lines = [b"x-request-id: ", exchange.request_id, b"\r\n"]
    route = exchange.route
    if route is not None and route.id_field:
        lines += (route.id_field, b": ", exchange.request_id, b"\r\n")
    if exchange.runtime is not None:
        lines.append(exchange.runtime.mark)
    if exchange.limit >= 0:
        lines.append(exchange.consumer.rate_lines)
        lines.append(b"%d\r\nx-ratelimit-reset-requests: " % exchange.remaining)
        lines.append(duration_text(exchange.reset_ns))
        lines.append(b"\r\n")
    return lines


def duration_text(span: int) -> bytes:
    """Return nanoseconds as OpenAI writes durations: ``12ms``, ``1.5s``, ``6m0s``."""
    milliseconds = (span + 999_999) // 1_000_000
    if milliseconds < 1000:
        return b"%dms" % milliseconds
    if milliseconds < 60_000:
        return b"%gs" % (milliseconds / 1000)
    seconds = (milliseconds + 999) // 1000
    if seconds < 3600:
        return b"%dm%ds" % (seconds // 60, seconds % 60)
    return b"%dh%dm%ds" % (seconds // 3600, seconds // 60 % 60, seconds % 60)


def refuse(exchange: Exchange, error: GatewayError) -> None:
    """Take `error` for the answer; after a status has been sent, for the end of its stream."""
    exchange.error = error.code
    dialect = exchange.route.dialect if exchange.route is not None else None
    if dialect is None:
        dialect = exchange.runtime.voices.at(exchange.path or b"")
    error.request_id = exchange.request_id.decode()
    if exchange.committed:
        if exchange.scan is not None and error.status != 499:
            broken = getattr(exchange.scan, "broken", None)  # Of scans that write another form than came.
            exchange.tail = dialect.error_event(error) if broken is None else broken(error)
        return
    exchange.status = error.status
    retryable = error.retry_after >= 0 or error.status == 408
    retryable = retryable or (error.source == "upstream" and error.status in RETRYABLE)
    retryable = retryable and error.failure != CREDENTIAL
    lines = own_fields(exchange)
    lines.append(b"content-type: application/json\r\nx-headgate-error: %b\r\n" % error.code.encode())
    lines.append(b"x-should-retry: true\r\n" if retryable else b"x-should-retry: false\r\n")
    if error.retry_after >= 0:
        lines.append(
            b"retry-after: %d\r\nretry-after-ms: %d\r\n"
            % (max(1, ceil(error.retry_after)), ceil(error.retry_after * 1000))
        )
    if error.allow:
        lines.append(b"allow: %b\r\n" % error.allow.encode())
    exchange.fields = b"".join(lines)
    exchange.reply = dialect.error(error)


def send(exchange: Exchange) -> None:
    """Send the answer, or what is left of it: after this the exchange is finished for the caller."""
    downstream = exchange.downstream
    if exchange.error == "caller_gone":
        return
    if not exchange.committed:
        downstream.answer(exchange.status, exchange.fields, exchange.reply)
    elif exchange.scan is None and exchange.error not in RELAYED_WHOLE:
        downstream.abort()
    else:
        downstream.finish(exchange.tail)
