import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.harness import ROOT, environment, free_port

QUICKSTART = ROOT / "examples" / "quickstart"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The quickstart's config with ports that are free."""
    text = (QUICKSTART / "headgate.yaml").read_text()
    for port in ("8080", "8081", "8089"):
        assert f"127.0.0.1:{port}" in text
        text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{free_port()}")
    (tmp_path / "headgate.yaml").write_text(text)
    return tmp_path


def start(config: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, str(QUICKSTART / "run.py"), "--config", str(config), *arguments]
    return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_quickstart_shows_two_calls_and_stops_what_it_started(config: Path) -> None:
    with start(config, "--once") as running:
        output, errors = running.communicate(timeout=60)
    assert running.returncode == 0, errors
    for shown in (
        "You said: Hello, gateway.",
        "You said: Hello again, piece by piece.",
        "4 out",
        "hg-quickstart",
        "/v1",
    ):
        assert shown in output
    assert nobody_listens(config)


def test_the_quickstart_serves_until_it_is_told_to_stop(config: Path) -> None:
    with start(config) as running:
        for line in running.stdout:
            if "stop with Ctrl-C" in line:
                break
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=60)
    assert running.returncode == 0
    assert nobody_listens(config)


def test_a_busy_port_is_named_with_the_setting_that_moves_it(config: Path) -> None:
    address = gateway_address(config)
    with socket.create_server(address), start(config, "--once") as running:
        _, errors = running.communicate(timeout=60)
    assert running.returncode == 1
    assert f"cannot listen on {address[0]}:{address[1]}" in errors
    assert "listen.http" in errors
    assert "Traceback" not in errors


def gateway_address(config: Path) -> tuple[str, int]:
    line = next(line for line in (config / "headgate.yaml").read_text().splitlines() if line.startswith("listen:"))
    host, port = line.split("http: ")[1].split(",")[0].split(":")
    return host, int(port)


def nobody_listens(config: Path) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(gateway_address(config)) != 0
