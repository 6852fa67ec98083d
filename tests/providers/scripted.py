"""An upstream whose every byte is scripted: it can misbehave in each way a network and a vendor know.

One thread accepts, one thread speaks on each connection, with blocking sockets: a script is a tuple of steps that are
done in order. A step is bytes to send, or a function of the `Connection`. Pauses are events that the test sets.
Where nothing is scripted the upstream answers as the quickstart's provider does, and echoes what it was asked.
"""

import contextlib
import json
import select
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from examples.quickstart import provider

DEADLINE = 20.0  # seconds that a step waits for what should come at once
PIECE = 65536

Step = bytes | Callable[["Connection"], None]
Moment = Literal["accept", "head", "body"]


@dataclass(frozen=True)
class Request:
    """One request, as it came."""

    connection: int
    head: bytes
    body: bytes = b""

    @property
    def line(self) -> str:
        """Return the request line."""
        return self.head.split(b"\r\n", 1)[0].decode("latin-1")

    @property
    def path(self) -> str:
        """Return the request target."""
        return self.line.split(" ")[1]

    @property
    def headers(self) -> dict[str, str]:
        """Return the fields by lower-case name; a test that cares about repetition looks at `head`."""
        lines = self.head.decode("latin-1").rstrip("\r\n").split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


class Connection:
    """One accepted connection, as the steps of a script see it."""

    def __init__(self, upstream: "Upstream", sock: socket.socket, number: int) -> None:
        self.upstream = upstream
        self.socket = sock
        self.number = number
        self.buffer = b""

    def read_head(self) -> bytes:
        """Return the next request's head; b"" at the end of the connection."""
        while b"\r\n\r\n" not in self.buffer:
            data = self.socket.recv(PIECE)
            if not data:
                return b""
            self.buffer += data
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        return head + b"\r\n\r\n"

    def read_body(self, length: int) -> bytes:
        """Return `length` bytes of body, fewer if the peer stops."""
        pieces = [self.buffer[:length]]
        self.buffer = self.buffer[length:]
        left = length - len(pieces[0])
        while left and (data := self.socket.recv(min(left, PIECE))):
            pieces.append(data)
            left -= len(data)
        return b"".join(pieces)

    def read_line(self) -> bytes:
        """Return the next line without its end, b"" at the end of the connection."""
        while b"\r\n" not in self.buffer:
            data = self.socket.recv(PIECE)
            if not data:
                return b""
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def read_chunks(self) -> bytes:
        """Return a body that comes in chunks (RFC 9112 7.1), what came of it if the peer stops."""
        body = bytearray()
        while size := int(self.read_line() or b"0", 16):
            body += self.read_body(size)
            self.read_line()
        self.read_line()
        return bytes(body)


@dataclass
class Upstream:
    """A listening scripted upstream; a context manager.

    requests: what came, in order.
    failures: what went wrong inside scripts; empty after a good test.
    default: what is done where nothing is scripted; else `echo`.
    """

    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    failures: list[BaseException] = field(default_factory=list)
    default: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        self.default = self.default or (echo,)
        self._scripts: deque[tuple[Moment, tuple[Step, ...]]] = deque()
        self._lock = threading.Lock()
        self._events: dict[str, threading.Event] = {}
        self._open: dict[int, socket.socket] = {}
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> "Upstream":
        self._acceptor = threading.Thread(target=self._accept, name="upstream")
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        for event in list(self._events.values()):
            event.set()
        # Closing a descriptor does not wake a thread that blocks in accept() or recv(); shutting it down does.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        with self._lock:
            for sock in self._open.values():
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def script(self, *steps: Step, at: Moment = "body") -> None:
        """Queue a script for one request (or, at "accept", for one connection).

        at: when it begins: once the connection stands, once the head was read, or once the body was read as well.
        """
        with self._lock:
            self._scripts.append((at, steps))

    def event(self, name: str) -> threading.Event:
        """Return the event of that name; scripts set and await it, and so do tests."""
        with self._lock:
            return self._events.setdefault(name, threading.Event())

    def forget(self) -> None:
        """Start afresh: no scripts, no events, no record of earlier requests."""
        with self._lock:
            self._scripts.clear()
            self._events.clear()
            self.requests.clear()
            self.failures.clear()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.connections += 1
                number = self.connections
                self._open[number] = sock
            thread = threading.Thread(target=self._converse, args=(Connection(self, sock, number),))
            self._threads.append(thread)
            thread.start()

    def _take(self, *moments: Moment) -> tuple[Moment, tuple[Step, ...]] | None:
        with self._lock:
            if self._scripts and self._scripts[0][0] in moments:
                return self._scripts.popleft()
        return None

    def _converse(self, connection: Connection) -> None:
        try:
            if taken := self._take("accept"):
                run_steps(taken[1], connection)
            while head := connection.read_head():
                self._answer(connection, head)
        except OSError:
            pass  # The gateway, a step or the end of the test closed the connection.
        except BaseException as error:
            self.failures.append(error)
        finally:
            with self._lock:
                del self._open[connection.number]
            connection.socket.close()

    def _answer(self, connection: Connection, head: bytes) -> None:
        if taken := self._take("head"):
            self.requests.append(Request(connection.number, head))
            run_steps(taken[1], connection)
            return
        request = Request(connection.number, head)
        if request.headers.get("transfer-encoding") == "chunked":
            body = connection.read_chunks()
        else:
            body = connection.read_body(int(request.headers.get("content-length", "0")))
        request = Request(connection.number, head, body)
        self.requests.append(request)
        taken = self._take("body")
        run_steps(taken[1] if taken else self.default, connection)


