"""plane.http1.client.Pool: who gets which connection, and that its counts stay true whatever happens."""

from time import monotonic_ns
from typing import Any

import pytest

from core.errors import GatewayError
from plane.http1.client import UpstreamConnection
from plane.http1.connect import acquire
from plane.http1.origin import Origin
from plane.timers import Timers
from tests.plane.rig import SECOND, TIMEOUTS, Call, Peer, ScriptedLoop, Upstream, answer, make_exchange


def make(limit: int = 4) -> Upstream:
    return Upstream(Origin("http", "up.test", 9001, "", limit), Timers(), ScriptedLoop())


@pytest.fixture
def upstream() -> Upstream:
    return make()


class Wants:
    """An exchange that wants a connection and holds on to it."""

    def __init__(self, upstream: Upstream, connect: int = 5 * SECOND, age: int = 0) -> None:
        self.upstream = upstream
        self.connection: UpstreamConnection | None = None
        self.error: GatewayError | None = None
        self.exchange = make_exchange()
        self.exchange.started -= age
        self.exchange.timeouts = TIMEOUTS._replace(connect=connect)
        self.exchange.begin(self.run())

    async def run(self) -> None:
        try:
            self.connection = await acquire(self.upstream.pool, self.exchange, self.exchange.timeouts)
        except GatewayError as error:
            self.error = error

    @property
    def waits(self) -> bool:
        return self.connection is None and self.error is None

    def give_back(self) -> None:
        assert self.connection is not None
        self.upstream.pool.release(self.connection)
        self.upstream.loop.run()

    def leave(self) -> None:
        """Leave as a caller does."""
        self.exchange.interrupt(GatewayError(499, "caller_gone", "caller", "Gone."))


def test_the_connection_used_last_is_taken_first(upstream: Upstream) -> None:
    first, second = upstream.connect(), upstream.connect()
    assert Wants(upstream).connection is second.connection
    assert Wants(upstream).connection is first.connection
    assert Wants(upstream).waits


def test_who_waits_longest_is_served_first() -> None:
    upstream = make(limit=1)
    upstream.connect()
    holder = Wants(upstream)
    waiting = [Wants(upstream) for _ in range(3)]
    for number, one in enumerate(waiting):
        (holder if number == 0 else waiting[number - 1]).give_back()
        assert [other.connection is not None for other in waiting] == [other <= number for other in range(3)]
        assert one.connection is not None
    assert upstream.dials == []
    assert upstream.counts_are_true()


def test_each_that_waits_is_dialled_for_up_to_the_limit() -> None:
    upstream = make(limit=3)
    waiting = [Wants(upstream) for _ in range(5)]
    assert len(upstream.dials) == 3
    assert upstream.pool.size == 3
    for dial in list(upstream.dials):
        dial.succeed()
    assert [one.waits for one in waiting] == [False, False, False, True, True]
    assert upstream.dials == []
    assert upstream.counts_are_true()


def test_a_dial_has_the_time_of_the_one_who_waits_for_it(upstream: Upstream) -> None:
    Wants(upstream, connect=7 * SECOND)
    assert 6 * SECOND < upstream.dials[0].connect <= 7 * SECOND


def test_a_failed_dial_ends_the_longest_wait_and_the_place_is_used_for_the_next() -> None:
    upstream = make(limit=1)
    first, second, third = (Wants(upstream) for _ in range(3))
    upstream.dials[0].fail()
    assert first.error is not None
    assert (first.error.code, first.error.retry) == ("upstream_unreachable", True)
    assert second.waits
    upstream.dials[0].fail()
    assert second.error is not None
    assert third.waits
    upstream.dials[0].succeed()
    assert third.connection is not None
    assert upstream.counts_are_true()


