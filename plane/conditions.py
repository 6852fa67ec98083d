"""Which requests a target takes: conditions on fields of the request and on the metadata that its caller sent along."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

import msgspec

from core.errors import GatewayError
from core.splice import scan
from plane.exchange import Exchange

__all__ = ["Conditions"]

_values = msgspec.json.Decoder(dict[str, str | int | float | bool | None])


class Conditions:
    """All must hold; each names a field or a key of the body's ``metadata`` and the values that it may have.

    ``*`` among the values stands for any value.
    """

    def __init__(self, headers: Mapping[str, tuple[str, ...]], metadata: Mapping[str, tuple[str, ...]]) -> None:
        self.headers = {name.lower().encode(): frozenset(values) for name, values in headers.items()}
        self.metadata = {name: frozenset(values) for name, values in metadata.items()}

    def hold(self, exchange: Exchange) -> bool:
        """Tell whether the request fulfils them all."""
        if self.headers:
            sent = {name.lower(): value.decode("latin-1") for name, value in exchange.headers}
            if not all(allows(values, sent.get(name)) for name, values in self.headers.items()):
                return False
        if self.metadata:
            said = metadata_of(exchange.body)
            return all(allows(values, said.get(name)) for name, values in self.metadata.items())
        return True

    def unmet(self, exchange: Exchange) -> str:
        """Return the first field or key that keeps them from holding; of the values, which may be names, nothing."""
        sent = {name.lower(): value.decode("latin-1") for name, value in exchange.headers}
        said = metadata_of(exchange.body) if self.metadata else {}
        fields = (f"the field {name.decode()}" for name, ok in self.headers.items() if not allows(ok, sent.get(name)))
        keys = (f"metadata.{name}" for name, ok in self.metadata.items() if not allows(ok, said.get(name)))
        return next(chain(fields, keys), "")


def allows(values: frozenset[str], value: str | None) -> bool:
    """Tell whether a value, None where there is none, is one of those allowed."""
    return value is not None and (value in values or "*" in values)


def metadata_of(body: bytes) -> dict[str, str]:
    """Return the simple values of a body's ``metadata`` as text; none where it has no such object."""
    try:
        start, end = scan(body, (b"metadata",))[0]
        said = _values.decode(body[start:end]) if start >= 0 else {}
    except (GatewayError, msgspec.MsgspecError):
        return {}
    return {name: text(value) for name, value in said.items() if value is not None}


def text(value: str | float | bool) -> str:
    """Return a value as a config writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
