"""What the HTTP/1.1 door makes of requests, and how it writes answers."""

import pytest

from plane.exchange import Exchange
from tests.plane.scripted import KIB, LIMIT, Caller, Script, answer, chunked, refusal, request

# --- one request


def test_a_request_is_served_with_what_its_head_says() -> None:
    caller = Caller()
    caller.send(request("/a/b?c=d&e", "x-request-id: 7", "authorization: Bearer key", "x-other: 1"))
    (exchange,) = caller.served
    assert (exchange.method, exchange.path, exchange.query, exchange.host) == (b"GET", b"/a/b", b"c=d&e", b"gateway")
    assert (exchange.credential, exchange.request_id, exchange.peer) == (b"key", b"7", b"192.0.2.7")
    assert exchange.headers[-1] == (b"x-other", b"1")
    assert caller.take() == answer(b"GET /a/b ")
    assert caller.wire.events == []


@pytest.mark.parametrize(
    ("fields", "credential"),
    [
        (("authorization: Bearer key",), b"key"),
        (("Authorization: bearer   key",), b"key"),
        (("AUTHORIZATION: BEARER key",), b"key"),
        (("x-api-key: key",), b"key"),
        (("API-Key: key",), b"key"),
        (("x-goog-api-key: key",), b"key"),
        (("x-api-key: other", "authorization: Bearer key"), b"key"),
        (("authorization: Bearer key", "x-api-key: other"), b"key"),
        (("authorization: Basic a2V5",), b""),
        (("authorization: Bearer",), b""),
        ((), b""),
    ],
)
def test_a_key_is_found_wherever_callers_put_it(fields: tuple[str, ...], credential: bytes) -> None:
    caller = Caller()
    caller.send(request("/", *fields))
    assert caller.served[0].credential == credential


@pytest.mark.parametrize("space", [" ", "\t", " \t \t"])
def test_white_space_after_a_value_is_not_part_of_it(space: str) -> None:
    caller = Caller()
    fields = (f"x-api-key: key{space}", "transfer-encoding: chunked ", f"expect: 100-continue{space}", f"a:{space}")
    caller.send(request("/", *fields, method="POST").replace(b"gateway\r\n", f"gateway{space}\r\n".encode()))
    assert caller.take() == b"HTTP/1.1 100 Continue\r\n\r\n"
    caller.send(chunked(b"body"))
    assert caller.take() == answer(b"POST / body")
    assert caller.served[0].credential == b"key"
    assert caller.served[0].headers[-1] == (b"a", b"")


