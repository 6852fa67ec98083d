"""Every way in which bytes can come: whole, one by one, and in two pieces cut anywhere."""

from __future__ import annotations

from collections.abc import Iterator


def splits(data: bytes) -> Iterator[list[bytes]]:
    """Yield lists of pieces that join to `data`."""
    yield [data]
    yield [data[at : at + 1] for at in range(len(data))]
    for cut in range(1, len(data)):
        yield [data[:cut], data[cut:]]
