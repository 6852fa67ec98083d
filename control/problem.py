"""Errors of control's HTTP API, as problem+json (RFC 9457)."""

from typing import Any

from litestar import Response
from msgspec import Struct

from control.publish import WorkerAnswer

__all__ = ["PROBLEM_JSON", "Problem", "problem"]

PROBLEM_JSON = "application/problem+json"


class Problem(Struct, frozen=True, omit_defaults=True):
    """Why a call failed.

    problems: one line for each thing wrong in a config. version and digest: what stays active after a refused apply,
    with each worker's answer and the refused version's number.
    """

    type: str
    title: str
    status: int
    detail: str = ""
    problems: tuple[str, ...] = ()
    version: int = 0
    digest: str = ""
    workers: tuple[WorkerAnswer, ...] = ()
    refused_version: int = 0


def problem(status_code: int, word: str, title: str, **members: Any) -> Response[Any]:
    """Return a problem+json response; `word` is its stable name."""
    body = Problem(f"urn:headgate:{word}", title, status_code, **members)
    return Response(body, status_code=status_code, media_type=PROBLEM_JSON)
