"""The recorded bytes that the gates feed through the compiled path, and what has to come out of it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from bench.gate.rig import KEY, POOR_KEY, End, Worker
from bench.gate.translated import PROVIDERS, Recorded
from bench.payload import CHAT, CHAT_ANSWER, DONE, STREAM_EVENT, STREAM_USAGE

__all__ = ["CASES", "Turn"]

Turn = Callable[[], None]

FIELDS = (
    b"host: gateway.test\r\nuser-agent: openai-python/2.1\r\naccept: application/json\r\n"
    b"content-type: application/json\r\n"
)
STREAM = b'{"model":"chat","stream":true,"messages":[{"role":"user","content":"Where is my parcel?"}]}'
EVENTS = 8
"""Events of a whole stream."""


def request(target: bytes, body: bytes = b"", key: bytes = KEY, method: bytes = b"POST") -> bytes:
    """Return a request as an SDK sends it."""
    length = b"content-length: %d\r\n" % len(body) if body else b""
    return b"%b %b HTTP/1.1\r\n%bauthorization: Bearer %b\r\n%b\r\n%b" % (method, target, FIELDS, key, length, body)


def chunk(data: bytes) -> bytes:
    """Return `data` as a chunk of a body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


CHAT_REQUEST = request(b"/v1/chat/completions", CHAT)
CHAT_REPLY = (
    b"HTTP/1.1 200 OK\r\nserver: provider\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\ncontent-type: application/json\r\n"
    b"x-request-id: req_bench\r\nopenai-processing-ms: 20\r\ncontent-length: %d\r\n\r\n%b"
    % (len(CHAT_ANSWER), CHAT_ANSWER)
)
STREAM_REQUEST = request(b"/v1/chat/completions", STREAM)
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nserver: provider\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
STREAM_READ = chunk(STREAM_EVENT)
STREAM_END = (chunk(STREAM_USAGE), chunk(DONE) + b"0\r\n\r\n")
ORDER_REQUEST = request(b"/orders/4711?full=1", method=b"GET")
ORDER = b'{"order":4711,"state":"sent"}'
ORDER_REPLY = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(ORDER), ORDER)


def expect(end: End, start: bytes, finish: bytes, what: str) -> None:
    """Fail unless what was written begins and ends so: a wrong answer is no faster one."""
    written = end.take()
    if not (written.startswith(start) and written.endswith(finish)):
        raise AssertionError(f"{what}: the gateway wrote {written[:200]!r} ... {written[-100:]!r}")


@contextmanager
def answered(worker: Worker, host: str, asked: bytes, answer: bytes, finish: bytes) -> Iterator[Turn]:
    """Yield one call that an upstream answers in one read."""
    caller, upstream = worker.caller, worker.upstreams[host]

    def turn() -> None:
        caller.say(asked)
        upstream.say(answer)
        expect(caller, b"HTTP/1.1 200 OK\r\n", finish, asked[:30].decode())
        upstream.written.clear()

    yield turn


@contextmanager
def refused(worker: Worker, asked: bytes, status: bytes) -> Iterator[Turn]:
    """Yield one call that the gateway answers itself."""
    caller = worker.caller

    def turn() -> None:
        caller.say(asked)
        expect(caller, b"HTTP/1.1 %b " % status, b"}", asked[:30].decode())

    yield turn


def chat(worker: Worker) -> AbstractContextManager[Turn]:
    """Return a chat call with its JSON answer, 1 KB each, everything switched on."""
    return answered(worker, "p.test", CHAT_REQUEST, CHAT_REPLY, CHAT_ANSWER)


def route(worker: Worker) -> AbstractContextManager[Turn]:
    """Return a call of a plain HTTP route."""
    return answered(worker, "orders.test", ORDER_REQUEST, ORDER_REPLY, ORDER)


def unauthorized(worker: Worker) -> AbstractContextManager[Turn]:
    """Return a call with a key that nobody has."""
    return refused(worker, request(b"/v1/chat/completions", CHAT, b"hg-nobody"), b"401")


