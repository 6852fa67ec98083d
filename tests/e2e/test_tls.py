"""Callers with TLS: HTTP/1.1 and HTTP/2 into the same pipeline, and the files it is made of."""

import json
import shutil
import signal
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from openai import OpenAI

from control.segments import events, segments_in
from tests.conformance.answers import CHUNK, DONE, LAST_CHUNK, STREAM_HEAD, chunk, sized
from tests.e2e.certificates import Authority
from tests.e2e.conftest import CONFIG, Stage
from tests.e2e.harness import KEYS, Caller, Gateway, chat_request, digest, events_of, gateway, get, headgate, nonce
from tests.e2e.http2 import Http2Caller, chat_body, request_fields
from tests.providers.scripted import Upstream, awaits, echo_kept, sets

CALLERS = 8
RENEWALS = 3


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(default=(echo_kept,)) as running:
        yield running
    assert running.failures == []


def config(upstream: Upstream) -> str:
    """Return a config with one model."""
    keys = {name: digest(key) for name, key in KEYS.items()}
    return CONFIG.format(upstream=upstream.port, refusing=1, deaf=1, **keys)


def presented(port: int, context: ssl.SSLContext) -> int:
    """Return the serial number of the certificate that a new connection is shown."""
    with Caller(port, context=context) as caller:
        return int(caller.socket.getpeercert()["serialNumber"], 16)


def is_turned_away(running: Gateway, context: ssl.SSLContext) -> bool:
    """Tell whether the handshake fails; in TLS 1.3 the caller's is over before its certificate is looked at."""
    try:
        with running.connect_tls(context) as caller:
            caller.send(chat_request("hello"))
            return caller.socket.recv(1) == b""
    except OSError:
        return True


def eventually(condition: Callable[[], bool], running: Gateway) -> None:
    """Wait until `condition` holds; fails with the log when the deadline has passed."""
    waits = threading.Event()
    for _ in range(2000):
        if condition():
            return
        waits.wait(0.01)  # A poll of another process, with a deadline.
    raise AssertionError(running.log)


@pytest.mark.parametrize("streams", [False, True])
def test_http2_is_served_as_http1_is(streams: bool, stage: Stage) -> None:
    word = nonce()
    with stage.connect_http2() as caller:
        reply = caller.chat(word, stream=streams)
    with stage.connect("https") as plain:
        plain.send(chat_request(word, stream=streams))
        answer = plain.receive()
    assert (reply.status, reply.ended) == (200, True)
    assert reply.fields.keys() - {":status", "server", "date", "x-request-id"} <= {name for name, _ in answer.fields}
    if streams:
        assert [json.loads(one)["choices"] for one in events_of(reply.body)[:-1]] == [
            json.loads(one)["choices"] for one in events_of(answer.body)[:-1]
        ]
        assert events_of(reply.body)[-1] == b"[DONE]"
    else:
        assert reply.text == answer.text == f"You said: {word}"
    assert reply.fields["server"] == "headgate"


def test_calls_over_tls_are_recorded_as_such(stage: Stage) -> None:
    names = [nonce(), nonce()]
    with stage.connect_http2() as caller:
        fields = [*request_fields(), ("x-request-id", names[0])]
        assert caller.receive(caller.send(fields, chat_body("hello"))).status == 200
    with stage.connect("https") as plain:
        plain.send(chat_request("hello").replace(b"\r\nhost:", f"\r\nx-request-id: {names[1]}\r\nhost:".encode(), 1))
        assert plain.receive().status == 200

    def recorded() -> dict[str, tuple[str, str]]:
        paths = segments_in(stage.gateway.data / "usage")
        return {one.request_id: (one.door, one.peer) for path in paths for _, _, one in events(path)}

    eventually(lambda: recorded().keys() >= set(names), stage.gateway)
    assert [recorded()[name] for name in names] == [("https", "127.0.0.1")] * 2


@pytest.mark.parametrize("door", ["http", "https"])
def test_an_api_hears_by_which_door_the_caller_came(door: str, stage: Stage) -> None:
    stage.upstream.script(sized())
    with stage.connect(door) as caller:
        caller.send(get("/api/x", fields="x-forwarded-proto: gopher\r\n"))
        assert caller.receive().status == 200
    assert stage.upstream.requests[-1].headers["x-forwarded-proto"] == door


