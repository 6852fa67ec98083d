"""Load on one arm: a probe whose answer is compared byte for byte, wrk for calls, our readers for streams."""

import http.client
import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from bench.machine import Foreign
from bench.payload import CHAT, CHAT_ANSWER
from bench.process import BenchError, Cores, cpu_ns, place
from bench.report import Cell
from bench.servers import HERE, Arm

__all__ = ["Load"]

PATH = "/v1/chat/completions"
STREAMS = 128


class Load:
    """Generates load from the cores the measured worker does not use, and measures that worker meanwhile."""

    def __init__(self, cores: Cores, key: str, folder: Path, upstreams: tuple[int, ...]) -> None:
        self.cores = cores
        self.on = cores.rest
        self.key = key
        self.upstreams = upstreams
        self.body = folder / "chat.json"
        self.body.write_bytes(CHAT)
        self.sent: dict[str, int] = {}
        self.cut: dict[str, int] = {}

    @contextmanager
    def anywhere(self, *arms: Arm) -> Iterator[None]:
        """Let the kernel place everything meanwhile.

        One call at a time is mostly waking up. Pinned, the direct way would stay on one core and a proxied one cross
        cores twice: the difference would be the machine's, not the proxy's.
        """
        both = self.cores.worker | self.cores.rest
        workers = [pid for arm in arms for pid in arm.workers]
        place((*workers, *self.upstreams), both)
        self.on = both
        try:
            yield
        finally:
            place(workers, self.cores.worker)
            place(self.upstreams, self.cores.rest)
            self.on = self.cores.rest

    def probe(self, arm: Arm) -> int:
        """Send one call and check its answer; return the answer's size on the wire, head included."""
        connection = http.client.HTTPConnection("127.0.0.1", arm.chat_port, timeout=10)
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        try:
            connection.request("POST", PATH, CHAT, headers)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise BenchError(f"{arm.name}: the probe got no answer: {error!r}") from error
        finally:
            connection.close()
        if answer.status != 200 or body != CHAT_ANSWER:
            raise BenchError(f"{arm.name}: the probe got {answer.status} {body[:300]!r}")
        self.sent[arm.name] = self.sent.get(arm.name, 0) + 1
        head = sum(len(name) + len(value) + 4 for name, value in answer.getheaders())
        return len("HTTP/1.1 200 OK\r\n") + head + 2 + len(body)

    def chat(self, case: str, arm: Arm, block: int, connections: int, seconds: float) -> Cell:
        """Hold `connections` calls in flight for `seconds` (closed loop)."""
        size = self.probe(arm)
        script = [
            str(HERE / "wrk" / "chat.lua"),
            f"http://127.0.0.1:{arm.chat_port}{PATH}",
            "--",
            self.key,
            str(self.body),
        ]
        # wrk wants whole seconds.
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s", "-s", *script]
        others = Foreign((*self.upstreams, *arm.workers, *arm.control))
        before = self.read(arm)
        done = subprocess.run(self.pinned(command), capture_output=True, text=True, timeout=seconds + 30, check=False)
        worker_ns, control_ns = (after - first for after, first in zip(self.read(arm), before, strict=True))
        foreign = others.share()
        if done.returncode != 0:
            raise BenchError(f"wrk failed: {done.stderr or done.stdout}")
        found = json.loads(done.stdout.strip().splitlines()[-1])
        self.probe(arm)
        requests = found["requests"]
        self.sent[arm.name] += requests
        # At the end wrk leaves with its last calls in flight: the gateway may have finished them or not.
        self.cut[arm.name] = self.cut.get(arm.name, 0) + connections
        failed = {name: found[name] for name in ("connect", "read", "write", "status", "timeout") if found[name]}
        problem = f"errors {failed}" if failed else ""
        per_answer = found["bytes"] / max(1, requests)
        if not problem and abs(per_answer - size) > size * 0.02:
            problem = f"{per_answer:.0f} bytes per answer where a right one has {size}"
        if not requests:
            problem = "no answers"
        return Cell(
            case, arm.name, block, connections, found["duration_us"] / 1e6, requests, 0, worker_ns, control_ns,
            p50_us=found["p50_us"], p99_us=found["p99_us"], failed=sum(failed.values()), problem=problem,
            foreign=foreign, command=shlex.join(command),
        )  # fmt: skip

    def stream(self, case: str, arm: Arm, block: int, seconds: float) -> Cell:
        """Hold STREAMS paced streams open for `seconds`; `case` names the pace."""
        command = [
            sys.executable,
            "-m",
            "bench.stream",
            "read",
            str(arm.stream_port),
            case,
            self.key,
            str(STREAMS),
            str(seconds),
        ]
        others = Foreign((*self.upstreams, *arm.workers, *arm.control))
        with (
            tempfile.TemporaryFile("w+") as errors,
            subprocess.Popen(self.pinned(command), stdout=subprocess.PIPE, stderr=errors, text=True) as reader,
        ):
            assert reader.stdout is not None
            try:
                self.expect(reader.stdout.readline(), "begin", errors)
                before = self.read(arm)
                self.expect(reader.stdout.readline(), "end", errors)
                worker_ns, control_ns = (after - first for after, first in zip(self.read(arm), before, strict=True))
                found = json.loads(reader.stdout.readline())
            finally:
                if reader.poll() is None:
                    try:
                        reader.wait(2)
                    except subprocess.TimeoutExpired:
                        reader.kill()
        self.sent[arm.name] = self.sent.get(arm.name, 0) + found["checked"]
        problem = f"{found['wrong']} wrong streams, e.g. {found['example']}" if found["wrong"] else ""
        first = found["first_us"] or [0.0]
        return Cell(
            case, arm.name, block, STREAMS, found["seconds"], found["checked"], found["events"], worker_ns, control_ns,
            p50_us=first[len(first) // 2], p99_us=first[len(first) * 99 // 100], problem=problem,
            reads=found["reads"], failed=found["wrong"], foreign=others.share(),
            command=shlex.join(command),
        )  # fmt: skip

    def expect(self, line: str, word: str, errors: IO[str]) -> None:
        """Stop the run when the reader says anything but `word`."""
        if line.strip() != word:
            errors.seek(0)
            raise BenchError(f"the stream reader said {line!r}: {errors.read()[-600:]}")

    def pinned(self, command: list[str]) -> list[str]:
        """Return `command` held to the generator's cores."""
        return ["taskset", "--cpu-list", ",".join(map(str, sorted(self.on))), *command]

    def read(self, arm: Arm) -> tuple[int, int]:
        """Return the CPU time so far of the arm's workers and of its control process."""
        return cpu_ns(arm.workers), cpu_ns(arm.control)
