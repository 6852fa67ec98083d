"""plane.http1.client: one answer on one connection, however its bytes come, and whatever is wrong with it."""

import itertools
from time import monotonic_ns

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plane.http1.origin import Origin, TimeoutsNs
from plane.timers import Timers
from tests.plane.rig import SECOND, Call, Peer, ScriptedLoop, Upstream, answer

KIB = 1024
MIB = 1024 * 1024
OK = answer(b'{"id":"1"}')
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
SHORT = TimeoutsNs(connect=SECOND, first_token=20 * SECOND, idle=30 * SECOND, total=500 * SECOND)
BAD = (502, "upstream_bad_answer")
RESET = (502, "upstream_reset")
LATE = (504, "upstream_timeout")


@pytest.fixture
def upstream() -> Upstream:
    return Upstream(Origin("http", "up.test", 9001, "", 4), Timers(), ScriptedLoop())


@pytest.fixture
def peer(upstream: Upstream) -> Peer:
    return upstream.connect()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def run(upstream: Upstream, pieces: list[bytes], method: bytes = b"POST") -> tuple[object, ...]:
    """Return what became of a call whose answer comes in `pieces` and a FIN, and whether its connection was kept."""
    peer = upstream.connect()
    call = Call(peer, method=method)
    for piece in pieces:
        peer.say(piece)
    upstream.loop.run()
    kept = peer.connection in upstream.pool.idle
    peer.leave()
    assert upstream.counts_are_true()
    assert upstream.pool.size == 0
    return (*call.outcome, kept)