def run_steps(steps: Iterable[Step], connection: Connection) -> None:
    """Do each step in order."""
    for step in steps:
        if callable(step):
            step(connection)
        else:
            connection.socket.sendall(step)


def well_formed(request: Request) -> provider.Answer:
    """Return what the quickstart's provider answers to `request`."""
    return provider.respond(request.line.split(" ")[0], request.path, request.headers, request.body)


def echo(connection: Connection) -> None:
    """Answer the request just read, and close: the next call gets a fresh connection."""
    answer = well_formed(connection.upstream.requests[-1])
    head = provider.head_of(answer).replace(b"\r\n", b"\r\nconnection: close\r\n", 1)
    connection.socket.sendall(head + b"".join(provider.chunks_of(answer)))
    fin(connection)


def echo_kept(connection: Connection) -> None:
    """Answer the request just read, and keep the connection."""
    answer = well_formed(connection.upstream.requests[-1])
    connection.socket.sendall(provider.head_of(answer) + b"".join(provider.chunks_of(answer)))


def bytewise(data: bytes) -> Step:
    """Send `data` one byte at a time."""

    def step(connection: Connection) -> None:
        for index in range(len(data)):
            connection.socket.sendall(data[index : index + 1])

    return step


def repeated(data: bytes, count: int) -> Step:
    """Send `data` up to `count` times; the peer may hang up at any point."""

    def step(connection: Connection) -> None:
        for _ in range(count):
            connection.socket.sendall(data)

    return step


def awaits(name: str) -> Step:
    """Wait until the event `name` is set."""

    def step(connection: Connection) -> None:
        if not connection.upstream.event(name).wait(DEADLINE):
            raise AssertionError(f"nobody set {name}")

    return step


def sets(name: str) -> Step:
    """Set the event `name`."""

    def step(connection: Connection) -> None:
        connection.upstream.event(name).set()

    return step


def reset(connection: Connection) -> None:
    """End the connection with a RST."""
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.socket.close()
    raise ConnectionAbortedError


def fin(connection: Connection) -> None:
    """End the connection in order: send a FIN, and read on until the peer has closed as well."""
    connection.socket.shutdown(socket.SHUT_WR)
    until_closed(connection)


def until_closed(connection: Connection) -> None:
    """Wait until the peer closes the connection, reading what it still sends."""
    connection.socket.settimeout(DEADLINE)
    try:
        while connection.socket.recv(PIECE):
            pass
    except ConnectionResetError:
        pass
    except TimeoutError:
        raise AssertionError("the gateway did not close the connection") from None


def until_closed_unread(connection: Connection) -> None:
    """Wait until the peer closes the connection, without reading a byte of what it sends."""
    poll = select.poll()
    poll.register(connection.socket, select.POLLRDHUP)
    if not poll.poll(DEADLINE * 1000):
        raise AssertionError("the gateway did not close the connection")
    raise ConnectionAbortedError


def dripping(data: bytes) -> Step:
    """Send `data` again and again, twenty times a second, until the peer closes the connection."""

    def step(connection: Connection) -> None:
        poll = select.poll()
        poll.register(connection.socket, select.POLLRDHUP)
        for _ in range(int(DEADLINE * 20)):
            connection.socket.sendall(data)
            if poll.poll(50):
                return
        raise AssertionError("the gateway did not close the connection")

    return step


def paced(data: bytes, count: int) -> Step:
    """Send `data` `count` times, twenty times a second: a stream that takes its time."""

    def step(connection: Connection) -> None:
        pace = threading.Event()
        for _ in range(count):
            connection.socket.sendall(data)
            pace.wait(0.05)

    return step
