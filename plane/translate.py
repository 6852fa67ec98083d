"""A call through the hub: what the caller asks in one dialect, a provider is asked and answers in another.

Where both speak the same dialect none of this is used: bytes pass through.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

import msgspec

from core.errors import GatewayError
from core.stream_scan import StreamScan
from plane.canonical import (
    Answer,
    Carry,
    Event,
    Failed,
    Fault,
    UsageCounted,
    fault_error,
)
from plane.clean import without
from plane.dialect import EventReader, EventWriter
from plane.exchange import Exchange
from plane.gather import answer_of, events_of
from plane.refusal import is_content, is_refusal
from plane.runtime import Target
from plane.usage import Usage
from plane.way import Way

__all__ = ["TranslatedStream", "Translation", "body_for", "told_by"]

CHAT = "chat"
EVENTS = b"text/event-stream"
COMMENT = b": still here\n\n"
QUIET = 5.0
"""See `TranslatedStream`."""


def body_for(exchange: Exchange, target: Target, way: Way) -> bytes:
    """Return the body for `target`; what the caller asks is read once, however many targets are tried."""
    if exchange.translation is None:
        exchange.translation = Translation(exchange)
    body: bytes = exchange.translation.ask(exchange, target, way)
    return body


class Translation:
    """What is known of one call: its request, and the target that was asked last.

    request: what the caller asks; nothing changes it. carry: what came of it at the target. usage: what the target says
    the call used, None until it does.
    """

    def __init__(self, exchange: Exchange) -> None:
        operation = exchange.route.operation
        self.caller = exchange.route.dialect
        self.is_chat = operation.kind == CHAT
        self.kind = operation.kind
        self.speaker = self.caller.translators[operation.kind]
        if self.is_chat:
            self.request = self.speaker.read_request(exchange.body, exchange.model_name, exchange.stream)
        else:
            self.request = self.speaker.read_request(exchange.body, exchange.model_name)
        self.caller.read_head(exchange, self.request)
        self.quiet = QUIET if self.caller.stream_type(exchange) == EVENTS else None
        self.carry = Carry()
        self.provider: Any = None
        self.listener: Any = None
        self.secret = b""
        self._usage: Usage | None = None
        self._stream: TranslatedStream | None = None

    @property
    def usage(self) -> Usage | None:
        """What the target says the call used."""
        return self._stream.usage if self._stream is not None else self._usage

    def ask(self, exchange: Exchange, target: Target, way: Way) -> bytes:
        """Return the body for one target; GatewayError 400 for what it has no place for."""
        rules = exchange.model.hub
        self.carry = Carry(
            target.model, drops=rules.drops, budgets=rules.budgets, max_tokens=rules.max_tokens, options=way.options
        )
        self.provider = way.dialect
        self.listener = way.dialect.translators[self.kind]
        self.secret = target.secret
        self._usage = None
        self._stream = None
        body: bytes = self.listener.write_request(self.request, self.carry)
        if self.is_chat:
            for name in self.request.hints:
                self.carry.hint(name)
        return body

    def error(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> GatewayError:
        """Return what the target's error answer says, as an error for the caller."""
        return told_by(self.provider, self.secret, status, headers, body)

    def answer(self, body: bytes) -> bytes:
        """Return the caller's form of a whole answer; GatewayError 502 if it is none."""
        return self.written(self.read(body))

    def written(self, answer: Any) -> bytes:
        """Return an answer in the caller's form, as a stream if that was asked for."""
        self._usage = getattr(answer, "usage", None)
        if self.is_chat and self.request.stream:
            writer = self.speaker.event_writer(self.request)
            data: bytes = writer.write(events_of(answer)) + writer.flush()
            return data
        whole: bytes = self.speaker.write_answer(answer, self.request)
        return whole

    def read(self, body: bytes) -> Any:
        """Return what a whole answer says."""
        try:
            return self.listener.read_answer(body, self.carry)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise bad_answer() from None

    def stream(self) -> TranslatedStream:
        """Return what turns the target's stream into the caller's."""
        self._stream = TranslatedStream(
            self.listener.event_reader(self.carry), self.speaker.event_writer(self.request), self.secret, self.quiet
        )
        return self._stream

    def gathered(self) -> Gathering:
        """Return what makes a whole answer of the target's stream."""
        return Gathering(self.listener.event_reader(self.carry))


