"""What the README shows is run as it stands there, against the quickstart on ports of its own."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import ROOT, environment, free_port

QUICKSTART = ROOT / "examples" / "quickstart"
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """Return the README's code blocks in a language; "" for those without one."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [text for name, text in found if name == language]


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[str]:
    """Start the quickstart as `make run` does; what it has shown when it serves."""
    text = (QUICKSTART / "headgate.yaml").read_text()
    for port in ("8080", "8081", "8089"):
        text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{free_port()}")
    (tmp_path / "headgate.yaml").write_text(text)
    command = [sys.executable, str(QUICKSTART / "run.py"), "--config", str(tmp_path)]
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as running:
        assert running.stdout is not None
        lines = []
        for line in running.stdout:
            lines.append(line)
            if "stop with Ctrl-C" in line:
                break
        yield "".join(lines)
        running.terminate()
        running.communicate(timeout=60)


def test_the_program_in_the_readme_gets_its_answers(shown: str) -> None:
    (program,) = blocks("python")
    assert program.count("127.0.0.1:8080") == 2
    command = [sys.executable, "-c", program.replace("127.0.0.1:8080", address_of(shown))]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    said = "You said: Hello, gateway."
    assert (done.stdout, done.stderr) == (f"{said} 6\n{said}\n{said} 2\n", "")


def test_the_quickstart_shows_what_the_readme_says(shown: str) -> None:
    (sample,) = blocks("")
    said = [line.replace("127.0.0.1:8080", address_of(shown)) for line in sample.splitlines()]
    wanted = [line for line in said if line and not line.startswith(("[", "...")) and "127.0.0.1:8089" not in line]
    assert len(wanted) > 8
    assert [line for line in wanted if line not in shown.splitlines()] == []


def address_of(shown: str) -> str:
    """Return host and port of the gateway, as the quickstart shows them."""
    (address,) = re.findall(r"^base URL for an SDK +http://([\d.:]+)/v1$", shown, re.MULTILINE)
    return address
