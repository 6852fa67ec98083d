"""What a dialect offers: the base class of what stands in `plane/dialects/`, whose defaults say that it cannot.

A dialect has two sides. The caller's side reads requests and writes answers, errors and streams; the provider's side
does the reverse. Where both ends of a call speak the same dialect its bytes pass through: `read`, `write`, `scan` and
`usage` are for that. Else the call goes through the hub (`plane.canonical`), by the `translators` of both.
"""

from __future__ import annotations

from typing import Any, Protocol

from msgspec import Struct

from core.errors import GatewayError
from plane.canonical import Answer, Carry, Event, Fault, Request
from plane.exchange import Exchange
from plane.runtime import Target
from plane.usage import Usage

__all__ = ["Dialect", "EventReader", "EventWriter", "Operation", "Translator"]


class Operation(Struct, frozen=True):
    """One thing that can be asked in a dialect.

    name: unique in the gateway, as in ``chat.completions``. path: below the base URL, as a caller and a provider know
    it; a path that holds the model has ``{model}`` in it. kind: what it is to the hub; operations of two dialects with
    the same kind are translated into each other, where both have a translator for it. streams: it can answer as a
    stream. pinned: it names no model, but what a provider keeps (``{id}`` in the path) or is to keep (`plane.kept`).
    keeps: its answer names what the provider keeps.
    form: its body is a form with files, which is sent on while it comes (`plane.upload`). at_once: its answer
    is neither JSON nor events (sound, say), and goes out as it comes. model: what is meant where none is named.
    """

    name: str
    path: str
    streams: bool
    kind: str
    method: str = "POST"
    pinned: bool = False
    keeps: bool = False
    form: bool = False
    at_once: bool = False
    model: str = ""


class EventReader(Protocol):
    """Reads the stream of a provider."""

    @property
    def usage(self) -> Usage | None:
        """What the provider said the call used, None until it did."""

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that are whole with these bytes, however they were split."""

    def flush(self) -> list[Event]:
        """Return what is left at the end of the bytes: parts that were open end, a missing `Stopped` is supplied.

        A stream that has broken off ends in `Failed`.
        """


class EventWriter(Protocol):
    """Writes a stream for a caller."""

    def write(self, events: list[Event]) -> bytes:
        """Return the bytes of these events; a `Failed` becomes the dialect's error event."""

    def flush(self) -> bytes:
        """Return what ends the stream after its last event, b"" if nothing does, and after `Failed`."""


class Translator(Protocol):
    """Calls of the kind ``chat`` in one dialect, from and to the hub. What a caller sent wrong is GatewayError 400."""

    def read_request(self, body: bytes, model: str, stream: bool) -> Request:
        """Return what a caller asks for; model and stream as `Dialect.read` found them."""

    def write_request(self, request: Request, carry: Carry) -> bytes:
        """Return the body for a provider; what it has no place for is told to `carry`."""

    def read_answer(self, body: bytes, carry: Carry) -> Answer:
        """Return what a provider answered; GatewayError 502 ``upstream_bad_answer`` where that is no answer."""

    def write_answer(self, answer: Answer, request: Request) -> bytes:
        """Return the body for a caller; request is what it asked."""

    def event_reader(self, carry: Carry) -> EventReader:
        """Return what reads one stream."""

    def event_writer(self, request: Request) -> EventWriter:
        """Return what writes one stream."""


class Dialect:
    """A wire format, as a set of functions without state; see the module for the two sides.

    name: the word in the config. family: whose signatures of thoughts it takes (see `plane.canonical.Thinking`).
    operations: what can be asked. prefixes: before the paths at which callers find them; empty: no caller speaks it.
    translators: kind -> Translator (for ``chat``), or what the hub has for other kinds.
    fields: (lower-case name, value) of header lines that a provider must get; a caller of the dialect may send others.
    forwarded: lower-case names of further fields that a caller may send to its own dialect's provider.
    id_field: a further header field in which its callers look for a request's id, b"" for none.
    signs: requests are signed one by one (`sign`), not with a constant line.
    wire: name of the dialect whose bytes these are, where only addresses and credentials are its own; "" for its own.
    query_keys: names of parameters of the query that may carry a caller's key.
    passes: names of other dialects whose bytes it takes as they are, in the operations that both have by name.
    own_faults: error answers of a provider are not of the form of `wire`, so that callers get none as it came.
    """

    name = ""
    family = ""
    # Comments, as Cython takes no annotations of a compiled class's attributes.
    operations = ()  # type: tuple[Operation, ...]
    prefixes = ()  # type: tuple[str, ...]
    fields = ()  # type: tuple[tuple[bytes, bytes], ...]
    forwarded = frozenset()  # type: frozenset[bytes]
    id_field = b""
    signs = False
    wire = ""
    query_keys = frozenset()  # type: frozenset[str]
    passes = frozenset()  # type: frozenset[str]
    own_faults = False

    def __init__(self) -> None:
        self.translators: dict[str, Any] = {}

    def credential_line(self, secret: str) -> bytes:
        """Return the header line that carries a provider's credential."""
        raise NotImplementedError

    def check_credential(self, secret: str) -> None:
        """Raise ValueError, which does not repeat it, where a credential has not the form that the dialect takes."""

    def sign(self, method: bytes, host: bytes, path: bytes, body: bytes, secret: str) -> bytes:
        """Return the header lines that sign this request, where `signs`."""
        raise NotImplementedError

    def path(self, operation: Operation, model: str, stream: bool) -> str:
        """Return where a provider is asked, below its base URL, query included; the model percent-encoded in it."""
        return operation.path

    def can_count(self, model: str) -> bool:
        """Tell whether the tokens of a request to this model can be counted by the operation that is for it."""
        return True

    def read(self, exchange: Exchange) -> None:
        """Find model and stream in a caller's request and note the edits of a passthrough; GatewayError 400."""
        raise NotImplementedError

    def write(self, exchange: Exchange, target: Target) -> bytes:
        """Return a caller's body for a target of the same dialect: its bytes but for what was noted."""
        raise NotImplementedError

    def read_head(self, exchange: Exchange, request: Request) -> None:
        """Note in a request that goes through the hub what the head of the caller's says: query and header fields."""

    def stream_type(self, exchange: Exchange) -> bytes:
        """Return the content type of a stream to this caller."""
        return b"text/event-stream"

    def scan(self, exchange: Exchange) -> Any:
        """Return what follows a stream that passes through: `core.sse.EventScan`, or what has its methods."""
        raise NotImplementedError

    def usage(self, exchange: Exchange) -> Usage | None:
        """Return what a call that passed through used; None where the upstream did not say, or was cut short."""
        raise NotImplementedError

    def with_cost(self, exchange: Exchange) -> bytes:
        """Return the terminal bytes of a stream, its `tail`, with what the call cost, where the dialect can say it."""
        tail: bytes = exchange.tail
        return tail

    def read_fault(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Fault:
        """Return what a provider's error answer says; of any body, also one that is not the dialect's."""
        raise NotImplementedError

    def error(self, error: GatewayError) -> bytes:
        """Return the body of an error answer to a caller."""
        raise NotImplementedError

    def error_event(self, error: GatewayError) -> bytes:
        """Return the event that ends a caller's stream which broke off."""
        raise NotImplementedError