class TranslatedStream(StreamScan):
    """A provider's stream on its way to a caller of another dialect; see `StreamScan`.

    quiet: seconds without a word for the caller, after which a provider that sends what says nothing (pings, comments)
    is passed on as a comment, so that nobody on the way takes the stream for dead; None where that is not possible.
    refuses: the first that the provider said is a refusal (`plane.refusal`).
    """

    def __init__(
        self, reader: EventReader, writer: EventWriter, secret: bytes = b"", quiet: float | None = None
    ) -> None:
        super().__init__()
        self._quiet = quiet
        self._spoke = monotonic()
        self.reader = reader
        self.writer = writer
        self.secret = secret
        self.fault: Fault | None = None
        self.refuses = False

    @property
    def usage(self) -> Usage | None:
        """What the provider says the call used, None until it does."""
        return self.reader.usage

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes of the provider's stream and return those of the caller's."""
        if not chunk:
            return b""
        try:
            events = self.reader.feed(chunk)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise bad_answer() from None
        if events:
            return self._written(events)
        return self._sign_of_life()

    def _sign_of_life(self) -> bytes:
        """Return a comment where the caller has heard nothing for long, else b""."""
        if self._quiet is None or self.done or monotonic() - self._spoke < self._quiet:
            return b""
        self._spoke = monotonic()
        return COMMENT

    def flush(self) -> bytes:
        """Return what ends the caller's stream, where the provider's has ended; that it broke off is told."""
        if self.done:
            return b""
        try:
            events = self.reader.flush()
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise bad_answer() from None
        data = self._written(events)
        return data if self.done else data + self._end()

    def broken(self, error: GatewayError) -> bytes:
        """Return what ends the caller's stream after `error`."""
        if self.done:
            return b""
        fault = Fault(error.status, error.message, code=error.code)
        return self._written([Failed(fault)])

    def _written(self, events: list[Event]) -> bytes:
        """Return these events as the caller knows them, and the end of its stream if they are the last."""
        self.events += len(events)
        for event in events:
            if isinstance(event, Failed):
                self.error = True
                self.fault = event.fault
                self.done = True
                event.fault.message = without(event.fault.message.encode(), self.secret).decode()
            elif isinstance(event, UsageCounted):
                self.done = True
            elif not self.content and is_content(event):
                self.content = True
                self.refuses = is_refusal(event)
        data = self.writer.write(events)
        if data:
            self._spoke = monotonic()
        return data + self._end() if self.done else data

    def _end(self) -> bytes:
        self.done = True
        return self.writer.flush()


class Gathering:
    """A provider's stream for a caller that waits for a whole answer."""

    def __init__(self, reader: EventReader) -> None:
        self.reader = reader
        self.events: list[Event] = []

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        try:
            self.events += self.reader.feed(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise bad_answer() from None

    def answer(self) -> Answer:
        """Return the answer, at the end of the stream; GatewayError if it broke off."""
        self.feed(b"")
        self.events += self.reader.flush()
        answer = answer_of(self.events)
        answer.usage = self.reader.usage or answer.usage
        return answer


def told_by(provider: Any, secret: bytes, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> GatewayError:
    """Return what a provider's error answer says, as an error for the caller and without the credential."""
    fault = provider.read_fault(status, headers, body)
    fault.message = without(fault.message.encode(), secret).decode()
    return fault_error(fault)


def bad_answer() -> GatewayError:
    """Return the error of an answer that is not of its dialect."""
    return GatewayError(
        502, "upstream_bad_answer", "upstream", "The upstream's answer is not one of the dialect that it speaks."
    )
