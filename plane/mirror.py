"""A copy of a model's calls to a shadow target: what it answers is measured and recorded, and nobody gets it.

The copy is an exchange of its own, whose caller is a `Nobody`. It starts after the real call has had its turn, is never
tried again, and is left out where too many are under way; the real call knows nothing of it.
"""

from __future__ import annotations

import logging
from time import monotonic_ns

import msgspec

from core.errors import GatewayError
from core.splice import scan
from plane.call import call
from plane.exchange import Downstream, Exchange
from plane.record import record
from plane.relay import relay
from plane.retries import RetryRule
from plane.runtime import Consumer, Mirror
from plane.settle import settle

__all__ = ["MIRRORED", "mirror"]

log = logging.getLogger("headgate.plane")

MIRRORED = Consumer("(mirror)", None, None)
"""Who calls, in the records of copies: no consumer can have this name, so that nobody is billed for them."""
MAX_IN_FLIGHT = 64
"""Copies for one model and worker at once; those beyond are left out."""
OWN_TOOLS = frozenset([None, "function", "custom"])
"""Types of tools that the caller runs, or would: the provider of a copy does nothing with them."""


class Tool(msgspec.Struct, gc=False):
    """What is read of a tool. The last two are how Gemini declares functions."""

    type: str | None = None
    name: str | None = None
    function: msgspec.Raw = msgspec.Raw()
    functionDeclarations: msgspec.Raw = msgspec.Raw()  # noqa: N815 Gemini's own spelling
    function_declarations: msgspec.Raw = msgspec.Raw()


_tools = msgspec.json.Decoder(list[Tool] | None)


class Nobody(Downstream):
    """The caller of a copy: takes everything, at once."""

    def __init__(self, rule: Mirror) -> None:
        self.rule = rule

    def start(self, status: int, fields: bytes, length: int) -> None:
        """Take no notice."""

    def write(self, data: bytes) -> None:
        """Take no notice."""

    def abort(self) -> None:
        """Take no notice."""

    def ended(self, exchange: Exchange) -> None:
        """Make room for the next copy."""
        self.rule.in_flight -= 1


def mirror(exchange: Exchange) -> None:
    """Have a copy of a call made, where it is its turn."""
    rule: Mirror = exchange.model.mirror
    rule.credit += rule.share
    if rule.credit < 1:
        return
    rule.credit -= 1
    if (
        rule.in_flight >= MAX_IN_FLIGHT
        or exchange.route.name not in exchange.model.shadow.ways
        or runs_tools(exchange.body)
    ):
        return
    rule.in_flight += 1
    copy = Exchange(Nobody(rule))
    copy.runtime = exchange.runtime
    copy.started = monotonic_ns()
    copy.method = exchange.method
    copy.url = exchange.url
    copy.path = exchange.path
    copy.query = exchange.query
    copy.peer = exchange.peer
    copy.headers = exchange.headers
    copy.request_id = exchange.request_id
    copy.body = exchange.body
    copy.body_size = exchange.body_size
    copy.body_complete = True
    copy.route = exchange.route
    copy.consumer = MIRRORED
    copy.model = exchange.model
    copy.candidates = [exchange.model.shadow]
    copy.timeouts = exchange.timeouts
    copy.retries = RetryRule("(mirror)", 0, 0, 0, 0, 0)
    exchange.model.shadow.pool.loop.call_soon(copy.begin, serve(copy))


async def serve(copy: Exchange) -> None:
    """Make the call of a copy and record it."""
    try:
        copy.route.dialect.read(copy)
        await call(copy)
        await relay(copy)
    except GatewayError as error:
        fail(copy, error)
    except Exception:
        log.exception("the mirrored request %s failed inside the gateway", copy.request_id.decode())
        fail(copy, GatewayError(500, "internal_error", "gateway", "The gateway failed."))
    settle(copy)
    record(copy)


def fail(copy: Exchange, error: GatewayError) -> None:
    """Note for the record how a copy ended; what had a status already keeps it."""
    copy.error = error.code
    if not copy.committed:
        copy.status = error.status


def runs_tools(body: bytes) -> bool:
    """Tell whether a request has tools that its provider would run, and which could act twice."""
    try:
        start, end = scan(body, (b"tools",))[0]
        tools = _tools.decode(body[start:end]) if start >= 0 else None
    except (GatewayError, msgspec.MsgspecError):
        return True
    return any(
        tool.type not in OWN_TOOLS
        or not (tool.name or tool.function or tool.functionDeclarations or tool.function_declarations)
        for tool in tools or ()
    )
