"""What a service manager is told, on a datagram socket of the test's own."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from control.notify import ServiceManager
from tests.e2e.processes import DEADLINE, ROOT, Gateway

UNIT = ROOT / "examples" / "systemd" / "headgate.service"


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hg") as path:
        yield Path(path)


class Manager:
    """A service manager's end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(DEADLINE)
        self.socket.bind(str(path))

    def until(self, start: str) -> list[str]:
        """Return the messages up to and with the first that begins with `start`."""
        messages: list[str] = []
        for _ in range(1000):
            messages.append(self.socket.recv(4096).decode())
            if messages[-1].startswith(start):
                return messages
        raise AssertionError(f"no {start} among {messages}")

    def waiting(self) -> list[str]:
        """Return the messages that have come and were not read."""
        messages = []
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                messages.append(self.socket.recv(4096).decode())
        self.socket.settimeout(DEADLINE)
        return messages


@pytest.fixture
def manager(folder: Path) -> Iterator[Manager]:
    made = Manager(folder / "notify")
    yield made
    made.socket.close()


def test_the_start_a_reload_and_the_end_are_told(folder: Path, manager: Manager) -> None:
    gateway = Gateway(folder)
    running = gateway.start(NOTIFY_SOCKET=str(manager.path))
    try:
        early = manager.until("READY=1")
        assert early[0] == "STATUS=0 of 2 workers serve, control does not serve"
        assert gateway.readiness() == (200, 1)
        running.ready()
        running.process.send_signal(signal.SIGHUP)
        reloading = manager.until("RELOADING=1")[-1]
        assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", reloading)
        manager.until("READY=1")
        assert "NOTIFY_SOCKET" not in Path(f"/proc/{running.started('control')[0]}/environ").read_text()
        running.process.send_signal(signal.SIGTERM)
        manager.until("STOPPING=1")
        assert running.process.wait(DEADLINE) == 0
    finally:
        running.kill()


def test_ready_is_not_told_before_the_workers_serve(folder: Path, manager: Manager) -> None:
    gateway = Gateway(folder)
    plane = gateway.start("plane", NOTIFY_SOCKET=str(manager.path))
    plane.wait(lambda: len(plane.events("started")) == 2)
    control = gateway.start("control")
    try:
        messages = manager.until("READY=1")
        assert messages[0] == "STATUS=0 of 2 workers serve"
        assert messages[-2] == "STATUS=2 of 2 workers serve"
    finally:
        control.kill()
        plane.kill()


def test_signs_of_life_come_as_often_as_they_are_asked_for(folder: Path, manager: Manager) -> None:
    gateway = Gateway(folder)
    running = gateway.start(NOTIFY_SOCKET=str(manager.path), WATCHDOG_USEC="200000")
    try:
        manager.until("READY=1")
        for _ in range(3):
            manager.until("WATCHDOG=1")
    finally:
        running.kill()


def test_an_abstract_socket_is_reached_by_its_written_name(folder: Path) -> None:
    name = f"headgate-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind("\0" + name)
        ServiceManager({"NOTIFY_SOCKET": f"@{name}"}).ready()
        end.settimeout(DEADLINE)
        assert end.recv(100) == b"READY=1"


def test_what_a_busy_service_manager_did_not_hear_is_said_again(manager: Manager) -> None:
    ours = ServiceManager({"NOTIFY_SOCKET": str(manager.path)})
    for _ in range(100_000):
        ours.alive()
        if not ours._send("FULL=1"):
            break
    ours.ready()
    assert "READY=1" not in manager.waiting()
    ours.ready()
    assert manager.waiting() == ["READY=1"]
    ours.ready()
    assert manager.waiting() == []


def test_without_a_service_manager_and_with_one_that_has_gone_nothing_happens(folder: Path) -> None:
    for environment in ({}, {"NOTIFY_SOCKET": str(folder / "gone"), "WATCHDOG_USEC": "no number"}):
        manager = ServiceManager(environment)
        manager.ready()
        manager.alive()
        assert manager.watchdog is None
        assert environment == {}


def test_signs_of_life_asked_of_another_process_are_not_given() -> None:
    asked = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid() + 1)}
    assert ServiceManager(asked).watchdog is None
    assert ServiceManager({**asked, "NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": ""}).watchdog


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not on this machine")
def test_the_unit_is_one_that_systemd_understands(folder: Path) -> None:
    text = UNIT.read_text()
    assert "ExecStart=/opt/headgate/bin/headgate up" in text
    copy = folder / "headgate.service"
    # Only whether the program is there differs from machine to machine.
    copy.write_text(text.replace("/opt/headgate/bin/headgate", sys.executable))
    done = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if "headgate" in line] == []
    assert done.returncode == 0


def test_the_unit_leaves_the_drain_its_time() -> None:
    text = UNIT.read_text()
    values = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
    assert values["Type"] == "notify"
    # Only the supervisor is told to end, and it has the drain of 30 s, 10 s more, and some.
    assert values["KillMode"] == "mixed"
    assert int(values["TimeoutStopSec"].removesuffix("s")) > 40
    assert values["ExecReload"] == "/bin/kill -HUP $MAINPID"
