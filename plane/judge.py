"""What an answer tells before its caller gets any of it: that it failed, or that it refuses.

Only of a stream that is held back (`plane.attempt`) can it still be heard that it failed.
"""

from __future__ import annotations

import re

import msgspec
from msgspec import Struct

from core.errors import GatewayError
from plane.canonical import Fault, fault_error
from plane.clean import without
from plane.exchange import Exchange
from plane.failure import REFUSAL, failure_of_fault, is_ours, refused_credential
from plane.fault_words import Said, said_in, status_of
from plane.refusal import refuses

__all__ = ["judge"]

DATA = re.compile(rb"^data: ?([^\r\n]*)", re.MULTILINE)


class Error(Struct, gc=False):
    """The error object of an event: Google has the status in `code`, others a word."""

    message: str = ""
    type: str | None = None
    code: str | int | None = None
    param: str | None = None


class Response(Struct, gc=False):
    """A response that failed, of OpenAI's Responses API."""

    error: Error


class Told(Struct, gc=False):
    """An event that tells of an error: in a member, in that of a response that failed, or as a whole."""

    error: Error | None = None
    response: Response | None = None
    message: str = ""
    code: str | int | None = None
    param: str | None = None


_told = msgspec.json.Decoder(Told)


def judge(exchange: Exchange) -> bool:
    """Tell whether the answer refuses, and another target is to be asked then; a stream is held back no longer.

    Raises GatewayError with what the stream says if it told of an error before anything else.
    """
    if not exchange.is_held:
        return refuses(exchange)
    exchange.is_held = False
    if exchange.scan.error and not exchange.scan.content:
        raise fault_of(exchange)
    return exchange.retries.on & REFUSAL != 0 and refuses(exchange)


def fault_of(exchange: Exchange) -> GatewayError:
    """Return the error that the stream tells of."""
    if exchange.way.translates:
        fault = exchange.scan.fault
        said = Said(frozenset([fault.kind, fault.code]), fault.message)
    else:
        lines = DATA.findall(exchange.early) or exchange.early.splitlines() or [b""]
        event = without(lines[-1], exchange.target.secret)
        told = error_of(event)
        fault = Fault(status_of(told.type, told.code), told.message, param=told.param or "")
        said = said_in(event)
    failure = failure_of_fault(fault.status, said)
    if is_ours(failure, fault.status):
        return refused_credential(fault.status)
    error = fault_error(fault)
    error.failure = failure
    return error


def error_of(event: bytes) -> Error:
    """Return what an error event says, as far as it is of a known form."""
    try:
        said = _told.decode(event)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Error()
    if said.response is not None:
        return said.response.error
    return said.error or Error(said.message, None, said.code, said.param)
