"""The gateway as an arm: one worker with everything switched on, started, asked and changed as an operator would."""

import hashlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from string import Template

from bench.process import BenchError, Cores, children, free_port, place, started, tail, wait_until
from bench.servers import HERE, Arm, Ports

__all__ = ["gateway"]

# The installed command's entry point, run by this interpreter from this tree.
HEADGATE = [sys.executable, "-c", "from control.cli import main; main()"]
ROOT = HERE.parent
ENVIRONMENT = {"BENCH_PROVIDER_KEY": "sk-bench-provider", "PYTHONPATH": str(ROOT)}


@contextmanager
def gateway(folder: Path, cores: Cores, ports: Ports, key: str, listen: str = "") -> Iterator[Arm]:
    """Run ``headgate up`` with one worker on the worker's core; supervisor and control share the others.

    listen: more keys of that block, each behind a comma.
    """
    config, data, log, port = folder / "config", folder / "data", folder / "headgate.log", free_port()
    config.mkdir()

    def write(concurrent: int) -> None:
        text = Template((HERE / "config" / "headgate.yaml").read_text()).substitute(
            gateway_port=port,
            upstream_port=ports.chat,
            stream_port=ports.stream,
            key_digest=hashlib.sha256(key.encode()).hexdigest(),
            concurrent=concurrent,
            listen=listen,
        )
        (config / "headgate.yaml").write_text(text)

    def headgate(*arguments: str) -> str:
        command = ["taskset", "--cpu-list", ",".join(map(str, cores.rest)), *HEADGATE, *arguments, "--data", str(data)]
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode != 0:
            raise BenchError(f"headgate {arguments[0]} failed: {done.stderr or done.stdout}")
        return done.stdout

    def usage_events() -> int:
        return sum(row["requests"] for row in json.loads(headgate("status", "--output", "json"))["usage"])

    def push(count: int) -> None:
        write(4095 - count)
        headgate("apply", "--config", str(config))

    write(4096)
    command = [*HEADGATE, "up", "--config", str(config), "--data", str(data)]
    with started(command, log, cores.rest, ENVIRONMENT, ROOT) as process:
        wait_until(lambda: process.poll() is not None or _ready(port), f"headgate up ({log.name})", 30)
        if process.poll() is not None:
            raise BenchError(f"headgate up ended with {process.returncode}:\n{tail(log)}")
        found = children(process.pid)
        workers = tuple(pid for pid, line in found.items() if " -m plane " in line)
        control = tuple(pid for pid, line in found.items() if " -m control.main " in line)
        if len(workers) != 1 or len(control) != 1:
            raise BenchError(f"expected one worker and one control process, found {found}")
        place(workers, cores.worker)
        yield Arm("gateway", port, port, workers, control, usage_events, push, " ".join(command[3:]), log)


def _ready(port: int) -> bool:
    """Tell whether the worker has a runtime."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
