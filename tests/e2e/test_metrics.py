"""What control shows of a whole running gateway."""

import os
import signal
import socket
import tempfile
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.conftest import Stage
from tests.e2e.harness import chat_request, eventually, gateway, headgate


def requests_of(stage: Stage, **labels: str) -> float:
    return stage.gateway.metric("headgate_requests_total", **labels)


def test_calls_are_counted_by_route_model_target_and_status(stage: Stage) -> None:
    labels = {"route": "chat.completions", "model": "good", "target": "scripted/scripted-small", "status": "200"}
    before = requests_of(stage, **labels)
    refused = requests_of(stage, status="401")
    for _ in range(3):
        assert stage.gateway.call(chat_request("good")).status == 200
    assert stage.gateway.call(chat_request("good", key="nobody")).status == 401
    eventually(lambda: requests_of(stage, **labels) == before + 3)
    eventually(lambda: requests_of(stage, status="401") == refused + 1)


def test_what_leaves_no_event_is_counted_by_the_workers(stage: Stage) -> None:
    def unrouted() -> float:
        return stage.gateway.metric("headgate_unrouted_requests_total", code="no_route")

    before = unrouted()
    assert stage.gateway.call(b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n").status == 404
    eventually(lambda: unrouted() == before + 1)
    assert stage.gateway.metric("headgate_phase_seconds_count", phase="gateway") > 0
    assert stage.gateway.metric("headgate_worker_resident_bytes") > 1_000_000
    eventually(lambda: stage.gateway.metric("headgate_loop_lag_seconds_count") > 0)


def test_counters_never_go_back_when_a_worker_is_killed() -> None:
    def accepted() -> float:
        return running.metric("headgate_connections_accepted_total")

    def state() -> dict[str, Any]:
        return running.admin("GET", "/v1/status")[1]["workers"][0]

    with gateway("models: {}\n") as running:
        eventually(lambda: accepted() > 0)
        before, killed = accepted(), state()["pid"]
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: state()["pid"] != killed and state()["state"] == "serving")
        assert accepted() >= before
        running.call(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        eventually(lambda: accepted() > before)


@pytest.mark.parametrize("path", ["/healthz", "/health/liveness", "/readyz"])
def test_health_is_answered_by_control_over_tcp(stage: Stage, path: str) -> None:
    status, kind, _ = stage.gateway.fetch(path)
    assert (status, kind) == (200, "application/json")


def test_the_api_is_not_there_over_tcp(stage: Stage) -> None:
    status, kind, body = stage.gateway.fetch("/v1/status")
    assert (status, kind) == (404, "application/problem+json")
    assert "version" not in body


def test_the_page_is_the_same_on_the_socket(stage: Stage) -> None:
    names = {family.name for family in text_string_to_metric_families(stage.gateway.fetch("/metrics")[2])}
    assert {"headgate_requests", "headgate_workers", "process_cpu_seconds"} <= names


@pytest.mark.parametrize(
    ("static", "said"),
    [
        (
            "control: {{address: 127.0.0.1:{port}}}",
            "cannot listen on 127.0.0.1:{port}: Address already in use (control",
        ),
        (
            "control: {{address: 'off'}}\naccess_log: {folder}/absent/log",
            "access_log: cannot write to {folder}/absent/log",
        ),
        ("control: {{address: 'off'}}\naccess_log: {folder}/.", "access_log: cannot write to {folder}/."),
    ],
)
def test_what_cannot_be_opened_ends_the_start_with_the_key_that_names_it(static: str, said: str) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="hg-", dir="/tmp") as folder,
        socket.create_server(("127.0.0.1", 0)) as taken,
    ):
        names = {"folder": folder, "port": taken.getsockname()[1]}
        config = Path(folder, "headgate.yaml")
        config.write_text(static.format(**names) + "\n")
        ended = headgate("control", "--config", str(config), "--data", f"{folder}/data")
    assert ended.returncode == 1
    assert said.format(**names) in ended.stderr
    assert "Traceback" not in ended.stderr
