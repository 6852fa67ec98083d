"""JSON that others sent: read with a typed decoder, and what is wrong with it said in the right words."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from core.errors import GatewayError

__all__ = ["one_line", "read_answered", "read_asked", "unknown_members"]

T = TypeVar("T")

MEMBERS: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, msgspec.Raw])


def read_asked(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Return what a caller sent; GatewayError 400 ``invalid_request`` or ``invalid_json``."""
    try:
        return decoded(decoder, body)
    except msgspec.ValidationError as error:
        raise GatewayError(400, "invalid_request", "caller", f"The request body is not valid: {error}.") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise GatewayError(400, "invalid_json", "caller", "The request body is not valid JSON.") from None


def read_answered(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Return what a provider sent; GatewayError 502 ``upstream_bad_answer`` where it is not what was asked for."""
    try:
        return decoded(decoder, body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise GatewayError(
            502, "upstream_bad_answer", "upstream", f"The provider's answer cannot be read: {error}."
        ) from None


def decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Return what `body` says; UnicodeDecodeError where it is not UTF-8, also in what is only carried as text."""
    if not body.isascii():
        body.decode()
    return decoder.decode(body)


def one_line(text: bytes) -> bytes:
    """Return JSON without line ends: where these end a message, none may stand within one.

    What is carried as text (arguments, schemas, logprobs) may have been laid out by its author, be it a model.
    """
    return msgspec.json.format(text, indent=-1) if b"\n" in text or b"\r" in text else text


def unknown_members(body: bytes, known: frozenset[str]) -> dict[str, str]:
    """Return the members of the object `body` that are neither `known` nor null, as JSON text by name."""
    members = read_asked(MEMBERS, body)
    return {
        name: bytes(value).decode() for name, value in members.items() if name not in known and bytes(value) != b"null"
    }
