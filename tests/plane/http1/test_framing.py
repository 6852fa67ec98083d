"""The fields that matter to framing, hosts, status lines and chunks."""

import httptools
import pytest

from plane.http1 import framing
from plane.http1.framing import HOP_BY_HOP, chunk, is_valid_host, kind_of, status_line


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (b"host", framing.HOST),
        (b"Content-Length", framing.CONTENT_LENGTH),
        (b"TRANSFER-ENCODING", framing.TRANSFER_ENCODING),
        (b"transfer-Encoding", framing.TRANSFER_ENCODING),
        (b"expect", framing.EXPECT),
        (b"Authorization", framing.AUTHORIZATION),
        (b"X-API-Key", framing.API_KEY),
        (b"api-key", framing.API_KEY),
        (b"X-Request-Id", framing.REQUEST_ID),
        (b"content-type", framing.CONTENT_TYPE),
        (b"Connection", framing.CONNECTION),
        (b"user-agent", framing.OTHER),
        (b"x-other", framing.OTHER),
        (b"", framing.OTHER),
        (b"\xff\xfe", framing.OTHER),
        (b"content_length", framing.OTHER),
        (b"transfer-encoding ", framing.OTHER),
    ],
)
def test_a_field_is_told_by_its_name_in_any_case(name: bytes, kind: int) -> None:
    assert kind_of(name) == kind


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP - {b"connection"}))
def test_what_speaks_of_one_connection_is_a_hop_field_in_any_case(name: bytes) -> None:
    assert [kind_of(form) for form in (name, name.upper(), name.title())] == [framing.HOP] * 3


@pytest.mark.parametrize(
    "host",
    [b"", b"a", b"a.b-c.example", b"a:80", b"127.0.0.1:8080", b"[::1]", b"[::1]:443", b"a_b", b"%41", b"A", b"x" * 255],
)
def test_a_host_with_or_without_port_is_valid(host: bytes) -> None:
    assert is_valid_host(host)


@pytest.mark.parametrize(
    "host",
    [
        *(b"a b", b"a/b", b"a, b", b"u@a", b"http://a", b"a:80a", b"a:", b"a:123456", b":80:80", b"[::1", b"::1"),
        *(
            b"[]",
            b"[g::1]",
            b"a\n",
            b"a\r",
            b"a\0",
            b"\xff",
            b"a?b",
            b"a#b",
            b"a\\b",
            b" a",
            b"a ",
            b"a\t",
            b"a;b",
            b"x" * 256,
        ),
    ],
)
def test_what_is_no_host_is_refused(host: bytes) -> None:
    assert not is_valid_host(host)


@pytest.mark.parametrize(
    ("status", "line"),
    [(200, b"HTTP/1.1 200 OK\r\n"), (404, b"HTTP/1.1 404 Not Found\r\n"), (599, b"HTTP/1.1 599 \r\n")],
)
def test_a_status_line_has_the_standard_phrase_or_none(status: int, line: bytes) -> None:
    assert status_line(status) == line


class Body:
    """Collects what a parser reads."""

    def __init__(self) -> None:
        self.data = b""
        self.complete = False

    def on_body(self, data: bytes) -> None:
        self.data += data

    def on_message_complete(self) -> None:
        self.complete = True


@pytest.mark.parametrize("size", [1, 9, 10, 15, 16, 255, 256, 1022, 1023, 1024, 1025, 65536])
def test_a_chunk_of_any_size_is_read_back(size: int) -> None:
    data = bytes(range(256)) * 257
    body = Body()
    parser = httptools.HttpResponseParser(body)
    parser.feed_data(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    parser.feed_data(chunk(data[:size]) + b"0\r\n\r\n")
    assert body.data == data[:size]
    assert body.complete
