"""What control serves over TCP, by granian on a socket bound beforehand."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from control.datadir import bind_tcp
from control.exposition import Exposition
from control.public import public_application
from control.server import AdminServer


@pytest.fixture
async def public(control: Any) -> AsyncIterator[aiohttp.ClientSession]:
    listener = bind_tcp("127.0.0.1:0")
    host, port = listener.getsockname()
    exposition = Exposition(control.feed, control.publisher, control.feed.intake, None)
    server = AdminServer(public_application(exposition, control.log), listener.detach(), unix=False)
    serving = asyncio.create_task(server.serve())
    async with aiohttp.ClientSession(f"http://{host}:{port}") as session:
        yield session
    server.stop()
    async with asyncio.timeout(5):
        await serving


async def test_metrics_are_served_in_the_format_that_is_asked_for(public: aiohttp.ClientSession) -> None:
    async with public.get("/metrics") as answer:
        assert (answer.status, answer.content_type) == (200, "text/plain")
        assert "headgate_snapshot_version 1.0\n" in await answer.text()
    async with public.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"}) as answer:
        assert (answer.status, answer.content_type) == (200, "application/openmetrics-text")
        assert (await answer.text()).endswith("# EOF\n")


@pytest.mark.parametrize("path", ["/healthz", "/health/liveness"])
async def test_health_says_that_the_process_lives(public: aiohttp.ClientSession, path: str) -> None:
    async with public.get(path) as answer:
        assert (answer.status, await answer.json()) == (200, {"status": "ok"})


async def test_readiness_follows_the_workers(public: aiohttp.ClientSession, control: Any) -> None:
    async with public.get("/readyz") as answer:
        assert (answer.status, await answer.json()) == (503, {"status": "not ready", "workers": 0, "version": 1})
    (worker,) = await control.serving(0)
    async with public.get("/readyz") as answer:
        assert (answer.status, await answer.json()) == (200, {"status": "ready", "workers": 1, "version": 1})
    worker.close()
    await control.until(lambda: not control.feed.peers)
    async with public.get("/readyz") as answer:
        assert answer.status == 503


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/apply", 404),
        ("GET", "/v1/status", 404),
        ("GET", "/v1/health", 404),
        ("GET", "/schema/openapi.json", 404),
        ("GET", "/", 404),
        ("POST", "/metrics", 405),
        ("DELETE", "/healthz", 405),
    ],
)
async def test_nothing_else_is_served_and_nothing_can_be_changed(
    public: aiohttp.ClientSession, method: str, path: str, status: int
) -> None:
    async with public.request(method, path, json={"path": "/etc"}) as answer:
        assert (answer.status, answer.content_type) == (status, "application/problem+json")
        assert "admin.sock" in (await answer.json(content_type=None))["detail"]
