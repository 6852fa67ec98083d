"""A provider compiled: what all of its targets share of the requests that are sent to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from core.model import Provider
from plane.dialect import Dialect
from plane.http1.origin import Origin
from plane.probes import Watch
from plane.way import Way

__all__ = ["JSON", "PRINTABLE", "Credential", "Vendor", "heads_of", "pool_of"]

JSON = b"content-type: application/json\r\n"
PRINTABLE = re.compile(r"[!-~]+")
"""What can stand in a request line."""


class Credential(NamedTuple):
    """What of a request's head hangs on the credential it is sent with.

    constant: the lines of every request. heads: as of `Target`; None where the paths depend on the model.
    """

    secret: bytes
    constant: bytes
    mark: str
    heads: dict[str, tuple[bytes, bytes]] | None


class Vendor(NamedTuple):
    """A provider, as far as all of its targets share it.

    ways: name of a caller's operation -> `Way`. credentials: one at least, of b"" where it needs none. watch: how it is
    probed, or None.
    """

    origin: Origin
    host: bytes
    base: bytes
    ways: dict[str, Way]
    credentials: list[Credential]
    watch: Watch | None


def pool_of(config: Provider, path: str) -> list[tuple[str, str | None]]:
    """Return the references to a provider's credentials with their places, each once; None where it needs none."""
    pool: dict[str | None, str] = {}
    if config.credential is not None or not config.credentials:
        pool[config.credential] = f"{path}.credential"
    for index, reference in enumerate(config.credentials):
        pool.setdefault(reference, f"{path}.credentials[{index}]")
    return [(place, reference) for reference, place in pool.items()]


def heads_of(ways: Mapping[str, Way], model: str, base: bytes, constant: bytes) -> dict[str, tuple[bytes, bytes]]:
    """Return the parts of request heads that do not change, by the provider's operation: without and with a stream.

    Raises ValueError for a path that cannot stand in a request line.
    """
    heads = {}
    for way in ways.values():
        operation = way.operation
        # A form has its boundary in that line; it is written with the request.
        lines = constant.replace(JSON, b"", 1) if operation.form else constant
        plain, streamed = (
            b"%b %b%b HTTP/1.1\r\n%b"
            % (operation.method.encode(), base, path_of(way.dialect, operation, model, stream), lines)
            for stream in (False, True)
        )
        heads[way.name] = (plain, streamed)
    return heads


def path_of(dialect: Dialect, operation: Any, model: str, stream: bool) -> bytes:
    """Return where a provider is asked, below its base URL."""
    path = dialect.path(operation, model, stream)
    if not PRINTABLE.fullmatch(path):
        raise ValueError(f"the path {path!r} cannot stand in a request line")
    return path.encode()
