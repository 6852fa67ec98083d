import asyncio
import os
import socket
from typing import Any

import pytest

from control.feed import Peer
from core.usage import UsageEvent
from core.wire import FORMAT, Ack, Hello, Nack, Usage, UsageTaken
from tests import usage_events
from tests.control.scripted_worker import workers
from tests.ledgers import records_of


def event(number: int) -> UsageEvent:
    return usage_events.event(
        number, consumer="payments", model="first", input_total=3, output_total=5, usage_known=True
    )


async def test_a_worker_gets_the_active_snapshot_when_it_connects(control: Any) -> None:
    worker = await control.worker(0)
    push = await worker.push()
    assert (push.version, push.digest) == (1, control.publisher.active.snapshot.digest)


async def test_an_acked_snapshot_shows_as_serving(control: Any) -> None:
    await control.serving(3)
    (state,) = control.feed.states()
    assert (state.worker, state.pid, state.state, state.version) == (3, os.getpid(), "serving", 1)


async def test_a_nack_at_connect_shows_as_refused_with_its_reason(control: Any) -> None:
    worker = await control.worker(0)
    await worker.nack("no such dialect")
    await control.until(lambda: control.feed.states()[0].state == "refused")
    assert control.feed.states()[0].reason == "no such dialect"


async def test_a_worker_that_reconnects_gets_the_snapshot_again(control: Any) -> None:
    (worker,) = await control.serving(0)
    worker.close()
    await control.until(lambda: not control.feed.peers)
    again = await control.worker(0)
    assert (await again.push()).version == 1


async def test_a_worker_that_holds_what_is_active_is_not_sent_it_again(control: Any) -> None:
    offer = control.feed.active
    held = Hello(FORMAT, 0, os.getpid(), "boot-0", offer.version, offer.digest, offer.generation)
    worker = await control.connection(held)
    await control.until(lambda: 0 in control.feed.peers)
    (state,) = control.feed.states()
    assert (state.state, state.version, state.generation) == ("serving", 1, 1)
    assert control.feed.peers[0].pending is None
    # It takes part in what comes next like any other.
    applying = asyncio.create_task(control.publisher.apply(control.write("second")))
    assert (await worker.ack()).version == 2
    assert (await applying).result == "active"


@pytest.mark.parametrize(("version", "digest", "generation"), [(7, "", 1), (1, "00" * 32, 1), (1, "", 2), (1, "", 9)])
async def test_a_worker_that_holds_something_else_serves_that_until_it_has_taken_what_is_active(
    control: Any, version: int, digest: str, generation: int
) -> None:
    held = Hello(FORMAT, 0, os.getpid(), "boot-0", version, digest or control.feed.active.digest, generation)
    worker = await control.connection(held)
    push = await worker.push()
    (state,) = control.feed.states()
    assert (state.state, state.version, state.generation) == ("serving", version, generation)
    assert (push.version, push.generation) == (1, 1)
    worker.answer(push)
    await control.until(lambda: control.feed.peers[0].holds is control.feed.active)


async def test_the_successor_of_a_worker_takes_its_place_and_the_old_connection_ends(control: Any) -> None:
    (old,) = await control.serving(0)
    (new,) = await control.serving(0)
    assert await old.closed()
    assert control.feed.peers[0].holds is control.feed.active
    assert not new.reader.at_eof()


async def test_usage_is_counted_once_even_if_it_is_sent_again_after_a_reconnect(control: Any) -> None:
    for number, batch in enumerate(([event(1), event(2)], [event(1), event(2), event(3)])):
        (worker,) = await control.serving(0)
        worker.send(Usage(number, records_of(*batch)))
        assert await worker.next() == UsageTaken(number)
        worker.close()
        await control.until(lambda: not control.feed.peers)
    (row,) = control.feed.intake.table.rows()
    assert (row.requests, row.input_tokens, row.output_tokens) == (3, 9, 15)


@pytest.mark.parametrize(
    "frames",
    [
        (Usage(1, b""),),
        (Ack(1, "00", 1),),
        (Hello(FORMAT + 1, 0, 1, "b"),),
        (Hello(FORMAT, 64, 1, "b"),),
        (Hello(FORMAT, -1, 1, "b"),),
        (Hello(FORMAT, 0, 1, "b"), Hello(FORMAT, 0, 1, "b")),
        (Hello(FORMAT, 0, 1, "b"), Ack(1, "00", 1)),
        (Hello(FORMAT, 0, 1, "b"), Nack(9, "00", 1, "no")),
    ],
    ids=["usage-first", "ack-first", "format", "index-high", "index-low", "twice", "ack-of-another", "nack-of-another"],
)
async def test_a_frame_out_of_place_ends_the_connection(control: Any, frames: Any) -> None:
    worker = await control.connection(*frames)
    assert await worker.closed()
    assert not control.feed.peers


async def test_bytes_that_are_no_frame_end_the_connection(control: Any) -> None:
    worker = await control.connection()
    worker.writer.write(b"GET / HTTP/1.1\r\n\r\n")
    assert await worker.closed()


async def test_a_frame_larger_than_workers_send_is_refused_by_its_length(control: Any) -> None:
    worker = await control.connection()
    worker.writer.write((17 * 1024 * 1024).to_bytes(4, "big"))
    assert await worker.closed()


async def test_a_connection_that_says_nothing_is_closed_in_time(control: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("control.feed.HELLO_TIME", 0.01)
    worker = await control.connection()
    assert await worker.closed()


async def test_another_user_is_refused_before_a_byte_is_read(control: Any) -> None:
    control.feed.uid = os.geteuid() + 1
    worker = await control.worker(0)
    assert await worker.closed()
    assert not control.feed.peers


async def test_credentials_that_cannot_be_read_are_refused(control: Any) -> None:
    ours, theirs = socket.socketpair()
    ours.close()

    class Transport:
        aborted = False

        def get_extra_info(self, name: str) -> socket.socket:
            return ours

        def abort(self) -> None:
            self.aborted = True

    transport = Transport()
    Peer(control.feed).connection_made(transport)  # type: ignore[arg-type]
    theirs.close()
    assert transport.aborted


async def test_all_serving_waits_for_every_worker_on_the_list(control: Any) -> None:
    control.feed.heard(workers("starting", "starting"))
    await control.serving(0)
    assert [state.state for state in control.feed.states()] == ["serving", "starting"]
    assert not control.feed._all_serving()
    await control.serving(1)
    await control.feed.all_serving()


async def test_a_worker_that_should_run_and_does_not_is_absent(control: Any) -> None:
    control.feed.heard(workers("absent", "starting"))
    assert [(state.worker, state.state) for state in control.feed.states()] == [(0, "absent"), (1, "starting")]
    assert control.feed.absent() == {0}
