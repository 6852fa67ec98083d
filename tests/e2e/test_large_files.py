"""Files larger than a worker may grow, uploaded with the official SDK."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import OpenAI

from tests.conformance.answers import sized
from tests.e2e.harness import KEYS, Gateway, digest, gateway
from tests.providers.scripted import PIECE, Connection, Upstream, repeated

MIB = 1024 * 1024
LARGE = 64 * MIB
GROWTH = 8 * MIB
"""What a worker may grow by while a file passes, of whatever size: buffers of two sockets, and what a parser holds."""
CONFIG = """
providers:
  keeper: {{dialect: openai, base_url: http://127.0.0.1:{port}/v1, credential: env:PROVIDER_KEY, files: true}}
models:
  small: {{targets: [{{provider: keeper, model: one}}]}}
consumers:
  alice: {{keys: [{{sha256: {alice}}}], models: ["*"]}}
"""
MADE = b'{"id":"file-made1","object":"file","bytes":1,"created_at":1,"filename":"a","purpose":"batch"}'


class Taker:
    """A provider that takes an upload piece by piece, and looks at the worker's memory after each MiB of it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.before = resident(pid)
        self.most = 0
        self.size = 0
        self.digest = hashlib.sha256()

    def __call__(self, connection: Connection) -> None:
        head = connection.upstream.requests[-1].headers
        left = int(head["content-length"])
        while left:
            data = connection.read_body(min(left, PIECE))
            assert data, "the upload was cut short"
            left -= len(data)
            self.size += len(data)
            self.digest.update(data)
            if self.size % MIB < PIECE:
                self.most = max(self.most, resident(self.pid))


def resident(pid: int) -> int:
    """Return the bytes of a process that are in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as made:
        yield made


@pytest.fixture(scope="module")
def running(upstream: Upstream) -> Iterator[Gateway]:
    with gateway(CONFIG.format(port=upstream.port, alice=digest(KEYS["alice"]))) as made:
        yield made


@pytest.fixture
def client(running: Gateway, upstream: Upstream) -> Iterator[OpenAI]:
    upstream.forget()
    with OpenAI(base_url=f"{running.url}/v1", api_key=KEYS["alice"], timeout=60, max_retries=0) as made:
        yield made
    assert upstream.failures == []


def test_a_file_is_read_again_without_being_held(client: OpenAI, running: Gateway, upstream: Upstream) -> None:
    upstream.script(sized("content-type: application/json", body=MADE))
    made = client.files.create(file=("a", b"x"), purpose="batch")
    part = os.urandom(MIB)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: %d\r\n\r\n" % LARGE
    upstream.script(head, repeated(part, LARGE // MIB))
    (pid,) = running.pids()
    before, most, size = resident(pid), 0, 0
    with client.files.with_streaming_response.content(made.id) as answer:
        for data in answer.iter_bytes(MIB):
            assert data == part
            size += len(data)
            most = max(most, resident(pid))
    assert size == LARGE
    assert most - before < GROWTH


def test_a_file_is_uploaded_without_being_held(
    client: OpenAI, running: Gateway, upstream: Upstream, tmp_path: Path
) -> None:
    path = tmp_path / "calls.jsonl"
    with path.open("wb") as file:
        for _ in range(LARGE // MIB):
            file.write(os.urandom(MIB))
    (pid,) = running.pids()
    taker = Taker(pid)
    upstream.script(taker, sized("content-type: application/json", body=MADE), at="head")
    with path.open("rb") as file:
        made = client.files.create(file=file, purpose="batch")
    assert made.id.startswith("file-hgid_")
    assert taker.size > LARGE
    assert taker.most - taker.before < GROWTH
    (request,) = upstream.requests
    assert request.line == "POST /v1/files HTTP/1.1"
    upstream.forget()
    upstream.script(sized("content-type: application/json", body=MADE))
    assert client.files.retrieve(made.id).id == made.id
    assert upstream.requests[0].path == "/v1/files/file-made1"
