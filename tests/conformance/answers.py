"""Answers of an upstream, byte for byte, and the words in which a row says what the caller then gets."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.e2e.harness import chat_request
from tests.providers.scripted import Moment, Step

JSON = json.dumps(
    {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": "scripted-small",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "scripted"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        "unknown_to_us": [1.5, 1e3, "\u00fc"],
    }
).encode()
CHUNK = b'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"scripted"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
CHUNKED = "transfer-encoding: chunked"
STREAM_HEAD = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{CHUNKED}\r\n\r\n".encode()
CHUNKED_HEAD = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{CHUNKED}\r\n\r\n".encode()
POISON = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 18\r\n\r\n{"poisoned": true}'
LAST_CHUNK = b"0\r\n\r\n"


def answer(*fields: str, status: str = "200 OK", version: str = "HTTP/1.1", body: bytes = JSON) -> bytes:
    """Return an answer with the header lines `fields`, just as they are given."""
    lines = [f"{version} {status}", "content-type: application/json", *fields]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def sized(*fields: str, status: str = "200 OK", version: str = "HTTP/1.1", body: bytes = JSON) -> bytes:
    """Return an answer with its true content-length."""
    return answer(f"content-length: {len(body)}", *fields, status=status, version=version, body=body)


def chunk(data: bytes) -> bytes:
    """Return one HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def failure(message: str, kind: str, code: str) -> bytes:
    """Return an error in OpenAI's shape."""
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}).encode()


@dataclass(frozen=True)
class Refused:
    """The gateway answers with an error of its own."""

    status: int
    code: str


@dataclass(frozen=True)
class Cut:
    """The stream has begun; it ends with an error event and without ``[DONE]``.

    The event "begun" of the upstream is set once the caller has what was sent until then.
    """

    code: str
    begun: bytes = CHUNK


@dataclass(frozen=True)
class Broken:
    """So much of a body was relayed that only the missing end of the message can tell the caller."""

    begun: int = 1024 * 1024


@dataclass(frozen=True)
class Relayed:
    """The caller gets the upstream's status and body.

    body: None stands for the echo of the call.
    kept: whether the connection serves the next call as well.
    fields: header fields that must reach the caller.
    """

    body: bytes | None = JSON
    status: int = 200
    kept: bool = False
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One way to misbehave.

    at: when the steps begin.
    reused: the call goes over a connection that has served one before.
    calls: how many requests the upstream gets to see.
    request: makes the call's bytes of a word that no other call has.
    """

    name: str
    steps: tuple[Step, ...]
    expected: Refused | Cut | Broken | Relayed
    at: Moment = "body"
    model: str = "good"
    stream: bool = False
    reused: bool = False
    calls: int = 1
    request: Callable[[str], bytes] | None = None

    def call(self, word: str) -> bytes:
        """Return the bytes of the call."""
        if self.request is not None:
            return self.request(word)
        return chat_request(word, model=self.model, **({"stream": True} if self.stream else {}))
