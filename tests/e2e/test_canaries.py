"""Secrets and content go in on good and on failing paths, and are looked for in all that the gateway leaves behind.

What is searched: the log of every process, the access log, `/metrics`, the API, what `apply` prints, and every file
under DATA, while the gateway runs and when it has ended. A marker that may be found is looked for as well, so that a
search of the wrong places, or of nothing, fails.
"""

import base64
import json
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.conformance.answers import CHUNK, DONE, LAST_CHUNK, STREAM_HEAD, chunk, failure, sized
from tests.e2e.certificates import Authority
from tests.e2e.harness import PROVIDER_KEY, Gateway, chat_request, digest, eventually, gateway, get, post
from tests.providers.scripted import Upstream, fin

CANARIES = {
    "the provider's key": PROVIDER_KEY,
    "a caller's key": "canary-caller-key-8d1f",
    "a caller's unknown key": "canary-unknown-key-77aa",
    "a prompt": "canary prompt 51c3",
    "a streamed prompt": "canary streamed prompt 93be",
    "an answer": "canary answer 0d9e",
    "a streamed answer": "canary streamed answer 2b6c",
    "a query": "canary-query-token-e1e1",
    "a cookie": "canary-cookie-6f02",
    "basic authentication": "canary-password-44d8",
    "a header": "canary-header-b9a7",
    "a provider's error": "canary provider error 7e15",
    "a body that cannot be decoded": "canary broken body 3c3c",
    "a body of an unknown model": "canary refused body 18f4",
    "a URL with a password": "canary-userinfo-c0c0",
    "an answer that is cut short": "canary cut answer a5a5",
    "a prompt over TLS": "canary tls prompt f3f3",
    "a secret written into the config": "canary-config-secret-5e5e",
}
MARKER = "marker-that-is-kept"
CONFIG = """
providers:
  scripted: {{dialect: openai, base_url: http://127.0.0.1:{port}/v1, credential: {credential}}}
models:
  good: {{targets: [{{provider: scripted, model: scripted-small}}]}}
consumers:
  alice: {{keys: [{{sha256: {sha256}}}], models: [good]}}
upstreams:
  api: {{endpoints: ["http://127.0.0.1:{port}"]}}
routes:
  open: {{match: {{path: /open/*}}, upstream: api, auth: none}}
"""


def config(port: int, credential: str = "env:PROVIDER_KEY") -> str:
    """Return a config with one model and one open route."""
    return CONFIG.format(port=port, credential=credential, sha256=digest(CANARIES["a caller's key"]))


def visit(served: Gateway, upstream: Upstream) -> None:
    """Send every canary in, and check that it came where it was meant to come."""
    key = CANARIES["a caller's key"]

    def ask(content: str, **members: object) -> int:
        return served.call(chat_request(content, key=key, **members)).status

    upstream.script(sized(body=json.dumps({"choices": [], "text": CANARIES["an answer"]}).encode()))
    assert ask(CANARIES["a prompt"]) == 200
    event = CHUNK.replace(b"scripted", CANARIES["a streamed answer"].encode())
    upstream.script(STREAM_HEAD + chunk(event) + chunk(DONE) + LAST_CHUNK)
    assert ask(CANARIES["a streamed prompt"], stream=True) == 200
    assert served.call(chat_request("x", key=CANARIES["a caller's unknown key"])).status == 401
    quoted = f"{PROVIDER_KEY}: " + CANARIES["a provider's error"]
    for status in ("400 Bad Request", "401 Unauthorized", "500 Internal Server Error"):
        upstream.script(sized(status=status, body=failure(quoted, "x", "y")))
        assert ask("x") == (502 if status.startswith("401") else int(status[:3]))
    event = b"data: " + failure(CANARIES["a provider's error"], "x", "y") + b"\n\n"
    upstream.script(STREAM_HEAD + chunk(event) + LAST_CHUNK)
    assert ask("x", stream=True) == 502  # Nothing had been said before.
    upstream.script(
        b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n", CANARIES["an answer that is cut short"].encode(), fin
    )
    assert ask("x") == 502
    broken = b'{"model": "good", "messages": [' + CANARIES["a body that cannot be decoded"].encode()
    assert served.call(post("/v1/chat/completions", broken, key=key)).status == 400
    assert ask(CANARIES["a body of an unknown model"], model="nobody's") == 404
    fields = (
        f"cookie: session={CANARIES['a cookie']}\r\nx-secret: {CANARIES['a header']}\r\n"
        f"user-agent: {CANARIES['a header']}\r\nx-request-id: {MARKER}\r\n"
    )
    upstream.script(sized(f"set-cookie: session={CANARIES['a cookie']}"))
    path = f"/open/{MARKER}?token={CANARIES['a query']}"
    assert served.call(get(path, fields=fields)).status == 200
    basic = base64.b64encode(f"user:{CANARIES['basic authentication']}".encode()).decode()
    upstream.script(sized(status="401 Unauthorized"))
    request = f"GET /open/basic HTTP/1.1\r\nhost: x\r\nauthorization: Basic {basic}\r\n\r\n"
    assert served.call(request.encode()).status == 401
    userinfo = f"http://user:{CANARIES['a URL with a password']}@x/open/x?key={CANARIES['a query']}"
    assert served.call(f"GET {userinfo} HTTP/1.1\r\nhost: x\r\n\r\n".encode()).status == 400
    assert served.call(f"GET /nowhere?key={CANARIES['a query']} HTTP/1.1\r\nhost: x\r\n\r\n".encode()).status == 404


