"""The routes that every gateway has: what can be asked of models in each caller's dialect, and the health checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from plane.dialect import Dialect, Operation
from plane.listing import list_anthropic_models, list_gemini_models, list_models
from plane.local import health, liveness, readiness
from plane.runtime import Model, Route

__all__ = ["Voices", "services"]

GET = ("GET",)
NO_MODELS_BODY = 1024 * 1024
"""Bytes of a body that are read only to say that there is no such model."""
NAME = "{model}"

Entry = tuple[str | None, str, tuple[str, ...], Route, bool]


class Voices:
    """Which dialect an error is told in where no route was found: by what the path begins with.

    default: OpenAI's, as it has the paths that several share.
    """

    def __init__(self, callers: Mapping[str, Dialect]) -> None:
        self.default = next(iter(callers.values()))
        starts: dict[bytes, Dialect] = {}
        for dialect in callers.values():
            for prefix in dialect.prefixes:
                for operation in dialect.operations:
                    starts.setdefault((prefix + start_of(operation)).encode(), dialect)
                starts.setdefault(prefix.encode(), dialect)
        self.starts = sorted(starts.items(), key=lambda item: -len(item[0]))

    def at(self, path: bytes) -> Dialect:
        """Return the dialect to tell an error at `path` in."""
        for start, dialect in self.starts:
            if path.startswith(start) and (path[len(start) : len(start) + 1] in b"/:" or start.endswith(b"/")):
                return dialect
        return self.default


def services(callers: Mapping[str, Dialect], models: Iterable[Model], max_file: int) -> list[Entry]:
    """Return the entries for the router; max_file: bytes of a file that is to be kept, 0 if nobody keeps any."""
    entries: list[Entry] = []
    largest = max((model.max_body for model in models), default=NO_MODELS_BODY)
    for dialect in callers.values():
        ends: dict[tuple[str, str], dict[bytes, Route]] = {}
        for operation in dialect.operations:
            size = max_file or largest if operation.pinned and operation.form else largest
            route = Route(operation.name, dialect=dialect, operation=operation, max_body=size)
            start, found, end = operation.path.partition(NAME)
            if found:
                ends.setdefault((start, operation.method), {})[end.encode()] = route
            else:
                entries += [(None, prefix + start, (operation.method,), route, False) for prefix in dialect.prefixes]
        for (start, method), takers in ends.items():
            route = Route(dialect.name, dialect=dialect, ends=takers)
            entries += [(None, f"{prefix}{start}*", (method,), route, False) for prefix in dialect.prefixes]
    entries += listings(callers)
    for path, handler in (("/healthz", health), ("/readyz", readiness), ("/health/liveness", liveness)):
        entries.append((None, path, GET, Route(path[1:], handler=handler, needs_key=False), False))
    return entries


def listings(callers: Mapping[str, Dialect]) -> list[Entry]:
    """Return the entries of the lists of models; callers of other dialects say so by a field, or by the path."""
    openai = next(iter(callers.values()))
    anthropic = Route("models", dialect=callers["anthropic"], handler=list_anthropic_models)
    gemini = Route("models", dialect=callers["gemini"], handler=list_gemini_models)
    fields = {b"anthropic-version": anthropic, b"x-api-key": anthropic, b"x-goog-api-key": gemini}
    shared = Route("models", dialect=openai, handler=list_models, by_field=fields)
    entries: list[Entry] = []
    prefixes = {"/v1": shared, "": shared, "/anthropic/v1": anthropic}
    prefixes |= dict.fromkeys(("/v1beta", "/genai/v1beta", "/genai/v1"), gemini)
    for prefix, listing in prefixes.items():
        entries.append((None, f"{prefix}/models", GET, listing, False))
        entries.append((None, f"{prefix}/models/*", GET, listing, False))
    return entries


def start_of(operation: Operation) -> str:
    """Return what an operation's path begins with, before the name of a model; ``/v1/models`` itself is everybody's."""
    return operation.path.partition(NAME)[0]
