"""Operations on what a provider keeps: files and batches, as OpenAI's API has them, and how such are told."""

from __future__ import annotations

from plane.dialect import Operation

__all__ = ["FILES", "kept"]


def kept(name: str, path: str, method: str = "POST", *, streams: bool = False, keeps: bool = True) -> Operation:
    """Return an operation that is pinned; see `Operation`."""
    return Operation(name, path, streams, name, method, pinned=True, keeps=keeps)


FILES = (
    kept("files.upload", "/files"),
    kept("files.retrieve", "/files/{id}", "GET"),
    kept("files.delete", "/files/{id}", "DELETE"),
    kept("files.content", "/files/{id}/content", "GET", keeps=False),
    kept("batches.create", "/batches"),
    kept("batches.retrieve", "/batches/{id}", "GET"),
    kept("batches.cancel", "/batches/{id}/cancel"),
)
"""There is no list of either: those of one credential belong to several consumers."""
