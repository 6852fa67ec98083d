"""The supervisor with real processes: whole gateways, and small modules that die in the ways that matter."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from control.client import call

ROOT = Path(__file__).parents[2]
DEADLINE = 20.0  # seconds for what should come at once, on a busy machine
CONFIG = """
listen: {{http: "127.0.0.1:{port}", workers: {workers}}}
providers: {{p: {{dialect: openai, base_url: "http://127.0.0.1:9/v1", credential: env:SUPERVISED_CREDENTIAL}}}}
models: {{m: {{targets: [{{provider: p, model: m}}]}}}}
"""
SECRET = "sk-supervised-4711"


class Running:
    """A supervisor of a test, with its log as it is written."""

    def __init__(self, command: list[str], folder: Path, **environment: str) -> None:
        self.folder = folder
        self.log_path = folder / f"log-{len(list(folder.glob('log-*')))}"
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                command, env=environment_of(**environment), stdout=log, stderr=log, start_new_session=True
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def events(self, event: str) -> list[dict[str, str]]:
        """Return the fields of every log line of that event."""
        lines = [line for line in self.log.splitlines() if f" event={event}" in line]
        return [dict(re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)', line)) for line in lines]

    def started(self, child: str) -> list[int]:
        """Return the process ids that `child` has had."""
        return [int(fields["pid"]) for fields in self.events("started") if fields["child"] == child]

    def wait(self, condition: Callable[[], Any]) -> Any:
        """Return the first true value of `condition`; fails the test when the deadline has passed."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            if value := condition():
                return value
            time.sleep(0.01)  # A poll of other processes, with a deadline.
        raise AssertionError(f"it did not happen in time; the log:\n{self.log}")

    def ready(self) -> "Running":
        self.wait(lambda: self.events("ready") or self.process.poll() is not None)
        assert self.process.poll() is None, self.log
        return self

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE)


def environment_of(**extra: str) -> dict[str, str]:
    path = os.pathsep.join(filter(None, (extra.pop("path", ""), str(ROOT), os.environ.get("PYTHONPATH", ""))))
    return {**os.environ, "PYTHONPATH": path, "SUPERVISED_CREDENTIAL": SECRET, **extra}


def headgate(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "control.cli", *arguments]


def alive(pid: int) -> bool:
    """Return whether a process runs (one that is dead and not yet reaped does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hg") as path:
        yield Path(path)


class Gateway:
    """A config directory, a data directory, and the supervisors started on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self.running: list[Running] = []
        (folder / "config").mkdir()
        self.write()

    def write(self, workers: int = 2) -> None:
        (self.folder / "config" / "headgate.yaml").write_text(CONFIG.format(port=self.port, workers=workers))

    def start(self, half: str = "up", **environment: str) -> Running:
        command = headgate(half, "--config", str(self.folder / "config"), "--data", str(self.data))
        self.running.append(Running(command, self.folder, **environment))
        return self.running[-1]

    def status(self) -> Any:
        code, answer = call(self.data, "GET", "/v1/status")
        assert code == 200
        return answer

    def ask(self, path: str = "/healthz") -> int:
        """Return the status of one call on a connection of its own."""
        with socket.create_connection(("127.0.0.1", self.port), DEADLINE) as caller:
            caller.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
            return int(caller.makefile("rb").readline().split()[1])


@pytest.fixture
def gateway(folder: Path) -> Iterator[Gateway]:
    gateway = Gateway(folder)
    yield gateway
    for running in gateway.running:
        running.kill()


def test_a_gateway_serves_shows_its_workers_and_ends_in_order(gateway: Gateway) -> None:
    running = gateway.start().ready()
    assert gateway.ask() == 200
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
    assert gateway.ask() == 200
    running.wait(lambda: f"event=connected worker=0 pid={new}" in running.log)
    running.wait(lambda: gateway.status()["workers"][0]["state"] == "serving")
    assert running.events("died")[0]["reason"] == "SIGKILL"
    assert running.stop() == 0


def test_a_killed_control_process_is_replaced_while_the_workers_serve_on(gateway: Gateway) -> None:
    running = gateway.start().ready()
    workers = [running.started(f"worker-{index}") for index in (0, 1)]
    os.kill(running.started("control")[0], signal.SIGKILL)
    assert gateway.ask() == 200
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
    assert gateway.ask() == 200
    assert again.stop() == 0


def test_the_halves_run_apart_and_either_may_start_first(gateway: Gateway) -> None:
    plane = gateway.start("plane").ready()
    control = gateway.start("control")
    control.wait(lambda: len(control.events("connected")) == 2)
    control.wait(lambda: [row["state"] for row in gateway.status()["workers"]] == ["serving", "serving"])
    assert gateway.ask() == 200
    assert control.stop() == 0
    assert gateway.ask() == 200
    assert plane.stop() == 0


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
from control.supervise import Child, Supervisor
children = [
    Child(f"worker-{index}", [name], (), dict(os.environ), worker=index) for index, name in enumerate(sys.argv[1:])
]
log = Log("supervisor")
sys.exit(Supervisor(children, log, lambda index: log("reaped", worker=index), lambda: log("ready")).run())
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
def supervised(folder: Path, **modules: str) -> Iterator[Running]:
    """Run a supervisor over small modules of a test's own."""
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    running = Running([sys.executable, "-c", SUPERVISE, *modules], folder, path=str(folder))
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
        assert events == ["ready", "started", "reaped", "died", "started"]
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
