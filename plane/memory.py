"""Memory that is free is given back to the system: what a burst of connections took, or a config that was replaced."""

import ctypes
from collections.abc import Callable

__all__ = ["Trimmer", "malloc_trim"]

LEAST = 1000
"""Connections that must have gone for a trim to be worth its few milliseconds."""


class Trimmer:
    """Trims when at least half of the connections there were, and `LEAST` of them, have gone."""

    def __init__(self, trim: Callable[[], None]) -> None:
        self.trim = trim
        self.most = 0

    def look(self, connections: int) -> None:
        """Take note of how many there are now."""
        self.most = max(self.most, connections)
        if self.most - connections >= max(LEAST, connections):
            self.most = connections
            self.trim()


def malloc_trim() -> None:
    """Have the C library give back free pages, in a millisecond or two; without glibc nothing happens.

    By itself it returns only those at the end of its heap. Sections of a snapshot, say, are too small for more.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
