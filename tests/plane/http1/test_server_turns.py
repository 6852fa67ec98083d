"""Who is served when: pipelining, callers that leave or read slowly, deadlines, failures."""

from socket import SO_LINGER, SOL_SOCKET
from struct import pack
from time import monotonic_ns

import pytest

from core.errors import GatewayError
from plane.exchange import Exchange
from plane.overload import Gauge
from tests.plane.scripted import KIB, LIMIT, Caller, Gate, answer, echo, refusal, request

SECOND = 1_000_000_000


# --- pipelining


def test_pipelined_requests_are_served_one_at_a_time_and_in_order() -> None:
    gate = Gate()
    caller = Caller(gate)
    caller.send(request("/1") + request("/2", method="POST", body=b"two") + request("/3"))
    assert caller.paths == [b"/1"]
    gate.let_on()
    assert caller.take() == answer(b"GET /1 ")
    assert caller.paths == [b"/1", b"/2"]
    gate.let_on()
    gate.let_on()
    assert caller.take() == answer(b"POST /2 two") + answer(b"GET /3 ")


def test_sixteen_requests_wait_and_one_more_ends_the_connection() -> None:
    caller = Caller(Gate())
    caller.send(request("/active"))
    caller.send(request("/waiting") * 16)
    assert caller.wire.events == []
    caller.send(request("/"))
    assert caller.wire.events == ["abort"]


def test_a_flood_of_requests_in_one_read_is_neither_kept_nor_served() -> None:
    caller = Caller()
    caller.send(request("/") * 5000)
    assert caller.wire.events == ["abort"]
    assert len(caller.served) <= 16
    caller.lose()
    assert caller.connection.due == 0


def test_reading_stops_once_much_has_come_ahead_and_goes_on_afterwards() -> None:
    gate = Gate()
    caller = Caller(gate)
    caller.send(request("/1"))
    caller.send(request("/2", "content-length: 1000000", method="POST"))
    for _ in range(8):
        assert caller.wire.is_reading
        caller.send(b"x" * 8 * KIB)
    assert not caller.wire.is_reading
    caller.send(b"what was on its way")
    assert caller.wire.events == ["pause_reading"]
    gate.let_on()
    assert caller.wire.is_reading


def test_the_body_of_a_request_that_waited_is_read_on_when_its_turn_comes() -> None:
    gate = Gate()
    caller = Caller(gate)
    caller.send(request("/1"))
    second = request("/2", "transfer-encoding: chunked", method="POST")
    caller.send(second + b"1;" + b"e" * 70 * KIB + b"\r\na\r\n")
    assert not caller.wire.is_reading
    gate.let_on()
    assert caller.wire.is_reading
    caller.send(b"0\r\n\r\n")
    gate.let_on()
    assert caller.take() == answer(b"GET /1 ") + answer(b"POST /2 a")


def test_reading_goes_on_while_a_large_request_is_served_so_that_a_fin_is_seen() -> None:
    caller = Caller(Gate())
    caller.send(request("/", f"x: {'e' * 9000}", "transfer-encoding: chunked", method="POST"))
    caller.send(b"1;" + b"e" * 100 * KIB + b"\r\na\r\n0\r\n\r\n")
    assert caller.wire.is_reading
    caller.fin()
    assert caller.faults == ["caller_gone"]


def test_what_is_read_ahead_is_counted_over_all_that_wait() -> None:
    gate = Gate()
    caller = Caller(gate)
    caller.send(request("/1"))
    for _ in range(15):
        caller.send(request("/n", f"x: {'v' * 4000}"))
    caller.send(request("/last", f"x: {'v' * 8000}"))
    assert not caller.wire.is_reading
    while gate.waiting:
        gate.let_on()
    assert caller.wire.is_reading
    assert len(caller.paths) == 17


# --- a caller that leaves