def test_a_connection_that_is_closed_before_anyone_gets_it_is_a_failed_dial(upstream: Upstream) -> None:
    one = Wants(upstream)
    peer = Peer(upstream)
    peer.leave()
    upstream.dials[0].end(lambda: upstream.pool.dialled(peer.connection))
    assert one.error is not None
    assert (one.error.code, one.error.retry) == ("upstream_unreachable", True)
    assert upstream.counts_are_true()
    assert upstream.pool.size == 0


def test_a_dial_that_is_given_up_while_it_connects_is_counted_once(upstream: Upstream) -> None:
    Wants(upstream)
    peer = Peer(upstream)
    upstream.dials[0].fail("upstream_connect_timeout")
    peer.leave()
    assert upstream.counts_are_true()
    assert upstream.pool.size == 0


def test_the_connection_of_one_who_left_goes_to_the_next(upstream: Upstream) -> None:
    gone, next_one = Wants(upstream), Wants(upstream)
    gone.leave()
    assert gone.error is not None
    peer = upstream.dials[0].succeed()
    assert next_one.connection is peer.connection
    other = upstream.dials[0].succeed()
    assert upstream.pool.idle == [other.connection]
    assert upstream.counts_are_true()


def test_the_dial_of_one_who_left_serves_who_comes_next(upstream: Upstream) -> None:
    Wants(upstream).leave()
    late = Wants(upstream)
    assert len(upstream.dials) == 1
    upstream.dials[0].succeed()
    assert late.connection is not None
    assert upstream.counts_are_true()


def test_a_failed_dial_that_nobody_waits_for_leaves_nothing(upstream: Upstream) -> None:
    Wants(upstream).leave()
    upstream.dials[0].fail()
    assert upstream.pool.size == 0
    assert upstream.counts_are_true()


def test_one_who_leaves_between_being_given_a_connection_and_using_it_gives_it_on() -> None:
    upstream = make(limit=1)
    upstream.connect()
    holder, gone, next_one = Wants(upstream), Wants(upstream), Wants(upstream)
    assert holder.connection is not None
    upstream.pool.release(holder.connection)
    gone.leave()
    upstream.loop.run()
    assert gone.connection is None
    assert next_one.connection is not None
    assert upstream.counts_are_true()


def test_a_connection_that_dies_between_being_given_and_being_used_is_replaced() -> None:
    upstream = make(limit=1)
    peer = upstream.connect()
    holder, one = Wants(upstream), Wants(upstream)
    assert holder.connection is not None
    upstream.pool.release(holder.connection)
    peer.leave()
    upstream.loop.run()
    assert one.waits
    upstream.dials[0].succeed()
    assert one.connection is not None
    assert upstream.counts_are_true()


def test_a_busy_connection_that_closes_makes_room_for_one_who_waits() -> None:
    upstream = make(limit=1)
    peer = upstream.connect()
    call = Call(peer)
    one = Wants(upstream)
    assert upstream.dials == []
    peer.leave()
    assert call.error is not None
    upstream.dials[0].succeed()
    assert one.connection is not None
    assert upstream.counts_are_true()


@pytest.mark.parametrize(
    ("dialling", "status", "code"), [(True, 504, "upstream_connect_timeout"), (False, 503, "upstream_busy")]
)
def test_a_wait_ends_at_its_deadline_and_says_what_it_waited_for(dialling: bool, status: int, code: str) -> None:
    upstream = make(limit=1)
    if not dialling:
        upstream.connect()
        Wants(upstream)
    one = Wants(upstream, connect=2 * SECOND)
    upstream.timers.run(monotonic_ns() + SECOND)
    assert one.waits
    upstream.timers.run(monotonic_ns() + 2 * SECOND)
    assert one.error is not None
    assert (one.error.status, one.error.code, one.error.retry) == (status, code, True)
    assert not upstream.pool.waiters
    assert upstream.counts_are_true()


def test_a_wait_ends_with_the_whole_call_s_time_if_that_is_nearer(upstream: Upstream) -> None:
    one = Wants(upstream, connect=50 * SECOND, age=TIMEOUTS.total - 5 * SECOND)
    assert upstream.dials[0].connect <= 5 * SECOND
    upstream.timers.run(monotonic_ns() + 5 * SECOND)
    assert one.error is not None


