"""Operations on what a provider keeps: files, in one piece or in parts, and batches, as OpenAI's API has them."""

from __future__ import annotations

from plane.dialect import Operation

__all__ = ["FILES", "kept"]


def kept(
    name: str, path: str, method: str = "POST", *, streams: bool = False, keeps: bool = True, form: bool = False
) -> Operation:
    """Return an operation that is pinned; see `Operation`."""
    return Operation(name, path, streams, name, method, pinned=True, keeps=keeps, form=form)


FILES = (
    kept("files.upload", "/files", form=True),
    kept("files.retrieve", "/files/{id}", "GET"),
    kept("files.delete", "/files/{id}", "DELETE"),
    kept("files.content", "/files/{id}/content", "GET", keeps=False),
    kept("uploads.create", "/uploads"),
    kept("uploads.part", "/uploads/{id}/parts", form=True),
    kept("uploads.complete", "/uploads/{id}/complete"),
    kept("uploads.cancel", "/uploads/{id}/cancel"),
    kept("batches.create", "/batches"),
    kept("batches.retrieve", "/batches/{id}", "GET"),
    kept("batches.cancel", "/batches/{id}/cancel"),
)
"""There is no list of either: those of one credential belong to several consumers."""
