"""What is sent to a candidate: head and body of the upstream request."""

from __future__ import annotations

from plane.exchange import Exchange
from plane.http1.framing import (
    API_KEY,
    AUTHORIZATION,
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HOP,
    HOST,
    TRANSFER_ENCODING,
    kind_of,
)
from plane.runtime import Candidate, Target
from plane.translate import body_for
from plane.way import Way

__all__ = ["head_of"]


def head_of(exchange: Exchange, candidate: Candidate) -> tuple[bytes, bytes]:
    """Return head and body of the request to `candidate`."""
    if isinstance(candidate, Target):
        return to_home(exchange, candidate) if exchange.home is not None else to_target(exchange, candidate)
    return to_endpoint(exchange, candidate)


def to_target(exchange: Exchange, target: Target) -> tuple[bytes, bytes]:
    """Return the call of a model: what the caller sent but for the model's name and what the dialect adds.

    Where the provider speaks another dialect the body is translated. Of the caller's header fields only those of
    `Way.forwarded` go along.
    """
    route = exchange.route
    way = target.ways[route.name]  # `choose` offers no target without it.
    exchange.way = way
    body = body_for(exchange, target, way) if way.translates else way.dialect.write(exchange, target)
    heads = target.heads[way.name]
    lines = [heads[1] if exchange.stream else heads[0], b"x-request-id: ", exchange.request_id, b"\r\n"]
    forwarded = way.forwarded
    for field in exchange.headers:
        if field[0] in forwarded:
            lines += (field[0], b": ", field[1], b"\r\n")
    if way.fields:
        lines += missing_fields(exchange, way)
    if way.signs:
        lines.append(signature(exchange, target, way, body))
    if exchange.upload is not None:
        lines += (exchange.upload.lines(exchange, len(body)), b"\r\n")
        return b"".join(lines), exchange.upload.framed(body)
    lines.append(b"content-length: %d\r\n\r\n" % len(body))
    return b"".join(lines), body


def to_home(exchange: Exchange, target: Target) -> tuple[bytes, bytes]:
    """Return a request for what a provider keeps: the caller's body as it is, of an upload what has come of it."""
    route = exchange.route
    way = target.ways[route.name]
    exchange.way = way
    lines = [
        b"%b %b%b HTTP/1.1\r\n" % (exchange.method, target.base_path, exchange.pinned_path),
        target.heads[""][0],
        b"x-request-id: %b\r\n" % exchange.request_id,
    ]
    body = exchange.body
    upload = exchange.upload
    for field in exchange.headers:
        if field[0] in way.forwarded or (body and upload is None and field[0].lower() == b"content-type"):
            lines += (field[0], b": ", field[1], b"\r\n")
    if upload is not None:
        lines.append(upload.lines(exchange, len(body)))
        body = upload.framed(body)
    elif body or exchange.method == b"POST":
        lines.append(b"content-length: %d\r\n" % len(body))
    lines.append(b"\r\n")
    return b"".join(lines), body


def missing_fields(exchange: Exchange, way: Way) -> list[bytes]:
    """Return the lines that the provider must get and the caller did not send."""
    sent = frozenset() if way.translates else frozenset(field[0].lower() for field in exchange.headers)
    return [b"%b: %b\r\n" % field for field in way.fields if field[0] not in sent]


def signature(exchange: Exchange, target: Target, way: Way, body: bytes) -> bytes:
    """Return the lines that sign a request; b"" where the provider has no credential."""
    if not target.secret:
        return b""
    operation = way.operation
    path = target.base_path + way.dialect.path(operation, target.model, exchange.stream).encode()
    return way.dialect.sign(operation.method.encode(), target.host, path, body, target.secret.decode())


def to_endpoint(exchange: Exchange, endpoint: Candidate) -> tuple[bytes, bytes]:
    """Return the call of a plain HTTP API: everything end-to-end goes through, our own credential does not."""
    named = connection_options(exchange)
    lines = [b"%b %b HTTP/1.1\r\nhost: %b\r\n" % (exchange.method, endpoint.base_path + exchange.url, endpoint.host)]
    for field in exchange.headers:
        kind = kind_of(field[0])
        if kind in (HOST, CONTENT_LENGTH, TRANSFER_ENCODING, EXPECT, CONNECTION, HOP):
            continue
        if exchange.route.needs_key and kind in (AUTHORIZATION, API_KEY):
            continue
        lowered = field[0].lower()
        if lowered.replace(b"_", b"-") in OWN or lowered in named:
            continue
        lines += (field[0], b": ", field[1], b"\r\n")
    proto = b"https" if exchange.downstream.secure else b"http"
    lines.append(
        b"x-request-id: %b\r\nx-forwarded-for: %b\r\nx-forwarded-host: %b\r\nx-forwarded-proto: %b\r\n"
        % (exchange.request_id, exchange.peer, exchange.host, proto)
    )
    body = exchange.body
    if body or exchange.method in (b"POST", b"PUT", b"PATCH"):
        lines.append(b"content-length: %d\r\n" % len(body))
    lines.append(b"\r\n")
    return b"".join(lines), body


OWN = frozenset(
    [b"x-request-id", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip", b"forwarded"]
)
"""Fields that the gateway writes itself, or that say the same; what a caller claims in them is not believed, nor where
it has written them with the underscores that many servers take for hyphens."""


def connection_options(exchange: Exchange) -> frozenset[bytes]:
    """Return the fields that the caller's Connection field names as its own hop's."""
    named = [value for name, value in exchange.headers if kind_of(name) == CONNECTION]
    return frozenset(option.strip().lower() for value in named for option in value.split(b","))
