"""Calls to upstreams over TLS, with a certificate authority made for the test."""

import contextlib
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.e2e.harness import KEYS, Gateway, digest, gateway

USAGE = {"prompt_tokens": 1, "completion_tokens": 2}
ANSWER = {"id": "c-1", "object": "chat.completion", "choices": [], "usage": USAGE}


class Provider(BaseHTTPRequestHandler):
    """Answers every call alike."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps({**ANSWER, "model": self.headers["host"]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the name is the base class's.
        """Write nothing."""


class Server(ThreadingHTTPServer):
    """Speaks TLS on each connection, in that connection's thread; a caller that breaks off is no error."""

    daemon_threads = False

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), Provider)
        self.context = context

    def finish_request(self, request: Any, client_address: Any) -> None:
        with contextlib.suppress(OSError), self.context.wrap_socket(request, server_side=True) as connection:
            super().finish_request(connection, client_address)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Return a gateway with one TLS server behind three models: trusted, of an unknown CA, and of another name."""
    directory: Path = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    server = Server(context)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    port = server.server_address[1]
    text = f"""
providers:
  trusted: {{dialect: openai, base_url: "https://localhost:{port}/v1", ca: {directory}/ca.pem}}
  unknown: {{dialect: openai, base_url: "https://localhost:{port}/v1"}}
  misnamed: {{dialect: openai, base_url: "https://127.0.0.1:{port}/v1", ca: {directory}/ca.pem}}
models:
  trusted: {{targets: [{{provider: trusted, model: m}}]}}
  unknown: {{targets: [{{provider: unknown, model: m}}]}}
  misnamed: {{targets: [{{provider: misnamed, model: m}}]}}
consumers:
  alice: {{keys: [{{sha256: {digest(KEYS["alice"])}}}], models: ["*"]}}
"""
    try:
        with gateway(text) as running:
            yield running
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def asked(running: Gateway, model: str) -> tuple[int, dict[str, object]]:
    body = json.dumps({"model": model, "messages": []}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEYS['alice']}\r\n"
    answer = running.call(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    return answer.status, answer.json()


def test_a_provider_whose_certificate_its_ca_bundle_vouches_for_is_called(served: Gateway) -> None:
    status, answer = asked(served, "trusted")
    assert (status, answer["object"]) == (200, "chat.completion")


@pytest.mark.parametrize("model", ["unknown", "misnamed"])
def test_a_certificate_of_an_unknown_authority_or_another_name_is_refused(served: Gateway, model: str) -> None:
    status, answer = asked(served, model)
    assert status == 502
    assert answer["error"]["code"] == "upstream_tls"  # type: ignore[index]  # the shape is what is tested.
