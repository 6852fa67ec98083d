"""What a provider keeps for a caller: stored responses, files, batches, conversations.

Only the credential that made such a thing can ask for it. So the id that the caller gets says which it was
(`plane.pins`), and a request that names one goes there and nowhere else: an operation that is pinned is asked below the
provider's base URL, with no model in it; a call of a model is kept to the targets of that credential.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
from msgspec import Struct

from core.errors import GatewayError
from core.splice import replace, scan
from core.stream_scan import StreamScan
from plane.exchange import Exchange
from plane.http1.origin import TimeoutsNs
from plane.pins import Pin
from plane.retries import RetryRule
from plane.runtime import Target

__all__ = ["Home", "KeptEvents", "find_home", "follow", "keepers", "mark_of", "pinned_id", "unwrap", "wrapped"]

NAMING = (
    *(b"id", b"previous_response_id", b"input_file_id", b"output_file_id", b"error_file_id", b"upload_id"),
    *(b"conversation", b"file"),
)
"""Members of an answer that name what is kept; the last two hold its id in an object."""
ID = "{id}"


class Home(NamedTuple):
    """A provider as the keeper of things. timeouts, retries: those that models have unless told otherwise."""

    target: Target
    timeouts: TimeoutsNs
    retries: RetryRule


class Begun(Struct):
    """A response, as far as it is named in the first event of its stream."""

    id: str


class First(Struct):
    """The first event of a stream."""

    response: Begun


FIRST = msgspec.json.Decoder(First)
TEXT = msgspec.json.Decoder(str)


def mark_of(reference: str | None) -> str:
    """Return what a credential is known by in ids: its place, as the config has it, since its value may change."""
    return hashlib.sha256(reference.encode()).hexdigest()[:8] if reference else ""


def unwrap(exchange: Exchange) -> None:
    """Put the providers' own ids into the body, where it names what was given to this consumer, and note them."""
    body = exchange.body
    if body.lstrip()[:1] != b"{":
        return  # A file, whatever it holds.
    exchange.body, found = exchange.runtime.shared.pins.unwrap_all(exchange.consumer.name, body)
    if found:
        exchange.pins = found


def pinned_id(exchange: Exchange, own: str, param: str) -> None:
    """Check that a provider's id in the request came from an id of this consumer's; GatewayError 404 if not."""
    if not any(pin.id == own for pin in (exchange.pins or {}).values()):
        raise unknown(param)


def unknown(param: str) -> GatewayError:
    """Return the error of an id that this consumer was not given."""
    return GatewayError(
        404,
        "id_not_found",
        "caller",
        "The gateway has given no such id to this key.",
        hint="Use ids as the gateway's own answers have them, and with the key of the same consumer.",
        param=param,
    )


def find_home(exchange: Exchange) -> None:
    """Find where a pinned operation is asked, and what its path is there."""
    operation = exchange.route.operation
    consumer = exchange.consumer
    if operation.name == "batches.create" and consumer.models is not None:
        raise GatewayError(
            403,
            "batches_not_allowed",
            "caller",
            "A batch may name any model of the provider, so only keys that may use all models can send one.",
        )
    template = operation.path.split("/")
    parts = exchange.path.decode().split("/")[1 - len(template) :]
    if ID in template:
        at = template.index(ID) - 1
        pin = exchange.runtime.shared.pins.unwrap(consumer.name, parts[at])
        if pin is None:
            raise unknown("id")
        exchange.pins = {**(exchange.pins or {}), parts[at]: pin}
        if pin.model:
            exchange.owed = pin
        parts[at] = quote(pin.id, safe="")
    site = exchange.runtime.site
    if exchange.pins:
        pin = only(exchange.pins)
        home = site.homes.get((pin.provider, pin.credential))
        if home is None:
            raise GatewayError(
                410,
                "keeper_gone",
                "gateway",
                "What keeps this is no longer in the gateway's config.",
                hint="The operator of the gateway has to bring back the provider, with the credential of then.",
            )
    else:
        home = site.homes.get(site.files)
        if home is None:
            raise GatewayError(
                404,
                "nothing_keeps",
                "caller",
                "No provider of this gateway keeps files, batches or conversations.",
                hint="The operator of the gateway can say `files: true` at one.",
            )
    if operation.name not in home.target.ways:
        raise GatewayError(400, "unsupported_operation", "caller", "The provider that keeps this has no such path.")
    exchange.home = home
    query = exchange.query
    exchange.pinned_path = f"/{'/'.join(parts)}".encode() + (b"?" + query if query else b"")
    exchange.keeps = operation.keeps
    exchange.stream = operation.streams and b"stream=true" in query.split(b"&")


