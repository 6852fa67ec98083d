"""A call that passes through a dialect, without a gateway: read, written for a target, and its answer's usage."""

from __future__ import annotations

import json
from typing import Any

from core.errors import GatewayError
from plane.exchange import Exchange
from plane.http1.origin import Origin
from plane.runtime import Route, Target
from plane.usage import Usage
from tests.plane.rig import make_exchange


def asked(dialect: Any, name: str, body: bytes) -> Exchange:
    """Return the exchange of a caller's request to the operation `name`."""
    operation = next(one for one in dialect.operations if one.name == name)
    exchange = make_exchange()
    exchange.route = Route("r", dialect=dialect, operation=operation)
    exchange.body = body
    dialect.read(exchange)
    return exchange


def sent(dialect: Any, exchange: Exchange, model: str = "real") -> bytes:
    """Return the body that a target gets."""
    target = Target("p/real", 1, Origin("http", "p.test", 80, "", 1), b"p.test", b"", model, {}, {}, b"")
    written: bytes = dialect.write(exchange, target)
    return written


def answered(dialect: Any, exchange: Exchange, reply: bytes, status: int = 200) -> Usage | None:
    """Return the usage of a whole answer."""
    exchange.answer_status = status
    exchange.reply = reply
    usage: Usage | None = dialect.usage(exchange)
    return usage


def streamed(dialect: Any, exchange: Exchange, pieces: list[bytes], ended: bool = True) -> tuple[bytes, Usage | None]:
    """Return what a caller gets of a stream that comes in `pieces`, and its usage."""
    exchange.answer_status = 200
    exchange.scan = dialect.scan(exchange)
    data = b"".join(exchange.scan.feed(piece) for piece in pieces)
    if ended:
        data += exchange.scan.flush()
    exchange.answer_ended = ended
    return data, dialect.usage(exchange)


def told(dialect: Any, error: GatewayError) -> Any:
    """Return an error as a caller gets it."""
    return json.loads(dialect.error(error))
