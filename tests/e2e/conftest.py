"""One gateway with both doors, and one scripted upstream, for all tests that leave the config as it is."""

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.certificates import Authority
from tests.e2e.harness import KEYS, Caller, Gateway, digest, gateway
from tests.e2e.http2 import Http2Caller
from tests.providers.scripted import Upstream

TIMES = ", timeouts: {head: 4s, body: 4s}"
CONFIG = """
providers:
  scripted: {{dialect: openai, base_url: http://127.0.0.1:{upstream}/v1, credential: env:PROVIDER_KEY}}
  refusing: {{dialect: openai, base_url: http://127.0.0.1:{refusing}/v1, credential: env:PROVIDER_KEY}}
  deaf: {{dialect: openai, base_url: http://127.0.0.1:{deaf}/v1, credential: env:PROVIDER_KEY}}
models:
  good: {{targets: [{{provider: scripted, model: scripted-small}}]}}
  large: {{targets: [{{provider: scripted, model: scripted-large}}]}}
  replayed:
    targets: [{{provider: scripted, model: scripted-small}}]
    retries: {{max: 1, on: [connect, reset]}}
  refused: {{targets: [{{provider: refusing, model: scripted-small}}]}}
  unconnected: {{targets: [{{provider: deaf, model: scripted-small}}], timeouts: {{connect: 200ms}}}}
  unanswered: {{targets: [{{provider: scripted, model: scripted-small}}], timeouts: {{first_token: 300ms}}}}
  silent: {{targets: [{{provider: scripted, model: scripted-small}}], timeouts: {{idle: 300ms}}}}
  endless: {{targets: [{{provider: scripted, model: scripted-small}}], timeouts: {{total: 500ms}}}}
  failover:
    targets: [{{provider: refusing, model: scripted-small}}, {{provider: scripted, model: scripted-large}}]
  narrow: {{targets: [{{provider: scripted, model: scripted-small}}], max_body: 1KiB}}
consumers:
  alice: {{keys: [{{sha256: {alice}}}], models: ["*"]}}
  bob: {{keys: [{{sha256: {bob}}}, {{sha256: {carol}}}], models: ["good", "large"]}}
upstreams:
  api: {{endpoints: ["http://127.0.0.1:{upstream}"]}}
routes:
  api: {{match: {{path: /api/*}}, upstream: api}}
  open: {{match: {{path: "/open/{{name}}", methods: [GET]}}, upstream: api, auth: none}}
"""


@dataclass(frozen=True)
class Stage:
    """A gateway and the upstream behind it; authority: who its callers with TLS trust, if it serves any."""

    gateway: Gateway
    upstream: Upstream
    authority: Authority | None = None

    def connect(self, door: str, **options: int) -> Caller:
        """Open a connection at the door ``http`` or ``https``."""
        if door == "http":
            return self.gateway.connect(**options)
        assert self.authority is not None
        return self.gateway.connect_tls(self.authority.context("http/1.1"), **options)

    def connect_http2(self, **options: Any) -> Http2Caller:
        """Open an HTTP/2 connection."""
        assert self.authority is not None
        return Http2Caller(self.gateway.https_port, self.authority.context("h2"), **options)


@contextlib.contextmanager
def refusing_port() -> Iterator[int]:
    """Hold a port on which every connection is refused: it is bound, and nobody listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@contextlib.contextmanager
def deaf_port() -> Iterator[int]:
    """Hold a port on which connecting never ends: its backlog is full and nobody accepts."""
    with socket.socket() as listener, socket.socket() as first:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        first.connect(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.fixture(scope="session")
def shared_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    with Upstream() as upstream, refusing_port() as refusing, deaf_port() as deaf:
        ports = {"upstream": upstream.port, "refusing": refusing, "deaf": deaf}
        keys = {name: digest(key) for name, key in KEYS.items()}
        with gateway(CONFIG.format(**ports, **keys), https=authority.https, listen=TIMES) as running:
            yield Stage(running, upstream, authority)


@pytest.fixture
def stage(shared_stage: Stage) -> Iterator[Stage]:
    """Return the shared gateway and upstream, the upstream without scripts; a script that failed fails the test."""
    shared_stage.upstream.forget()
    yield shared_stage
    assert shared_stage.upstream.failures == []
    assert shared_stage.gateway.process.poll() is None
