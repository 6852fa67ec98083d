"""Letting go of a runtime that nobody uses any more, a little at a time.

Without that the 100,000 objects of a large config would die in one go, at the end of some request.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import Any

from plane.memory import malloc_trim
from plane.runtime import Site
from plane.steps import Steps, paced

__all__ = ["Release"]

SOME = 64
"""Objects that are let go of in one step."""


class Release:
    """Waits for the last request on a site to end, and takes it apart then, in slices.

    tasks: those at work.
    """

    def __init__(self) -> None:
        self.waiting: set[weakref.ref[Site]] = set()
        self.tasks: set[asyncio.Task[None]] = set()

    def watch(self, site: Site) -> None:
        """Take care of a site that no new request goes to."""
        held = site.held()
        loop = asyncio.get_running_loop()

        async def let_go_of_it() -> None:
            await paced(let_go(held))
            malloc_trim()

        def died(ref: weakref.ref[Site]) -> None:
            self.waiting.discard(ref)
            if not loop.is_closed():
                task = loop.create_task(let_go_of_it())
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)

        self.waiting.add(weakref.ref(site, died))


def let_go(held: list[list[Any]]) -> Steps[None]:
    """Empty the lists, what holds others first: so no object takes many with it."""
    for items in held:
        items.reverse()
        while items:
            del items[-SOME:]
            yield