EVERY_KIND = {
    "a request without body": request("/a", "x: 1"),
    "a body with a length": request("/a", method="POST", body=b"hello"),
    "a chunked body": request("/a", "transfer-encoding: chunked", method="PUT")
    + chunked(b"hel", b"lo", trailers=b"x-trailer: 1\r\n"),
    "chunk extensions": request("/a", "transfer-encoding: chunked", method="PUT") + b"5;a=b\r\nhello\r\n0;c\r\n\r\n",
    "pipelined requests": request("/a", method="POST", body=b"1")
    + request("/b")
    + request("/c", method="PUT", body=b"3"),
    "HTTP/1.0": request("/a", version="1.0"),
    "HTTP/1.0 kept alive": request("/a", "connection: keep-alive", version="1.0") * 2,
    "close": request("/a", "connection: close"),
    "more after close": request("/a", "connection: close") + request("/b"),
    "HEAD": request("/a", method="HEAD") + request("/b"),
    "an upgrade": request("/a", "connection: upgrade", "upgrade: h2c") + request("/b"),
    "an upgrade with a body": request(
        "/a", "connection: upgrade", "upgrade: h2c", method="POST", body=b"GET / HTTP/1.1"
    )
    + request("/b"),
    "an upgrade with a chunked body": request(
        "/a", "connection: upgrade", "upgrade: h2c", "transfer-encoding: chunked", method="POST"
    )
    + chunked(b"hel", b"lo")
    + request("/b"),
    "CONNECT": request("gateway:443", method="CONNECT") + request("/b"),
    "an absolute target": request("http://gateway/a"),
    "an absolute target of another scheme": request("ftp://gateway/a"),
    "a fragment": request("/a#b"),
    "chunked on HTTP/1.0": request("/a", "transfer-encoding: chunked", "connection: keep-alive", version="1.0"),
    "no host on HTTP/1.0": b"GET /a HTTP/1.0\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": request("/", "host: other"),
    "a bad host": b"GET / HTTP/1.1\r\nhost: a/b\r\n\r\n",
    "another version": request("/a", version="2.0"),
    "an unknown coding": request("/a", "transfer-encoding: gzip, chunked") + chunked(b"hello"),
    "garbage": b"nonsense\r\n\r\n",
    "garbage behind a request": request("/a") + b"nonsense\r\n\r\n" + request("/b"),
    "a bad head behind a request": request("/a") + request("/b", "x y: z") + request("/c"),
    "a bad host behind a request": request("/a") + request("/b", "host: other") + request("/c"),
    "too many fields": request("/a", *[f"x-{number}: 1" for number in range(64)]),
    "as many fields as may be": request("/a", *[f"x-{number}: 1" for number in range(63)]),
    "a long target": request("/" + "a" * 4096),
    "as long a target as may be": request("/" + "a" * 4095),
    "a large head": request("/a", *[f"x: {'v' * 1000}"] * 17),
    "as large a head as may be": request("/a", f"x: {'v' * (16 * KIB - len(request('/a', 'x: ')))}"),
    "one byte too large a head": request("/a", f"x: {'v' * (16 * KIB - len(request('/a', 'x: ')) + 1)}"),
    "too large a body": request("/a", method="POST", body=b"x" * (LIMIT + 1)),
    "as large a body as may be": request("/a", method="POST", body=b"x" * LIMIT),
    "too large a chunked body": request("/a", "transfer-encoding: chunked", method="POST")
    + chunked(b"x" * 600, b"x" * 600),
    "a large body, then a request": request("/a", method="POST", body=b"x" * LIMIT) * 30 + request("/b"),
    "line ends before a request": b"\r\n\r\n" + request("/a"),
    "a bad chunk": request("/a", "transfer-encoding: chunked", method="POST") + b"zz\r\nhello\r\n0\r\n\r\n",
    "two lengths": request("/a", "content-length: 5", method="POST", body=b"hello"),
    "length and chunked": request("/a", "transfer-encoding: chunked", method="POST", body=b"hello"),
}


def outcome(pieces: list[bytes]) -> tuple[bytes, bool]:
    """Return what the caller gets, and whether the connection ends."""
    caller = Caller()
    for piece in pieces:
        caller.send(piece)
    return caller.wire.sent, caller.wire.ending != ""


@pytest.mark.parametrize("name", [name for name in EVERY_KIND if len(EVERY_KIND[name]) < 400])
def test_a_request_cut_in_two_anywhere_has_the_same_outcome(name: str) -> None:
    data = EVERY_KIND[name]
    whole = outcome([data])
    assert whole[0]
    for cut in range(1, len(data)):
        assert outcome([data[:cut], data[cut:]]) == whole, (data[:cut], data[cut:])


@pytest.mark.parametrize("name", [name for name in EVERY_KIND if name != "a large body, then a request"])
def test_a_request_byte_by_byte_has_the_same_outcome(name: str) -> None:
    data = EVERY_KIND[name]
    assert outcome([bytes([byte]) for byte in data]) == outcome([data])


@pytest.mark.parametrize("cut", [1, 900, 1050, 16_000, 16_390, 20_000, 32_000, 32_800, 33_000])
def test_a_head_behind_a_large_body_is_not_taken_for_a_large_head(cut: int) -> None:
    caller = Caller()
    data = request("/a", method="POST", body=b"x" * LIMIT) * 15 + request("/b", f"x: {'v' * 15 * KIB}")
    caller.send(data[:cut])
    caller.send(data[cut:])
    assert caller.paths == [b"/a"] * 15 + [b"/b"]
    assert caller.faults == []


