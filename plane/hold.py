"""Holding a stream back until it says something, so that one which fails before that can be answered by another.

Providers begin their streams with events that say nothing yet, and may end them there with an error. Until the first
event with content no status has been sent: the call can go to the next place, or its caller get a true 4xx or 5xx.
Afterwards it never changes places.
"""

from __future__ import annotations

import re

import msgspec
from msgspec import Struct

from core.errors import GatewayError
from plane.attempt import gather
from plane.canonical import Fault, fault_error
from plane.clean import without
from plane.exchange import Exchange
from plane.failure import refused_credential
from plane.fault_words import status_of
from plane.kept import follow

__all__ = ["hold"]

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


told = msgspec.json.Decoder(Told)


async def hold(exchange: Exchange) -> None:
    """Take in the stream until it says something, ends, or too much of it would have to be held.

    Raises GatewayError with what it says if it tells of an error before.
    """
    way = exchange.way
    exchange.scan = exchange.translation.stream() if way.translates else follow(exchange)
    exchange.is_held = True
    if exchange.upstream is not None:
        exchange.upstream.await_content()
    try:
        exchange.move_by(gather)
        while not exchange.moved:
            await exchange
    finally:
        exchange.move_by(None)
        exchange.is_held = False
    if exchange.scan.error and not exchange.scan.content:
        raise fault_of(exchange)


def fault_of(exchange: Exchange) -> GatewayError:
    """Return the error that the stream tells of."""
    if exchange.way.translates:
        return refusal(exchange.scan.fault.status) or fault_error(exchange.scan.fault)
    said = DATA.findall(exchange.early) or exchange.early.splitlines() or [b""]
    error = error_of(without(said[-1], exchange.target.secret))
    status = status_of(error.type, error.code)
    return refusal(status) or fault_error(Fault(status, error.message, param=error.param or ""))


def refusal(status: int) -> GatewayError | None:
    """Return the error of an event that refuses the gateway's credential, None if it tells of another."""
    return refused_credential(status) if status in (401, 403) else None


def error_of(event: bytes) -> Error:
    """Return what an error event says, as far as it is of a known form."""
    try:
        said = told.decode(event)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Error()
    if said.response is not None:
        return said.response.error
    return said.error or Error(said.message, None, said.code, said.param)