def only(pins: dict[str, Pin]) -> Pin:
    """Return one of the pins, all of which must name the same keeper."""
    first, *others = pins.values()
    if any((pin.provider, pin.credential) != (first.provider, first.credential) for pin in others):
        raise GatewayError(
            400, "kept_apart", "caller", "What the request names is kept by different providers, or credentials."
        )
    return first


def keepers(exchange: Exchange, targets: list[Target]) -> list[Target]:
    """Return the one place of these targets that keeps what the request names, drained or not."""
    pin = only(exchange.pins)
    for target in targets:
        for place in target.keys or [target]:
            if place.provider == pin.provider and place.mark == pin.credential:
                return [place]
    raise GatewayError(
        400,
        "kept_elsewhere",
        "caller",
        "What the request names is kept by a provider, or a credential, that this model does not use.",
        hint="Ask for the model that made it.",
    )


def wrapped(exchange: Exchange) -> bytes:
    """Return the whole answer with ids of ours for the provider's."""
    body = exchange.reply
    try:
        spans = scan(body, NAMING)
        for index, (start, end) in enumerate(spans):
            if start >= 0 and body[start : start + 1] == b"{":
                inner = scan(body[start:end], (b"id",))[0]
                spans[index] = (start + inner[0], start + inner[1]) if inner[0] >= 0 else (-1, -1)
        known = {pin.id: text for text, pin in (exchange.pins or {}).items()}
        for start, end in sorted(spans, reverse=True):
            if start >= 0 and body[start : start + 1] == b'"':
                owed = exchange.background and (start, end) == spans[0]
                body = replace(body, (start, end), quoted(exchange, TEXT.decode(body[start:end]), known, owed=owed))
    except (GatewayError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        if isinstance(error, GatewayError) and error.source == "gateway":
            raise  # Without a key no id can be given out.
        return exchange.reply  # It is not JSON, and names nothing.
    return body


def quoted(exchange: Exchange, own: str, known: dict[str, str], *, owed: bool) -> bytes:
    """Return the JSON string of the caller's id for a provider's; owed: its usage is told later."""
    text = known.get(own)
    if text is None:
        target = exchange.target
        pin = Pin(target.provider, target.mark, own)
        if owed:
            pin = exchange.owed = Pin(target.provider, target.mark, own, exchange.model_name, target.name)
        text = exchange.runtime.shared.pins.wrap(exchange.consumer.name, pin)
    return msgspec.json.encode(text)


def follow(exchange: Exchange) -> Any:
    """Return what follows the stream of an answer that passes through."""
    scan = exchange.way.dialect.scan(exchange)
    return KeptEvents(exchange, scan) if exchange.keeps else scan


class KeptEvents(StreamScan):
    """The stream of a response that is kept: `inner` follows it, and the ids in its events become ours.

    The first event names the response; from there on that name is replaced wherever it is a whole string.
    """

    def __init__(self, exchange: Exchange, inner: Any) -> None:
        super().__init__()
        self.exchange = exchange
        self.inner = inner
        self.named = False
        self.known = {pin.id: text for text, pin in (exchange.pins or {}).items()}
        self.names = {msgspec.json.encode(own): msgspec.json.encode(text) for own, text in self.known.items()}

    @property
    def usage(self) -> bytes:
        """See `core.sse.EventScan`."""
        said: bytes = self.inner.usage
        return said

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes of the stream and return those of all events that are whole by now."""
        return self._ours(self.inner.feed(chunk))

    def flush(self) -> bytes:
        """Return what is held back, at the end of the stream."""
        return self._ours(self.inner.flush())

    def _ours(self, data: bytes) -> bytes:
        inner = self.inner
        self.done, self.error, self.content, self.events = inner.done, inner.error, inner.content, inner.events
        if not self.named and b'"response"' in data:
            self._name(data)
        for own, text in self.names.items():
            data = data.replace(own, text)
        return data

    def _name(self, data: bytes) -> None:
        for line in data.splitlines():
            if line.startswith(b"data:"):
                try:
                    own = FIRST.decode(line[5:]).response.id
                except (msgspec.MsgspecError, UnicodeDecodeError):
                    continue
                self.names[msgspec.json.encode(own)] = quoted(
                    self.exchange, own, self.known, owed=self.exchange.background
                )
                self.named = True
                return
