"""What a misbehaving upstream does, and what the caller then gets: one row each."""

from tests.conformance.answers import (
    CHUNK,
    CHUNKED,
    CHUNKED_HEAD,
    DONE,
    JSON,
    LAST_CHUNK,
    POISON,
    STREAM_HEAD,
    Broken,
    Cut,
    Refused,
    Relayed,
    Row,
    answer,
    chunk,
    failure,
    sized,
)
from tests.e2e.harness import chat_request, get
from tests.providers.scripted import awaits, bytewise, dripping, fin, repeated, reset, until_closed, until_closed_unread

BAD = Refused(502, "upstream_bad_answer")
CLOSED = Refused(502, "upstream_reset")
LATE = Refused(504, "upstream_timeout")
BEGUN = awaits("begun")
BIG = b'{"choices":[],"padding":"' + b"x" * (2 * 1024 * 1024) + b'"}'
EVENTS = b": keep-alive\r\n\r\n" + CHUNK.replace(b"\n", b"\r\n") + b'data: {"choices":\ndata: []}\n\n' + DONE
PROVIDER_ERRORS = (
    ("400 Bad Request", "invalid_request_error", "context_length_exceeded"),
    ("404 Not Found", "not_found_error", "model_not_found"),
    ("422 Unprocessable Entity", "invalid_request_error", "unprocessable"),
    ("500 Internal Server Error", "server_error", "internal"),
    ("503 Service Unavailable", "server_error", "overloaded"),
    ("529 Overloaded", "overloaded_error", "overloaded"),
)


def _connecting() -> list[Row]:
    return [
        Row("refused connection", (), Refused(502, "upstream_unreachable"), model="refused", calls=0),
        Row("connecting never ends", (), Refused(504, "upstream_connect_timeout"), model="unconnected", calls=0),
        Row("refused connection, next target", (sized(),), Relayed(kept=True), model="failover"),
    ]


