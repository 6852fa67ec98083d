"""How an exchange runs: driven by hand, one wake-up at a time."""

import gc
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from core.errors import GatewayError
from plane.exchange import Downstream, Exchange
from plane.http1.server import Connection
from tests.plane.scripted import LIMIT, Caller, Gate, Script, chunked, request


class Recorded(Downstream):
    """A door that records what it is asked for."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def ended(self, exchange: Exchange) -> None:
        self.calls.append("ended")

    def abort(self) -> None:
        self.calls.append("abort")


def begun(run: Callable[[Exchange], Coroutine[Any, Any, None]]) -> tuple[Exchange, list[str]]:
    """Return an exchange that runs `run`, and what its door was asked for."""
    door = Recorded()
    exchange = Exchange(door)
    exchange.begin(run(exchange))
    return exchange, door.calls


def test_an_exchange_runs_to_its_first_wait_and_on_at_each_wake_up() -> None:
    seen = []

    async def run(exchange: Exchange) -> None:
        for step in range(3):
            seen.append(step)
            await exchange

    exchange, calls = begun(run)
    assert seen == [0]
    exchange.resume()
    assert seen == [0, 1]
    exchange.resume()
    exchange.resume()
    assert calls == ["ended"]


def test_a_wake_up_while_it_runs_ends_the_next_wait_and_only_that() -> None:
    seen = []

    async def run(exchange: Exchange) -> None:
        exchange.resume()
        exchange.resume()
        await exchange
        seen.append("first")
        await exchange
        seen.append("second")

    exchange, _ = begun(run)
    assert seen == ["first"]
    exchange.resume()
    assert seen == ["first", "second"]


def test_a_fault_is_raised_where_it_waits() -> None:
    caught = []

    async def run(exchange: Exchange) -> None:
        try:
            await exchange
        except GatewayError as error:
            caught.append(error.code)

    exchange, calls = begun(run)
    exchange.interrupt(GatewayError(499, "gone", "caller", ""))
    assert caught == ["gone"]
    assert calls == ["ended"]


def test_a_fault_that_comes_while_it_runs_is_raised_at_the_next_wait_and_once() -> None:
    caught = []

    async def run(exchange: Exchange) -> None:
        exchange.interrupt(GatewayError(413, "first", "caller", ""))
        exchange.interrupt(GatewayError(499, "second", "caller", ""))
        for _ in range(2):
            try:
                await exchange
                caught.append("woken")
            except GatewayError as error:
                caught.append(error.code)

    _, calls = begun(run)
    assert caught == ["first", "woken"]
    assert calls == ["ended"]


def test_a_fault_that_is_known_before_it_begins_is_raised_at_the_first_wait() -> None:
    caught = []

    async def run() -> None:
        try:
            await exchange
        except GatewayError as error:
            caught.append(error.code)

    exchange = Exchange(Recorded())
    exchange.fault = GatewayError(400, "bad", "caller", "")
    exchange.begin(run())
    assert caught == ["bad"]


def test_nothing_happens_after_the_end() -> None:
    async def run(_: Exchange) -> None:
        pass

    exchange, calls = begun(run)
    exchange.resume()
    exchange.interrupt(GatewayError(499, "gone", "caller", ""))
    exchange.expire(1)
    assert calls == ["ended"]


def test_a_deadline_wakes_it() -> None:
    seen = []

    async def run(exchange: Exchange) -> None:
        await exchange
        seen.append(exchange.due)

    exchange, _ = begun(run)
    exchange.expire(5)
    assert seen == [0]


def test_a_failure_ends_the_exchange_and_its_connection_and_stays_there(caplog: pytest.LogCaptureFixture) -> None:
    async def run(exchange: Exchange) -> None:
        await exchange
        raise ValueError("broken")

    exchange, calls = begun(run)
    exchange.request_id = b"r-1"
    exchange.resume()
    assert calls == ["abort", "ended"]
    assert "r-1" in caplog.text
    assert "ValueError: broken" in caplog.text
    exchange.resume()
    assert calls == ["abort", "ended"]


def test_what_has_come_is_taken_once() -> None:
    exchange = Exchange(Recorded())
    exchange.answer_parts = [b"a", b"b"]
    exchange.answer_held = 2
    assert exchange.take_answer() == b"ab"
    assert exchange.answer_held == 0
    assert exchange.take_answer() == b""


# --- nothing stays alive


@pytest.fixture
def without_collector() -> Iterator[None]:
    """Switch the cycle collector off: what is freed then is freed by its reference count."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def alive() -> int:
    """Return how many exchanges, connections and parsers exist."""
    return sum(
        isinstance(item, Exchange | Connection) or type(item).__name__ == "HttpRequestParser"
        for item in gc.get_objects()
    )


async def stream(exchange: Exchange) -> None:
    exchange.downstream.start(200, b"", -1)
    exchange.downstream.write(b"part")
    await exchange
    exchange.downstream.finish(b"")


