import asyncio
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError
from core.snapshot import config_of
from core.wire import Ack, Draining
from tests.control.scripted_worker import workers


def answers(applied: Any) -> list[tuple[int, str, str]]:
    return [(answer.worker, answer.answer, answer.reason) for answer in applied.workers]


async def test_a_config_every_worker_acks_becomes_active(control: Any) -> None:
    workers = await control.serving(0, 1)
    applying = asyncio.create_task(control.publisher.apply(control.write("second")))
    pushes = [await worker.push() for worker in workers]
    snapshots = [await worker.snapshot(push) for worker, push in zip(workers, pushes, strict=True)]
    for worker, push in zip(workers, pushes, strict=True):
        worker.answer(push)
    applied = await applying
    assert (applied.result, applied.version, answers(applied)) == ("active", 2, [(0, "ack", ""), (1, "ack", "")])
    assert [list(config_of(snapshot).models) for snapshot in snapshots] == [["second"], ["second"]]
    assert {state.version for state in control.feed.states()} == {2}


async def test_an_unchanged_config_is_not_sent_again(control: Any) -> None:
    (worker,) = await control.serving(0)
    applied = await control.publisher.apply(control.config)
    assert (applied.result, applied.version, applied.workers) == ("same", 1, ())
    assert control.feed.peers[0].pending is None
    assert not worker.queue


async def test_a_nack_restores_the_old_version_on_those_that_took_the_new_one(control: Any) -> None:
    took, refused = await control.serving(0, 1)
    applying = asyncio.create_task(control.publisher.apply(control.write("second")))
    assert (await took.ack()).version == 2
    await refused.nack("out of memory")
    assert (await took.ack()).version == 1
    applied = await applying
    assert (applied.result, applied.version, applied.refused_version) == ("refused", 1, 2)
    assert answers(applied) == [(0, "ack", ""), (1, "nack", "out of memory")]
    assert {state.version for state in control.feed.states()} == {1}
    assert not refused.queue


async def test_a_worker_that_never_answers_is_named_and_the_old_version_stays(folder: Path, control: Any) -> None:
    control.publisher._patience = 0.05
    (worker,) = await control.serving(0)
    applied = await control.publisher.apply(control.write("second"))
    assert (applied.result, applied.version) == ("refused", 1)
    assert answers(applied) == [(0, "none", "no answer within 0.05 s")]
    # Its late answer is not lost: it is sent back to the version that is active.
    assert (await worker.ack()).version == 2
    assert (await worker.ack()).version == 1
    await control.until(lambda: control.feed.peers[0].holds is control.feed.active)


async def test_a_worker_lost_while_it_builds_counts_as_a_refusal(control: Any) -> None:
    (worker,) = await control.serving(0)
    applying = asyncio.create_task(control.publisher.apply(control.write("second")))
    await worker.push()
    worker.close()
    applied = await applying
    assert (applied.result, answers(applied)) == (
        "refused",
        [(0, "nack", "its connection was lost before it answered")],
    )


async def test_a_worker_on_the_list_that_connects_during_an_apply_takes_part(control: Any) -> None:
    control.feed.heard(workers("starting", "starting"))
    (early,) = await control.serving(0)
    applying = asyncio.create_task(control.publisher.apply(control.write("second")))
    await early.ack()
    late = await control.worker(1)
    # First what is active, so that it can serve whatever becomes of the new one.
    assert [(await late.ack()).version for _ in range(2)] == [1, 2]
    assert (await applying).result == "active"


async def test_a_worker_that_does_not_run_is_reported_and_not_waited_for(control: Any) -> None:
    control.feed.heard(workers("starting", "absent"))
    (worker,) = await control.serving(0)
    applying = asyncio.create_task(control.publisher.apply(control.write("second")))
    await worker.ack()
    applied = await applying
    assert applied.result == "active"
    assert [(answer.worker, answer.answer) for answer in applied.workers] == [(0, "ack"), (1, "absent")]


async def test_a_worker_that_begins_to_drain_is_waited_for_no_more(control: Any) -> None:
    stays, drains = await control.serving(0, 1)
    applying = asyncio.create_task(control.publisher.apply(control.write("second")))
    await drains.push()
    await stays.ack()
    drains.send(Draining())
    applied = await applying
    assert (applied.result, answers(applied)[0]) == ("active", (0, "ack", ""))
    assert [answer.answer for answer in applied.workers] == ["ack", "absent"]
    drains.close()
    await control.until(lambda: set(control.feed.peers) == {0})
    assert control.publisher.active.snapshot.version == 2


async def test_a_draining_worker_is_not_asked_to_answer(control: Any) -> None:
    stays, drains = await control.serving(0, 1)
    drains.send(Draining())
    await control.until(lambda: control.feed.states()[1].state == "draining")
    applying = asyncio.create_task(control.publisher.apply(control.write("second")))
    await stays.ack()
    assert answers(await applying) == [(0, "ack", "")]


async def test_a_worker_that_ends_before_it_connects_is_waited_for_no_more(control: Any) -> None:
    control.feed.heard(workers("starting", "starting"))
    (worker,) = await control.serving(0)
    applying = asyncio.create_task(control.publisher.apply(control.write("second")))
    await worker.ack()
    control.feed.heard(workers("starting", "absent"))
    applied = await applying
    assert [(answer.worker, answer.answer) for answer in applied.workers] == [(0, "ack"), (1, "absent")]
    assert applied.result == "active"


