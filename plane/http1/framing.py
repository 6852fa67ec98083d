"""What both legs share: the header fields that matter to framing, hop-by-hop names, status lines.

Sources: RFC 9110 (fields, Host, Connection), RFC 9112 (message framing).
"""

import re
from http import HTTPStatus

__all__ = [
    "HOP_BY_HOP",
    "MAX_ANSWER_FIELDS",
    "MAX_ANSWER_HEAD",
    "MAX_FIELDS",
    "MAX_HEAD",
    "MAX_URL",
    "chunk",
    "is_valid_host",
    "kind_of",
    "status_line",
]

MAX_HEAD = 16 * 1024
"""Bytes of a request head; more is 431."""
MAX_FIELDS = 64
MAX_URL = 4 * 1024
"""Bytes of a request target; more is 414."""
MAX_ANSWER_HEAD = 64 * 1024
MAX_ANSWER_FIELDS = 128

(
    OTHER,
    HOST,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    EXPECT,
    AUTHORIZATION,
    API_KEY,
    REQUEST_ID,
    CONTENT_TYPE,
    CONNECTION,
    HOP,
    PATIENCE,
    EXPLAIN,
    TELL_COST,
) = range(14)

HOP_BY_HOP = frozenset(
    [
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"upgrade",
        b"http2-settings",
    ]
)
"""Fields that speak of one connection only, with those that `Connection` names; framing fields are told apart below."""


def _spellings(names: dict[bytes, int]) -> dict[bytes, int]:
    """Return `names` in the two spellings that nearly all peers use, so that the common look-up needs no lower()."""
    return {
        form: kind
        for name, kind in names.items()
        for form in (name, b"-".join(p.capitalize() for p in name.split(b"-")))
    }


KINDS = _spellings(
    {
        b"host": HOST,
        b"content-length": CONTENT_LENGTH,
        b"transfer-encoding": TRANSFER_ENCODING,
        b"expect": EXPECT,
        b"authorization": AUTHORIZATION,
        b"x-api-key": API_KEY,
        b"api-key": API_KEY,
        b"x-goog-api-key": API_KEY,
        b"x-request-id": REQUEST_ID,
        b"content-type": CONTENT_TYPE,
        b"connection": CONNECTION,
        b"x-headgate-timeout-ms": PATIENCE,
        b"x-headgate-explain": EXPLAIN,
        b"x-headgate-include-cost": TELL_COST,
        **dict.fromkeys(HOP_BY_HOP - {b"connection"}, HOP),
        # Known to be nothing special, so that the fields most requests and answers carry need one look-up as well.
        **dict.fromkeys([b"server", b"date", b"user-agent", b"accept", b"accept-encoding", b"vary"], OTHER),
    }
)

HOST_PATTERN = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,=%-]{0,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
SIZES = [b"%x\r\n" % size for size in range(1024)]
"""The size lines of small chunks, ready made."""
STATUS_LINES = {status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus}


def kind_of(name: bytes) -> int:
    """Return which of the fields that matter here `name` is; OTHER for all the rest."""
    kind = KINDS.get(name)
    if kind is None:
        kind = KINDS.get(name.lower(), OTHER)
    return kind


def is_valid_host(host: bytes) -> bool:
    """Tell whether a Host field is a host and an optional port (RFC 9110 7.2)."""
    return HOST_PATTERN.fullmatch(host) is not None


def status_line(status: int) -> bytes:
    """Return the first line of an answer; a status without a standard phrase has an empty one."""
    line = STATUS_LINES.get(status)
    return line if line is not None else b"HTTP/1.1 %d \r\n" % status


def chunk(data: bytes) -> bytes:
    """Return `data` as one chunk of a chunked body."""
    size = len(data)
    line = SIZES[size] if size < len(SIZES) else b"%x\r\n" % size
    return b"".join((line, data, b"\r\n"))
