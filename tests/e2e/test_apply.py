"""A change on its way from a file to the workers, through real processes and the command line."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from core.wire import FORMAT, Frame, Hello, Usage
from tests.control.scripted_worker import ScriptedWorker
from tests.e2e.processes import DEADLINE, Gateway, environment_of, headgate
from tests.ledgers import records_of
from tests.usage_events import event

TEN_MISTAKES = """
listen: {http: 127.0.0.1:8080, wrokers: 2}
providers:
  p: {dialect: opnai, base_url: "http://127.0.0.1:9/v1"}
  q: {dialect: openai, base_url: ftp://127.0.0.1}
models:
  m: {targets: [{provider: nobody, model: m}], strategy: random}
  n: {targets: []}
consumers:
  c: {keys: [{sha256: short}], models: [gone], limits: {requests: 5/year}}
routes:
  r: {match: {path: /r}, upstream: missing}
"""


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with tempfile.TemporaryDirectory(prefix="hg") as folder:
        gateway = Gateway(Path(folder))
        yield gateway
        for running in gateway.running:
            running.kill()


class Workers:
    """Scripted workers of a real control process."""

    def __init__(self, gateway: Gateway) -> None:
        self.path = gateway.data / "control.sock"
        self.connected: list[ScriptedWorker] = []

    async def connect(self, index: int, *frames: Frame) -> ScriptedWorker:
        """Return a worker that has taken the active snapshot."""
        worker = ScriptedWorker(*await asyncio.open_unix_connection(str(self.path)))
        self.connected.append(worker)
        for frame in (Hello(FORMAT, index, os.getpid(), f"boot-{index}"), *frames):
            worker.send(frame)
        await worker.ack()
        return worker


@pytest.fixture
async def workers(gateway: Gateway) -> AsyncIterator[Workers]:
    workers = Workers(gateway)
    yield workers
    for worker in workers.connected:
        worker.close()


def run(gateway: Gateway, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command on the gateway's data directory to its end."""
    command = headgate(*arguments, "--data", str(gateway.data))
    return subprocess.run(command, env=environment_of(), capture_output=True, text=True, timeout=DEADLINE, check=False)


def apply(gateway: Gateway) -> subprocess.CompletedProcess[str]:
    return run(gateway, "apply", "--config", str(gateway.folder / "config"))


def test_an_applied_config_is_what_the_workers_serve(gateway: Gateway) -> None:
    gateway.start().ready()
    assert gateway.readiness() == (200, 1)
    gateway.write(model="second")
    done = apply(gateway)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(
        r"version 2 is active, digest [0-9a-f]{64}, secrets generation 1\n"
        r"WORKER  ANSWER  REASON\n0       ack\n1       ack\n",
        done.stdout,
    )
    assert gateway.readiness() == (200, 2)
    assert apply(gateway).stdout == "version 2 is active already; nothing was sent\n"


def test_a_config_wrong_in_ten_places_gets_ten_lines_and_the_old_one_serves_on(gateway: Gateway) -> None:
    gateway.start().ready()
    (gateway.folder / "config" / "headgate.yaml").write_text(TEN_MISTAKES)
    done = apply(gateway)
    assert (done.returncode, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    assert all(re.match(rf"{gateway.folder}/config/headgate.yaml:\d+:\d+: \S+: .", line) for line in lines)
    assert len(lines) == 10
    assert gateway.readiness() == (200, 1)


async def test_a_refusal_is_printed_with_its_reason_and_the_others_go_back(gateway: Gateway, workers: Workers) -> None:
    gateway.start("control").wait(lambda: gateway.running[0].events("serving"))
    took, refused = await workers.connect(0), await workers.connect(1)
    gateway.write(model="second")
    applying = asyncio.create_task(asyncio.to_thread(apply, gateway))
    assert (await took.ack()).version == 2
    await refused.nack("no room for 3 more origins")
    assert (await took.ack()).version == 1
    done = await applying
    assert done.returncode == 1
    assert "A worker did not take the snapshot; the old one stays active." in done.stderr
    assert "version 1 stays active; version 2 was refused" in done.stderr
    assert re.search(r"^1 +nack +no room for 3 more origins$", done.stdout, re.MULTILINE)
    assert (await asyncio.to_thread(gateway.status))["version"] == 1


async def test_control_killed_in_the_middle_of_a_push_comes_back_with_the_old_version(
    gateway: Gateway, workers: Workers
) -> None:
    running = gateway.start("control")
    running.wait(lambda: running.events("serving"))
    worker = await workers.connect(0)
    gateway.write(model="second")
    other = gateway.folder / "other.yaml"
    other.write_text((gateway.folder / "config" / "headgate.yaml").read_text())
    gateway.write()
    applying = asyncio.create_task(asyncio.to_thread(run, gateway, "apply", "--config", str(other)))
    assert (await worker.push()).version == 2
    os.kill(running.started("control")[0], signal.SIGKILL)
    done = await applying
    assert (done.returncode, done.stdout) == (1, "")
    assert "went away before it answered" in done.stderr
    assert await worker.closed()
    # The sockets are the supervisor's: whoever connects now waits for the new control process.
    again = await workers.connect(0)
    assert (await asyncio.to_thread(gateway.status))["version"] == 1
    assert again.queue == []


async def test_usage_that_workers_send_is_shown_in_status(gateway: Gateway, workers: Workers) -> None:
    gateway.start("control").wait(lambda: gateway.running[0].events("serving"))
    events = [
        event(number, consumer="payments", model="m", input_total=3, output_total=5, usage_known=True)
        for number in (1, 2, 2)
    ]
    await workers.connect(0, Usage(1, records_of(*events)))
    done = run(gateway, "status")
    assert re.search(r"^payments +m +2 +0 +6 +10 +0 +2 +0\.0+$", done.stdout, re.MULTILINE)


def answer_to(user: int, path: Path) -> str:
    """Return what becomes of a connection that another user opens: ``closed``, ``answered``, or the error's name."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        said = "none"
        try:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            with socket.socket(socket.AF_UNIX) as caller:
                caller.settimeout(DEADLINE)
                caller.connect(str(path))
                said = "answered" if caller.recv(1) else "closed"
        except ConnectionResetError:
            said = "closed"
        except Exception as error:
            said = type(error).__name__
        finally:
            os.write(theirs, said.encode())
            os._exit(0)
    os.waitpid(child, 0)
    os.close(theirs)
    with open(ours) as answer:
        return answer.read()


if os.geteuid() == 0:  # Only root can become somebody else; tests/control/test_feed.py has the check for everyone.

    def test_another_user_is_refused_by_the_files_and_if_those_are_opened_by_the_credentials(gateway: Gateway) -> None:
        gateway.start("control").wait(lambda: gateway.running[0].events("serving"))
        sockets = [gateway.data / name for name in ("control.sock", "admin.sock")]
        assert [answer_to(65534, path) for path in sockets] == ["PermissionError", "PermissionError"]
        for path, mode in ((gateway.folder, 0o755), (gateway.data, 0o755), (sockets[0], 0o666)):
            path.chmod(mode)
        assert answer_to(65534, sockets[0]) == "closed"
        assert "user 65534 is not 0" in gateway.running[0].log
