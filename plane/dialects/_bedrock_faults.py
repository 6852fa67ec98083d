"""Errors of Bedrock: answers of HTTP, and exceptions within a stream."""

from __future__ import annotations

import msgspec
from msgspec import Struct, field

from plane.canonical import Fault
from plane.dialects._bedrock_wire import STATUSES

__all__ = ["fault_of", "read_fault"]

LONGEST = 500
"""Characters of a body that is no error of Bedrock's, shown as the message."""


class Told(Struct):
    """The body of an error. Its services do not agree on the case of the one word."""

    lower: str | None = field(default=None, name="message")
    upper: str | None = field(default=None, name="Message")
    original: str | None = field(default=None, name="originalMessage")
    kind: str | None = field(default=None, name="__type")


_told = msgspec.json.Decoder(Told)


def read_fault(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Fault:
    """Return what an error answer says."""
    fields = {name.lower(): value for name, value in headers}
    fault = fault_of(status, fields.get(b"x-amzn-errortype", b"").decode("latin-1"), body)
    after = fields.get(b"retry-after", b"")
    if after.isdigit():
        fault.retry_after = float(after)
    return fault


def fault_of(status: int, name: str, body: bytes, message: str = "") -> Fault:
    """Return the error of this name, or of that in the body.

    status: of HTTP, 0 within a stream. name: as in ``x-amzn-ErrorType``, which may have an address behind it.
    """
    try:
        told = _told.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        told = Told()
    kind = (name or told.kind or "").partition(":")[0].rpartition("#")[2]
    text = told.lower or told.upper or told.original or message or body[:LONGEST].decode(errors="replace").strip()
    meant = STATUSES.get(kind.lower().removesuffix("exception"))
    if meant is None:
        meant = status if status >= 400 else 500
    return Fault(meant, text or "The provider answered with an error and no message.", kind)