@pytest.mark.parametrize(
    "data", [b"", b"GET / HT", request("/a")], ids=["before a head", "mid-head", "after an answer"]
)
def test_a_caller_may_leave_while_nothing_is_served(data: bytes) -> None:
    for leave in (Caller.fin, Caller.lose):
        caller = Caller()
        caller.send(data)
        leave(caller)
        if leave is Caller.fin:
            caller.lose()
        assert caller.faults == []
        assert len(caller.timers) == 0
        assert caller.door.connections == set()


@pytest.mark.parametrize("data", [request("/", "content-length: 5", method="POST") + b"he", request("/")])
def test_a_caller_that_leaves_interrupts_what_is_served_once(data: bytes) -> None:
    for leave in (Caller.fin, Caller.lose):
        caller = Caller(Gate())
        caller.send(data)
        leave(caller)
        assert caller.faults == ["caller_gone"]
        if leave is Caller.fin:
            caller.lose(ConnectionResetError())
        assert caller.faults == ["caller_gone"]
        assert caller.take() == b""
        assert len(caller.timers) == 0


def test_a_caller_that_left_but_does_not_take_what_is_written_is_given_up() -> None:
    caller = Caller(Gate())
    caller.send(request("/"))
    before = monotonic_ns()
    caller.fin()
    assert before + 60 * SECOND <= caller.connection.due <= monotonic_ns() + 60 * SECOND
    caller.expire()
    assert caller.wire.events == ["close", "abort"]


def test_what_does_not_end_when_its_caller_left_is_interrupted_once() -> None:
    seen = []

    async def stubborn(exchange: Exchange) -> None:
        while len(seen) < 2:
            try:
                await exchange
            except GatewayError as error:
                seen.append(error.code)

    caller = Caller(stubborn)
    caller.send(request("/"))
    caller.fin()
    caller.lose()
    assert seen == ["caller_gone"]
    caller.served[0].interrupt(GatewayError(500, "end", "gateway", ""))
    assert seen == ["caller_gone", "end"]


def test_requests_that_wait_are_not_served_for_a_caller_that_left() -> None:
    caller = Caller(Gate())
    caller.send(request("/1") + request("/2"))
    caller.fin()
    caller.lose()
    assert caller.paths == [b"/1"]


def test_a_caller_may_leave_in_the_middle_of_an_answer() -> None:
    async def stream(exchange: Exchange) -> None:
        exchange.downstream.start(200, b"", -1)
        exchange.downstream.write(b"part")
        await gate(exchange)

    gate = Gate()
    caller = Caller(stream)
    caller.send(request("/"))
    caller.connection.pause_writing()
    caller.fin()
    assert caller.faults == ["caller_gone"]
    caller.lose()
    assert caller.take().endswith(b"4\r\npart\r\n")


def test_an_answer_after_the_connection_is_lost_goes_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    async def stubborn(exchange: Exchange) -> None:
        while True:
            try:
                await exchange
            except GatewayError:
                break
        exchange.downstream.start(200, b"", -1)
        exchange.downstream.write(b"part")
        exchange.downstream.finish(b"end")

    caller = Caller(stubborn)
    caller.send(request("/", "connection: close"))
    caller.lose()
    assert caplog.text == ""
    assert caller.take() == b""
    assert caller.wire.events == []


def test_a_caller_that_leaves_after_a_fault_of_ours_does_not_break_its_answer() -> None:
    caller = Caller()
    caller.send(request("/", "content-length: 10", method="POST"))
    exchange = caller.served[0]
    exchange.fault = GatewayError(413, "first", "caller", "")
    caller.lose()
    assert caller.faults == ["first"]
    assert caller.take() == b""


def test_data_after_the_end_is_ignored() -> None:
    caller = Caller()
    caller.send(request("/"))
    caller.lose()
    caller.send(request("/"))
    assert caller.paths == [b"/"]


# --- a caller that reads slowly


def slow(caller: Caller) -> None:
    """Let the transport report that its buffer is full."""
    caller.connection.pause_writing()


