"""SIGHUP with real processes: the config is read again, and a broken one changes nothing."""

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.processes import Gateway, Running


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with tempfile.TemporaryDirectory(prefix="hg") as folder:
        gateway = Gateway(Path(folder))
        yield gateway
        for running in gateway.running:
            running.kill()


def reloaded(running: Running) -> dict[str, str]:
    """Send SIGHUP; return the fields of the line that tells how it went."""
    before = len(running.events("reloaded"))
    running.process.send_signal(signal.SIGHUP)
    fields = running.wait(lambda: running.events("reloaded")[before:])[0]
    assert isinstance(fields, dict)
    return fields


def test_a_changed_config_becomes_active(gateway: Gateway) -> None:
    running = gateway.start().ready()
    gateway.write("second")
    assert reloaded(running)["result"] == "active"
    assert (gateway.status()["version"], gateway.readiness()) == (2, (200, 2))
    assert reloaded(running)["result"] == "same"
    assert not running.events("died")
    assert running.stop() == 0


def test_a_broken_config_is_told_with_its_problems_and_changes_nothing(gateway: Gateway) -> None:
    running = gateway.start().ready()
    path = gateway.folder / "config" / "headgate.yaml"
    good = path.read_text()
    path.write_text(good.replace("provider: p", "provider: absent").replace("dialect: openai", "dialekt: openai"))
    assert reloaded(running)["result"] == "wrong"
    problems = [fields["problem"] for fields in running.events("config-problem")]
    assert any("dialekt" in problem and "headgate.yaml:" in problem for problem in problems)
    assert gateway.readiness() == (200, 1)
    path.write_text(good)
    assert reloaded(running)["result"] == "same"
    assert running.stop() == 0


def test_static_keys_that_have_changed_are_told_to_need_a_restart(gateway: Gateway) -> None:
    running = gateway.start().ready()
    path = gateway.folder / "config" / "headgate.yaml"
    path.write_text(path.read_text().replace("workers: 2", "workers: 3, drain: 5s"))
    fields = reloaded(running)
    assert (fields["result"], fields["needs_restart"]) == ("same", "listen.drain,listen.workers")
    assert len(gateway.status()["workers"]) == 2
    assert running.stop() == 0


def test_where_only_workers_run_there_is_nothing_to_read_again_and_they_serve_on(gateway: Gateway) -> None:
    plane, control = gateway.start("plane"), gateway.start("control")
    plane.ready()
    assert reloaded(plane)["result"] == "failed"
    assert gateway.readiness() == (200, 1)
    gateway.write("second")
    assert reloaded(control)["result"] == "active"
    assert gateway.readiness() == (200, 2)
    assert (control.stop(), plane.stop()) == (0, 0)
