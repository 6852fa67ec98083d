"""What every door asks of a request's head, whatever carried it: what one door refuses the other refuses."""

from __future__ import annotations

import re

from core.errors import GatewayError
from plane.exchange import Exchange
from plane.http1.framing import (
    API_KEY,
    AUTHORIZATION,
    CONTENT_LENGTH,
    EXPECT,
    EXPLAIN,
    HOST,
    MAX_FIELDS,
    MAX_HEAD,
    MAX_URL,
    PATIENCE,
    REQUEST_ID,
    TELL_COST,
    kind_of,
)
from plane.trace import Trace

__all__ = ["bad_host", "over_bounds", "take_absolute", "take_field", "take_url", "too_large", "wrong_target"]

SPACE, SLASH = 0x20, 0x2F
MILLISECOND = 1_000_000
AUTHORITY = re.compile(rb"[^/?]*")


def take_field(exchange: Exchange, name: bytes, value: bytes) -> int:
    """Keep a header field, and what it says where a phase asks for it; return its kind (`framing.kind_of`)."""
    exchange.headers.append((name, value))
    kind = kind_of(name)
    if kind == HOST:
        exchange.host = value
    elif kind == AUTHORIZATION:
        if value.startswith(b"Bearer ") or value[:7].lower() == b"bearer ":
            credential = value[7:]
            exchange.credential = credential.lstrip() if len(credential) > 0 and credential[0] <= SPACE else credential
    elif kind == API_KEY:
        if not exchange.credential:
            exchange.credential = value
    elif kind == CONTENT_LENGTH:
        exchange.content_length = int(value) if len(value) < 19 else 1 << 62
    elif kind == EXPECT:
        exchange.expects_continue = value.lower() == b"100-continue"
    elif kind == REQUEST_ID:
        exchange.request_id = value
    elif kind >= PATIENCE:  # The rare ones behind one test.
        take_wish(exchange, kind, value)
    return kind


def take_wish(exchange: Exchange, kind: int, value: bytes) -> None:
    """Keep what a field says that few callers send: how long the call may take, and what is to be told of it."""
    if kind == EXPLAIN:
        exchange.trace = Trace() if value == b"1" else None
        return
    if kind == TELL_COST:
        exchange.tells_cost = value == b"1"
        return
    exchange.patience = int(value) * MILLISECOND if value.isdigit() and len(value) < 10 else -1
    if exchange.patience == 0:
        exchange.patience = -1


def take_url(exchange: Exchange, url: bytes) -> None:
    """Keep the request target, whole and as path and query."""
    exchange.url = url
    cut = url.find(b"?")
    if cut < 0:
        exchange.path = url
        exchange.query = b""
    else:
        exchange.path = url[:cut]
        exchange.query = url[cut + 1 :]


def take_absolute(exchange: Exchange) -> bool:
    """Take a target in the absolute form (RFC 9112 3.2.2) as host and path; tell whether it is in that form.

    The target's host counts then, whatever Host says. It may still be an invalid one.
    """
    scheme, mark, rest = exchange.url.partition(b"://")
    if not mark or scheme.lower() not in (b"http", b"https"):
        return False
    found = AUTHORITY.match(rest)
    assert found is not None  # It matches the empty text, too.
    path = rest[found.end() :]
    exchange.host = found[0]
    take_url(exchange, path if path.startswith(b"/") else b"/" + path)
    return True


def over_bounds(exchange: Exchange, fields: int, size: int) -> GatewayError | None:
    """Return the error of a head whose target, number of fields or bytes of fields (`size`) are too many."""
    if len(exchange.url) > MAX_URL:
        return GatewayError(414, "uri_too_long", "caller", f"The request target is longer than {MAX_URL} bytes.")
    if fields > MAX_FIELDS or len(exchange.method) + len(exchange.url) + 14 + size > MAX_HEAD:
        return GatewayError(
            431,
            "head_too_large",
            "caller",
            f"The request head is larger than {MAX_HEAD} bytes or {MAX_FIELDS} fields.",
        )
    return None


def wrong_target(exchange: Exchange) -> GatewayError | None:
    """Return the error of a request target that is not a path; whether the path is in order is the router's to say."""
    url = exchange.url
    if len(url) == 0 or url[0] != SLASH or url.find(b"#") >= 0:  # PERF: an index is C.
        return GatewayError(400, "bad_path", "caller", "The request target must be a path.")
    return None


def bad_host() -> GatewayError:
    """Return the error of a head without exactly one valid host."""
    return GatewayError(400, "bad_host", "caller", "A request needs exactly one valid Host field.")


def too_large(limit: int) -> GatewayError:
    """Return the error for a body over its bound."""
    return GatewayError(413, "body_too_large", "caller", f"The request body is larger than {limit} bytes.")