def test_a_slow_reader_is_disconnected_after_its_time() -> None:
    caller = Caller(Gate())
    caller.send(request("/"))
    before = monotonic_ns()
    slow(caller)
    assert caller.connection.full
    assert before + 60 * SECOND <= caller.connection.due <= monotonic_ns() + 60 * SECOND
    caller.timers.run(caller.connection.due - 1)
    assert caller.wire.events == []
    caller.expire()
    assert caller.wire.events == ["abort"]


def test_a_reader_that_goes_on_runs_the_exchange_on_and_has_no_deadline() -> None:
    turns = []

    async def stream(exchange: Exchange) -> None:
        exchange.downstream.start(200, b"", -1)
        slow(caller)
        while exchange.downstream.full:
            await exchange
            turns.append(exchange.downstream.full)
        exchange.downstream.finish(b"end")

    caller = Caller(stream)
    caller.send(request("/"))
    assert turns == []
    caller.connection.resume_writing()
    assert turns == [False]
    assert caller.take().endswith(b"0\r\n\r\n")
    assert caller.connection.due > monotonic_ns()
    caller.expire()
    assert caller.connection.due > monotonic_ns() + 70 * SECOND


def test_the_next_request_waits_until_the_answer_before_it_has_been_read() -> None:
    async def large(exchange: Exchange) -> None:
        exchange.downstream.answer(200, b"", b"large")
        slow(caller)

    caller = Caller(large)
    caller.send(request("/1") + request("/2"))
    stalled = caller.connection.due
    assert caller.paths == [b"/1"]
    assert stalled > 0
    caller.send(request("/3"))
    assert caller.paths == [b"/1"]
    caller.send(b"GET /4 HT")
    assert caller.connection.due == stalled
    caller.connection.resume_writing()
    assert caller.paths == [b"/1", b"/2"]


def test_reading_ahead_is_bounded_while_an_answer_is_not_read() -> None:
    async def large(exchange: Exchange) -> None:
        slow(caller)
        exchange.downstream.answer(200, b"", b"large")

    caller = Caller(large)
    caller.send(request("/1"))
    caller.send(request("/2", "content-length: 1000000", method="POST"))
    for _ in range(8):
        caller.send(b"x" * 9 * KIB)
    assert not caller.wire.is_reading
    caller.connection.resume_writing()
    assert caller.wire.is_reading
    assert caller.faults == ["body_too_large"]


def test_a_slow_reader_that_sends_on_does_not_get_more_time() -> None:
    async def large(exchange: Exchange) -> None:
        exchange.downstream.start(200, b"", -1)
        slow(caller)
        while True:
            await exchange

    caller = Caller(large)
    caller.send(request("/1"))
    stalled = caller.connection.due
    caller.send(request("/2", "content-length: 100", method="POST") + b"x")
    caller.send(b"x")
    assert caller.connection.due == stalled


def test_a_slow_reader_that_sends_its_body_on_does_not_get_more_time() -> None:
    caller = Caller()
    caller.send(request("/", "content-length: 100", "expect: 100-continue", method="POST"))
    slow(caller)
    stalled = caller.connection.due
    caller.send(b"x")
    assert caller.connection.due == stalled


def test_the_body_has_its_deadline_again_after_a_slow_read() -> None:
    caller = Caller()
    caller.send(request("/", "content-length: 10", "expect: 100-continue", method="POST"))
    due = caller.connection.due
    slow(caller)
    caller.connection.resume_writing()
    assert caller.connection.due == due


# --- closing


def test_a_last_answer_gets_time_to_be_read_before_the_connection_ends() -> None:
    caller = Caller()
    before = monotonic_ns()
    caller.send(request("/", f"content-length: {LIMIT + 1}", method="POST"))
    assert caller.wire.events == ["write_eof"]
    assert before + 2 * SECOND <= caller.connection.due <= monotonic_ns() + 2 * SECOND
    caller.send(b"more of the body")
    caller.expire()
    assert caller.wire.events == ["write_eof", "abort"]


def test_a_lingering_connection_ends_with_the_caller_s_fin() -> None:
    caller = Caller()
    caller.send(request("/", f"content-length: {LIMIT + 1}", method="POST"))
    caller.fin()
    caller.lose()
    assert len(caller.timers) == 0
    assert caller.wire.events == ["write_eof", "close"]