ENDS: dict[str, tuple[Script | None, list[bytes]]] = {
    "answered": (None, [request("/")]),
    "with a body": (None, [request("/", method="POST", body=b"hello")]),
    "pipelined": (None, [request("/") * 5]),
    "behind garbage": (None, [request("/") + b"nonsense\r\n\r\n"]),
    "refused head": (None, [request("/", "host: other")]),
    "half a head": (None, [b"GET / HT"]),
    "half a body": (None, [request("/", "content-length: 9", method="POST") + b"x"]),
    "too large a body": (None, [request("/", "transfer-encoding: chunked", method="POST"), chunked(b"x" * LIMIT * 2)]),
    "an upgrade with a body": (None, [request("/", "connection: upgrade", "upgrade: h2c", method="POST", body=b"x")]),
    "a flood": (None, [request("/") * 100]),
    "left while served": (Gate(), [request("/") * 3]),
    "left in a stream": (stream, [request("/") * 3]),
}


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize("name", ENDS)
def test_what_has_ended_is_freed_without_the_cycle_collector(name: str) -> None:
    script, pieces = ENDS[name]
    before = alive()
    caller = Caller(script)
    for piece in pieces:
        caller.send(piece)
    caller.lose()
    if isinstance(script, Gate):
        script.waiting.clear()
    caller.served.clear()
    del caller.connection
    assert alive() == before


@pytest.mark.usefixtures("without_collector")
def test_an_exchange_is_freed_while_its_connection_lives_on() -> None:
    caller = Caller()
    caller.send(request("/"))
    caller.served.clear()
    before = alive()
    for _ in range(10):
        caller.send(request("/", method="POST", body=b"hello"))
        caller.served.clear()
    assert alive() == before


# --- None where an object is due

MISUSES = {
    "begun without a door": "e = Exchange(None); e.begin(nothing(e))",
    "begun without a coroutine": "Exchange(None).begin(None)",
    "failed without a door": "e = Exchange(None); e.begin(failing(e))",
    "never initialised": "e = Exchange.__new__(Exchange); e.begin(nothing(e))",
    "a timer of nothing": "t = Timers(); t.add(None); t.run(1)",
    "timers never initialised": "Timers.__new__(Timers).run(1)",
    "a connection without a door": "Connection(None).connection_made(Wire())",
    "data before a transport": "Connection(door).data_received(b'nonsense\\r\\n\\r\\n')",
    "data for no door": "Connection(None).data_received(request('/'))",
    "nothing received": "Connection(door).data_received(None)",
    "an answer to nobody": "Connection(door).answer(200, b'', b'')",
    "an answer of nothing": "c = opened(); c.answer(200, None, None)",
    "a start for nobody": "Connection(door).start(200, b'', 1)",
    "an abort of nothing": "Connection(door).abort()",
    "a body for nobody": "Connection(door).want_body(None, 1)",
    "a body without a request": "opened().on_body(b'x')",
    "a header without a name": "opened().on_header(None, b'')",
    "an end without a request": "opened().on_message_complete()",
    "a phase of nothing: match": "match(None)",
    "a phase of nothing: identify": "identify(None)",
    "a phase of nothing: admit": "admit(None)",
    "a phase of nothing: decode": "decode(None)",
    "a phase of nothing: choose": "choose(None)",
    "a phase of nothing: shed": "shed(None)",
    "a phase of nothing: settle": "settle(None)",
    "a phase of nothing: record": "record(None)",
    "a phase of nothing: send": "send(None)",
    "a phase without a runtime: match": "match(Exchange(None))",
    "a phase without a runtime: identify": "identify(Exchange(None))",
    "a phase without a consumer: admit": "admit(Exchange(None))",
    "a phase without a route: decode": "decode(Exchange(None))",
    "a phase without a route: choose": "choose(Exchange(None))",
    "an answer without a route": "accept(Exchange(None))",
    "an answer without a door": "send(Exchange(None))",
    "a refusal without a runtime": "refuse(Exchange(None), GatewayError(400, 'x', 'caller', ''))",
    "a refusal without an error": "refuse(Exchange(None), None)",
    "a relay without a door": "pump(Exchange(None))",
}

MISUSE = """
from core.errors import GatewayError
from plane.admit import admit
from plane.answer import accept, refuse, send
from plane.choose import choose
from plane.decode import decode
from plane.exchange import Exchange
from plane.http1.door import Door
from plane.http1.server import Connection
from plane.identify import identify
from plane.match import match
from plane.metrics import Metrics
from plane.overload import Gauge
from plane.pump import pump
from plane.record import record
from plane.settle import settle
from plane.shed import shed
from plane.timers import Timers
from tests.plane.scripted import Wire, request

async def nothing(exchange): pass
async def failing(exchange): raise ValueError("broken")

door = Door(None, nothing, Timers(), Metrics(), Gauge(8, 8, 1024), None)

def opened():
    connection = Connection(door)
    connection.connection_made(Wire())
    return connection

for name, code in MISUSES.items():
    print(name, flush=True)
    try:
        exec(code)
    except Exception as error:
        print("raised", type(error).__name__, flush=True)
    else:
        print("nothing", flush=True)
"""


def test_none_where_an_object_is_due_raises_and_never_crashes() -> None:
    program = f"MISUSES = {MISUSES!r}\n{MISUSE}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"crashed at {done.stdout.splitlines()[-1:]}: {done.stderr[-500:]}"
    lines = done.stdout.splitlines()
    assert [lines[index] for index in range(1, len(lines), 2) if not lines[index].startswith("raised")] == []
