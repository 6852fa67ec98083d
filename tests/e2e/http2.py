"""A caller that speaks HTTP/2 over TLS: frame by frame where a test wants that."""

import json
import socket
import ssl
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.events

from tests.e2e.harness import DEADLINE, KEYS

__all__ = ["Http2Caller", "Reply", "chat_body", "request_fields"]

HEADER = 9
GOAWAY = 7
Fields = list[tuple[str, str]]


def request_fields(
    path: str = "/v1/chat/completions", *more: tuple[str, str], method: str = "POST", key: str = KEYS["alice"]
) -> Fields:
    """Return the fields of a request: the four pseudo fields, a key, and `more`."""
    pseudo = [(":method", method), (":scheme", "https"), (":authority", "gateway"), (":path", path)]
    return [*pseudo, ("authorization", f"Bearer {key}"), *more]


def chat_body(content: str, model: str = "good", **members: object) -> bytes:
    """Return the body of a chat call."""
    return json.dumps({"model": model, "messages": [{"role": "user", "content": content}], **members}).encode()


@dataclass
class Reply:
    """What came on one stream.

    ended: the answer is whole. reset: the error code of its RST_STREAM, -1 if there was none.
    """

    fields: dict[str, str] = field(default_factory=dict)
    parts: list[bytes] = field(default_factory=list)
    ended: bool = False
    reset: int = -1

    @property
    def body(self) -> bytes:
        """Return what has come of the body."""
        return b"".join(self.parts)

    @property
    def status(self) -> int:
        """Return the status; 0 before the head."""
        return int(self.fields.get(":status", "0"))

    @property
    def is_over(self) -> bool:
        """Tell whether nothing more comes."""
        return self.ended or self.reset >= 0

    def json(self) -> Any:
        """Return the body, parsed."""
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """Return the content of a chat answer."""
        content: str = self.json()["choices"][0]["message"]["content"]
        return content


class Http2Caller:
    """One connection; a context manager.

    closed: the gateway has ended the connection. goaway: the error code of its GOAWAY, -1 if there was none.
    acknowledge: whether the windows are opened again for what has come.
    """

    def __init__(
        self, port: int, context: ssl.SSLContext, *, acknowledge: bool = True, receive_buffer: int = 0
    ) -> None:
        plain = socket.socket()
        if receive_buffer:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        plain.settimeout(DEADLINE)
        plain.connect(("127.0.0.1", port))
        self.socket = context.wrap_socket(plain, server_hostname="localhost")
        assert self.socket.selected_alpn_protocol() == "h2"
        # Outgoing rules are not checked: callers here break them on purpose.
        config = h2.config.H2Configuration(
            client_side=True,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            header_encoding="latin-1",
        )
        self.connection = h2.connection.H2Connection(config)
        self.connection.initiate_connection()
        self.replies: dict[int, Reply] = {}
        self.buffer = b""
        self.acknowledge = acknowledge
        self.closed = False
        self.goaway = -1
        self.flush()

    def __enter__(self) -> "Http2Caller":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def flush(self) -> None:
        """Send what the connection has to say."""
        self.raw(self.connection.data_to_send())

    def raw(self, data: bytes) -> None:
        """Send exactly these bytes, if the gateway still listens."""
        try:
            self.socket.sendall(data)
        except OSError:
            self.closed = True

    def send(self, fields: Fields, body: bytes | None = None, *, end: bool = True) -> int:
        """Send a request and return its stream; without a body its head alone."""
        stream = self.connection.get_next_available_stream_id()
        self.replies[stream] = Reply()
        self.connection.send_headers(stream, fields, end_stream=end and body is None)
        self.flush()
        if body is not None:
            self.send_body(stream, body, end=end)
        return stream

    def send_body(self, stream: int, body: bytes, *, end: bool = True) -> None:
        """Send a body, as fast as its windows let it."""
        while len(body) > (room := min(self.connection.local_flow_control_window(stream), 16384)):
            if room > 0:
                self.connection.send_data(stream, body[:room])
                body = body[room:]
                self.flush()
            elif not self.read() or self.replies[stream].is_over:
                return
        self.connection.send_data(stream, body, end_stream=end)
        self.flush()

    def read(self) -> bool:
        """Take in what comes next; tell whether the connection is still open."""
        try:
            data = self.socket.recv(65536)
        except (ConnectionResetError, ssl.SSLEOFError):
            data = b""
        if not data:
            self.closed = True
            return False
        self.buffer += data
        while len(self.buffer) >= HEADER and len(self.buffer) >= (size := HEADER + int.from_bytes(self.buffer[:3])):
            frame, self.buffer = self.buffer[:size], self.buffer[size:]
            if frame[3] == GOAWAY:
                # Kept from the library, which takes no frame after it, though streams under way may end in order.
                self.goaway = int.from_bytes(frame[HEADER + 4 : HEADER + 8])
                continue
            for event in self.connection.receive_data(frame):
                self.take(event)
        self.flush()
        return not self.closed

    def take(self, event: h2.events.Event) -> None:
        """Note one event."""
        reply = self.replies.get(getattr(event, "stream_id", None) or 0)
        if reply is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            reply.fields.update({str(name): str(value) for name, value in event.headers or ()})
        elif isinstance(event, h2.events.DataReceived):
            reply.parts.append(event.data or b"")
            if self.acknowledge and event.flow_controlled_length:
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id or 0)
        elif isinstance(event, h2.events.StreamEnded):
            reply.ended = True
        elif isinstance(event, h2.events.StreamReset):
            reply.reset = int(event.error_code or 0)

    def receive(self, stream: int) -> Reply:
        """Return what came on `stream`, once it is over or the connection is."""
        reply = self.replies[stream]
        while not reply.is_over and self.read():
            pass
        return reply

    def call(self, fields: Fields, body: bytes | None = None) -> Reply:
        """Send a request and return what comes of it."""
        return self.receive(self.send(fields, body))

    def chat(self, content: str, model: str = "good", **members: object) -> Reply:
        """Send a chat call and return its answer."""
        return self.call(request_fields(), chat_body(content, model, **members))