@pytest.mark.parametrize("size", [100, 800])
def test_a_head_behind_the_end_of_a_body_is_not_taken_for_a_large_head(size: int) -> None:
    caller = Caller()
    caller.send(request("/a", f"content-length: {size}", method="POST"))
    second = request("/b", f"x: {'v' * 16000}")
    caller.send(b"x" * size + second[:16020])
    caller.send(second[16020:])
    assert caller.take() == answer(b"POST /a " + b"x" * size) + answer(b"GET /b ")


@pytest.mark.parametrize("name", ["an upgrade with a body", "an upgrade with a chunked body"])
def test_what_follows_an_upgrade_is_its_body_and_then_the_next_request(name: str) -> None:
    body = b"GET / HTTP/1.1" if name == "an upgrade with a body" else b"hello"
    assert outcome([EVERY_KIND[name]]) == (answer(b"POST /a " + body) + answer(b"GET /b "), False)


def test_a_request_of_http_1_0_needs_no_host() -> None:
    assert outcome([EVERY_KIND["no host on HTTP/1.0"]]) == (answer(b"GET /a ", close=True), True)


@pytest.mark.parametrize(
    ("target", "host", "url"),
    [
        ("http://other/a?b=http://c/d", b"other", b"/a?b=http://c/d"),
        ("https://other:443/a", b"other:443", b"/a"),
        ("HTTP://[::1]/", b"[::1]", b"/"),
        ("http://other", b"other", b"/"),
        ("http://other?b", b"other", b"/?b"),
    ],
)
def test_an_absolute_target_is_a_path_of_its_own_host(target: str, host: bytes, url: bytes) -> None:
    caller = Caller()
    caller.send(request(target))
    assert caller.faults == []
    (exchange,) = caller.served
    assert (exchange.host, exchange.url) == (host, url)
    assert exchange.path + (b"?" + exchange.query if exchange.query else b"") == url


def test_an_upgrade_without_a_body_is_ignored() -> None:
    assert outcome([EVERY_KIND["an upgrade"]]) == (answer(b"GET /a ") + answer(b"GET /b "), False)


# --- heads and bodies that are refused


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("no host", refusal("400 Bad Request", "bad_host")),
        ("two hosts", refusal("400 Bad Request", "bad_host")),
        ("a bad host", refusal("400 Bad Request", "bad_host")),
        ("another version", refusal("400 Bad Request", "bad_version")),
        ("an unknown coding", refusal("501 Not Implemented", "bad_transfer_encoding")),
        ("an absolute target of another scheme", refusal("400 Bad Request", "bad_path")),
        ("CONNECT", refusal("400 Bad Request", "bad_path")),
        ("a fragment", refusal("400 Bad Request", "bad_path")),
        ("chunked on HTTP/1.0", refusal("501 Not Implemented", "bad_transfer_encoding")),
        ("garbage", refusal("400 Bad Request", "bad_request")),
        ("a bad chunk", refusal("400 Bad Request", "bad_request")),
        ("two lengths", refusal("400 Bad Request", "bad_request")),
        ("length and chunked", refusal("400 Bad Request", "bad_request")),
        ("too many fields", refusal("431 Request Header Fields Too Large", "head_too_large")),
        ("a large head", refusal("431 Request Header Fields Too Large", "head_too_large")),
        ("one byte too large a head", refusal("431 Request Header Fields Too Large", "head_too_large")),
        ("a long target", refusal("414 Request-URI Too Long", "uri_too_long")),
        ("too large a chunked body", refusal("413 Request Entity Too Large", "body_too_large")),
        ("too large a body", refusal("413 Request Entity Too Large", "body_too_large")),
        ("garbage behind a request", answer(b"GET /a ") + refusal("400 Bad Request", "bad_request")),
        ("a bad head behind a request", answer(b"GET /a ") + refusal("400 Bad Request", "bad_request")),
        ("a bad host behind a request", answer(b"GET /a ") + refusal("400 Bad Request", "bad_host")),
    ],
)
def test_what_is_refused_is_answered_in_its_place_and_ends_the_connection(name: str, refused: bytes) -> None:
    sent, ending = outcome([EVERY_KIND[name]])
    assert sent == refused
    assert ending