def test_a_lingering_connection_still_ends_after_a_slow_read() -> None:
    caller = Caller()
    caller.send(request("/", f"content-length: {LIMIT + 1}", method="POST"))
    slow(caller)
    caller.connection.resume_writing()
    caller.expire()
    assert caller.wire.ending == "write_eof"
    assert caller.wire.events[-1] == "abort"


def test_a_slow_reader_of_a_last_answer_has_the_time_of_one() -> None:
    async def refuse(exchange: Exchange) -> None:
        slow(caller)
        exchange.downstream.answer(401, b"", b"large")

    caller = Caller()
    caller.door.serve = refuse
    before = monotonic_ns()
    caller.send(request("/", "content-length: 5", method="POST"))
    assert caller.wire.events == ["write_eof"]
    assert before + 60 * SECOND <= caller.connection.due


def test_reading_goes_on_while_a_last_answer_lingers() -> None:
    gate = Gate()
    caller = Caller(gate)
    caller.send(request("/1"))
    caller.send(request("/2", "content-length: 1000000", method="POST") + b"x" * 70 * KIB)
    assert not caller.wire.is_reading
    gate.let_on()
    assert caller.faults == ["body_too_large"]
    assert caller.wire.is_reading


def test_a_connection_whose_last_bytes_nobody_reads_is_given_up() -> None:
    caller = Caller()
    caller.send(request("/", "connection: close"))
    assert caller.wire.events == ["close"]
    caller.expire()
    assert caller.wire.events == ["close", "abort"]


# --- deadlines


def test_a_new_connection_without_a_request_is_closed_after_the_time_for_a_head() -> None:
    before = monotonic_ns()
    caller = Caller()
    assert before + 10 * SECOND <= caller.connection.due <= monotonic_ns() + 10 * SECOND
    caller.expire()
    assert caller.wire.events == ["close"]
    assert caller.take() == b""


def test_a_slow_head_is_answered_with_408() -> None:
    caller = Caller()
    caller.send(b"GET / HTTP/1.1\r\n")
    due = caller.connection.due
    caller.send(b"host: ")
    caller.send(b"gateway")
    assert caller.connection.due == due
    caller.expire()
    assert caller.take() == refusal("408 Request Timeout", "head_timeout")


def test_a_slow_head_behind_an_answered_request_has_its_time_as_well() -> None:
    gate = Gate()
    caller = Caller(gate)
    caller.send(request("/1") + b"GET /2 HT")
    before = monotonic_ns()
    gate.let_on()
    due = caller.connection.due
    assert before + 10 * SECOND <= due <= monotonic_ns() + 10 * SECOND
    caller.send(b"TP/1.1\r\nhos")
    assert caller.connection.due == due
    caller.expire()
    assert caller.take() == answer(b"GET /1 ") + refusal("408 Request Timeout", "head_timeout")


def test_line_ends_between_requests_do_not_prolong_the_idle_time() -> None:
    caller = Caller()
    caller.send(request("/"))
    due = caller.connection.due
    caller.send(b"\r\n")
    assert caller.connection.due == due


def test_an_idle_connection_is_closed_after_its_time() -> None:
    caller = Caller()
    before = monotonic_ns()
    caller.send(request("/a"))
    due = caller.connection.due
    assert before + SECOND <= due <= monotonic_ns() + SECOND
    caller.expire()
    assert caller.wire.events == []
    assert caller.connection.due == due + 74 * SECOND
    caller.expire()
    assert caller.wire.events == ["close"]
    assert caller.take() == answer(b"GET /a ")


@pytest.mark.parametrize("line_end", [b"", b"\r\n"])
def test_a_connection_that_has_rested_serves_on(line_end: bytes) -> None:
    caller = Caller()
    caller.send(request("/a") + line_end)
    caller.expire()
    caller.trickle(request("/b", method="POST", body=b"body") + request("/c"))
    assert caller.take() == answer(b"GET /a ") + answer(b"POST /b body") + answer(b"GET /c ")
    caller.expire()
    caller.send(b"nonsense\r\n\r\n")
    assert caller.take() == refusal("400 Bad Request", "bad_request")


