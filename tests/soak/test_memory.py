"""That the memory of a worker does not grow with what it serves: real processes, requests that end in every way."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import linear_regression

from bench.process import children
from tests.e2e.harness import KEYS, ROOT, Gateway, digest, environment, gateway
from tests.soak.counts import FULL, count
from tests.soak.test_slow_readers import worker_of
from tests.soak.traffic import KINDS, MODELS, say

MIB = 1024 * 1024
REQUESTS = count(1_500_000, 20_000)
PUSH_EACH = 6
"""A push comes after so many looks at the memory; there are sixty of these."""
CONFIG = """
providers: {{p: {{dialect: openai, base_url: "http://127.0.0.1:{port}/v1", credential: env:PROVIDER_KEY}}}}
models: {{{models}}}
consumers: {{alice: {{keys: [{{sha256: {alice}}}], models: ["*"], limits: {{concurrent: {concurrent}}}}}}}
"""


def config(port: int, concurrent: int) -> str:
    """Return a config; two that differ in `concurrent` differ in their consumer alone."""
    models = ", ".join(f"{name}: {{targets: [{{provider: p, model: {name}}}]}}" for name in MODELS)
    return CONFIG.format(port=port, models=models, alice=digest(KEYS["alice"]), concurrent=concurrent)


@contextlib.contextmanager
def traffic(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run the provider, or the callers."""
    command = [sys.executable, "-m", "tests.soak.traffic", *map(str, arguments)]
    with subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def memory(pid: int) -> tuple[int, int]:
    """Return the bytes of a process in memory: all of them, and those it has not mapped from a file."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    found = {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in rollup[1:])}
    return found["Rss"], found["Anonymous"]


def slope(points: list[tuple[int, int]]) -> float:
    """Return the growth in MiB per million requests, the first third left out: there, pools and buffers are filled."""
    later = points[len(points) // 3 :]
    return linear_regression(*zip(*later, strict=True)).slope / MIB * 1e6


def look(points: dict[str, list[tuple[int, int]]], done: int, worker: int, control: int) -> None:
    """Add what the processes hold after `done` requests."""
    for name, pid in (("worker", worker), ("control", control)):
        for what, size in zip(("resident", "anonymous"), memory(pid), strict=True):
            points.setdefault(f"{name} {what}", []).append((done, size))


def control_of(running: Gateway) -> int:
    """Return control's process."""
    (found,) = (pid for pid, command in children(running.process.pid).items() if " control.main " in command)
    return found


def test_a_worker_does_not_grow_with_the_requests_it_serves() -> None:
    points: dict[str, list[tuple[int, int]]] = {}
    with traffic("provider") as provider:
        assert provider.stdout is not None
        port = int(provider.stdout.readline())
        with gateway(config(port, 1000)) as running, traffic("callers", running.port, REQUESTS) as callers:
            worker, control = worker_of(running), control_of(running)
            assert callers.stdout is not None
            for line in callers.stdout:
                if line.startswith("{"):
                    found = json.loads(line)
                    break
                look(points, int(line), worker, control)
                if len(points["worker resident"]) % PUSH_EACH == 0:
                    running.push(config(port, 1000 + len(points["worker resident"])))
            assert worker_of(running) == worker
    for name, each in points.items():
        last = each[-1][1] / MIB
        say(f"{name}: {slope(each):+.2f} MiB per million of {REQUESTS:,} requests, {last:.1f} MiB at the end")
    whole = REQUESTS // 100
    assert found == {"counts": {kind.name: KINDS.count(kind) * whole for kind in KINDS}, "example": ""}
    if FULL:
        assert slope(points["worker resident"]) <= 1
        assert slope(points["worker anonymous"]) <= 1
