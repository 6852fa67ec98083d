"""How often a test of endurance repeats itself: few times in `make test`, in full in `make soak`."""

import os

__all__ = ["FULL", "count"]

FULL = os.environ.get("SOAK") == "1"


def count(full: int, quick: int) -> int:
    """Return `full` in a soak run (`SOAK=1`), else `quick`."""
    return full if FULL else quick
