"""The supervisor with real processes: whole gateways, and small modules that die in the ways that matter."""

import contextlib
import os
import re
import signal
import socket
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.processes import DEADLINE, SECRET, Gateway, Running, alive, headgate


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hg") as path:
        yield Path(path)


@pytest.fixture
def gateway(folder: Path) -> Iterator[Gateway]:
    gateway = Gateway(folder)
    yield gateway
    for running in gateway.running:
        running.kill()


def test_a_gateway_serves_shows_its_workers_and_ends_in_order(gateway: Gateway) -> None:
    running = gateway.start().ready()
    assert gateway.readiness() == (200, 1)
    workers = [(row["worker"], row["pid"], row["state"]) for row in gateway.status()["workers"]]
    assert workers == [(index, running.started(f"worker-{index}")[0], "serving") for index in (0, 1)]
    assert running.stop() == 0
    ended = [fields["child"] for fields in running.events("ended")]
    assert sorted(ended) == ["control", "worker-0", "worker-1"]
    # Control takes the workers' last usage, so it goes last.
    assert ended[-1] == "control"


def test_a_killed_worker_is_replaced_and_serves_what_is_active(gateway: Gateway) -> None:
    running = gateway.start().ready()
    (old,) = running.started("worker-0")
    os.kill(old, signal.SIGKILL)
    new = running.wait(lambda: running.started("worker-0")[1:])[0]
    assert gateway.readiness() == (200, 1)
    running.wait(lambda: f"event=connected worker=0 pid={new}" in running.log)
    running.wait(lambda: gateway.status()["workers"][0]["state"] == "serving")
    assert running.events("died")[0]["reason"] == "SIGKILL"
    assert running.stop() == 0


def test_a_killed_control_process_is_replaced_while_the_workers_serve_on(gateway: Gateway) -> None:
    running = gateway.start().ready()
    workers = [running.started(f"worker-{index}") for index in (0, 1)]
    os.kill(running.started("control")[0], signal.SIGKILL)
    assert gateway.readiness() == (200, 1)
    running.wait(lambda: len(running.events("connected")) == 4)
    running.wait(lambda: {row["state"] for row in gateway.status()["workers"]} == {"serving"})
    assert [running.started(f"worker-{index}") for index in (0, 1)] == workers
    assert gateway.status()["version"] == 1
    assert running.stop() == 0


def test_nothing_outlives_a_killed_supervisor_and_a_new_one_starts_at_once(gateway: Gateway) -> None:
    running = gateway.start().ready()
    children = [pid for name in ("control", "worker-0", "worker-1") for pid in running.started(name)]
    running.process.kill()
    running.process.wait(DEADLINE)
    running.wait(lambda: not any(alive(pid) for pid in children))
    again = gateway.start().ready()
    assert gateway.readiness() == (200, 1)
    assert again.stop() == 0


def test_the_halves_run_apart_and_either_may_start_first(gateway: Gateway) -> None:
    plane = gateway.start("plane")
    plane.wait(lambda: len(plane.events("started")) == 2)
    assert not plane.events("ready")
    control = gateway.start("control")
    plane.ready()
    control.wait(lambda: len(control.events("connected")) == 2)
    control.wait(lambda: [row["state"] for row in gateway.status()["workers"]] == ["serving", "serving"])
    assert gateway.readiness() == (200, 1)
    assert control.stop() == 0
    assert gateway.readiness() == (200, 1)
    assert plane.stop() == 0


def test_a_worker_that_cannot_start_says_why_while_the_other_serves_on(gateway: Gateway) -> None:
    running = gateway.start().ready()
    other = running.started("worker-1")
    (gateway.data / "limits").rename(gateway.data / "moved")
    os.kill(running.started("worker-0")[0], signal.SIGKILL)
    failed = running.wait(lambda: running.events("failed"))[0]
    assert failed["child"] == "worker-0"
    assert int(failed["pid"]) in running.started("worker-0")
    assert "FileNotFoundError: [Errno 2] No such file or directory" in failed["reason"]
    assert "/limits" in failed["reason"]
    running.wait(lambda: len(running.events("failed")) > 2)
    running.wait(lambda: gateway.status()["workers"][0]["state"] == "absent")
    shown = gateway.status()["workers"][0]
    assert shown["reason"] == failed["reason"].strip('"')
    assert shown["failures"] >= 3
    assert shown["next_start"].startswith("20")
    assert gateway.readiness() == (200, 1)
    (gateway.data / "moved").rename(gateway.data / "limits")
    running.wait(lambda: gateway.status()["workers"][0]["state"] == "serving")
    assert running.started("worker-1") == other
    assert running.stop() == 0


def test_two_crashes_of_a_worker_in_quick_succession_end_neither_the_gateway_nor_the_service(gateway: Gateway) -> None:
    running = gateway.start().ready()
    other = running.started("worker-1")
    for before in (0, 1):
        os.kill(running.started("worker-0")[-1], signal.SIGSEGV)
        running.wait(lambda before=before: len(running.events("died")) > before)
        assert [gateway.readiness() for _ in range(10)] == [(200, 1)] * 10
        running.wait(lambda before=before: len(running.started("worker-0")) > before + 1)
    assert [fields["restart_in"] for fields in running.events("died")] == ["0.00s", "0.25s"]
    assert running.started("worker-1") == other
    running.wait(lambda: gateway.status()["workers"][0]["state"] == "serving")
    assert running.stop() == 0


