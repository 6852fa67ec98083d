"""The HTTP API on the admin socket: thin handlers, Structs in and out, errors as problem+json (RFC 9457).

Its description is at ``/schema/openapi.json``; no page of it loads anything from elsewhere.
"""

import asyncio
import os
from pathlib import Path
from typing import Annotated, Any

from litestar import Litestar, Request, Response, get, post
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from control.calls import Calls, call_of, find
from control.exposition import Exposition
from control.feed import Feed, WorkerState
from control.log import Log
from control.problem import PROBLEM_JSON, Problem, problem
from control.public import metrics
from control.publish import Applied, Publisher
from control.usage import UsageRow
from core.errors import ConfigError

__all__ = ["Apply", "Health", "Status", "application"]


class Apply(Struct, frozen=True, forbid_unknown_fields=True):
    """Which config to make active. path: absolute, a file or a directory on the control process's host."""

    path: Annotated[str, Meta(pattern="^/", max_length=4096)]


class Health(Struct, frozen=True):
    """The control process answers; version is that of the active snapshot."""

    status: str
    version: int


class Status(Struct, frozen=True):
    """What is active, who serves it, and what was used since the control process started."""

    version: int
    digest: str
    generation: int
    pid: int
    workers: list[WorkerState]
    usage: list[UsageRow]


class Admin:
    """What the handlers work with."""

    def __init__(self, publisher: Publisher, feed: Feed) -> None:
        self.publisher = publisher
        self.feed = feed


@post(
    "/v1/apply",
    status_code=200,
    responses={
        400: ResponseSpec(Problem, description="The request is malformed.", media_type=PROBLEM_JSON),
        409: ResponseSpec(
            Problem, description="A worker refused the snapshot; the old one stays.", media_type=PROBLEM_JSON
        ),
        422: ResponseSpec(Problem, description="The config is wrong; nothing was sent.", media_type=PROBLEM_JSON),
    },
)
async def apply(data: JSONBody[Apply], admin: NamedDependency[Admin]) -> Response[Applied | Problem]:
    """Load, prove and publish a config; answers when every worker has."""
    # Shielded: a caller who hangs up must not stop a publication half-way.
    applied = await asyncio.shield(asyncio.create_task(admin.publisher.apply(Path(data.path))))
    if applied.result != "refused":
        return Response(applied)
    return problem(
        409,
        "refused",
        "A worker did not take the snapshot; the old one stays active.",
        version=applied.version,
        digest=applied.digest,
        workers=applied.workers,
        refused_version=applied.refused_version,
    )


@get("/v1/status")
async def status(admin: NamedDependency[Admin]) -> Status:
    """Show the active snapshot, the workers and the usage totals."""
    active = admin.publisher.active
    version, digest = active.snapshot.version, active.snapshot.digest
    states, usage = admin.feed.states(), admin.feed.intake.table.rows()
    return Status(version, digest, active.generation, os.getpid(), states, usage)


@get(
    "/v1/calls/{request_id:str}",
    responses={404: ResponseSpec(Problem, description="No call has this id.", media_type=PROBLEM_JSON)},
)
async def calls(request_id: FromPath[str], admin: NamedDependency[Admin]) -> Response[Calls | Problem]:
    """Show why the calls with a request id went as they did."""
    intake = admin.feed.intake
    found = await asyncio.to_thread(find, intake.folder, request_id)
    if not found:
        return problem(
            404,
            "no_call",
            f"No call with the request id {request_id!r} is in {intake.folder}.",
            detail="It is the x-request-id of the answer. A call is there a moment after it ended, until its segment "
            "is deleted; requests that no route took leave nothing.",
        )
    snapshot = admin.publisher.active.snapshot
    return Response(Calls([await asyncio.to_thread(call_of, event, snapshot) for event in found]))


@get("/v1/health")
async def health(admin: NamedDependency[Admin]) -> Health:
    """Answer that the control process lives."""
    return Health("ok", admin.publisher.active.snapshot.version)


def application(publisher: Publisher, feed: Feed, exposition: Exposition, log: Log) -> Litestar:
    """Return the API over this publisher and feed, and the metrics."""
    admin = Admin(publisher, feed)

    def wrong_config(_: Request[Any, Any, Any], error: ConfigError) -> Response[Any]:
        return problem(422, "config", "The config cannot be used; nothing was sent.", problems=tuple(error.problems))

    def refused(_: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
        items = [item for item in error.extra or () if isinstance(item, dict)]
        detail = "; ".join(f"{item.get('key', '')}: {item.get('message', '')}" for item in items)
        return problem(error.status_code, "request", error.detail, detail=detail)

    def unsaved(_: Request[Any, Any, Any], error: OSError) -> Response[Any]:
        log("unsaved", reason=error)
        title = "The data directory cannot be written; the version before stays active."
        return problem(500, "storage", title, detail=str(error))

    def failed(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        log("error", path=request.url.path, kind=type(error).__name__, reason=str(error))
        return problem(500, "internal", "The control process failed; its log says why.")

    return Litestar(
        [apply, status, calls, health, metrics],
        dependencies={
            "admin": Provide(lambda: admin, sync_to_thread=False),
            "exposition": Provide(lambda: exposition, sync_to_thread=False),
        },
        exception_handlers={ConfigError: wrong_config, HTTPException: refused, OSError: unsaved, Exception: failed},
        openapi_config=OpenAPIConfig("Headgate control API", "1", render_plugins=[JsonRenderPlugin()]),
        logging_config=None,
    )
