"""control.resume: what control goes on with after every kind of end, and what it does not."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError
from core.snapshot import config_of

CREDENTIAL = 'credential: "env:TEST_CREDENTIAL"'


def active(control: Any) -> tuple[int, int, list[str]]:
    """Return version, generation and models of what is active."""
    now = control.publisher.active
    return now.snapshot.version, now.generation, list(config_of(now.snapshot).models)


async def restart(control: Any) -> None:
    await control.stop()
    await control.start()


def elsewhere(control: Any, folder: Path) -> Path:
    """Return another config, which control was not started with."""
    path = folder / "other.yaml"
    path.write_text(control.config.read_text().replace("first", "other"))
    return path


def with_credential(control: Any) -> None:
    control.config.write_text(control.config.read_text().replace('9000/v1"', f'9000/v1", {CREDENTIAL}'))


def damage(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)


async def test_it_goes_on_with_what_was_applied(control: Any, folder: Path) -> None:
    await control.publisher.apply(elsewhere(control, folder))
    await restart(control)
    assert active(control) == (2, 1, ["other"])


async def test_it_takes_a_config_that_was_edited_meanwhile(control: Any) -> None:
    control.write("edited")
    await restart(control)
    assert active(control) == (2, 1, ["edited"])


async def test_a_rollback_stays_when_the_config_has_not_changed_since(control: Any, folder: Path) -> None:
    before = folder / "before.yaml"
    before.write_text(control.config.read_text())
    await control.publisher.apply(control.write("second"))
    await control.publisher.apply(before)
    for _ in range(2):
        await restart(control)
        assert active(control) == (3, 1, ["first"])
    control.write("third")
    await restart(control)
    assert active(control) == (4, 1, ["third"])


async def test_a_config_applied_without_a_difference_counts_as_applied(control: Any, folder: Path) -> None:
    """Rolled back from elsewhere, then the config brought to the same: from now on that is what it said last."""
    before = folder / "before.yaml"
    before.write_text(control.config.read_text())
    await control.publisher.apply(control.write("second"))
    await control.publisher.apply(before)
    assert (await control.publisher.apply(control.write("first"))).result == "same"
    control.write("second")
    await restart(control)
    assert active(control) == (4, 1, ["second"])


async def test_it_serves_on_when_its_config_is_broken_by_now(control: Any) -> None:
    control.config.write_text("{")
    await restart(control)
    assert active(control) == (1, 1, ["first"])


async def test_without_anything_saved_a_broken_config_is_an_error(control: Any) -> None:
    for path in (control.data / "snapshots").glob("*-*"):
        path.unlink()
    control.config.write_text("{")
    with pytest.raises(ConfigError):
        await restart(control)


async def test_a_damaged_newest_file_leads_to_the_one_before_as_a_new_version(control: Any, folder: Path) -> None:
    await control.publisher.apply(elsewhere(control, folder))
    damage(control.data / "snapshots" / "2-1")
    await restart(control)
    assert active(control)[::2] == (3, ["first"])
    await restart(control)
    assert active(control)[::2] == (3, ["first"])


async def test_a_damaged_newest_file_that_came_from_the_config_is_made_anew_from_it(control: Any) -> None:
    await control.publisher.apply(control.write("second"))
    damage(control.data / "snapshots" / "2-1")
    await restart(control)
    assert active(control)[::2] == (3, ["second"])


async def test_a_lost_newest_file_is_noticed_and_the_version_does_not_go_back(control: Any, folder: Path) -> None:
    await control.publisher.apply(elsewhere(control, folder))
    (control.data / "snapshots" / "2-1").unlink()
    await restart(control)
    assert active(control)[::2] == (3, ["first"])


async def test_with_every_file_damaged_it_starts_from_the_config_as_a_new_version(control: Any) -> None:
    await control.publisher.apply(control.write("second"))
    for path in (control.data / "snapshots").glob("*-*"):
        damage(path)
    await restart(control)
    assert active(control) == (3, 2, ["second"])


async def test_a_version_that_was_refused_before_the_restart_is_not_used_again(control: Any) -> None:
    (worker,) = await control.serving(0)
    applying = asyncio.create_task(control.publisher.apply(control.write("second")))
    await worker.nack("no")
    assert (await applying).refused_version == 2
    control.write("first")
    await restart(control)
    assert active(control)[0] == 1
    assert (await control.publisher.apply(control.write("third"))).version == 3


async def test_values_that_changed_meanwhile_are_a_new_generation_and_others_are_not(
    control: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_CREDENTIAL", "old")
    with_credential(control)
    await control.publisher.apply(control.config)
    await restart(control)
    assert active(control)[:2] == (2, 2)
    monkeypatch.setenv("TEST_CREDENTIAL", "new")
    await restart(control)
    assert active(control)[:2] == (2, 3)
    assert dict(control.publisher.active.secrets) == {"env:TEST_CREDENTIAL": "new"}


async def test_a_generation_that_was_offered_before_a_crash_is_passed_even_if_the_values_are_the_old_ones(
    control: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker may have taken it: it would refuse what was saved, as older."""
    control.files.stage(1, 5, {})
    await restart(control)
    assert active(control)[:2] == (1, 6)


async def test_missing_secrets_are_those_that_were_saved(
    control: Any, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.setenv("TEST_CREDENTIAL", "sk-canary")
    with_credential(control)
    await control.publisher.apply(control.config)
    monkeypatch.delenv("TEST_CREDENTIAL")
    await restart(control)
    assert active(control)[:2] == (2, 2)
    assert dict(control.publisher.active.secrets) == {"env:TEST_CREDENTIAL": "sk-canary"}
    log = capfd.readouterr().err
    assert "env:TEST_CREDENTIAL is not set in the environment" in log
    assert "sk-canary" not in log


async def test_a_disk_that_takes_nothing_does_not_keep_control_from_serving(
    control: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("control.lastgood.write_file", full)
    await restart(control)
    assert active(control) == (1, 1, ["first"])