def test_streams_of_one_connection_are_served_side_by_side(stage: Stage) -> None:
    stage.upstream.script(STREAM_HEAD + chunk(CHUNK), sets("runs"), awaits("end"), chunk(DONE) + LAST_CHUNK)
    with stage.connect_http2() as caller:
        slow = caller.send(request_fields(), chat_body(nonce(), stream=True))
        assert stage.upstream.event("runs").wait(20)
        words = [nonce() for _ in range(20)]
        streams = [caller.send(request_fields(), chat_body(word)) for word in words]
        assert [caller.receive(stream).text for stream in streams] == [f"You said: {word}" for word in words]
        assert not caller.replies[slow].is_over
        stage.upstream.event("end").set()
        assert caller.receive(slow).body == CHUNK + DONE


@pytest.mark.parametrize("http2", [False, True])
def test_the_official_sdk_calls_over_tls(http2: bool, stage: Stage) -> None:
    url = f"https://localhost:{stage.gateway.https_port}/v1"
    transport = httpx.Client(http2=http2, verify=stage.authority.context())
    question = [{"role": "user", "content": "hello"}]
    with OpenAI(base_url=url, api_key=KEYS["alice"], http_client=transport, timeout=20) as client:
        raw = client.chat.completions.with_raw_response.create(model="good", messages=question)  # type: ignore[arg-type]
        assert raw.http_response.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
        assert raw.parse().choices[0].message.content == "You said: hello"
        with client.chat.completions.create(model="good", messages=question, stream=True) as stream:  # type: ignore[call-overload]
            text = "".join(one.choices[0].delta.content or "" for one in stream)
    assert text == "You said: hello"


def test_curl_and_openssl_agree_where_they_are_installed(stage: Stage) -> None:
    port, ca = stage.gateway.https_port, str(stage.authority.ca)
    if shutil.which("curl"):
        command = ["curl", "-sS", "--cacert", ca, "--http2", "-w", "%{http_version} %{http_code}", "-o", "-"]
        found = subprocess.run([*command, f"https://localhost:{port}/healthz"], capture_output=True, check=True)
        assert found.stdout.endswith(b"2 200")
    if shutil.which("openssl"):
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", ca, "-servername", "localhost"]
        for protocol in ("h2", "http/1.1"):
            found = subprocess.run(
                [*command, "-alpn", protocol, "-verify_return_error"], input=b"", capture_output=True, check=True
            )
            assert f"ALPN protocol: {protocol}".encode() in found.stdout
        refused = subprocess.run([*command, "-tls1_1"], input=b"", capture_output=True, check=False)
        assert refused.returncode != 0