@pytest.mark.parametrize(
    "name", ["as many fields as may be", "as large a head as may be", "as long a target as may be"]
)
def test_a_head_at_its_bounds_is_served(name: str) -> None:
    sent, ending = outcome([EVERY_KIND[name]])
    assert sent.startswith(b"HTTP/1.1 200 OK")
    assert not ending


def test_an_endless_head_is_refused_before_it_is_whole() -> None:
    caller = Caller()
    caller.send(b"GET / HTTP/1.1\r\nx: " + b"v" * 16 * KIB)
    assert caller.take() == refusal("431 Request Header Fields Too Large", "head_too_large")


def test_a_body_over_its_bound_is_refused_by_its_length_alone() -> None:
    caller = Caller()
    caller.send(request("/", f"content-length: {LIMIT + 1}", "expect: 100-continue", method="POST"))
    assert caller.take() == refusal("413 Request Entity Too Large", "body_too_large")


@pytest.mark.parametrize("digits", [18, 19])
def test_a_length_of_many_digits_is_too_large_and_not_wrapped(digits: int) -> None:
    caller = Caller()
    caller.send(request("/", f"content-length: {'9' * digits}", method="POST"))
    assert caller.take() == refusal("413 Request Entity Too Large", "body_too_large")


def test_what_follows_a_refused_body_is_not_served() -> None:
    caller = Caller()
    caller.send(request("/", "transfer-encoding: chunked", method="POST"))
    caller.send(chunked(b"x" * LIMIT, b"x") + request("/next"))
    caller.send(request("/next"))
    assert caller.take() == refusal("413 Request Entity Too Large", "body_too_large")
    assert caller.served[0].body_parts == []
    assert caller.paths == [b"/"]


@pytest.mark.parametrize("junk", [b"0\r\nx: " + b"v" * 20 * KIB, b"5;" + b"e" * 20 * KIB], ids=["trailer", "extension"])
def test_a_body_that_is_all_framing_is_refused(junk: bytes) -> None:
    caller = Caller()
    caller.send(request("/", "transfer-encoding: chunked", method="POST") + b"1\r\na\r\n")
    for start in range(0, len(junk), KIB):
        caller.send(junk[start : start + KIB])
    assert caller.take() == refusal("400 Bad Request", "bad_request")
    assert caller.wire.ending == "write_eof"


def test_a_body_in_many_small_reads_is_not_taken_for_framing() -> None:
    caller = Caller()
    caller.send(request("/", "transfer-encoding: chunked", method="POST"))
    for _ in range(500):
        caller.send(b"1;" + b"e" * 100 + b"\r\na\r\n")
    caller.send(b"0\r\n\r\n" + request("/next", "transfer-encoding: chunked", method="POST"))
    for _ in range(400):
        caller.send(b"1;" + b"e" * 100 + b"\r\na\r\n")
    caller.send(b"0\r\n\r\n")
    assert caller.take() == answer(b"POST / " + b"a" * 500) + answer(b"POST /next " + b"a" * 400)


def test_a_body_in_many_small_chunks_is_joined_as_it_comes() -> None:
    caller = Caller()
    caller.send(request("/", "transfer-encoding: chunked", method="POST"))
    for _ in range(3):
        caller.send(b"2\r\nxx\r\n" * 100)
    caller.send(b"0\r\n\r\n")
    assert caller.take() == answer(b"POST / " + b"xx" * 300)
    caller.served.clear()
    caller.send(request("/", "transfer-encoding: chunked", method="POST"))
    parts = []
    for turn in range(5):
        caller.send(b"".join(b"2\r\n%02d\r\n" % number for number in range(turn * 20, turn * 20 + 20)) * 5)
        parts.append(len(caller.served[0].body_parts))
    caller.send(b"0\r\n\r\n")
    assert max(parts) <= 5
    expected = b"".join(
        b"".join(b"%02d" % number for number in range(turn * 20, turn * 20 + 20)) * 5 for turn in range(5)
    )
    assert caller.take() == answer(b"POST / " + expected)


