import asyncio
import stat
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError
from core.snapshot import config_of
from core.wire import Draining
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


async def test_a_changed_secret_is_pushed_under_the_same_version(control: Any, folder: Path) -> None:
    secret = folder / "secret"
    secret.write_text("old")
    secret.chmod(0o600)
    control.config.write_text(
        control.config.read_text().replace('9000/v1"', f'9000/v1", credential: "file:{secret.resolve()}"')
    )
    await control.publisher.apply(control.config)
    (worker,) = await control.serving(0)
    secret.write_text("new")
    applying = asyncio.create_task(control.publisher.apply(control.config))
    push = await worker.ack()
    applied = await applying
    assert (applied.result, applied.version, list(push.secrets.values())) == ("active", 2, ["new"])
    assert "new" not in repr(control.publisher.active)


async def test_a_restarted_control_process_goes_on_with_what_was_applied(control: Any, folder: Path) -> None:
    other = folder / "other.yaml"
    other.write_text(control.config.read_text().replace("first", "other"))
    await control.publisher.apply(other)
    await control.stop()
    await control.start()
    active = control.publisher.active.snapshot
    assert (active.version, list(config_of(active).models)) == (2, ["other"])


async def test_a_restarted_control_process_takes_a_config_that_was_edited_meanwhile(control: Any) -> None:
    await control.stop()
    control.write("edited")
    await control.start()
    active = control.publisher.active.snapshot
    assert (active.version, list(config_of(active).models)) == (2, ["edited"])


async def test_a_restarted_control_process_serves_on_when_its_config_is_broken_by_now(control: Any) -> None:
    await control.stop()
    control.config.write_text("{")
    await control.start()
    assert list(config_of(control.publisher.active.snapshot).models) == ["first"]


async def test_a_damaged_saved_snapshot_is_passed_over(control: Any) -> None:
    await control.publisher.apply(control.write("second"))
    await control.stop()
    (control.data / "active").write_bytes(b"\x00" * 100)
    await control.start()
    assert (control.publisher.active.snapshot.version, control.feed.active.version) == (1, 1)


async def test_the_saved_snapshot_is_for_its_owner_alone_and_holds_no_secret(
    control: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_CREDENTIAL", "sk-very-secret")
    control.config.write_text(
        control.config.read_text().replace('9000/v1"', '9000/v1", credential: env:TEST_CREDENTIAL')
    )
    assert (await control.publisher.apply(control.config)).result == "active"
    saved = control.data / "active"
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert b"sk-very-secret" not in saved.read_bytes()
    assert b"env:TEST_CREDENTIAL" in saved.read_bytes()
