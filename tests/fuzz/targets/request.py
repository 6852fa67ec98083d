"""Bytes of a caller at the door: the same exchanges however they are cut, and never more than llhttp alone would find.

What llhttp refuses ends the connection.
"""

from collections.abc import Hashable

from httptools import HttpParserError, HttpParserInvalidURLError, HttpParserUpgrade, HttpRequestParser, parse_url

from tests.fuzz.engine import cuts
from tests.plane.scripted import Caller

WORDS = (
    *(
        b"GET ",
        b"POST ",
        b"HEAD ",
        b"OPTIONS * ",
        b"CONNECT a:1 ",
        b" HTTP/1.1\r\n",
        b" HTTP/1.0\r\n",
        b" HTTP/2.0\r\n",
    ),
    *(b"Host: gateway\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n"),
    *(b"Connection: keep-alive\r\n", b"Connection: Upgrade\r\nUpgrade: h2c\r\n", b"Expect: 100-continue\r\n"),
    *(b"0\r\n\r\n", b"3\r\nabc\r\n", b"\r\n\r\n", b"\r\n", b"\n", b": ", b"%2F", b"/../", b"#", b"?", b"http://a/"),
    *(
        b"content-length:",
        b"transfer-encoding: identity\r\n",
        b"gzip, chunked",
        b"x-api-key: k\r\n",
        b"[::1]:80",
        b";e=v",
    ),
)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Heads:
    """What llhttp alone finds."""

    def __init__(self) -> None:
        self.urls: list[bytes] = []
        self.url = b""

    def on_message_begin(self) -> None:
        self.url = b""

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_headers_complete(self) -> None:
        self.urls.append(self.url)


REFUSALS = frozenset(
    ["bad_request", "head_too_large", "uri_too_long", "bad_version", "bad_host", "bad_path", "bad_transfer_encoding"]
)
"""A head may deserve several of them; which one comes first may depend on how much of it has come."""


def outcome(pieces: list[bytes]) -> tuple[list[bytes], list[str], bytes, str]:
    """Return the paths served, the faults, what was answered, and what ended the connection, if anything."""
    caller = Caller()
    for piece in pieces:
        if not caller.wire.ending:
            caller.send(piece)
    ended = caller.wire.ending
    sent = caller.take()
    caller.lose()
    assert caller.connection.due == 0
    assert not caller.door.connections
    faults = ["refused" if fault in REFUSALS else fault for fault in caller.faults if fault != "client_gone"]
    if faults[-1:] == ["refused"]:
        sent = sent[: sent.rindex(b"HTTP/1.1 ")]
    return caller.paths, faults, sent.replace(CONTINUE, b""), ended


def path_of(url: bytes) -> bytes:
    """Return the path of a request's target, as httptools finds it in an absolute one.

    httptools knows no host with ``!`` and the like, which RFC 3986 3.2.2 allows.
    """
    before = url.partition(b"?")[0]
    if before.startswith(b"/"):
        return before
    try:
        return parse_url(url).path or b"/"
    except HttpParserInvalidURLError:
        return b"/" + before.partition(b"://")[2].partition(b"/")[2]


def check(data: bytes) -> Hashable:
    """Compare one read with many, and with llhttp."""
    heads = Heads()
    refused = upgraded = False
    try:
        HttpRequestParser(heads).feed_data(data)
    except HttpParserUpgrade:
        upgraded = True
    except HttpParserError:
        refused = True
    paths, faults, sent, ended = outcome([data])
    if not upgraded:
        assert paths == [path_of(url) for url in heads.urls[: len(paths)]], "the door serves what llhttp does not find"
        assert ended or not refused, "llhttp refuses this, and the door goes on"
    if ended != "abort":  # A flood: too many requests in one read, of which many reads are served.
        # A request whose body turns out wrong may have been begun by then: what was answered, with its path, counts.
        _, *cut, cut_ended = outcome(cuts(data))
        assert (*cut, bool(cut_ended)) == (faults, sent, bool(ended)), "another cut, another outcome"
    return len(paths), tuple(faults), sent.count(b"HTTP/1.1 "), sent[9:12], ended, refused, upgraded
