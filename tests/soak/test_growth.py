"""That serving leaves nothing behind: no object and no file, however requests end and configs change.

Objects are counted inside the process, exactly. What a real worker holds over a million requests is in test_memory.py.
"""

import contextlib
import gc
import os
import sys
from collections.abc import Callable

from tests.e2e.harness import (
    KEYS,
    Gateway,
    TruncatedError,
    chat_request,
    digest,
    eventually,
    gateway,
)
from tests.plane.conftest import Starter
from tests.plane.conftest import start as start  # a fixture
from tests.plane.rig import CallerEnd, Peer, answer, consumer, one_model
from tests.plane.rig import Gateway as Plane
from tests.providers.scripted import Connection, Upstream, echo_kept
from tests.soak.counts import count
from tests.soak.test_slow_readers import worker_of

ROUNDS = count(5_000, 300)
CALLS = count(5_000, 50)
CONFIG = """
providers: {{p: {{dialect: openai, base_url: "http://127.0.0.1:{port}/v1", credential: env:PROVIDER_KEY}}}}
models: {{good: {{targets: [{{provider: p, model: scripted-small}}]}}}}
consumers: {{alice: {{keys: [{{sha256: {alice}}}], models: ["*"]}}}}
"""
REPLY = answer(b'{"id":"x","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}')
EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b'data: {"choices":[{"delta":{"content":"word"}}]}\n\n'
DONE = b"data: [DONE]\n\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def answered(caller: CallerEnd, peer: Peer) -> None:
    peer.say(REPLY)


def streamed(caller: CallerEnd, peer: Peer) -> None:
    peer.say(EVENTS + chunk(EVENT) * 3)
    peer.say(chunk(DONE) + b"0\r\n\r\n")


def cancelled(caller: CallerEnd, peer: Peer) -> None:
    peer.say(EVENTS + chunk(EVENT))
    caller.leave()


def broken(caller: CallerEnd, peer: Peer) -> None:
    peer.say(EVENTS + chunk(EVENT))
    peer.leave()


def failed(caller: CallerEnd, peer: Peer) -> None:
    peer.say(answer(b'{"error":{"message":"no"}}', status=b"500 Broken"))


def nonsense(caller: CallerEnd, peer: Peer) -> None:
    peer.say(b"nonsense")


ENDS: tuple[Callable[[CallerEnd, Peer], None], ...] = (answered, streamed, cancelled, broken, failed, nonsense)


def one_round(plane: Plane, turn: int) -> None:
    """Let one request run each way a call can end, on connections of its own."""
    upstream = plane.upstreams[9001]
    for end in ENDS:
        peer = upstream.connect()
        caller = plane.caller()
        caller.chat()
        peer.take()
        end(caller, peer)
        caller.take()
        caller.leave()
        peer.leave()
        upstream.peers.clear()
    if turn % 20 == 0:
        plane.apply(one_model() | {"consumers": {"c": consumer(limits={"concurrent": 8 + turn % 3})}})
    plane.events()


def test_objects_do_not_grow_however_requests_end_and_configs_change(start: Starter) -> None:
    plane = start(one_model() | {"consumers": {"c": consumer(limits={"concurrent": 8})}})
    for turn in range(60):
        one_round(plane, turn)
    assert plane.is_at_rest()
    gc.collect()
    before = sys.getallocatedblocks()
    for turn in range(ROUNDS):
        one_round(plane, turn)
    assert plane.is_at_rest()
    gc.collect()
    # A table or a list may have its next size by chance; one block left behind by one of the ways would be `ROUNDS`.
    assert sys.getallocatedblocks() - before < ROUNDS


def test_files_do_not_grow_however_callers_and_upstreams_leave() -> None:
    def by_content(connection: Connection) -> None:
        if b"broken" in connection.upstream.requests[-1].body:
            connection.socket.sendall(EVENTS + chunk(EVENT))
            raise ConnectionAbortedError
        echo_kept(connection)

    with Upstream(default=(by_content,)) as upstream:
        config = CONFIG.format(port=upstream.port, alice=digest(KEYS["alice"]))
        with gateway(config) as running:
            worker = worker_of(running)
            call_all(running, 10)
            before = open_files(worker)
            call_all(running, CALLS)
            eventually(lambda: open_files(worker) <= before)


def call_all(running: Gateway, times: int) -> None:
    """Call so often in each way: whole, streamed, streamed and left in the middle, broken by the upstream."""
    for _ in range(times):
        assert running.call(chat_request("whole")).status == 200
        assert running.call(chat_request("streamed", stream=True)).body.endswith(DONE)
        with running.connect() as leaver:
            leaver.send(chat_request("left", stream=True))
            leaver.receive_head()
        with running.connect() as cut, contextlib.suppress(TruncatedError):
            cut.send(chat_request("broken", stream=True))
            cut.receive()


def open_files(pid: int) -> int:
    """Return how many files a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))
