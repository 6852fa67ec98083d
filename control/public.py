"""What control answers over TCP (`control.address`): read-only, for monitoring, without authentication.

Nothing here changes anything or names a key. Metrics do name consumers, routes and models, so the address stays on the
loopback unless the config says otherwise. Everything else of control is on its Unix socket.
"""

import asyncio
from typing import Any

from litestar import Litestar, Request, Response, get
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from msgspec import Struct

from control.exposition import Exposition
from control.log import Log
from control.problem import problem

__all__ = ["Alive", "Ready", "metrics", "public_application"]

WHERE = "Only /metrics, /healthz, /readyz and /health/liveness are served here; the API is on DATA/admin.sock."


class Alive(Struct, frozen=True):
    """The control process answers."""

    status: str


class Ready(Struct, frozen=True):
    """Whether callers are served: by how many workers, and which version is active."""

    status: str
    workers: int
    version: int


@get("/metrics")
async def metrics(request: Request[Any, Any, Any], exposition: NamedDependency[Exposition]) -> Response[bytes]:
    """Show what was counted, in Prometheus' text format or in OpenMetrics."""
    families = list(exposition.collect())
    # A large page takes long to format: aside, so that control goes on listening to the workers.
    page, content_type = await asyncio.to_thread(exposition.page, families, request.headers.get("accept", ""))
    return Response(page, media_type=content_type)


@get(["/healthz", "/health/liveness"])
async def alive() -> Alive:
    """Answer that the control process lives."""
    return Alive("ok")


@get("/readyz")
async def ready(exposition: NamedDependency[Exposition]) -> Response[Ready]:
    """Answer 200 while at least one worker serves a snapshot, else 503."""
    serving = sum(worker.state == "serving" for worker in exposition.feed.states())
    version = exposition.publisher.active.snapshot.version
    return Response(Ready("ready" if serving else "not ready", serving, version), status_code=200 if serving else 503)


def public_application(exposition: Exposition, log: Log) -> Litestar:
    """Return what is served over TCP."""

    def refused(_: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
        return problem(error.status_code, "request", error.detail, detail=WHERE)

    def failed(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        log("error", path=request.url.path, kind=type(error).__name__, reason=str(error))
        return problem(500, "internal", "The control process failed; its log says why.")

    return Litestar(
        [metrics, alive, ready],
        dependencies={"exposition": Provide(lambda: exposition, sync_to_thread=False)},
        exception_handlers={HTTPException: refused, Exception: failed},
        openapi_config=None,
        logging_config=None,
    )
