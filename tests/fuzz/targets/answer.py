"""Bytes of an upstream at the client: the same answer however they are cut, and every count true afterwards."""

from collections.abc import Hashable

from plane.http1.origin import Origin
from plane.timers import Timers
from tests.fuzz.engine import cuts
from tests.plane.rig import Call, ScriptedLoop, Upstream

WORDS = (
    *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 204 No Content\r\n"),
    *(b"HTTP/1.1 304 \r\n", b"HTTP/1.1 101 Switching Protocols\r\n", b"HTTP/1.1 503 \r\n", b"Content-Length: 2\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"Upgrade: h2c\r\n"),
    *(b"Keep-Alive: timeout=5\r\n", b"Content-Type: text/event-stream\r\n", b"0\r\n\r\n", b"2\r\nok\r\n", b"\r\n\r\n"),
    *(b"\r\n", b"\n", b": ", b";e=v", b"0\r\nX: trailer\r\n\r\n", b"identity", b", gzip", b"+", b"-1"),
)
ORIGIN = Origin("http", "up.test", 9001, "", 4)


def outcome(pieces: list[bytes], method: bytes, at_once: bool) -> tuple[object, ...]:
    """Return what became of a call whose answer comes in `pieces`, and then a FIN."""
    upstream = Upstream(ORIGIN, Timers(), ScriptedLoop())
    peer = upstream.connect()
    call = Call(peer, method=method, at_once=at_once)
    for piece in pieces:
        peer.say(piece)
    upstream.loop.run()
    peer.leave()
    assert upstream.counts_are_true()
    assert upstream.pool.size == 0
    return call.outcome


def check(data: bytes) -> Hashable:
    """Compare one read with many."""
    method, at_once = (b"HEAD" if len(data) % 8 == 0 else b"POST"), len(data) % 3 == 0
    whole = outcome([data] if data else [], method, at_once)
    assert outcome(cuts(data), method, at_once) == whole, "another cut, another outcome"
    if len(whole) == 4:
        return whole
    status, kind, headers, length, body = whole
    assert isinstance(status, int)
    assert 200 <= status <= 599
    return status, bool(kind), isinstance(headers, list) and len(headers), length == -1, bool(body)