def test_trailers_are_ignored() -> None:
    caller = Caller()
    trailers = b"host: other\r\nx-api-key: stolen\r\n"
    data = request("/", "transfer-encoding: chunked", method="POST") + chunked(b"body", trailers=trailers)
    caller.send(data + request("/next"))
    assert caller.paths == [b"/", b"/next"]
    assert (caller.served[0].credential, caller.served[0].host) == (b"", b"gateway")
    assert b"stolen" not in b"".join(value for _, value in caller.served[0].headers)


# --- 100 Continue


def test_the_body_is_asked_for_where_the_caller_waits_to_be_asked() -> None:
    caller = Caller()
    caller.send(request("/", "expect: 100-Continue", "content-length: 5", method="POST"))
    assert caller.take() == b"HTTP/1.1 100 Continue\r\n\r\n"
    caller.send(b"hello")
    assert caller.take() == answer(b"POST / hello")


@pytest.mark.parametrize(
    "data",
    [
        request("/", "expect: 100-continue", method="POST", body=b"hello"),
        request("/", "expect: 100-continue", method="POST"),
        request("/", "expect: 100-continue", "content-length: 0", method="POST"),
        request("/", "expect: 100-continue", "content-length: 5", method="POST", version="1.0"),
        request("/", "expect: something", "content-length: 5", method="POST"),
    ],
    ids=["the body is there", "no body", "an empty body", "HTTP/1.0", "another expectation"],
)
def test_the_body_is_not_asked_for_where_that_would_be_wrong(data: bytes) -> None:
    caller = Caller()
    caller.send(data)
    assert b"100 Continue" not in caller.take()


# --- keeping the connection, or not


@pytest.mark.parametrize(
    ("version", "connection", "kept"),
    [
        ("1.1", (), True),
        ("1.1", ("connection: keep-alive",), True),
        ("1.1", ("connection: close",), False),
        ("1.1", ("connection: keep-alive, Close",), False),
        ("1.0", (), False),
        ("1.0", ("connection: Keep-Alive",), True),
        ("1.0", ("connection: close",), False),
    ],
)
def test_a_connection_is_kept_as_version_and_connection_field_say(
    version: str, connection: tuple[str, ...], kept: bool
) -> None:
    caller = Caller()
    caller.send(request("/a", *connection, version=version))
    assert (b"connection: close\r\n" in caller.take()) is not kept
    assert caller.wire.events == ([] if kept else ["close"])


def test_an_http_1_0_caller_is_told_that_its_connection_is_kept() -> None:
    caller = Caller()
    caller.send(request("/a", "connection: keep-alive", version="1.0"))
    assert b"\r\nconnection: keep-alive\r\n" in caller.take()


def test_an_answer_before_the_body_has_come_ends_the_connection() -> None:
    async def early(exchange: Exchange) -> None:
        exchange.downstream.answer(200, b"", b"early")

    caller = Caller()
    caller.door.serve = early
    caller.send(request("/", "content-length: 5", method="POST"))
    assert caller.take() == answer(b"early", close=True)
    assert caller.wire.events == ["write_eof"]


# --- forms of an answer


def streamed(status: int, length: int, *parts: bytes) -> Script:
    """Return a script that sends an answer in parts."""

    async def stream(exchange: Exchange) -> None:
        exchange.downstream.start(status, b"x: 1\r\n", length)
        for part in parts[:-1]:
            exchange.downstream.write(part)
        exchange.downstream.finish(parts[-1])

    return stream


