"""A call that passes through: which model and whether as a stream, the model's name replaced where it stands, and what
is read of the answer besides; and errors, which dialects read and tell alike.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import Struct

from core.errors import GatewayError
from core.splice import last_member, replace, scan
from plane.canonical import Fault
from plane.dialects._carrying import retry_after_of
from plane.dialects._json import read_asked
from plane.exchange import Exchange
from plane.runtime import Target

__all__ = ["MAX_EVENT", "fault", "found", "member", "note_model", "passed", "told", "with_model"]

MAX_EVENT = 16 * 1024 * 1024
"""Bytes of one event; a longer one ends the stream with an error."""

MODEL = (b"model",)
SHOWN = 500
"""Characters of a provider's error that a caller gets to see."""

T = TypeVar("T")


class Asked(Struct, gc=False):
    """What is read of a request."""

    model: str
    stream: bool | None = None


_asked = msgspec.json.Decoder(Asked)


def note_model(exchange: Exchange, *, streams_unless_told: bool = False) -> None:
    """Read model and stream of a request and note where the model's name stands; GatewayError 400."""
    exchange.edits = scan(exchange.body, MODEL)
    asked = read_asked(_asked, exchange.body)
    exchange.model_name = asked.model
    stream = asked.stream is not False if streams_unless_told else asked.stream is True
    exchange.stream = exchange.route.operation.streams and stream


def with_model(exchange: Exchange, target: Target) -> bytes:
    """Return the body with the model's name as the provider knows it, and no other byte changed."""
    return replace(exchange.body, exchange.edits[0], target.model_json)


def passed(exchange: Exchange) -> bytes:
    """Return the JSON text in which a provider counted: of a stream what its scan kept, else the answer; or b""."""
    if exchange.scan is not None:
        kept: bytes = exchange.scan.usage if exchange.answer_ended or exchange.scan.done else b""
        return kept
    return exchange.reply if exchange.answer_status < 300 else b""


def member(body: bytes, key: bytes) -> bytes:
    """Return the JSON text of the top-level member `key`, b"" where it is absent or the body is no object."""
    try:
        start, end = last_member(body, key) if body else (-1, -1)
    except GatewayError:
        return b""
    return body[start:end] if start >= 0 else b""


def found(decoder: msgspec.json.Decoder[T], text: bytes) -> T | None:
    """Return what `text` says; None where it is nothing that can be read: it is relayed all the same."""
    try:
        return decoder.decode(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def fault(status: int, headers: list[tuple[bytes, bytes]], message: str, kind: str = "", code: str = "") -> Fault:
    """Return an error as a provider told it; one that says nothing gets words."""
    words = message.strip()[:SHOWN] or f"The provider answered {status}."
    return Fault(status, words, kind, code, retry_after=retry_after_of(headers))


def told(error: GatewayError) -> str:
    """Return what a caller is told of an error of the gateway."""
    return f"{error.message} {error.hint}" if error.hint else error.message
