"""Callers with TLS that give nothing, or take nothing: each connection ends at its time, which is a short one here."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.certificates import Authority
from tests.e2e.harness import KEYS, Caller, Gateway, chat_request, digest, gateway, get
from tests.e2e.http2 import Http2Caller, chat_body, request_fields
from tests.e2e.test_slow_callers import CONFIG, by_path
from tests.providers.scripted import Upstream

LISTEN = ", timeouts: {head: 1s, body: 1s, idle: 1s, stall: 1s}"


class Stage:
    """A gateway that waits a second for anything, who its callers trust, and the upstream behind it."""

    def __init__(self, running: Gateway, authority: Authority, upstream: Upstream) -> None:
        self.gateway = running
        self.authority = authority
        self.upstream = upstream

    def plain(self, *protocols: str) -> Caller:
        """Open a connection with TLS on which the test says every byte."""
        return self.gateway.connect_tls(self.authority.context(*protocols), receive_buffer=65536)

    def http2(self, *, acknowledge: bool = True) -> Http2Caller:
        """Open an HTTP/2 connection."""
        context = self.authority.context("h2")
        return Http2Caller(self.gateway.https_port, context, acknowledge=acknowledge, receive_buffer=65536)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    with Upstream(default=(by_path,)) as upstream:
        config = CONFIG.format(port=upstream.port, alice=digest(KEYS["alice"])).replace("real", "scripted-small")
        with gateway(config, listen=LISTEN, https=authority.https) as running:
            yield Stage(running, authority, upstream)


def closed(caller: Http2Caller) -> bool:
    """Wait for the gateway to close; pings are answered meanwhile."""
    while caller.read():
        pass
    return caller.closed


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
def test_silence_after_the_handshake(protocol: str, stage: Stage) -> None:
    with stage.plain(protocol) as caller:
        assert b"HTTP/" not in caller.rest()  # It ends; granian says its settings first.


def test_silence_before_the_handshake(stage: Stage) -> None:
    with Caller(stage.gateway.https_port) as caller:
        assert caller.is_closed()


def test_no_request_after_the_preface(stage: Stage) -> None:
    with stage.http2() as caller:
        assert closed(caller)


def test_half_a_head(stage: Stage) -> None:
    with stage.http2() as caller:
        caller.raw(b"\x00\x00\x01\x01\x00\x00\x00\x00\x01\x82")  # HEADERS without END_HEADERS
        assert closed(caller)


def test_no_further_request(stage: Stage) -> None:
    with stage.http2() as caller:
        assert caller.chat("hello").text == "You said: hello"
        assert closed(caller)
    with stage.plain() as plain:
        plain.send(chat_request("hello"))
        assert plain.receive().text == "You said: hello"
        assert plain.is_closed()


@pytest.mark.parametrize("part", [b"", b'{"model":'])
def test_half_a_body(part: bytes, stage: Stage) -> None:
    with stage.http2() as caller:
        stream = caller.send(request_fields(), part, end=False)
        reply = caller.receive(stream)
        assert (reply.status, reply.json()["error"]["code"]) == (408, "body_timeout")
        assert caller.chat("after").text == "You said: after"


def test_an_answer_that_is_not_read(stage: Stage) -> None:
    """By a socket that is not read, or windows that are not opened: the connection ends, and the upstream is let go."""
    fields = request_fields("/api/large", method="GET")
    with stage.http2(acknowledge=False) as narrow, stage.http2() as unread, stage.plain() as plain:
        narrow.send(fields)
        assert closed(narrow)
        unread.connection.increment_flow_control_window(2**30)
        unread.connection.update_settings({4: 2**30})
        unread.flush()
        unread.send(fields)
        plain.send(get("/api/large"))
        eventually(lambda: connections(stage) == 0)


def connections(stage: Stage) -> int:
    """Return how many TCP connections of callers the worker has at the TLS door."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    # The second column is our address, the fourth the state: 01 is established.
    return sum(row[1].endswith(f":{stage.gateway.https_port:04X}") and row[3] == "01" for row in rows)


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds."""
    waits = threading.Event()
    for _ in range(2000):
        if condition():
            return
        waits.wait(0.01)  # A poll of another process, with a deadline.
    raise AssertionError("it did not happen in time")


def test_a_stream_that_is_not_read_ends_only_its_own_connection(stage: Stage) -> None:
    with stage.http2(acknowledge=False) as narrow, stage.http2() as other:
        narrow.send(request_fields("/api/large", method="GET"))
        ended = threading.Event()
        thread = threading.Thread(target=lambda: (closed(narrow), ended.set()))
        thread.start()
        while not ended.is_set():
            assert other.call(request_fields(), chat_body("hello")).text == "You said: hello"
        thread.join()