def test_a_second_supervisor_on_the_same_data_is_refused_and_leaves_the_first_alone(gateway: Gateway) -> None:
    running = gateway.start("control")
    running.wait(lambda: running.events("serving"))
    second = gateway.start("control")
    assert second.process.wait(DEADLINE) == 1
    assert f"already in use by another headgate (process {running.process.pid})" in second.log
    assert gateway.status()["version"] == 1
    assert running.stop() == 0


def test_an_address_in_use_ends_the_start_with_its_name(gateway: Gateway) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", gateway.port))
        other.listen()
        running = gateway.start()
        assert running.process.wait(DEADLINE) == 1
    assert running.log == f"Error: cannot listen on 127.0.0.1:{gateway.port}: Address already in use\n"


def test_a_missing_secret_ends_the_start_by_its_name(gateway: Gateway) -> None:
    running = gateway.start(SUPERVISED_CREDENTIAL="")
    assert running.process.wait(DEADLINE) == 1
    assert "providers.p.credential: env:SUPERVISED_CREDENTIAL is empty" in running.log
    assert running.events("config-refused")


def test_workers_do_not_see_the_credentials_nor_what_else_nobody_listed(gateway: Gateway) -> None:
    running = gateway.start(SOME_OTHER_TOKEN="t-4711").ready()
    control, worker = running.started("control")[0], running.started("worker-0")[0]
    assert SECRET.encode() in Path(f"/proc/{control}/environ").read_bytes()
    seen = Path(f"/proc/{worker}/environ").read_bytes()
    assert b"PYTHONPATH=" in seen
    assert b"4711" not in seen
    assert running.stop() == 0


SUPERVISE = """
import os, sys
from control.log import Log
from control.child import Child
from control.notify import ServiceManager
from control.supervise import Supervisor
children = [
    Child(f"worker-{index}", [name], (), dict(os.environ), worker=index) for index, name in enumerate(sys.argv[1:])
]
log = Log("supervisor")
patience = float(os.environ["TEST_PATIENCE"])
reaped, ready = lambda index: log("reaped", worker=index), lambda: log("ready")
sys.exit(Supervisor(children, log, reaped, ready, patience, ServiceManager(os.environ)).run())
"""
STEADY = "import signal; print('steady', flush=True); signal.pause()"
STUBBORN = """
import signal
signal.signal(signal.SIGTERM, lambda *_: print('told', flush=True))
print('stubborn', flush=True)
while True:
    signal.pause()
"""


@contextlib.contextmanager
def supervised(folder: Path, patience: str = "30", **modules: str) -> Iterator[Running]:
    """Run a supervisor over small modules of a test's own."""
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    running = Running([sys.executable, "-c", SUPERVISE, *modules], folder, path=str(folder), TEST_PATIENCE=patience)
    try:
        yield running
    finally:
        running.kill()


def test_a_crash_loop_is_slowed_down_while_the_others_serve_on(folder: Path) -> None:
    with supervised(folder, crashing="raise SystemExit(3)", steady=STEADY) as running:
        running.wait(lambda: len(running.events("died")) >= 4)
        delays = [fields["restart_in"] for fields in running.events("died")[:4]]
        assert delays == ["0.00s", "0.25s", "0.50s", "1.00s"]
        assert {fields["reason"] for fields in running.events("died")} == {'"status 3"'}
        assert len(running.started("worker-1")) == 1
        assert running.stop() == 0


def test_a_worker_is_reaped_after_its_end_and_before_its_successor_starts(folder: Path) -> None:
    with supervised(folder, steady=STEADY) as running:
        running.wait(lambda: "steady" in running.log.splitlines())
        os.kill(running.started("worker-0")[0], signal.SIGKILL)
        running.wait(lambda: len(running.started("worker-0")) == 2)
        events = re.findall(r"event=(\S+)", running.log)
        assert events == ["started", "reaped", "died", "started"]
        assert running.stop() == 0


def test_a_second_signal_kills_what_does_not_stop(folder: Path) -> None:
    with supervised(folder, stubborn=STUBBORN) as running:
        running.wait(lambda: "stubborn" in running.log.splitlines())
        running.process.send_signal(signal.SIGTERM)
        running.wait(lambda: "told" in running.log.splitlines())
        assert running.process.poll() is None
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(DEADLINE) == 1
        assert not alive(running.started("worker-0")[0])


def test_what_does_not_stop_by_the_deadline_is_killed(folder: Path) -> None:
    with supervised(folder, patience="0.2", stubborn=STUBBORN, steady=STEADY) as running:
        running.wait(lambda: {"stubborn", "steady"} <= set(running.log.splitlines()))
        assert running.stop() == 1
        reasons = {fields["child"]: fields["reason"] for fields in running.events("ended")}
        assert reasons == {"worker-0": "SIGKILL", "worker-1": "SIGTERM"}


def test_ctrl_c_reaches_the_supervisor_alone(folder: Path) -> None:
    with supervised(folder, stubborn=STUBBORN) as running:
        running.wait(lambda: "stubborn" in running.log.splitlines())
        assert os.getpgid(running.started("worker-0")[0]) != os.getpgid(running.process.pid)


def test_a_module_of_the_current_directory_is_not_taken_for_ours(gateway: Gateway, folder: Path) -> None:
    (folder / "core").mkdir()
    (folder / "core" / "__init__.py").write_text("raise SystemExit('the wrong core')")
    command = headgate("up", "--config", str(folder / "config"), "--data", str(gateway.data))
    script = (
        f"import os; os.chdir({str(folder)!r}); os.execv({sys.executable!r}, {[sys.executable, '-P', *command[1:]]!r})"
    )
    gateway.running.append(Running([sys.executable, "-c", script], folder))
    gateway.running[0].ready()
    assert gateway.running[0].stop() == 0
