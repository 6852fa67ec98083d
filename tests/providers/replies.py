"""What scripted providers of chat models have in common: they echo, call the tools that a message names, and think."""

import json
from typing import Any, NamedTuple


class Reply(NamedTuple):
    """An answer, whatever the form: a thought, words in pieces, and calls of tools as (name, arguments)."""

    thought: str
    pieces: list[str]
    calls: list[tuple[str, dict[str, Any]]]


def reply(words: str, tools: list[str], results: list[str], thinks: bool) -> Reply:
    """Return the answer to the last words of a talk, or to the results of tools where it ends with them."""
    thought = "Let me see." if thinks else ""
    if results:
        return Reply(thought, ["The tools said: ", ", ".join(results)], [])
    calls = [(name, {"query": words}) for name in tools if name in words]
    return Reply(thought, [] if calls else ["You said: ", words], calls)


def whole(body: object, status: str = "200 OK") -> bytes:
    """Return an HTTP answer of JSON."""
    return framed(status, "application/json", json.dumps(body).encode())


def framed(status: str, kind: str, body: bytes) -> bytes:
    """Return an HTTP answer."""
    return f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def chunked(kind: str, messages: list[bytes]) -> bytes:
    """Return an HTTP answer that comes as a stream of messages."""
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%b\r\n" % (len(message), message) for message in messages) + b"0\r\n\r\n"