@pytest.mark.parametrize(
    ("method", "version", "status", "length", "sent"),
    [
        ("GET", "1.1", 200, -1, b"200 OK\r\nx: 1\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"),
        ("GET", "1.1", 200, 3, b"200 OK\r\nx: 1\r\ncontent-length: 3\r\n\r\nabc"),
        ("GET", "1.0", 200, -1, b"200 OK\r\nx: 1\r\nconnection: close\r\n\r\nabc"),
        ("GET", "1.0", 200, 3, b"200 OK\r\nx: 1\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc"),
        ("HEAD", "1.1", 200, -1, b"200 OK\r\nx: 1\r\n\r\n"),
        ("HEAD", "1.1", 200, 3, b"200 OK\r\nx: 1\r\ncontent-length: 3\r\n\r\n"),
        ("GET", "1.1", 204, -1, b"204 No Content\r\nx: 1\r\n\r\n"),
        ("GET", "1.1", 204, 0, b"204 No Content\r\nx: 1\r\n\r\n"),
        ("GET", "1.1", 304, -1, b"304 Not Modified\r\nx: 1\r\n\r\n"),
        ("GET", "1.1", 304, 3, b"304 Not Modified\r\nx: 1\r\ncontent-length: 3\r\n\r\n"),
    ],
)
def test_a_stream_is_framed_for_method_version_and_status(
    method: str, version: str, status: int, length: int, sent: bytes
) -> None:
    caller = Caller(streamed(status, length, b"a", b"", b"bc", b""))
    caller.send(request("/", method=method, version=version))
    assert caller.take() == b"HTTP/1.1 " + sent
    assert caller.wire.ending == ("close" if version == "1.0" else "")


def test_one_answer_s_form_does_not_carry_over_to_the_next() -> None:
    async def stream(exchange: Exchange) -> None:
        exchange.downstream.start(200, b"", -1 if exchange.path == b"/chunked" else 3)
        exchange.downstream.write(b"abc")
        exchange.downstream.finish(b"")

    caller = Caller(stream)
    caller.send(request("/chunked"))
    caller.take()
    caller.send(request("/sized", method="HEAD"))
    assert caller.take() == b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n"
    caller.send(request("/sized"))
    assert caller.take() == answer(b"abc")


def test_the_last_part_of_a_stream_goes_out_with_its_end() -> None:
    caller = Caller(streamed(200, -1, b"a", b"x" * 5000))
    caller.send(request("/"))
    assert caller.take().endswith(b"\r\n\r\n1\r\na\r\n1388\r\n" + b"x" * 5000 + b"\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    ("status", "length", "sent"),
    [
        (200, 1234, b"200 OK\r\ncontent-length: 1234\r\n\r\n"),
        (200, 0, b"200 OK\r\ncontent-length: 0\r\n\r\n"),
        (200, -1, b"200 OK\r\n\r\n"),
        (304, -1, b"304 Not Modified\r\n\r\n"),
        (204, -1, b"204 No Content\r\n\r\n"),
    ],
)
def test_an_answer_to_head_has_the_length_that_the_upstream_gave(status: int, length: int, sent: bytes) -> None:
    async def relayed(exchange: Exchange) -> None:
        exchange.answer_length = length
        exchange.downstream.answer(status, b"", b"")

    caller = Caller(relayed)
    caller.send(request("/", method="HEAD"))
    assert caller.take() == b"HTTP/1.1 " + sent


def test_an_answer_of_ours_to_head_has_the_length_that_get_would_have_got() -> None:
    caller = Caller()
    caller.send(request("/a", method="HEAD"))
    assert caller.take() == b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n"


def test_a_stream_that_is_aborted_has_no_end_and_ends_the_connection() -> None:
    async def broken(exchange: Exchange) -> None:
        exchange.downstream.start(200, b"", -1)
        exchange.downstream.write(b"abc")
        exchange.downstream.abort()

    caller = Caller(broken)
    caller.send(request("/") + request("/next"))
    assert caller.take().endswith(b"3\r\nabc\r\n")
    assert caller.wire.events == ["close"]
    assert caller.paths == [b"/"]


def test_the_date_is_the_one_the_door_has_now() -> None:
    caller = Caller()
    caller.door.date = b"date: now\r\n"
    caller.send(request("/a"))
    assert caller.take() == answer(b"GET /a ").replace(b"content-length", b"date: now\r\ncontent-length")
