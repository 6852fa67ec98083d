"""`headgate restart` with real processes: what is replaced, what stays, what is told."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.processes import DEADLINE, Gateway, alive, environment_of, headgate


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with tempfile.TemporaryDirectory(prefix="hg") as folder:
        gateway = Gateway(Path(folder))
        yield gateway
        for running in gateway.running:
            running.kill()


def restart(gateway: Gateway, *options: str) -> tuple[int, str, str]:
    """Run `headgate restart`; return status, output and errors."""
    command = headgate("restart", "--data", str(gateway.data), *options)
    done = subprocess.run(command, env=environment_of(), capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def serving(gateway: Gateway) -> list[tuple[int, int]]:
    """Return index and process of each worker that serves."""
    rows = gateway.status()["workers"]
    return [(row["worker"], row["pid"]) for row in rows if row["state"] == "serving"]


def test_every_worker_is_replaced_by_a_process_under_another_index(gateway: Gateway) -> None:
    running = gateway.start().ready()
    (_, first), (_, second) = serving(gateway)
    status, output, _ = restart(gateway)
    assert status == 0
    (third, new_first), (fourth, new_second) = serving(gateway)
    assert (third, fourth) == (2, 3)
    assert output.splitlines() == [
        f"worker-0 (process {first}) is replaced by worker-2 (process {new_first})",
        f"worker-1 (process {second}) is replaced by worker-3 (process {new_second})",
        "done",
    ]
    assert not alive(first)
    assert not alive(second)
    assert gateway.readiness() == (200, 1)
    assert restart(gateway)[0] == 0
    assert [index for index, _ in serving(gateway)] == [0, 1]
    assert running.stop() == 0


def test_control_alone_is_replaced_and_the_workers_stay(gateway: Gateway) -> None:
    running = gateway.start().ready()
    control, workers = gateway.status()["pid"], serving(gateway)
    status, output, _ = restart(gateway, "--control")
    assert status == 0
    running.wait(lambda: serving(gateway) == workers)
    new = gateway.status()["pid"]
    assert new != control
    assert f"control (process {new}) serves" in output
    assert not running.events("died")
    assert running.stop() == 0


def test_a_successor_that_cannot_start_stops_the_restart_and_the_old_workers_serve_on(gateway: Gateway) -> None:
    running = gateway.start().ready()
    before = serving(gateway)
    (gateway.data / "limits").rename(gateway.data / "moved")
    status, output, errors = restart(gateway)
    assert (status, output) == (1, "")
    assert "worker-2 did not start: FileNotFoundError" in errors
    assert "2 of 2 workers are as before" in errors
    assert serving(gateway) == before
    (gateway.data / "moved").rename(gateway.data / "limits")
    assert restart(gateway)[0] == 0
    assert running.stop() == 0


def test_the_workers_of_a_plane_alone_are_replaced_and_control_learns_of_it(gateway: Gateway) -> None:
    plane, control = gateway.start("plane"), gateway.start("control")
    plane.ready()
    assert restart(gateway)[0] == 0
    control.wait(lambda: [index for index, _ in serving(gateway)] == [2, 3])
    before = gateway.status()["pid"]
    assert restart(gateway, "--control")[0] == 0
    assert gateway.status()["pid"] != before
    assert (control.stop(), plane.stop()) == (0, 0)


def test_a_change_is_published_while_workers_are_replaced(gateway: Gateway) -> None:
    running = gateway.start().ready()
    command = headgate("restart", "--data", str(gateway.data))
    rolling = subprocess.Popen(command, env=environment_of(), stdout=subprocess.DEVNULL)
    versions = []
    while rolling.poll() is None:
        gateway.write(f"model-{len(versions)}")
        applied = subprocess.run(
            headgate("apply", "--config", str(gateway.folder / "config"), "--data", str(gateway.data)),
            env=environment_of(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert applied.returncode == 0, applied.stderr
        versions.append(gateway.status()["version"])
    assert rolling.wait() == 0
    assert versions == list(range(2, len(versions) + 2))
    running.wait(lambda: {row["version"] for row in gateway.status()["workers"]} == {versions[-1]})
    assert len(gateway.status()["workers"]) == 2
    assert running.stop() == 0


def test_a_second_restart_is_refused_while_one_is_under_way(gateway: Gateway) -> None:
    running = gateway.start().ready()
    # A successor that is stopped does not come to serve, so the first restart lasts.
    first = subprocess.Popen(
        headgate("restart", "--data", str(gateway.data)), env=environment_of(), stdout=subprocess.DEVNULL
    )
    successor = running.wait(lambda: running.started("worker-2"))[0]
    os.kill(successor, signal.SIGSTOP)
    status, _, errors = restart(gateway)
    assert (status, errors) == (1, "Error: a restart is under way already\n")
    os.kill(successor, signal.SIGKILL)
    assert first.wait(DEADLINE) == 1
    assert len(serving(gateway)) == 2
    assert running.stop() == 0


def test_a_worker_that_crashes_during_a_restart_is_replaced_with_the_others(gateway: Gateway) -> None:
    running = gateway.start().ready()
    rolling = subprocess.Popen(
        headgate("restart", "--data", str(gateway.data)), env=environment_of(), stdout=subprocess.DEVNULL
    )
    running.wait(lambda: running.started("worker-2"))
    os.kill(running.started("worker-1")[0], signal.SIGKILL)
    assert rolling.wait(DEADLINE) == 0
    running.wait(lambda: [index for index, _ in serving(gateway)] == [2, 3])
    assert running.stop() == 0


def test_without_a_gateway_a_restart_says_what_to_look_at(gateway: Gateway) -> None:
    status, _, errors = restart(gateway)
    assert status == 1
    assert f"no supervisor answers at {gateway.data}/plane.ctl" in errors
