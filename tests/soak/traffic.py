"""Traffic of all kinds, fast enough for a million requests: a provider and callers, each a process of its own.

    python -m tests.soak.traffic provider            prints its port, and serves until it is ended
    python -m tests.soak.traffic callers PORT COUNT  prints how many are done at each 1/60, at the end a JSON object

A request's model says how it goes. Of each hundred 67 are answered whole, 25 are streams, 5 are streams that the caller
leaves, one fails at the provider, one is a stream that the provider leaves, and one has a key that nobody knows.
"""

import asyncio
import json
import re
import sys
from collections import Counter
from dataclasses import dataclass
from http import HTTPStatus

import uvloop

from tests.e2e.harness import chat_request

CALLERS = 32
MODELS = ("whole", "streamed", "left", "failing", "cut")
REPLY = b'{"id":"x","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}'
ERROR = b'{"error":{"message":"no","type":"server_error","param":null,"code":null}}'
EVENT = b'data: {"choices":[{"delta":{"content":"word"}}]}\n\n'
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
DONE = b"data: [DONE]\n\n"
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


def say(what: object) -> None:
    """Tell the test something, in a line."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def chunk(data: bytes) -> bytes:
    """Return `data` as a chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def answer(status: HTTPStatus, body: bytes) -> bytes:
    """Return a whole answer of JSON."""
    head = f"HTTP/1.1 {status} {status.phrase}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


BEGIN = STREAM + chunk(EVENT) * 3
END = chunk(EVENT) * 3 + chunk(DONE) + b"0\r\n\r\n"


class Messages(asyncio.Protocol):
    """A connection on which messages are read one after the other."""

    transport: asyncio.Transport
    received = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # of TCP, it is one
        self.transport = transport

    def whole(self) -> bytes:
        """Return what came once it is a whole message, else b""."""
        head, blank, body = self.received.partition(b"\r\n\r\n")
        if not blank:
            return b""
        found = LENGTH.search(head)
        if len(body) < int(found[1]) if found else not body.endswith(b"0\r\n\r\n"):
            return b""
        message, self.received = self.received, b""
        return message


class Provider(Messages):
    """Answers as the model asked for says; a stream that the caller is to leave has no end."""

    def data_received(self, data: bytes) -> None:
        self.received += data
        message = self.whole()
        if not message:
            return
        model = json.loads(message.partition(b"\r\n\r\n")[2])["model"]
        if model == "whole":
            self.transport.write(answer(HTTPStatus.OK, REPLY))
        elif model == "failing":
            self.transport.write(answer(HTTPStatus.INTERNAL_SERVER_ERROR, ERROR))
        else:
            self.transport.write(BEGIN)
            if model != "left":
                asyncio.get_running_loop().call_later(0.001, self.end, model)

    def end(self, model: str) -> None:
        """End the stream in order, or in the middle."""
        if model == "streamed":
            self.transport.write(END)
        else:
            self.transport.abort()


@dataclass(frozen=True)
class Kind:
    """A kind of request, the status that it gets, and something that its answer has in it."""

    name: str
    request: bytes
    status: int = 200
    mark: bytes = b""


KINDS = (
    *[Kind("whole", chat_request("hello", model="whole"))] * 67,
    *[Kind("streamed", chat_request("hello", model="streamed", stream=True), mark=DONE)] * 25,
    *[Kind("left", chat_request("hello", model="left", stream=True))] * 5,
    Kind("failing", chat_request("hello", model="failing"), 500),
    Kind("cut", chat_request("hello", model="cut", stream=True), mark=b'"code":"upstream_'),
    Kind("unknown", chat_request("hello", key="hg-nobody", model="whole"), 401),
)


class Calls:
    """What is still to be called, and what came of it."""

    def __init__(self, port: int, count: int) -> None:
        self.port = port
        self.count = count
        self.begun = self.ended = self.open = 0
        self.found: Counter[str] = Counter()
        self.example = ""
        self.tasks: set[asyncio.Future[None]] = set()
        self.done = asyncio.get_running_loop().create_future()

    def next(self) -> Kind | None:
        """Return the next kind in the row; 37 has no divisor in common with 100, so that kinds are well mixed."""
        if self.begun == self.count:
            return None
        self.begun += 1
        return KINDS[self.begun * 37 % 100]

    def end(self, kind: Kind, right: bool, message: bytes) -> None:
        """Count a call that is over."""
        self.found[kind.name if right else "wrong"] += 1
        if not right and not self.example:
            self.example = f"{kind.name}: {message[:300]!r}"
        self.ended += 1
        if self.ended % max(1, self.count // 60) == 0:
            say(self.ended)

    async def connect(self) -> None:
        """Open one more connection that calls."""
        await asyncio.get_running_loop().create_connection(lambda: Caller(self), "127.0.0.1", self.port)


class Caller(Messages):
    """Calls again and again; after a call that ends with its connection, another one goes on."""

    kind: Kind | None = None

    def __init__(self, calls: Calls) -> None:
        self.calls = calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # of TCP, it is one
        super().connection_made(transport)
        self.calls.open += 1
        self.call()

    def call(self) -> None:
        """Send the next request, or leave."""
        self.kind = self.calls.next()
        if self.kind is None:
            self.transport.close()
        else:
            self.transport.write(self.kind.request)

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self.kind is None:
            return
        if self.kind.name == "left":
            if EVENT in self.received:
                self.over(True)
                self.transport.abort()
            return
        message = self.whole()
        if message:
            self.over(message.startswith(b"HTTP/1.1 %d " % self.kind.status) and self.kind.mark in message, message)
            if b"\r\nconnection: close\r\n" not in message:
                self.call()

    def over(self, right: bool, message: bytes = b"") -> None:
        """End the call under way."""
        assert self.kind is not None
        self.calls.end(self.kind, right, message)
        self.kind = None

    def connection_lost(self, error: Exception | None) -> None:
        if self.kind is not None:
            self.over(False, self.received)
        self.calls.open -= 1
        if self.calls.begun < self.calls.count:
            self.calls.tasks.add(task := asyncio.ensure_future(self.calls.connect()))
            task.add_done_callback(self.calls.tasks.discard)
        elif self.calls.open == 0 and not self.calls.tasks:
            self.calls.done.set_result(None)


async def provide() -> None:
    """Serve as a provider, for good."""
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", 0, backlog=1024)
    say(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def call(port: int, count: int) -> None:
    """Call `count` times, and print what came of it."""
    calls = Calls(port, count)
    for _ in range(CALLERS):
        await calls.connect()
    await calls.done
    say(json.dumps({"counts": calls.found, "example": calls.example}))


if __name__ == "__main__":
    uvloop.run(provide() if sys.argv[1] == "provider" else call(int(sys.argv[2]), int(sys.argv[3])))
