"""What hostile or broken callers send over HTTP/2: the rows of HTTP/1.1 that can be said in it, and its own.

A row is refused with one of its statuses, or its stream is reset, or its connection ended; it is never served.
"""

from dataclasses import dataclass

from tests.conformance.callers import BODY, CASES, Case
from tests.e2e.http2 import Fields, request_fields

__all__ = ["ROWS", "SAME", "UNSEEN", "Row", "as_http2"]

FRAMING = {"transfer-encoding", "connection", "upgrade", "http2-settings", "expect", "te", "keep-alive"}
UNSEEN = {
    "a fragment": "granian's URI type cuts it off, so the path without it is what is asked for",
    "two hosts": "granian hands on Host where there is one, and then not the authority: so there is one host",
    "the same host twice": "as two hosts; HTTP/2 allows it",
}
"""Rows of HTTP/1.1 that come out otherwise over HTTP/2, and why."""


@dataclass(frozen=True)
class Row:
    """One request: its fields, in their order, and its body.

    statuses: what it may be refused with, if it is not refused by a reset.
    """

    name: str
    fields: Fields
    body: bytes | None = None
    statuses: tuple[int, ...] = (400,)


def as_http2(case: Case) -> Row | None:
    """Return the same request in HTTP/2; None where only HTTP/1.1 can say it."""
    head, found, body = case.request.partition(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").split("\r\n")
    if not found or line.count(" ") != 2 or not line.endswith(" HTTP/1.1") or case.head:
        return None
    method, path, _ = line.split(" ")
    if "://" in path:
        return None
    fields: Fields = [(":method", method), (":scheme", "https"), (":path", path)]
    for item in lines:
        name, colon, value = item.partition(": ")
        if not colon or not name.replace("-", "").isalnum() or name.lower() in FRAMING or "\r" in item or "\n" in item:
            return None
        if name.lower() == "host" and not any(name == ":authority" for name, _ in fields):
            fields.insert(1, (":authority", value))
        elif name.lower() == "content-length" and value.isdigit() and int(value) != len(body):
            return None
        else:
            fields.append((name.lower(), value))
    return Row(case.name, fields, body or None, case.statuses)


SAME = [(case, row) for case in CASES if case.name not in UNSEEN and (row := as_http2(case)) is not None]


def _own() -> list[Row]:
    plain = request_fields("/v1/models", method="GET")
    chat = request_fields()
    size = str(len(BODY))
    return [
        Row("an absolute path", request_fields("http://gateway/v1/models", method="GET")),
        *(
            Row(f"{name}: {value}", [*plain, (name, value)])
            for name, value in (
                ("connection", "keep-alive"),
                ("connection", "x-other"),
                ("transfer-encoding", "chunked"),
                ("upgrade", "websocket"),
                ("keep-alive", "timeout=5"),
                ("proxy-connection", "keep-alive"),
                ("te", "gzip"),
                ("X-Upper", "1"),
                ("x y", "1"),
                ("", "1"),
                ("x\0y", "1"),
                ("x:y", "1"),
                ("x-nul", "a\0b"),
                ("x-cr", "a\rb"),
                ("x-lf", "a\nb: c"),
                (":status", "200"),
                (":unknown", "1"),
                (":path", "/healthz"),
                (":protocol", "websocket"),
            )
        ),
        Row("no authority and no host", [item for item in plain if item[0] != ":authority"]),
        Row("an empty authority", [(name, "" if name == ":authority" else value) for name, value in plain]),
        Row("an authority with a user", [(n, "me@gateway" if n == ":authority" else v) for n, v in plain]),
        Row("two hosts", [*plain, ("host", "gateway"), ("host", "other")]),
        Row("no method", [item for item in plain if item[0] != ":method"]),
        Row("no path", [item for item in plain if item[0] != ":path"]),
        Row("no scheme", [item for item in plain if item[0] != ":scheme"]),
        Row("an empty path", [(name, "" if name == ":path" else value) for name, value in plain]),
        Row("a path without a slash", [(n, "v1/models" if n == ":path" else v) for n, v in plain], None, (400, 404)),
        Row("a method twice", [(":method", "GET"), *plain]),
        Row("a pseudo field at the end", [*plain[1:], plain[0]]),
        Row("CONNECT", [(":method", "CONNECT"), (":authority", "gateway:443")], None, (400, 404, 405, 501)),
        Row("a method with a space", [(":method", "GE T"), *plain[1:]]),
        Row("a length beyond the body", [*chat, ("content-length", str(len(BODY) + 1))], BODY),
        Row("a length short of the body", [*chat, ("content-length", str(len(BODY) - 1))], BODY),
        Row("a length without a body", [*chat, ("content-length", "5")]),
        Row("two lengths that differ", [*chat, ("content-length", size), ("content-length", "3")], BODY),
        Row("two lengths that agree", [*chat, ("content-length", size), ("content-length", size)], BODY),
        *(
            Row(f"the length {value!r}", [*chat, ("content-length", value)], BODY)
            for value in ("many", "-1", f"+{size}", "0x40", "6_3", "99999999999999999999", "")
        ),
        Row("a list of 40 KiB", [*plain, *((f"x-{n}", "v" * 1000) for n in range(40))], None, (431,)),
        Row("a list of 1 MiB", [*plain, *((f"x-{n}", "v" * 10_000) for n in range(100))], None, (431,)),
        Row("30,000 names", [*plain, *((f"x{n}", "") for n in range(30_000))], None, (431,)),
    ]


ROWS = _own()