GOOD = {
    # name: the bytes; status, body, kept
    "a length": (OK, 200, b'{"id":"1"}', True),
    "a length of nothing": (answer(b""), 200, b"", True),
    "chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked \r\n\r\n" + chunk(b"a\r\n\r\n") + chunk(b"b") + b"0\r\n\r\n",
        200,
        b"a\r\n\r\nb",
        True,
    ),
    "extensions and trailers": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;a=b\r\nWiki\r\n0;x\r\nSet-Cookie: a\r\n\r\n",
        200,
        b"Wiki",
        True,
    ),
    "interim answers": (
        b"HTTP/1.1 100 Continue\r\nX-Interim: 1\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK,
        200,
        b'{"id":"1"}',
        True,
    ),
    "eight interim answers": (b"HTTP/1.1 102 Processing\r\n\r\n" * 8 + OK, 200, b'{"id":"1"}', True),
    "204": (b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n", 204, b"", True),
    "304 with a length": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", 304, b"", True),
    "connection: close": (answer(b"bye", fields=b"Connection: close\r\n"), 200, b"bye", False),
    "until close": (b"HTTP/1.1 200 OK\r\n\r\nall\r\nof it", 200, b"all\r\nof it", False),
    "until close, nothing": (b"HTTP/1.1 200 OK\r\n\r\n", 200, b"", False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold", 200, b"old", False),
    "HTTP/1.0 kept alive": (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nold",
        200,
        b"old",
        True,
    ),
    "events": (answer(b"data: 1\n\ndata: 2\n\n", kind=b"text/event-stream"), 200, b"data: 1\n\ndata: 2\n\n", True),
    "an unknown status": (b"HTTP/1.1 599 Odd\r\nContent-Length: 2\r\n\r\nok", 599, b"ok", True),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", True),
    "an upgrade that is offered": (
        answer(b"x", fields=b"Connection: Upgrade, keep-alive\r\nUpgrade: h2c\r\n"),
        200,
        b"x",
        True,
    ),
}

WRONG = {
    "a bad chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a chunk longer than it says": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
    "garbage": b"SSH-2.0-OpenSSH_9.6\r\n",
    "status 600": b"HTTP/1.1 600 Beyond\r\nContent-Length: 2\r\n\r\nok",
    "status 099": b"HTTP/1.1 099 Before\r\nContent-Length: 0\r\n\r\n",
    "status 101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nPRI * HTTP/2.0",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "both framings": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "both framings, the other way round": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "gzip and chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "an empty transfer encoding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: \r\n\r\nabc",
    "chunks in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0 kept alive": b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n",
    "chunks in HTTP/1.0 behind an interim answer": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n"
    b"Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a folded field": b"HTTP/1.1 200 OK\r\nX-Folded: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "a line feed in a field": b"HTTP/1.1 200 OK\r\nX-Bad: a\nX-Other: b\r\nContent-Length: 0\r\n\r\n",
    "nine interim answers": b"HTTP/1.1 102 Processing\r\n\r\n" * 9 + OK,
    "too many fields": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 129 + b"\r\n",
}


@pytest.mark.parametrize(("raw", "status", "body", "kept"), GOOD.values(), ids=GOOD)
def test_an_answer_is_the_same_wherever_its_bytes_are_cut(
    raw: bytes, status: int, body: bytes, kept: bool, upstream: Upstream
) -> None:
    whole = run(upstream, [raw])
    assert (whole[0], whole[-2], whole[-1]) == (status, body, kept)
    assert run(upstream, [raw[i : i + 1] for i in range(len(raw))]) == whole
    for cut in range(1, len(raw)):
        assert run(upstream, [raw[:cut], raw[cut:]]) == whole, raw[:cut]


@pytest.mark.parametrize("raw", WRONG.values(), ids=WRONG)
def test_what_is_no_clear_answer_is_refused_wherever_its_bytes_are_cut(raw: bytes, upstream: Upstream) -> None:
    assert run(upstream, [raw])[:2] == BAD
    assert run(upstream, [raw[i : i + 1] for i in range(len(raw))])[:2] == BAD


@given(
    raw=st.sampled_from([case[0] for case in GOOD.values()] + list(WRONG.values())),
    damage=st.lists(st.tuples(st.integers(0, 400), st.sampled_from(b"\r\n :;,0123fFx\0\xff")), max_size=3),
    cuts=st.lists(st.integers(0, 400), max_size=6),
    more=st.binary(max_size=8),
)
def test_damaged_bytes_do_the_same_wherever_they_are_cut_and_leave_no_connection_that_should_be_gone(
    raw: bytes, damage: list[tuple[int, int]], cuts: list[int], more: bytes
) -> None:
    upstream = Upstream(Origin("http", "up.test", 9001, "", 4), Timers(), ScriptedLoop())
    data = bytearray(raw + more)
    for place, value in damage:
        data[place % len(data)] = value
    whole = run(upstream, [bytes(data)])
    places = sorted({cut % len(data) for cut in cuts} | {0, len(data)})
    split = run(upstream, [bytes(data[a:b]) for a, b in itertools.pairwise(places)])
    assert split[:-1] == whole[:-1]


@pytest.mark.parametrize("pieces", [1, 7])
def test_a_head_over_its_bound_is_refused_in_one_read_as_in_many(pieces: int, upstream: Upstream) -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + b"X: %b\r\n" % (b"x" * 700) * 100 + b"\r\n"
    step = -(-len(raw) // pieces)
    assert run(upstream, [raw[i : i + step] for i in range(0, len(raw), step)])[:2] == BAD


@pytest.mark.parametrize("framing", [b"5;" + b"x" * 30_000, b"0\r\nX: " + b"x" * 30_000], ids=["extension", "trailer"])
def test_chunk_extensions_and_trailers_are_bounded(framing: bytes, upstream: Upstream) -> None:
    begun = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"text")
    assert run(upstream, [begun, framing, *[b"x" * 30_000] * 3])[:2] == BAD


def test_trailers_and_interim_fields_do_not_reach_the_caller(upstream: Upstream) -> None:
    raw = (
        b"HTTP/1.1 103 Early Hints\r\nX-Interim: 1\r\nContent-Type: text/plain\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nX-Real: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Trailer: 1\r\n\r\n"
    )
    _, kind, headers, *_ = run(upstream, [raw])
    assert (kind, headers) == (b"", [(b"X-Real", b"1")])


def test_fields_that_connection_names_stay_on_this_hop(upstream: Upstream) -> None:
    raw = answer(
        b"x", fields=b"X-Own: 1\r\nconnection: X-OWN\r\nX-End: 2\r\nConnection: keep-alive\r\nKeep-Alive: a\r\n"
    )
    assert run(upstream, [raw])[2] == [(b"X-End", b"2")]


@pytest.mark.parametrize("extra", [b"H", b"garbage", b"{}", OK], ids=["a byte", "garbage", "a body", "an answer"])
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("good", [OK, b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n"], ids=["200", "204"])
def test_an_answer_stands_though_bytes_follow_it_and_its_connection_is_not_used_again(
    extra: bytes, together: bool, good: bytes, upstream: Upstream
) -> None:
    clean = run(upstream, [good])
    assert clean[-1] is True
    assert run(upstream, [good + extra] if together else [good, extra]) == (*clean[:-1], False)


def test_the_answer_to_head_has_no_body_and_its_connection_is_not_used_again(upstream: Upstream) -> None:
    status, _, _, length, body, kept = run(upstream, [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"], b"HEAD")
    assert (status, length, body, kept) == (200, 5, b"", False)


def test_the_body_that_comes_with_an_answer_to_head_is_nobody_s(upstream: Upstream) -> None:
    assert run(upstream, [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"], b"HEAD")[-2:] == (b"", False)


# --- how a connection ends


@pytest.mark.parametrize("error", [None, ConnectionResetError()], ids=["FIN", "reset"])
@pytest.mark.parametrize(
    "begun",
    [
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        EVENTS + chunk(b"data: 1\n\n"),
    ],
)
def test_an_answer_cut_short_is_a_reset_and_never_replayed(
    begun: bytes, error: Exception | None, upstream: Upstream, peer: Peer
) -> None:
    Call(peer)
    peer.say(OK)
    call = Call(peer, replayable=True)
    peer.say(begun)
    peer.leave(error)
    assert call.outcome[:2] == RESET
    assert call.outcome[3] is False
    assert upstream.counts_are_true()


def test_a_reset_is_not_the_end_of_an_answer_that_lasts_until_close(peer: Peer) -> None:
    call = Call(peer)
    peer.say(b"HTTP/1.1 200 OK\r\n\r\nmost of it")
    peer.leave(ConnectionResetError())
    assert call.outcome[:2] == RESET


@pytest.mark.parametrize(("reused", "replayable"), [(True, True), (True, False), (False, True), (False, False)])
def test_only_a_reused_connection_that_dies_without_a_byte_may_be_replayed(
    reused: bool, replayable: bool, peer: Peer
) -> None:
    if reused:
        Call(peer)
        peer.say(OK)
    call = Call(peer, replayable=replayable)
    peer.leave()
    assert call.outcome[:2] == RESET
    assert call.outcome[3] is (reused and replayable)


def test_when_a_reused_connection_proves_dead_the_other_idle_ones_are_not_trusted(upstream: Upstream) -> None:
    peers = [upstream.connect() for _ in range(3)]
    Call(peers[2])
    peers[2].say(OK)
    Call(peers[2])
    peers[2].leave(ConnectionResetError())
    assert upstream.pool.take() is None
    assert upstream.counts_are_true()
    assert upstream.pool.size == 0


def test_an_answer_before_the_whole_request_was_written_stands_and_ends_the_connection(
    upstream: Upstream, peer: Peer
) -> None:
    call = Call(peer, body=b"x" * MIB)
    peer.transport.unsent = MIB
    peer.say(answer(b"too large", status=b"413 Content Too Large"))
    assert call.outcome[0] == 413
    assert not peer.is_open
    assert upstream.counts_are_true()


def test_a_large_body_follows_its_head(peer: Peer) -> None:
    Call(peer, body=b"x" * MIB)
    assert peer.take() == b"HEAD" + b"x" * MIB


def test_a_small_body_goes_out_with_its_head_in_one_write(peer: Peer) -> None:
    Call(peer, body=b"body")
    assert peer.take() == b"HEADbody"


# --- while idle


@pytest.mark.parametrize("late", [b"\r\n", b"x", OK])
def test_bytes_that_come_while_a_connection_is_idle_end_it(late: bytes, upstream: Upstream, peer: Peer) -> None:
    peer.say(late)
    assert upstream.pool.take() is None
    assert not peer.is_open


def test_a_fin_while_idle_keeps_a_connection_from_being_taken_before_the_loop_has_closed_it(
    upstream: Upstream, peer: Peer
) -> None:
    peer.connection.eof_received()
    assert upstream.pool.take() is None
    assert upstream.counts_are_true()


@pytest.mark.parametrize(
    ("field", "time"),
    [
        (b"", 30 * SECOND),
        (b"Keep-Alive: timeout=5, max=100\r\n", 4 * SECOND),
        (b"keep-alive: max=3, Timeout=60\r\n", 59 * SECOND),
        (b"Keep-Alive: timeout=1\r\n", SECOND // 2),
        (b"Keep-Alive: timeout=soon\r\n", 30 * SECOND),
        (b"Keep-Alive: timeout=99999999999999999999\r\n", 30 * SECOND),
    ],
)
def test_an_idle_connection_is_closed_before_its_peer_does(
    field: bytes, time: int, upstream: Upstream, peer: Peer
) -> None:
    call = Call(peer)
    peer.say(answer(b"", fields=field))
    assert call.ended
    now = monotonic_ns()
    upstream.timers.run(now + time - SECOND // 4)
    assert peer.is_open
    upstream.timers.run(now + time)
    assert not peer.is_open
    assert upstream.counts_are_true()


# --- times


def expires(upstream: Upstream, call: Call, after: int) -> bool:
    """Tell whether the call is still well shortly before `after` nanoseconds from now and has failed then."""
    now = monotonic_ns()
    upstream.timers.run(now + after - SECOND)
    well = call.error is None
    upstream.timers.run(now + after)
    return well and call.error is not None and call.outcome[:2] == LATE


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nX: y", b"HTTP/1.1 100 Continue\r\n\r\n", EVENTS])
def test_an_answer_must_begin_in_time(begun: bytes, upstream: Upstream, peer: Peer) -> None:
    call = Call(peer, timeouts=SHORT)
    peer.say(begun)
    assert expires(upstream, call, SHORT.first_token)
    assert not peer.is_open
    assert upstream.counts_are_true()


@pytest.mark.parametrize("begun", [EVENTS + chunk(b"data: 1\n\n"), b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"])
def test_an_answer_that_has_begun_must_not_fall_silent(begun: bytes, upstream: Upstream, peer: Peer) -> None:
    call = Call(peer, timeouts=SHORT)
    peer.say(begun)
    assert expires(upstream, call, SHORT.idle)


def test_a_whole_call_must_end_in_time_though_it_is_never_silent(upstream: Upstream, peer: Peer) -> None:
    call = Call(peer, timeouts=TimeoutsNs(SECOND, 5 * SECOND, 60 * SECOND, 10 * SECOND))
    peer.say(EVENTS + chunk(b"data: 1\n\n"))
    assert expires(upstream, call, 10 * SECOND)


def test_a_deadline_that_was_moved_by_another_one_of_the_same_tick_is_not_taken_for_passed(upstream: Upstream) -> None:
    # The first call to expire takes the idle connection whose time is up at the same tick.
    patient = SHORT._replace(first_token=400 * SECOND)
    calls = [Call(upstream.connect(), timeouts=SHORT) for _ in range(8)]
    idle = upstream.connect()
    seconds: list[Call] = []
    for call in calls:
        call.then = lambda: seconds.append(Call(idle, timeouts=patient)) if idle.is_open and not seconds else None
    upstream.timers.run(monotonic_ns() + 31 * SECOND)
    assert all(second.error is None for second in seconds)


# --- how much is held


def test_a_slow_caller_makes_the_upstream_wait(upstream: Upstream, peer: Peer) -> None:
    call = Call(peer, timeouts=SHORT)
    call.takes = False
    peer.say(EVENTS + chunk(b"x" * 30 * KIB))
    assert not peer.transport.paused
    peer.say(chunk(b"x" * 300 * KIB))
    assert peer.transport.paused
    assert len(call.exchange.take_answer()) == 330 * KIB
    assert not peer.transport.paused


def test_an_upstream_that_is_made_to_wait_is_not_called_silent(upstream: Upstream, peer: Peer) -> None:
    call = Call(peer, timeouts=SHORT)
    call.takes = False
    peer.say(EVENTS + chunk(b"x" * 300 * KIB))
    upstream.timers.run(monotonic_ns() + SHORT.idle * 2)
    assert call.error is None
    call.exchange.take_answer()
    assert expires(upstream, call, SHORT.idle)


def test_an_upstream_that_is_made_to_wait_still_has_to_end_in_time(upstream: Upstream, peer: Peer) -> None:
    call = Call(peer, timeouts=SHORT)
    call.takes = False
    peer.say(EVENTS + chunk(b"x" * 300 * KIB))
    assert expires(upstream, call, SHORT.total)


def test_an_answer_that_ends_while_its_upstream_is_made_to_wait_leaves_a_connection_that_reads(
    upstream: Upstream, peer: Peer
) -> None:
    call = Call(peer)
    call.takes = False
    peer.say(EVENTS + chunk(b"x" * 300 * KIB))
    peer.say(b"0\r\n\r\n")  # What the loop had read before it was paused.
    assert call.ended
    assert not peer.transport.paused
    assert upstream.pool.take() is peer.connection


def test_an_answer_too_large_to_be_held_becomes_a_stream(peer: Peer) -> None:
    call = Call(peer)
    size = 2 * MIB
    peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * MIB)
    assert call.body == b""
    peer.say(b"x")
    assert len(call.body) == MIB + 1
    peer.say(b"x" * (size - MIB - 1))
    assert call.ended
    assert len(call.body) == size


@pytest.mark.parametrize(
    ("length", "streams"), [(b"65536", False), (b"65537", True), (b"", True)], ids=["small", "large", "unknown"]
)
def test_a_route_that_relays_at_once_holds_only_what_is_small(length: bytes, streams: bool, peer: Peer) -> None:
    call = Call(peer, at_once=True)
    framing = b"Content-Length: " + length if length else b"X: y"
    peer.say(b"HTTP/1.1 200 OK\r\n%b\r\n\r\nbegun" % framing)
    assert (call.body == b"begun") is streams


# --- letting go before the end


def test_a_call_that_is_given_up_closes_its_connection(upstream: Upstream, peer: Peer) -> None:
    call = Call(peer)
    peer.say(EVENTS + chunk(b"data: 1\n\n"))
    call.exchange.upstream.detach(False)
    assert call.exchange.upstream is None
    assert not peer.is_open
    assert upstream.counts_are_true()


def test_a_call_that_has_all_it_wants_leaves_a_connection_that_ends_cleanly(upstream: Upstream, peer: Peer) -> None:
    call = Call(peer)
    peer.say(EVENTS + chunk(b"data: [DONE]\n\n"))
    call.exchange.upstream.detach(True)
    assert upstream.pool.take() is None
    peer.say(b"0\r\nX-Trailer: a\r\n\r\n")
    assert upstream.pool.take() is peer.connection
    assert peer.connection.reused
    assert b"".join(call.exchange.answer_parts) == b""


@pytest.mark.parametrize(
    "late", [chunk(b"x" * 65_536), b"0\r\n\r\nHTTP/1.1 200", b"zz\r\n", b""], ids=["much", "surplus", "garbage", "FIN"]
)
def test_a_connection_that_does_not_end_cleanly_after_it_was_let_go_is_closed(
    late: bytes, upstream: Upstream, peer: Peer
) -> None:
    call = Call(peer)
    peer.say(EVENTS + chunk(b"data: [DONE]\n\n"))
    call.exchange.upstream.detach(True)
    if late:
        peer.say(late)
    else:
        peer.connection.eof_received()
    assert not peer.is_open
    assert upstream.counts_are_true()
    assert upstream.pool.size == 0


def test_a_connection_that_was_let_go_has_a_second_to_end(upstream: Upstream, peer: Peer) -> None:
    call = Call(peer)
    peer.say(EVENTS + chunk(b"data: [DONE]\n\n"))
    call.exchange.upstream.detach(True)
    upstream.timers.run(monotonic_ns() + SECOND // 2)
    assert peer.is_open
    upstream.timers.run(monotonic_ns() + SECOND)
    assert not peer.is_open
    assert upstream.counts_are_true()
