"""Long work in small steps: a generator that yields after each, and who drives it.

A worker's loop serves callers between two slices of it; a proof, which nobody waits behind, does all at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from time import monotonic_ns
from typing import TypeVar

__all__ = ["SLICE", "Steps", "at_once", "paced"]

SLICE = 2_000_000
"""Nanoseconds after which callers get their turn; a step itself is shorter by far."""

REST = 0.001
"""Seconds between two slices: a call can go through several passes of the loop, and the machine serve others."""

T = TypeVar("T")
Steps = Generator[None, None, T]


def at_once(steps: Steps[T]) -> T:
    """Do all of it now; return what it returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


async def paced(steps: Steps[T]) -> T:
    """Do all of it in slices of `SLICE`, with a rest between two; return what it returns."""
    began = monotonic_ns()
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        if monotonic_ns() - began > SLICE:
            await asyncio.sleep(REST)
            began = monotonic_ns()
