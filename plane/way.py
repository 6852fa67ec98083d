"""How a call gets from what its caller asks to what a provider is asked: unchanged, or by the hub."""

from __future__ import annotations

from typing import Any

from plane.dialect import Dialect, Operation

__all__ = ["Way", "way_of"]

FORWARDED = (b"traceparent", b"tracestate", b"idempotency-key", b"user-agent")
"""Fields of a caller that every provider of models gets to see; what else a dialect has is its own `forwarded`."""


class Way:
    """One operation of a caller's dialect at one provider; all targets of the provider share it.

    dialect: the provider's, with its options; `options` are those. operation: what it is asked; name: of that.
    translates: the call goes through the hub, else its bytes pass. forwarded: names of the caller's header fields that
    go along, as they are usually spelt. fields: (name, value) of lines that the provider must get, unless the caller
    sends its own.
    """

    def __init__(self, dialect: Dialect, operation: Operation, translates: bool, options: Any) -> None:
        self.dialect = dialect
        self.operation = operation
        self.name = operation.name
        self.translates = translates
        self.options = options
        self.signs = dialect.signs
        self.fields = list(dialect.fields)
        names = set(FORWARDED)
        if not translates:
            names |= dialect.forwarded | {name for name, _ in self.fields}
        self.forwarded = {spelt: True for name in names for spelt in spellings(name)}

    def __repr__(self) -> str:
        return f"<Way to {self.dialect.name}'s {self.name}{', translated' if self.translates else ''}>"


def way_of(caller: Dialect, operation: Operation, speaks: list[tuple[Dialect, Any]]) -> Way | None:
    """Return how a provider is asked for a caller's operation, None where it cannot be.

    speaks: the provider's dialects with their options, best first. If one of them is the caller's, bytes pass.
    """
    spoken = caller.wire or caller.name
    for dialect, options in speaks:
        if spoken == (dialect.wire or dialect.name) or spoken in dialect.passes:
            for asked in dialect.operations:
                if asked.name == operation.name:
                    return Way(dialect, asked, False, options)
    if operation.kind in caller.translators:
        for dialect, options in speaks:
            if operation.kind in dialect.translators:
                for asked in dialect.operations:
                    if asked.kind == operation.kind:
                        return Way(dialect, asked, True, options)
    return None


def spellings(name: bytes) -> set[bytes]:
    """Return the ways in which clients write the name of a field."""
    return {name, name.title(), name.title().replace(b"Openai", b"OpenAI")}