def limited(worker: Worker) -> AbstractContextManager[Turn]:
    """Return a call over its consumer's rate."""
    asked = request(b"/v1/chat/completions", CHAT, POOR_KEY)
    worker.caller.say(asked)  # The one call of the day.
    worker.upstreams["p.test"].say(CHAT_REPLY)
    worker.caller.take()
    worker.upstreams["p.test"].take()
    return refused(worker, asked, b"429")


@contextmanager
def stream(worker: Worker) -> Iterator[Turn]:
    """Yield a whole stream of `EVENTS` events, each in a read of its own."""
    caller, upstream = worker.caller, worker.upstreams["p.test"]
    finish = chunk(DONE) + b"0\r\n\r\n"

    def turn() -> None:
        caller.say(STREAM_REQUEST)
        upstream.say(STREAM_HEAD)
        for _ in range(EVENTS):
            upstream.say(STREAM_READ)
        for part in STREAM_END:
            upstream.say(part)
        expect(caller, b"HTTP/1.1 200 OK\r\n", finish, "a stream")
        upstream.written.clear()

    yield turn


@contextmanager
def stream_read(worker: Worker) -> Iterator[Turn]:
    """Yield one read of a stream that is open already: an event that goes through."""
    caller, upstream = worker.caller, worker.upstreams["p.test"]
    caller.say(STREAM_REQUEST)
    upstream.say(STREAM_HEAD)
    upstream.say(STREAM_READ)
    expect(caller, b"HTTP/1.1 200 OK\r\n", STREAM_READ, "a stream's beginning")

    def turn() -> None:
        upstream.say(STREAM_READ)
        if caller.written != [STREAM_READ]:
            raise AssertionError(f"an event became {caller.written!r}")
        caller.written.clear()

    yield turn
    for part in STREAM_END:
        upstream.say(part)
    expect(caller, b"", chunk(DONE) + b"0\r\n\r\n", "a stream's end")
    upstream.take()


def other_request(provider: Recorded, body: bytes) -> bytes:
    """Return a caller's call of the model at `provider`."""
    return request(b"/v1/chat/completions", body.replace(b'"chat"', b'"chat-%b"' % provider.dialect.encode(), 1))


def translated_chat(provider: Recorded, worker: Worker) -> AbstractContextManager[Turn]:
    """Return the chat call where the provider speaks another dialect."""
    reply = b"HTTP/1.1 200 OK\r\nserver: provider\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
    answer = reply % (len(provider.answer), provider.answer)
    return answered(worker, provider.host, other_request(provider, CHAT), answer, b"}")


@contextmanager
def translated_read(provider: Recorded, worker: Worker) -> Iterator[Turn]:
    """Yield one read of a stream in another dialect: an event that is translated."""
    caller, upstream = worker.caller, worker.upstreams[provider.host]
    caller.say(other_request(provider, STREAM))
    upstream.say(STREAM_HEAD.replace(b"text/event-stream; charset=utf-8", provider.kind))
    upstream.say(chunk(provider.start + provider.event))
    expect(caller, b"HTTP/1.1 200 OK\r\n", b"\n\n\r\n", "a stream's beginning")
    event = chunk(provider.event)

    def turn() -> None:
        upstream.say(event)
        (written,) = caller.written
        if b'"content":" parcel"' not in written:
            raise AssertionError(f"an event became {written!r}")
        caller.written.clear()

    yield turn
    upstream.say(chunk(provider.end) + b"0\r\n\r\n")
    expect(caller, b"", DONE + b"\r\n0\r\n\r\n", "a stream's end")
    upstream.take()


CASES: dict[str, Callable[[Worker], AbstractContextManager[Turn]]] = {
    "chat": chat,
    "stream": stream,
    "stream-read": stream_read,
    "route": route,
    "refused-401": unauthorized,
    "refused-429": limited,
    **{f"translated-chat-{each.dialect}": partial(translated_chat, each) for each in PROVIDERS},
    **{f"translated-read-{each.dialect}": partial(translated_read, each) for each in PROVIDERS},
}
"""What is counted, by name. A name keeps its meaning: the gates compare it with that of another commit."""
