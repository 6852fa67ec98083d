"""What a request leaves behind in a worker: its usage event, and nothing that waits for the cycle collector."""

import gc
from collections import Counter
from collections.abc import Callable, Iterator
from time import monotonic_ns
from types import CoroutineType, FrameType, TracebackType

import pytest

from core.errors import GatewayError
from core.sse import EventScan
from plane.exchange import Exchange
from plane.http1.client import Waiter
from plane.usage import Usage
from tests.plane.conftest import Starter
from tests.plane.rig import SECOND, CallerEnd, Gateway, answer, one_model

CHAT = b'{"model":"m","messages":[]}'
STREAM = b'{"model":"m","messages":[],"stream":true}'
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b"a\r\ndata: {}\n\n\r\n"
DONE = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
PATH = "/v1/chat/completions"


def whole(gateway: Gateway, caller: CallerEnd) -> None:
    caller.chat()
    gateway.upstreams[9001].peers[0].say(answer(b'{"usage":{"prompt_tokens":1}}'))


def streamed(gateway: Gateway, caller: CallerEnd) -> None:
    caller.chat(STREAM)
    for part in (HEAD, EVENT, EVENT, DONE):
        gateway.upstreams[9001].peers[0].say(part)


def refused(_: Gateway, caller: CallerEnd) -> None:
    caller.chat(b"{")
    caller.chat(b'{"model":"other"}')
    caller.ask("/nowhere")
    caller.say(b"GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n")


def listed(_: Gateway, caller: CallerEnd) -> None:
    caller.ask("/v1/models", method="GET")
    caller.ask("/healthz", method="GET")


def reset(gateway: Gateway, caller: CallerEnd) -> None:
    caller.chat()
    gateway.upstreams[9001].peers.pop().leave(ConnectionResetError())
    gateway.upstreams[9001].connect()


def broken_off(gateway: Gateway, caller: CallerEnd) -> None:
    caller.chat(STREAM)
    peer = gateway.upstreams[9001].peers.pop()
    peer.say(HEAD + EVENT)
    peer.leave()
    gateway.upstreams[9001].connect()


def silent(gateway: Gateway, caller: CallerEnd) -> None:
    caller.chat()
    peer = gateway.upstreams[9001].peers.pop()
    gateway.timers.run(peer.connection.due)
    gateway.loop.run()
    gateway.upstreams[9001].connect()


def left(gateway: Gateway, caller: CallerEnd) -> None:
    leaving = gateway.caller()
    leaving.chat(STREAM)
    peer = gateway.upstreams[9001].peers.pop()
    peer.say(HEAD + EVENT)
    leaving.leave()
    gateway.upstreams[9001].connect()


def dialled(gateway: Gateway, caller: CallerEnd) -> None:
    gateway.upstreams[9001].peers.pop().leave()
    caller.chat()
    gateway.upstreams[9001].dials[0].fail()
    gateway.rest()
    gateway.upstreams[9001].dials[0].fail()
    gateway.upstreams[9001].connect()


def never_connected(gateway: Gateway, caller: CallerEnd) -> None:
    gateway.upstreams[9001].peers.pop().leave()
    leaving = gateway.caller()
    leaving.chat()
    leaving.leave()
    gateway.upstreams[9001].dials[0].fail()
    gateway.upstreams[9001].connect()


def waited_too_long(gateway: Gateway, caller: CallerEnd) -> None:
    gateway.upstreams[9001].peers.pop().leave()
    caller.chat()
    for _ in range(2):
        gateway.timers.run(monotonic_ns() + 6 * SECOND)
        for dial in list(gateway.upstreams[9001].dials):
            dial.fail()
        gateway.rest()
    gateway.upstreams[9001].connect()


def held() -> Counter[str]:
    """Count what a request is made of; the scripted ends of connections hold those in cycles of their own."""
    kinds = (Exchange, Waiter, GatewayError, Usage, EventScan, CoroutineType, TracebackType, FrameType)
    return Counter(type(item).__name__ for item in gc.get_objects() if isinstance(item, kinds))


@pytest.fixture
def gateway(start: Starter) -> Iterator[Gateway]:
    """Return a gateway with one idle connection upstream, with the cycle collector off."""
    made = start(one_model(retries={"max": 1}))
    made.upstreams[9001].connect()
    gc.collect()
    gc.disable()
    yield made
    gc.enable()


@pytest.mark.parametrize(
    "turn",
    [
        *(whole, streamed, refused, listed, reset, broken_off, silent, left),
        *(dialled, never_connected, waited_too_long),
    ],
)
def test_a_request_leaves_nothing_for_the_cycle_collector(
    gateway: Gateway, turn: Callable[[Gateway, CallerEnd], None]
) -> None:
    caller = gateway.caller()

    def once() -> None:
        turn(gateway, caller)
        caller.take()
        gateway.events()

    once()
    before = held()
    once()
    assert held() == before
    assert gateway.is_at_rest()
