"""Which route a request takes, in its first form: exact paths and prefixes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.errors import GatewayError

__all__ = ["Router"]


class Router:
    """Exact paths before prefixes."""

    def __init__(self, entries: Sequence[tuple[Any, ...]]) -> None:
        self.exact = {}
        self.prefixes = []
        for _, path, methods, value, _ in entries:
            if path.endswith("*"):
                self.prefixes.append((path[:-1].encode(), methods, value))
            else:
                self.exact[path.encode()] = (methods, value)

    def match(self, method: str, host: bytes, path: bytes) -> Any:
        """Return the value of the entry that takes the request."""
        found = self.exact.get(path)
        if found is None:
            for prefix, methods, value in self.prefixes:
                if path.startswith(prefix):
                    found = (methods, value)
                    break
            else:
                raise GatewayError(404, "no_route", "caller", "Nothing is served at this path.")
        methods, value = found
        if methods and method not in methods and not (method == "HEAD" and "GET" in methods):
            raise GatewayError(405, "method_not_allowed", "caller", "Not this method.", allow=", ".join(methods))
        return value