def test_idle_connections_go_sooner_when_connections_are_crowded() -> None:
    caller = Caller(gauge=Gauge(10, 10, 1000))
    caller.send(request("/a"))
    caller.expire()
    due = caller.connection.due
    caller.door.hurry(due - 70 * SECOND)
    assert caller.connection.due == due
    caller.gauge.connections = 8
    caller.door.hurry(due - 70 * SECOND)
    assert caller.connection.due == due - 70 * SECOND + 75 * SECOND // 10
    caller.gauge.connections = 10
    caller.door.hurry(due - 70 * SECOND)
    assert caller.connection.due == due - 70 * SECOND + 75 * SECOND // 100
    caller.expire()
    assert caller.wire.events == ["close"]


def test_a_crowded_connection_closes_without_resting_and_says_so() -> None:
    caller = Caller(gauge=Gauge(1, 10, 1000))
    caller.send(request("/a"))
    assert caller.take() == answer(b"GET /a ", close=True)
    assert caller.wire.events == ["close"]


def test_connections_under_way_are_not_hurried() -> None:
    caller = Caller(Gate(), gauge=Gauge(10, 10, 1000))
    caller.send(request("/a", "content-length: 5", method="POST"))
    due = caller.connection.due
    caller.gauge.connections = 10
    caller.door.hurry(due - 9 * SECOND)
    assert caller.connection.due == due


def test_a_caller_that_is_dropped_is_reset() -> None:
    caller = Caller(Gate())
    caller.send(request("/") * 18)
    assert caller.wire.events == ["abort"]
    assert caller.wire.options == [(SOL_SOCKET, SO_LINGER, pack("ii", 1, 0))]


def test_an_idle_connection_that_does_not_close_is_given_up() -> None:
    caller = Caller()
    caller.expire()
    caller.expire()
    assert caller.wire.events == ["close", "abort"]


def test_a_body_gets_its_grace_and_then_a_rate() -> None:
    caller = Caller()
    before = monotonic_ns()
    caller.send(request("/", "content-length: 900", method="POST"))
    first = caller.connection.due
    assert before + 10 * SECOND <= first <= monotonic_ns() + 10 * SECOND
    caller.send(b"x" * 512)
    assert caller.connection.due == first + SECOND // 2
    caller.expire()
    assert caller.take() == refusal("408 Request Timeout", "body_timeout")
    assert caller.wire.events == ["write_eof"]


def test_what_is_being_served_has_no_deadline_of_the_door() -> None:
    gate = Gate()
    caller = Caller(gate)
    caller.send(request("/a", method="POST", body=b"hello"))
    caller.send(b"GET /b HT")
    assert caller.connection.due == 0
    caller.timers.run(monotonic_ns() + 1000 * SECOND)
    assert caller.wire.events == []
    gate.let_on()
    assert caller.take() == answer(b"POST /a hello")


# --- faults of the gateway


def test_a_failure_after_the_answer_s_head_cuts_the_answer_short() -> None:
    async def broken(exchange: Exchange) -> None:
        exchange.downstream.start(200, b"", -1)
        exchange.downstream.write(b"abc")
        raise ValueError("broken")

    caller = Caller(broken)
    caller.send(request("/") + request("/next"))
    assert caller.take().endswith(b"3\r\nabc\r\n")
    assert caller.wire.events == ["close"]
    assert caller.paths == [b"/"]
    caller.lose()
    assert len(caller.timers) == 0


def test_one_connection_s_failure_leaves_the_others_alone() -> None:
    async def broken(exchange: Exchange) -> None:
        raise ValueError("broken")

    caller = Caller(broken)
    caller.send(request("/"))
    caller.script = echo
    caller.open()
    caller.send(request("/a"))
    assert caller.take() == answer(b"GET /a ")