async def test_a_successor_on_trial_is_not_waited_for_before_it_connects(control: Any) -> None:
    control.feed.heard(workers("serving", "successor"))
    (worker,) = await control.serving(0)
    applying = asyncio.create_task(control.publisher.apply(control.write("second")))
    await worker.ack()
    assert answers(await applying) == [(0, "ack", "")]


async def test_without_workers_a_config_becomes_active_and_later_workers_get_it(control: Any) -> None:
    assert (await control.publisher.apply(control.write("second"))).result == "active"
    worker = await control.worker(0)
    assert (await worker.push()).version == 2


async def test_applies_queue_and_each_gets_its_own_answer(control: Any) -> None:
    (worker,) = await control.serving(0)
    first = asyncio.create_task(control.publisher.apply(control.write("second")))
    push = await worker.push()
    second = asyncio.create_task(control.publisher.apply(control.write("third")))
    worker.answer(push)
    assert (await worker.ack()).version == 3
    assert [(await task).version for task in (first, second)] == [2, 3]


async def test_a_cancelled_apply_takes_back_what_it_sent(control: Any) -> None:
    took, waiting = await control.serving(0, 1)
    applying = asyncio.create_task(control.publisher.apply(control.write("second")))
    await took.ack()
    push = await waiting.push()
    applying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await applying
    assert (await took.ack()).version == 1
    waiting.answer(push)
    assert (await waiting.ack()).version == 1
    assert control.publisher.active.snapshot.version == 1


async def test_a_refused_version_number_is_never_used_again(control: Any) -> None:
    (worker,) = await control.serving(0)
    for model, version in (("second", 2), ("third", 3)):
        applying = asyncio.create_task(control.publisher.apply(control.write(model)))
        assert (await worker.nack("no")).version == version
        assert (await applying).refused_version == version


async def test_a_broken_config_is_refused_before_anything_is_sent(control: Any) -> None:
    await control.serving(0)
    control.config.write_text("models: {m: {targets: [{provider: nobody, model: m}]}}\nlisten: {wrokers: 3}\n")
    with pytest.raises(ConfigError) as caught:
        await control.publisher.apply(control.config)
    assert len(caught.value.problems) == 2
    assert control.feed.peers[0].pending is None
    assert control.publisher.active.snapshot.version == 1


@pytest.fixture
async def secret(control: Any, folder: Path) -> Path:
    """Return the file that holds the credential of the active config: version 2 with secrets of generation 2."""
    path = folder / "secret"
    path.write_text("old")
    control.config.write_text(
        control.config.read_text().replace('9000/v1"', f'9000/v1", credential: "file:{path.resolve()}"')
    )
    applied = await control.publisher.apply(control.config)
    assert (applied.version, applied.generation) == (2, 2)
    return path


async def test_a_changed_secret_is_a_new_generation_under_the_same_version(control: Any, secret: Any) -> None:
    (worker,) = await control.serving(0)
    digest = control.publisher.active.snapshot.digest
    secret.write_text("new")
    applying = asyncio.create_task(control.publisher.apply(control.config))
    push = await worker.ack()
    applied = await applying
    assert (push.version, push.generation, push.digest, list(push.secrets.values())) == (2, 3, digest, ["new"])
    assert (applied.result, applied.version, applied.generation) == ("active", 2, 3)
    assert [(state.version, state.generation) for state in control.feed.states()] == [(2, 3)]
    assert "new" not in repr(control.publisher.active)


async def test_secrets_that_did_not_change_keep_their_generation_in_the_next_version(control: Any, secret: Any) -> None:
    control.config.write_text(control.config.read_text().replace("first", "second"))
    applied = await control.publisher.apply(control.config)
    assert (applied.version, applied.generation) == (3, 2)


async def test_a_refused_generation_is_taken_back_under_a_newer_one_with_the_old_values(
    control: Any, secret: Any
) -> None:
    took, refused = await control.serving(0, 1)
    secret.write_text("new")
    applying = asyncio.create_task(control.publisher.apply(control.config))
    assert (await took.ack()).generation == 3
    assert (await refused.nack("no")).generation == 3
    for worker in (took, refused):
        push = await worker.ack()
        assert (push.version, push.generation, list(push.secrets.values())) == (2, 4, ["old"])
    applied = await applying
    assert (applied.result, applied.version, applied.generation) == ("refused", 2, 4)
    # And the next one does not take up the number that was refused.
    applying = asyncio.create_task(control.publisher.apply(control.config))
    assert {(await worker.ack()).generation for worker in (took, refused)} == {5}
    assert (await applying).generation == 5


async def test_an_ack_of_older_secrets_is_none_of_the_newer_ones(control: Any, secret: Any) -> None:
    (worker,) = await control.serving(0)
    secret.write_text("new")
    applying = asyncio.create_task(control.publisher.apply(control.config))
    push = await worker.push()
    worker.send(Ack(push.version, push.digest, push.generation - 1))
    assert await worker.closed()
    assert (await applying).result == "refused"


async def test_a_disk_that_takes_nothing_refuses_an_apply_before_anything_is_sent(
    control: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await control.serving(0)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("control.lastgood.write_file", full)
    with pytest.raises(OSError, match="No space left"):
        await control.publisher.apply(control.write("second"))
    assert control.feed.peers[0].pending is None
    assert control.publisher.active.snapshot.version == 1
