import asyncio
import os
import stat
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from control.api import application
from control.datadir import bind_unix
from control.exposition import Exposition
from control.server import AdminServer
from core.usage import Detail
from tests.ledgers import records_of
from tests.usage_events import event


class Api:
    """The API as the control process serves it: granian on a Unix socket bound beforehand."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, str, Any]:
        async with self.session.request(method, f"http://headgate{path}", **options) as answer:
            return answer.status, answer.content_type, await answer.json(content_type=None)


@pytest.fixture
async def api(control: Any) -> AsyncIterator[Api]:
    path = control.data / "admin.sock"
    listener = bind_unix(path)
    exposition = Exposition(control.feed, control.publisher, control.feed.intake, None)
    server = AdminServer(application(control.publisher, control.feed, exposition, control.log), listener.detach())
    serving = asyncio.create_task(server.serve())
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session:
        yield Api(session)
    server.stop()
    async with asyncio.timeout(5):
        await serving
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_health_says_which_version_is_active(api: Api) -> None:
    assert await api.call("GET", "/v1/health") == (200, "application/json", {"status": "ok", "version": 1})


async def test_status_shows_version_workers_and_usage(api: Api, control: Any) -> None:
    await control.serving(0)
    status, _, body = await api.call("GET", "/v1/status")
    assert status == 200
    assert (body["version"], body["digest"]) == (1, control.feed.active.digest)
    assert [(row["worker"], row["pid"], row["state"]) for row in body["workers"]] == [(0, os.getpid(), "serving")]
    assert body["usage"] == []


async def test_apply_answers_when_every_worker_has(api: Api, control: Any) -> None:
    (worker,) = await control.serving(0)
    calling = asyncio.create_task(api.call("POST", "/v1/apply", json={"path": str(control.write("second"))}))
    await worker.ack()
    status, _, body = await calling
    assert (status, body["result"], body["version"]) == (200, "active", 2)
    assert body["workers"] == [{"worker": 0, "answer": "ack", "reason": ""}]


async def test_a_refused_apply_is_a_conflict_that_names_who_and_why(api: Api, control: Any) -> None:
    (worker,) = await control.serving(0)
    calling = asyncio.create_task(api.call("POST", "/v1/apply", json={"path": str(control.write("second"))}))
    await worker.nack("no memory")
    status, kind, body = await calling
    assert (status, kind, body["type"]) == (409, "application/problem+json", "urn:headgate:refused")
    assert (body["version"], body["refused_version"]) == (1, 2)
    assert body["workers"] == [{"worker": 0, "answer": "nack", "reason": "no memory"}]


async def test_a_wrong_config_is_answered_with_every_line(api: Api, control: Any) -> None:
    control.config.write_text("models: {m: {targets: [{provider: nobody, model: m}]}}\nlisten: {wrokers: 3}\n")
    status, kind, body = await api.call("POST", "/v1/apply", json={"path": str(control.config)})
    assert (status, kind, body["type"]) == (422, "application/problem+json", "urn:headgate:config")
    assert len(body["problems"]) == 2
    assert all(str(control.config) in line for line in body["problems"])


@pytest.mark.parametrize("body", [{}, {"path": "relative"}, {"path": 7}, {"path": "/x", "more": 1}, ["/x"]], ids=repr)
async def test_a_malformed_apply_is_refused(api: Api, control: Any, body: Any) -> None:
    status, kind, answer = await api.call("POST", "/v1/apply", json=body)
    assert (status, kind, answer["type"]) == (400, "application/problem+json", "urn:headgate:request")
    assert control.feed.candidate is None


async def test_a_body_that_is_no_json_is_refused(api: Api) -> None:
    status, kind, _ = await api.call("POST", "/v1/apply", data=b"{", headers={"content-type": "application/json"})
    assert (status, kind) == (400, "application/problem+json")


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/", 404), ("GET", "/v1/apply", 405)])
async def test_what_is_not_there_is_a_problem_too(api: Api, method: str, path: str, status: int) -> None:
    found, kind, body = await api.call(method, path)
    assert (found, kind, body["status"]) == (status, "application/problem+json", status)


async def test_a_failure_of_ours_is_a_problem_that_tells_nothing(
    api: Api, control: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control.feed, "states", lambda: 1 / 0)
    status, kind, body = await api.call("GET", "/v1/status")
    assert (status, kind) == (500, "application/problem+json")
    assert "division" not in str(body)


async def test_a_caller_who_hangs_up_does_not_stop_the_publication(api: Api, control: Any) -> None:
    (worker,) = await control.serving(0)
    calling = asyncio.create_task(api.call("POST", "/v1/apply", json={"path": str(control.write("second"))}))
    push = await worker.push()
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    worker.answer(push)
    await control.until(lambda: control.publisher.active.snapshot.version == 2)


async def test_the_api_describes_itself_and_loads_no_page_from_elsewhere(api: Api) -> None:
    status, _, body = await api.call("GET", "/schema/openapi.json")
    assert (status, body["openapi"][:3]) == (200, "3.1")
    assert set(body["paths"]) == {"/v1/apply", "/v1/status", "/v1/calls/{request_id}", "/v1/health", "/metrics"}
    assert set(body["paths"]["/v1/apply"]["post"]["responses"]) == {"200", "400", "409", "422"}
    for page in ("/schema", "/schema/swagger", "/schema/redoc", "/schema/elements"):
        async with api.session.get(f"http://headgate{page}") as answer:
            assert "://" not in await answer.text()


async def test_a_disk_that_takes_nothing_is_named_and_the_version_before_stays(
    api: Api, control: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("control.lastgood.write_file", full)
    status, kind, body = await api.call("POST", "/v1/apply", json={"path": str(control.write("second"))})
    assert (status, kind, body["type"]) == (500, "application/problem+json", "urn:headgate:storage")
    assert "No space left on device" in body["detail"]
    assert (await api.call("GET", "/v1/health"))[2] == {"status": "ok", "version": 1}


async def test_a_call_is_shown_by_its_request_id(api: Api, control: Any) -> None:
    control.feed.intake.take(0, records_of(event(1, request_id="r:1", status=200, detail=Detail(units=3))))
    status, _, body = await api.call("GET", "/v1/calls/r:1")
    assert status == 200
    (call,) = body["calls"]
    assert (call["event"]["request_id"], call["event"]["detail"]["units"]) == ("r:1", 3)
    assert (call["explanation"], call["bill"], call["unbilled"]) == (None, None, "its usage is not known")


async def test_a_call_that_nobody_knows_is_not_found(api: Api) -> None:
    status, kind, body = await api.call("GET", "/v1/calls/nobody")
    assert (status, kind, body["type"]) == (404, "application/problem+json", "urn:headgate:no_call")
    assert "'nobody'" in body["title"]