def _silence() -> list[Row]:
    half = JSON[: len(JSON) // 2]
    return [
        Row("no answer", (until_closed,), LATE, model="unanswered"),
        Row("silence within the head", (b"HTTP/1.1 200 OK\r\nconte", until_closed), LATE, model="unanswered"),
        Row("100 and then silence", (b"HTTP/1.1 100 Continue\r\n\r\n", until_closed), LATE, model="unanswered"),
        Row(
            "silence within a JSON body",
            (answer(f"content-length: {len(JSON)}", body=half), until_closed),
            LATE,
            model="silent",
        ),
        Row(
            "silence within a stream",
            (STREAM_HEAD + chunk(CHUNK), until_closed),
            Cut("upstream_timeout"),
            model="silent",
            stream=True,
        ),
        Row(
            "a stream without end",
            (STREAM_HEAD + chunk(CHUNK), dripping(chunk(b": \n\n"))),
            Cut("upstream_timeout"),
            model="endless",
            stream=True,
        ),
        Row(
            "a JSON body without end",
            (CHUNKED_HEAD + chunk(b'{"a": "'), dripping(chunk(b"."))),
            LATE,
            model="endless",
        ),
    ]


def _ends_too_early() -> list[Row]:
    half = JSON[: len(JSON) // 2]
    rows = []
    for name, end in (("FIN", fin), ("reset", reset)):
        rows += [
            Row(f"{name} before the answer", (end,), CLOSED),
            Row(f"{name} before the answer, reused connection", (end,), CLOSED, reused=True),
            Row(
                f"{name} before the answer, reused connection, replay allowed",
                (end,),
                Relayed(None),
                model="replayed",
                reused=True,
                calls=2,
            ),
            Row(f"{name} before the answer, fresh connection, replay allowed", (end,), CLOSED, model="replayed"),
            Row(f"{name} within the head", (b"HTTP/1.1 200 OK\r\ncontent-le", end), CLOSED),
            Row(
                f"{name} within a body of known length",
                (answer(f"content-length: {len(JSON)}", body=half), end),
                CLOSED,
            ),
            Row(f"{name} within a chunk", (CHUNKED_HEAD + chunk(JSON)[:-20], end), CLOSED),
            Row(f"{name} between chunks", (CHUNKED_HEAD + chunk(half), end), CLOSED),
            Row(f"{name} before the last chunk", (CHUNKED_HEAD + chunk(JSON), end), CLOSED),
            Row(f"{name} after 100", (b"HTTP/1.1 100 Continue\r\n\r\n", end), CLOSED),
            Row(f"{name} after 199", (b"HTTP/1.1 199 Odd\r\n\r\n", end), CLOSED),
            Row(
                f"{name} within a stream", (STREAM_HEAD + chunk(CHUNK), BEGUN, end), Cut("upstream_reset"), stream=True
            ),
            Row(
                f"{name} within an event",
                (STREAM_HEAD + chunk(CHUNK), BEGUN, chunk(CHUNK[:30]), end),
                Cut("upstream_reset"),
                stream=True,
            ),
            Row(
                f"{name} within a large body",
                (answer(f"content-length: {len(BIG)}", body=BIG[:-1000]), BEGUN, end),
                Broken(),
            ),
        ]
    rows.append(Row("reset of a body that lasts until close", (answer(body=half), reset), CLOSED))
    return rows


def _bad_heads() -> list[Row]:
    status_lines = (
        "HTTP/1.1 0 Zero",
        "HTTP/1.1 99 Low",
        "HTTP/1.1 099 Low",
        "HTTP/1.1 101 Switching Protocols",
        "HTTP/1.1 600 High",
        "HTTP/1.1 999 High",
        "HTTP/1.1 1000 High",
        "HTTP/1.1 65535 High",
        "HTTP/1.1 abc Word",
        "HTTP/1.1 -200 OK",
        "HTTP/1.2 200 OK",
        "HTTP/2.0 200 OK",
        "HTTP/0.9 200 OK",
        "http/1.1 200 OK",
        "ICY 200 OK",
        "SSH-2.0-OpenSSH_9.2",
    )
    rows = [
        Row(line, (f"{line}\r\ncontent-length: 2\r\n\r\n{{}}".encode(), until_closed), BAD) for line in status_lines
    ]
    length = f"content-length: {len(JSON)}"
    for name, fields in (
        ("both length and chunked", (length, CHUNKED)),
        ("chunked before the length", (CHUNKED, length)),
        ("two lengths that differ", (length, "content-length: 3")),
        ("a length that is a word", ("content-length: many",)),
        ("a negative length", ("content-length: -1",)),
        ("a length with a sign", (f"content-length: +{len(JSON)}",)),
        ("a length beyond 64 bits", ("content-length: 99999999999999999999",)),
        ("a list of lengths", (f"content-length: {len(JSON)}, {len(JSON)}",)),
        ("gzip, chunked", ("transfer-encoding: gzip, chunked",)),
        ("chunked, gzip", ("transfer-encoding: chunked, gzip",)),
        ("chunked twice", (CHUNKED, CHUNKED)),
        ("identity", ("transfer-encoding: identity",)),
        ("xchunked", ("transfer-encoding: xchunked",)),
        ("a space before the colon", ("content-length : 5", length)),
        ("a folded line", ("x-folded: a", " b", length)),
        ("a field without colon", ("nonsense", length)),
        ("a field without name", (": value", length)),
        ("NUL in a value", ("x-nul: a\0b", length)),
        ("CR in a value", ("x-cr: a\rset-cookie: b", length)),
        ("too many fields", (length, *(f"x-{number}: v" for number in range(129)))),
    ):
        rows.append(Row(name, (answer(*fields), until_closed), BAD))
    rows += [
        Row(
            "chunked on HTTP/1.0",
            (answer(CHUNKED, version="HTTP/1.0", body=chunk(JSON) + LAST_CHUNK), until_closed),
            BAD,
        ),
        Row("garbage", (b"\0\1\2\3 no HTTP at all \r\n\r\n", until_closed), BAD),
        Row("HTTP/0.9", (b"<html>hello</html>", fin), BAD),
        Row("TLS alert", (b"\x15\x03\x01\x00\x02\x02\x46", until_closed), BAD),
        Row("endless field", (b"HTTP/1.1 200 OK\r\nx-endless: ", repeated(b"x" * 4096, 10_000), until_closed), BAD),
        Row("endless fields", (b"HTTP/1.1 200 OK\r\n", repeated(b"x-a: b\r\n" * 512, 10_000), until_closed), BAD),
        Row("endless status line", (b"HTTP/1.1 200 ", repeated(b"O" * 4096, 10_000), until_closed), BAD),
        Row("endless 1xx", (repeated(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" * 100, 10_000), until_closed), BAD),
    ]
    return rows


def _bad_bodies() -> list[Row]:
    rows = []
    for name, data in (
        ("a chunk size that is a word", b"zz\r\nhello\r\n"),
        ("a chunk size with 0x", b"0x5\r\nhello\r\n"),
        ("a negative chunk size", b"-5\r\nhello\r\n"),
        ("a chunk size beyond 64 bits", b"fffffffffffffffff\r\nhello\r\n"),
        ("an empty chunk size", b"\r\nhello\r\n"),
        ("a chunk longer than it says", b"2\r\nhello\r\n"),
    ):
        rows += [
            Row(name, (CHUNKED_HEAD + chunk(b"{}") + data, until_closed), BAD),
            Row(
                f"{name}, within a stream",
                (STREAM_HEAD + chunk(CHUNK), BEGUN, data, until_closed),
                Cut("upstream_bad_answer"),
                stream=True,
            ),
        ]
    endless = repeated(b"x" * 65536, 1000)
    return [
        *rows,
        Row("endless chunk extension", (CHUNKED_HEAD + b"5;", endless, until_closed), BAD),
        Row(
            "endless trailers",
            (CHUNKED_HEAD + chunk(JSON) + b"0\r\n", repeated(b"a: b\r\n" * 9999, 999), until_closed),
            BAD,
        ),
        Row(
            "endless event",
            (STREAM_HEAD + chunk(CHUNK), BEGUN, chunk(b"data: ") + b"fffffff\r\n", endless, until_closed),
            Cut("upstream_bad_answer"),
            stream=True,
        ),
    ]


def _tolerated() -> list[Row]:
    stream = STREAM_HEAD + chunk(CHUNK) + chunk(DONE) + LAST_CHUNK
    trailers = b"0\r\nx-trailer: 1\r\nset-cookie: a=b\r\n\r\n"
    early = failure("Too large.", "invalid_request_error", "too_large")
    return [
        Row("well-formed JSON", (sized(),), Relayed(kept=True)),
        Row("well-formed JSON on a reused connection", (sized(),), Relayed(kept=True), reused=True),
        Row("well-formed stream", (stream,), Relayed(CHUNK + DONE, kept=True), stream=True),
        Row("byte by byte", (bytewise(sized()),), Relayed(kept=True)),
        Row("stream byte by byte", (bytewise(stream),), Relayed(CHUNK + DONE, kept=True), stream=True),
        Row("chunked JSON", (CHUNKED_HEAD + chunk(JSON[:9]) + chunk(JSON[9:]) + LAST_CHUNK,), Relayed(kept=True)),
        Row(
            "one-byte chunks",
            (CHUNKED_HEAD + b"".join(chunk(b"%c" % b) for b in JSON) + LAST_CHUNK,),
            Relayed(kept=True),
        ),
        Row("chunk extensions", (CHUNKED_HEAD + b'2;a="b"\r\n{}\r\n0;c\r\n\r\n',), Relayed(b"{}", kept=True)),
        Row("trailers", (CHUNKED_HEAD + chunk(JSON) + trailers,), Relayed(kept=True)),
        Row("stream with trailers", (STREAM_HEAD + chunk(DONE) + trailers,), Relayed(DONE, kept=True), stream=True),
        Row(
            "other line ends, comments, split data",
            (STREAM_HEAD + chunk(EVENTS) + LAST_CHUNK,),
            Relayed(EVENTS, kept=True),
            stream=True,
        ),
        Row(
            "stream without [DONE]", (STREAM_HEAD + chunk(CHUNK) + LAST_CHUNK,), Relayed(CHUNK, kept=True), stream=True
        ),
        Row(
            "error object within a stream",
            (
                STREAM_HEAD
                + chunk(CHUNK)
                + chunk(b"data: " + failure("Busy.", "server_error", "busy") + b"\n\n")
                + LAST_CHUNK,
            ),
            Relayed(CHUNK + b"data: " + failure("Busy.", "server_error", "busy") + b"\n\n", kept=True),
            stream=True,
        ),
        Row("JSON where a stream was asked for", (sized(),), Relayed(kept=True), stream=True),
        Row(
            "100, 102 and 103 before the answer",
            (
                b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n",
                b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n",
                sized(),
            ),
            Relayed(kept=True),
        ),
        Row("as many fields as may be", (sized(*(f"x-{number}: v" for number in range(126))),), Relayed(kept=True)),
        Row("connection: close", (sized("connection: close"), until_closed), Relayed()),
        Row("Keep-Alive: timeout", (sized("keep-alive: timeout=5, max=100"),), Relayed(kept=True)),
        Row("HTTP/1.0", (sized(version="HTTP/1.0"), until_closed), Relayed()),
        Row("HTTP/1.0 kept alive", (sized("connection: keep-alive", version="HTTP/1.0"),), Relayed(kept=True)),
        Row("no length, FIN", (answer("connection: close"), fin), Relayed()),
        Row("no length, FIN, nothing said", (answer(), fin), Relayed()),
        Row(
            "stream until FIN",
            (b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + CHUNK + DONE, fin),
            Relayed(CHUNK + DONE),
            stream=True,
        ),
        Row("length too long", (answer(f"content-length: {len(JSON) + 9}"), fin), CLOSED),
        Row("length too short", (answer("content-length: 2", body=b"{}" + POISON), until_closed), Relayed(b"{}")),
        Row("bytes after the last chunk", (CHUNKED_HEAD + chunk(JSON) + LAST_CHUNK + POISON, until_closed), Relayed()),
        Row(
            "204 with a body",
            (answer("content-length: 2", status="204 No Content", body=b"{}"), until_closed),
            Relayed(b"", 204),
        ),
        Row(
            "304 with a body",
            (answer("content-length: 2", status="304 Not Modified", body=b"{}"), until_closed),
            Relayed(b"", 304),
        ),
        Row(
            "an answer to HEAD", (answer("content-length: 5", body=b""), until_closed), Relayed(b""), request=call_head
        ),
        Row("an answer to HEAD with a body", (sized(), until_closed), Relayed(b""), request=call_head),
        Row(
            "answer before the body was read",
            (sized("connection: close", status="413 Content Too Large", body=early), until_closed_unread),
            Relayed(early, 413),
            at="head",
            request=lambda word: chat_request(word + "x" * (16 * 1024 * 1024)),
        ),
        Row("invalid UTF-8", (sized(body=b'{"a": "\xff\xfe"}'),), Relayed(b'{"a": "\xff\xfe"}', kept=True)),
        Row("an empty body", (sized(body=b""),), Relayed(b"", kept=True)),
        Row("a body that is not JSON", (sized(body=b"<html>"),), Relayed(b"<html>", kept=True)),
        Row("a large body", (sized(body=BIG),), Relayed(BIG, kept=True)),
        Row(
            "a large chunked body",
            (CHUNKED_HEAD + chunk(BIG[:999_999]) + chunk(BIG[999_999:]) + LAST_CHUNK,),
            Relayed(BIG, kept=True),
        ),
        Row("a large body until FIN", (answer(body=BIG), fin), Relayed(BIG)),
    ]


def _errors_of_the_provider() -> list[Row]:
    rows = []
    for status, kind, code in PROVIDER_ERRORS:
        body = failure("The provider says no.", kind, code)
        rows.append(
            Row(f"provider's {status}", (sized(status=status, body=body),), Relayed(body, int(status[:3]), kept=True))
        )
        rows.append(
            Row(
                f"provider's {status} to a stream",
                (sized(status=status, body=body),),
                Relayed(body, int(status[:3]), kept=True),
                stream=True,
            )
        )
    limited = failure("Slow down.", "rate_limit_error", "rate_limit_exceeded")
    rows.append(
        Row(
            "provider's 429 with retry-after",
            (sized("retry-after: 7", "retry-after-ms: 6500", status="429 Too Many Requests", body=limited),),
            Relayed(limited, 429, kept=True, fields={"retry-after": "7", "retry-after-ms": "6500"}),
        )
    )
    return rows


def call_head(word: str) -> bytes:
    """Return a HEAD request of a plain route."""
    return get(f"/api/{word}", method="HEAD")


ROWS = (
    _connecting()
    + _silence()
    + _ends_too_early()
    + _bad_heads()
    + _bad_bodies()
    + _tolerated()
    + _errors_of_the_provider()
)