def test_nothing_is_sent_for_a_call_whose_time_is_up(upstream: Upstream) -> None:
    upstream.connect()
    one = Wants(upstream, age=TIMEOUTS.total)
    assert one.error is not None
    assert (one.error.status, one.error.code, one.error.retry) == (504, "upstream_timeout", False)


def test_an_old_connection_is_not_used_again_even_where_others_wait_for_it() -> None:
    upstream = make(limit=1)
    peer = upstream.connect()
    holder, one = Wants(upstream), Wants(upstream)
    upstream.pool.max_age = 0
    holder.give_back()
    assert not peer.is_open
    assert one.waits
    assert len(upstream.dials) == 1
    assert upstream.counts_are_true()


def test_an_old_connection_is_not_kept_idle(upstream: Upstream) -> None:
    upstream.connect()
    holder = Wants(upstream)
    upstream.pool.max_age = 0
    holder.give_back()
    assert upstream.pool.idle == []
    assert upstream.counts_are_true()


def test_a_closed_pool_keeps_nothing(upstream: Upstream) -> None:
    idle, busy, drained = upstream.connect(), upstream.connect(), upstream.connect()
    call, stream = Call(drained), Call(busy)
    call.exchange.upstream.detach(True)
    upstream.pool.close()
    assert not idle.is_open
    busy.say(answer(b"whole"))
    assert stream.body == b"whole"
    drained.say(answer(b""))
    assert [busy.is_open, drained.is_open] == [False, False]
    assert upstream.counts_are_true()
    assert upstream.pool.size == 0


def test_who_waits_at_a_closed_pool_is_still_served(upstream: Upstream) -> None:
    before, second = Wants(upstream), Wants(upstream)
    upstream.pool.close()
    after = Wants(upstream)
    for dial in list(upstream.dials):
        dial.succeed()
    assert not any(one.waits for one in (before, second, after))
    before.give_back()
    assert before.connection is not None
    assert upstream.pool.idle == []
    assert upstream.counts_are_true()
    assert upstream.pool.size == 2


def test_counts_are_true_after_any_order_of_events() -> None:
    # Every sequence of five steps over a pool of two; each step is taken if it is possible then.
    def steps(upstream: Upstream, wants: list[Wants]) -> dict[str, Any]:
        waiting = [one for one in wants if one.waits]
        holding = [one for one in wants if one.connection is not None]
        opened = [peer for peer in upstream.peers if peer.is_open]
        return {
            "want": lambda: wants.append(Wants(upstream)),
            "succeed": lambda: upstream.dials and upstream.dials[0].succeed(),
            "fail": lambda: upstream.dials and upstream.dials[-1].fail(),
            "leave": lambda: waiting and waiting[0].leave(),
            "give": lambda: holding and give(holding[0], wants),
            "die": lambda: opened and opened[0].leave(),
        }

    def give(one: Wants, wants: list[Wants]) -> None:
        wants.remove(one)
        one.give_back()

    def explore(path: tuple[str, ...]) -> None:
        upstream = make(limit=2)
        wants: list[Wants] = []
        for name in ("want", "want", "want", *path):
            steps(upstream, wants)[name]()
        assert upstream.counts_are_true(), path
        assert upstream.pool.size <= 2, path
        waiting = sum(one.waits for one in wants)
        assert len(upstream.pool.waiters) == waiting, path
        # Whoever waits is waited for: by a dial, or by a connection that somebody holds.
        assert not waiting or upstream.dials or not upstream.pool.idle, path
        assert not waiting or upstream.pool.size == 2 or upstream.pool.dialling >= waiting, path

    names = ("want", "succeed", "fail", "leave", "give", "die")
    paths: list[tuple[str, ...]] = [()]
    for _ in range(5):
        paths = [(*path, name) for path in paths for name in names]
    for path in paths:
        explore(path)
