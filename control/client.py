"""The command line's way to the control process: HTTP over DATA/admin.sock."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp

from control.datadir import ADMIN, DataError

__all__ = ["ControlAwayError", "call"]


class ControlAwayError(DataError):
    """No control process answers; the text says what to do about it."""


def call(data: Path, method: str, path: str, body: object = None, seconds: float = 120.0) -> tuple[int, dict[str, Any]]:
    """Send one request to the control process of `data` and return (status, decoded JSON); raises ControlAwayError."""
    return asyncio.run(_call(data.absolute() / ADMIN, method, path, body, seconds))


async def _call(admin: Path, method: str, path: str, body: object, seconds: float) -> tuple[int, dict[str, Any]]:
    timeout = aiohttp.ClientTimeout(total=seconds)
    connector = aiohttp.UnixConnector(str(admin))
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.request(method, f"http://headgate{path}", json=body) as answer,
        ):
            return answer.status, await answer.json(content_type=None)
    except aiohttp.ClientConnectorError as error:
        raise ControlAwayError(_advice(admin, error.os_error)) from None
    except TimeoutError:
        raise ControlAwayError(f"the control process at {admin} did not answer within {seconds:g} s") from None
    except (aiohttp.ClientError, ValueError) as error:
        raise ControlAwayError(f"the control process at {admin} went away before it answered: {error}") from None


def _advice(admin: Path, error: OSError) -> str:
    if isinstance(error, PermissionError):
        return f"{admin}: belongs to another user; run the command as the user that runs headgate"
    return (
        f"no control process answers at {admin} ({error.strerror or error}); "
        f"start one with: headgate up --config DIR --data {admin.parent}  (or name its directory with --data)"
    )