def test_a_new_certificate_is_taken_up_under_load_and_no_call_fails(authority: Authority, upstream: Upstream) -> None:
    stop, failures, calls = threading.Event(), [], [0] * CALLERS

    def keep_busy(index: int, running: Gateway) -> None:
        context = authority.context(*(["h2"] if index % 2 else ["http/1.1"]))
        try:
            while not stop.is_set():
                word = nonce()
                if index % 2:
                    with Http2Caller(running.https_port, context) as caller:
                        texts = [caller.chat(word).text for _ in range(3)]
                else:
                    with running.connect_tls(context) as plain:
                        texts = []
                        for _ in range(3):
                            plain.send(chat_request(word))
                            texts.append(plain.receive().text)
                if texts != [f"You said: {word}"] * 3:
                    failures.append(str(texts))
                calls[index] += 1
        except Exception as error:
            failures.append(repr(error))

    with gateway(config(upstream), workers=2, https=authority.https) as running:
        workers = running.pids()
        threads = [threading.Thread(target=keep_busy, args=(index, running)) for index in range(CALLERS)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(RENEWALS):
                serial = authority.renew()
                # Each worker takes it up by itself: ten new connections in a row are shown it.
                eventually(
                    lambda new=serial: all(
                        presented(running.https_port, authority.context()) == new for _ in range(10)
                    ),
                    running,
                )
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert running.pids() == workers
    assert failures == []
    assert all(calls)


def test_a_connection_made_before_a_new_certificate_goes_on(authority: Authority, upstream: Upstream) -> None:
    with (
        gateway(config(upstream), https=authority.https) as running,
        running.connect_tls(authority.context()) as plain,
        Http2Caller(running.https_port, authority.context("h2")) as caller,
    ):
        assert caller.chat("before").text == "You said: before"
        serial = authority.renew()
        eventually(lambda: presented(running.https_port, authority.context()) == serial, running)
        plain.send(chat_request("after"))
        assert plain.receive().text == "You said: after"
        assert caller.chat("after").text == "You said: after"


def test_files_that_cannot_be_used_are_reported_and_the_old_certificate_serves_on(
    authority: Authority, upstream: Upstream
) -> None:
    with gateway(config(upstream), https=authority.https) as running:
        serial = presented(running.https_port, authority.context())
        reasons = ["the key does not belong to the certificate", "not PEM", "no such file"]
        for count, reason in enumerate(reasons, 1):
            if count == 1:
                authority.write(authority.certificate, authority.folder / "other.pem")
            elif count == 2:
                authority.certificate.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n")
            else:
                authority.certificate.unlink()
            eventually(lambda n=count: running.log.count("event=certificate-unusable") == n, running)
            assert reason in running.log
            assert presented(running.https_port, authority.context()) == serial
        renewed = authority.renew()
        eventually(lambda: presented(running.https_port, authority.context()) == renewed, running)
        assert "event=certificate-renewed" in running.log


def test_a_caller_needs_a_certificate_where_the_config_says_so(tmp_path: Path, upstream: Upstream) -> None:
    for name in ("ours", "theirs", "others"):
        (tmp_path / name).mkdir()
    ours, theirs, others = (Authority(tmp_path / name) for name in ("ours", "theirs", "others"))
    with gateway(config(upstream), https=f"{ours.https}, client_ca: {theirs.ca}") as running:
        for owner, protocol in ((theirs, "http/1.1"), (theirs, "h2"), (others, "http/1.1"), (None, "http/1.1")):
            context = ours.context(protocol)
            if owner is not None:
                context.load_cert_chain(owner.certificate, owner.key)
            if owner is theirs and protocol == "h2":
                with Http2Caller(running.https_port, context) as caller:
                    assert caller.chat("hello").text == "You said: hello"
            elif owner is theirs:
                with running.connect_tls(context) as plain:
                    plain.send(chat_request("hello"))
                    assert plain.receive().text == "You said: hello"
                    plain.send(chat_request("hello", key="wrong"))
                    assert plain.receive().status == 401
            else:
                assert is_turned_away(running, context)
    assert {request.json()["messages"][0]["content"] for request in upstream.requests} == {"hello"}
    assert len(upstream.requests) == 2


@pytest.mark.parametrize("fault", ["no certificate", "another key", "no client_ca", "an encrypted key"])
def test_files_that_cannot_be_used_end_the_start_with_a_clear_error(
    fault: str, authority: Authority, tmp_path: Path
) -> None:
    https = authority.https
    if fault == "no certificate":
        authority.certificate.unlink()
    elif fault == "another key":
        authority.write(authority.folder / "other.pem", authority.key)
    elif fault == "no client_ca":
        https += f", client_ca: {tmp_path}/absent.pem"
    else:
        authority.key.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n")
    listen = f"listen: {{http: 127.0.0.1:0, https: {{address: 127.0.0.1:0, {https}}}}}\n"
    (tmp_path / "headgate.yaml").write_text(listen + "control: {address: 127.0.0.1:0}\n")
    found = headgate("up", "--config", str(tmp_path / "headgate.yaml"), "--data", "/tmp/hg-tls-never")
    assert found.returncode == 1
    assert "listen.https" in found.stderr
    assert "cannot be used" in found.stderr
    assert "Traceback" not in found.stderr


def test_a_stream_under_way_ends_in_order_when_the_gateway_stops(authority: Authority, upstream: Upstream) -> None:
    with gateway(config(upstream), https=authority.https) as running:
        with (
            Http2Caller(running.https_port, authority.context("h2")) as caller,
            running.connect_tls(authority.context()) as idle,
        ):
            idle.send(chat_request("hello"))
            assert idle.receive().status == 200
            upstream.script(STREAM_HEAD + chunk(CHUNK), sets("runs"), awaits("end"), chunk(DONE) + LAST_CHUNK)
            stream = caller.send(request_fields(), chat_body(nonce(), stream=True))
            assert upstream.event("runs").wait(20)
            running.process.send_signal(signal.SIGTERM)
            assert idle.is_closed()
            while caller.goaway < 0:
                assert caller.read()
            upstream.event("end").set()
            assert caller.receive(stream).body == CHUNK + DONE
            while caller.read():
                pass
        assert running.process.wait(20) == 0
