"""What is read and changed of Gemini's calls where both sides speak it: names of models, usage, and the array form."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote

import msgspec
from msgspec import Raw

from core.errors import GatewayError
from core.splice import replace, scan
from core.sse import EventScan, Marks
from core.stream_scan import StreamScan
from plane.dialects._gemini_wire import Counted, error_body, usage_of
from plane.framing_events import MAX_EVENT, EventSplitter
from plane.usage import Usage

__all__ = ["ArrayScan", "event_scan", "model_in_path", "read_usage", "wants_array", "with_model"]

MARKS = Marks(b"usageMetadata")
MODELS = b"/models/"

_counted = msgspec.json.Decoder(Counted | None)
_objects = msgspec.json.Decoder(list[Raw])


def model_in_path(path: bytes) -> str:
    """Return the name of the model in ``.../models/NAME:METHOD``; GatewayError 400 where it is no text."""
    name = path[path.index(MODELS) + len(MODELS) : path.rindex(b":")]
    try:
        found = unquote(name.decode("ascii"), errors="strict")
    except UnicodeDecodeError:
        found = ""
    if not found.isprintable() or not found:
        raise GatewayError(400, "bad_path", "caller", "The model's name in the path is not valid.", param="model")
    return found


def wants_array(query: bytes) -> bool:
    """Tell whether a stream is to be one JSON array, as it is unless server-sent events are asked for."""
    return ("alt", "sse") not in parse_qsl(query.decode("latin-1"))


def with_model(body: bytes, key: bytes, name: str) -> bytes:
    """Return `body` with the model's name in the object at `key`, in those of the list there, or, if b"", in itself.

    A body that is no object, or has no such member, stays as it is: the provider will say what is wrong with it.
    """
    try:
        if not key:
            return renamed(body, name)
        span = scan(body, (key,))[0]
        inner = body[span[0] : span[1]]
        if inner.startswith(b"{"):
            return replace(body, span, renamed(inner, name))
        if inner.startswith(b"["):
            entries = [renamed(bytes(entry), name) for entry in _objects.decode(inner)]
            return replace(body, span, b"[%b]" % b",".join(entries))
    except (GatewayError, msgspec.MsgspecError):
        pass
    return body


def renamed(text: bytes, name: str) -> bytes:
    """Return an object with another model's name, if it has one."""
    span = scan(text, (b"model",))[0]
    return replace(text, span, msgspec.json.encode(f"models/{name}")) if span[0] >= 0 else text


def read_usage(text: bytes) -> Usage | None:
    """Return the usage of the object `text`, which has a member `usageMetadata`; None where it counts nothing."""
    try:
        span = scan(text, (b"usageMetadata",))[0]
        return usage_of(_counted.decode(text[span[0] : span[1]])) if span[0] >= 0 else None
    except (GatewayError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def event_scan() -> EventScan:
    """Return what follows a stream of server-sent events."""
    return EventScan(MAX_EVENT, MARKS)


class ArrayScan(StreamScan):
    """Makes a stream of server-sent events one JSON array, each message's bytes as they came.

    A provider is always asked for events, so that a caller of either form gets each message when it comes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.inner = event_scan()
        self.splitter = EventSplitter()
        self.begun = False

    @property
    def usage(self) -> bytes:
        """The last message with usage, b"" if there was none."""
        return self.inner.usage

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes of events and return the elements that are whole."""
        return self.elements(self.splitter.feed(self.inner.feed(chunk)))

    def flush(self) -> bytes:
        """Return what ends the array."""
        rest = self.elements(self.splitter.feed(self.inner.flush()) + self.splitter.flush())
        return rest + (b"\n]" if self.begun else b"[]")

    def broken(self, error: GatewayError) -> bytes:
        """Return the error that ends the array after `error`."""
        element = error_body(error.status, error.message, error.code, error.retry_after)
        return (b",\r\n%b\n]" if self.begun else b"[%b\n]") % element

    def elements(self, messages: list[tuple[bytes, bytes]]) -> bytes:
        """Return these messages as further elements."""
        self.events, self.error, self.content = self.inner.events, self.inner.error, self.inner.content
        out = []
        for _, message in messages:
            out.append((b",\r\n%b" if self.begun else b"[%b") % message)
            self.begun = True
        return b"".join(out)
