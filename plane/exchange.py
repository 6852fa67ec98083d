"""One request and its answer with all state between, and what runs it.

`serve` is driven by hand: it suspends only in ``await exchange``, and whoever makes progress (the door, an upstream
connection, a deadline) calls `resume`, which runs it on, in the same stack. That costs neither a task nor a future
nor a pass of the loop for each wait. A wake-up carries no meaning, so every wait stands in a loop that looks at its
condition.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from plane.overload import Gauge, Tally
from plane.timers import Timed

__all__ = ["Downstream", "Exchange"]

log = logging.getLogger("headgate.plane")


class Downstream(Timed):
    """A door's end of one connection (HTTP/1.1) or stream (HTTP/2): what the pipeline knows of the caller.

    secure: the caller came over TLS. full: the caller reads slowly; wait before the next `write`. `Exchange.resume` is
    called when that ends.
    When the caller leaves, the door interrupts the exchange.

    fields: header lines, each ``name: value`` and CRLF; framing (length, connection) is the door's own.
    """

    full: bool
    secure: bool

    def want_body(self, exchange: Exchange, limit: int) -> None:
        """Let the body in, up to `limit` bytes; more interrupts the exchange with 413."""
        raise NotImplementedError

    def hold_body(self) -> None:
        """Take in no more of the body until `let_body`: what came before could not be sent on yet."""
        raise NotImplementedError

    def let_body(self) -> None:
        """Let more of the body in."""
        raise NotImplementedError

    def answer(self, status: int, fields: bytes, body: bytes) -> None:
        """Send a whole answer; the exchange is finished for the caller."""
        raise NotImplementedError

    def start(self, status: int, fields: bytes, length: int) -> None:
        """Begin an answer of `length` bytes; -1: not known before its end."""
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """Send a part of the body."""
        raise NotImplementedError

    def finish(self, data: bytes) -> None:
        """Send the last part, which may be empty, and the end of the body."""
        raise NotImplementedError

    def abort(self) -> None:
        """End the answer so that the caller sees that it is cut short."""
        raise NotImplementedError

    def ended(self, exchange: Exchange) -> None:
        """Take note that `exchange` has run to its end; called once for each."""
        raise NotImplementedError


class Exchange(Timed):
    """The fields stand in groups, one for each phase of design section 3.2; only that phase writes its group.

    door: `path` and `query` are raw bytes of the request target; `started` is monotonic nanoseconds; `credential` is
    what the caller sent as key, b"" if nothing; `content_length` -1 if unknown; `body_ns` was spent waiting
    for the body; `patience` is how many nanoseconds the caller gives the call, 0 where it does not say, -1 where that
    is no number; `trace` takes notes (`plane.trace.Trace`) of a call that is to be explained, else None;
    `tells_cost`: the caller wants to be told what a stream cost.
    shed: `gauge` is what the request is counted in, None while it is not; `held` is how many bytes of it are, and
    `tally` counts them for its consumer.
    admit: `holding` is the concurrency limit to release, if any; `limit` is -1 where no rate applies.
    decode: `upload` is what is known of a form whose body is sent on while it comes (`plane.upload`), None elsewhere;
    `edits` is the dialect's note of where the body is changed for a target.
    choose: `affinity` is shared by the calls that are to stay on one target; nothing where none are.
    `pins` are the ids in it that the gateway gave out -> `plane.pins.Pin`, None if there are none; `keeps`: the
    answer names what the provider keeps; `background`: it is made after the answer. `owed` is the pin of what is, None
    elsewhere (`plane.owed`). For a pinned operation `home` is who keeps it, `pinned_path` its path there.
    call: `target` is the candidate tried last, `way` (`plane.way.Way`) how it was asked, `answering` the one whose
    answer is being relayed; `translation` is there where a way went through the hub. `connection_ns` was spent waiting
    for connections; `asked` is when the first attempt went out, 0 before. `answer_parts` holds `answer_held` bytes not
    yet relayed. `answer_head` says that the answer's head is complete, `answer_streams` that it is relayed as it comes,
    `answer_stopped` that the upstream waits for the caller.
    `tried` counts attempts, those without a connection included, `rounds` those at a place that was tried before,
    `visited`, of which `unfit` cannot do what is asked; `pause` is the time before the next. `probing`: the breaker
    lets the attempt through as its probe; `reported`: the place's health knows how it ended. `failure`: how the answer
    that has come has failed (`plane.failure`). `is_held`: nothing of a stream has gone out yet, `early` is what came.
    relay: `committed` says that a status has been sent, `relayed` counts the bytes of its body; `tail` holds the
    terminal bytes back until the call is recorded. `cleaner` takes our credential out of an error, or keeps the end of
    an answer that is too large to be held (`plane.ending`), of which `reply` has what it says of its usage then.
    settle: `usage` is None where none is known.
    answer: what the caller gets: `status`, header lines `fields`, body `reply`; `error` is a code, "" for success.
    """

    coroutine: Coroutine[Any, Any, None] | None
    running: bool
    awake: bool
    fault: Exception | None
    mover: Callable[[Exchange], bool] | None
    moved: bool

    runtime: Any
    started: int
    method: bytes
    path: bytes
    query: bytes
    peer: bytes
    expects_continue: bool
    keep_alive: bool
    is_http10: bool
    patience: int
    trace: Any
    tells_cost: bool
    body_size: int
    body_complete: bool
    body_ns: int

    route: Any
    consumer: Any

    gauge: Gauge | None
    tally: Tally | None
    held: int

    holding: Any
    remaining: int
    reset_ns: int

    body: bytes
    model_name: str
    model: Any
    edits: Any
    stream: bool
    strip_usage: bool
    pins: Any
    home: Any
    pinned_path: bytes
    keeps: bool
    background: bool
    owed: Any
    upload: Any

    candidates: list[Any]
    affinity: bytes | None
    timeouts: Any
    retries: Any
    relay_at_once: bool

    tried: int
    rounds: int
    pause: int
    probing: bool
    reported: bool
    failure: int
    visited: list[Any] | None
    unfit: list[Any] | None
    is_held: bool

    attempts: int
    connection_ns: int
    asked: int
    target: Any
    way: Any
    translation: Any
    answering: Any
    upstream: Any
    answer_status: int
    answer_headers: list[tuple[bytes, bytes]]
    answer_length: int
    answer_parts: list[bytes]
    answer_held: int
    answer_streams: bool
    answer_stopped: bool
    answer_head: bool
    answer_ended: bool
    first_byte: int

    committed: bool
    relayed: int
    scan: Any
    cleaner: Any
    usage: Any
    cost: Any
    price: str
    status: int

    def __init__(self, downstream: Downstream) -> None:
        self.downstream = downstream
        self.body_limit = -1
        self.content_length = -1
        self.limit = -1
        self.price = ""
        self.url = b""
        self.host = b""
        self.credential = b""
        self.request_id = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.body_parts: list[bytes] = []
        self.error = ""
        self.tail = b""
        self.early = b""
        self.fields = b""
        self.reply = b""
        self.answer_type = b""

    def begin(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run `coroutine` to its first wait, or to its end."""
        self.coroutine = coroutine
        self.step()

    def resume(self) -> None:
        """Run on: something that may have been waited for has happened."""
        self.awake = True
        if not self.running and self.coroutine is not None and (self.mover is None or self.move()):
            self.step()

    def move_by(self, mover: Callable[[Exchange], bool] | None) -> None:
        """Let `mover` do the work of each wake-up from here on, and now, until `moved`; None ends that.

        It spares a stream the waking of the coroutine for every read: `serve` sleeps until `mover` has said True, which
        is kept in `moved`, or raised, or the exchange is interrupted.
        """
        self.mover = mover
        self.moved = mover is not None and mover(self)

    def interrupt(self, fault: Exception) -> None:
        """Raise `fault` where the exchange waits, or where it next would."""
        if self.fault is None:
            self.fault = fault
        self.resume()

    def expire(self, now: int) -> None:
        """Run on when the deadline of a wait has passed; the waiting code compares `due` with 0."""
        self.resume()

    def move(self) -> bool:
        """Run the mover; tell whether the coroutine is to be woken as well."""
        if self.fault is not None or self.moved:
            return True
        self.running = True
        try:
            self.moved = self.mover(self)  # type: ignore[misc]  # looked at by the caller.
        except Exception as error:
            self.fault = error
            return True
        finally:
            self.running = False
        return self.moved

    def step(self) -> None:
        """Run to the next wait, or to the end."""
        self.running = True
        try:
            self.coroutine.send(None)  # type: ignore[union-attr]  # looked at by both callers.
        except StopIteration:
            self.coroutine = None
            self.downstream.ended(self)
        except Exception:
            # `serve` answers for its failures; this one is of the answer itself, and must not reach another's stack.
            log.exception("request %r failed inside the gateway", self.request_id)
            self.coroutine = None
            self.leave_gauge()
            self.downstream.abort()
            self.downstream.ended(self)
        finally:
            self.running = False

    def __await__(self) -> Generator[Any, Any, None]:
        return self  # type: ignore[return-value]  # an iterator is enough for `await`; the stubs ask for more.

    def __iter__(self) -> Exchange:
        return self

    def __next__(self) -> None:
        if self.fault is not None:
            fault = self.fault
            self.fault = None
            raise fault
        if self.awake:
            self.awake = False
            raise StopIteration

    def enter(self, gauge: Gauge) -> None:
        """Be counted in `gauge`, which has let the request in, until `leave_gauge`."""
        self.gauge = gauge
        self.hold(self.body_size)

    def join(self, tally: Tally) -> None:
        """Be counted for a consumer as well."""
        self.tally = tally
        tally.in_flight += 1
        tally.held += self.held

    def hold(self, size: int) -> None:
        """Count `size` bytes more in memory, or fewer where it is negative; of no effect unless counted at all."""
        if self.gauge is not None:
            self.held += size
            self.gauge.held += size
            if self.tally is not None:
                self.tally.held += size

    def leave_gauge(self) -> None:
        """Be counted no longer; once is enough, more does no harm."""
        if self.gauge is not None:
            self.gauge.in_flight -= 1
            self.gauge.held -= self.held
            self.gauge = None
        if self.tally is not None:
            self.tally.in_flight -= 1
            self.tally.held -= self.held
            self.tally = None

    def is_squeezed(self) -> bool:
        """Tell whether the worker holds more bytes than it may, so that this exchange must not hold more of them."""
        return self.gauge is not None and self.gauge.is_over()

    def deadline(self, total: int) -> int:
        """Return when the call has to have ended, by its total timeout and by what its caller says."""
        return self.started + (self.patience if 0 < self.patience < total else total)

    def take_answer(self) -> bytes:
        """Return what has come of the answer's body since the last call, and let the upstream send on."""
        if self.answer_stopped and self.upstream is not None:
            self.upstream.unpause()
        parts = self.answer_parts
        if not parts:
            return b""
        data: bytes = parts[0] if len(parts) == 1 else b"".join(parts)
        self.answer_parts = []
        self.hold(-self.answer_held)
        self.answer_held = 0
        return data