def visit_over_tls(served: Gateway, ours: Authority, theirs: Authority) -> None:
    """Call with a certificate, and try to without one."""
    request = chat_request(CANARIES["a prompt over TLS"], key=CANARIES["a caller's key"])

    def call(context: ssl.SSLContext) -> int:
        with served.connect_tls(context) as caller:
            caller.send(request)
            return caller.receive().status

    context = ours.context("http/1.1")
    with pytest.raises((OSError, AssertionError)):
        call(context)
    context.load_cert_chain(theirs.certificate, theirs.key)
    assert call(context) == 200


def line_of(key: Path) -> str:
    """Return a line from the middle of a key's PEM."""
    lines = key.read_text().splitlines()
    return lines[len(lines) // 2]


def forms(secret: str) -> Iterator[bytes]:
    """Yield a secret as it might be found: as it is, with JSON's or a URL's escapes, in base64."""
    yield secret.encode()
    yield secret.replace(" ", "%20").encode()
    for shift in range(3):
        # What surrounds it moves it by up to two bytes; of its ends in base64 only the middle is certain.
        encoded = base64.b64encode(b"x" * shift + secret.encode())
        yield encoded[4:-4]


def places(served: Gateway, access_log: Path) -> dict[str, bytes]:
    """Return all that the gateway has left in files, by where."""
    found = {str(path): path.read_bytes() for path in served.data.rglob("*") if path.is_file()}
    return found | {"the log": served.log.encode(), "the access log": access_log.read_bytes()}


def assert_none(found: Mapping[str, bytes], canaries: Mapping[str, str]) -> None:
    """Fail with every canary that was found, and where."""
    assert [
        f"{kind} is in {place}"
        for place, data in found.items()
        for kind, secret in canaries.items()
        if any(form in data for form in forms(secret))
    ] == []


def test_no_secret_and_no_content_is_left_anywhere(tmp_path: Path) -> None:
    access_log = tmp_path / "access.log"
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    canaries = CANARIES | {"the gateway's TLS key": line_of(ours.key), "a caller's TLS key": line_of(theirs.key)}
    static = f"access_log: {access_log}\n"
    https = f"{ours.https}, client_ca: {theirs.ca}"
    with Upstream() as upstream, gateway(config(upstream.port), static=static, https=https) as served:
        visit(served, upstream)
        visit_over_tls(served, ours, theirs)
        eventually(lambda: access_log.exists() and len(access_log.read_text().splitlines()) == 13)
        shown = {
            "the metrics": served.fetch("/metrics")[2].encode(),
            "the status": json.dumps(served.admin("GET", "/v1/status")[1]).encode(),
        }
        refused = served.apply(config(upstream.port, credential=CANARIES["a secret written into the config"]))
        assert refused.returncode == 1
        shown["what apply printed"] = (refused.stdout + refused.stderr).encode()
        served.write(config(upstream.port))
        running = places(served, access_log)
        served.stop()
        ended = places(served, access_log)
        assert upstream.failures == []
    for found in (shown, running, ended):
        assert_none(found, canaries)
    assert MARKER.encode() in ended["the access log"]
    assert any(MARKER.encode() in data for place, data in running.items() if "/rings/" in place)
    assert b"alice" in shown["the metrics"]


def test_each_line_of_the_access_log_is_one_call(tmp_path: Path) -> None:
    access_log = tmp_path / "access.log"
    with Upstream() as upstream, gateway(config(upstream.port), static=f"access_log: {access_log}\n") as served:
        key = CANARIES["a caller's key"]
        answers = [served.call(chat_request("hello", key=key)) for _ in range(3)]
        eventually(lambda: access_log.exists() and access_log.read_text().count("\n") == 3)
        lines = [json.loads(line) for line in access_log.read_text().splitlines()]
    assert [line["request_id"] for line in lines] == [answer.get("x-request-id") for answer in answers]
    for line, answer in zip(lines, answers, strict=True):
        assert (line["consumer"], line["model"], line["target"]) == ("alice", "good", "scripted/scripted-small")
        assert (line["method"], line["path"], line["peer"]) == ("POST", "/v1/chat/completions", "127.0.0.1")
        assert (line["status"], line["bytes_out"], line["door"]) == (200, len(answer.body), "http")
        assert line["input_tokens"] == 1


@pytest.mark.parametrize("secret", CANARIES.values())
@pytest.mark.parametrize("before", ["", "a", "ab", "abc"])
def test_a_secret_would_be_found_in_every_form(secret: str, before: str) -> None:
    for text in (secret.encode(), base64.b64encode(f"{before}{secret}{before}".encode())):
        assert any(form in b"<" + text + b">" for form in forms(secret))
