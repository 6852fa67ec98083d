"""Usage on its way up: the ledger's records to control, a batch at a time, each kept until control has it."""

from __future__ import annotations

import asyncio
import contextlib
import time

from core.wire import Usage, pack
from plane.ledger import BATCH, Ledger

__all__ = ["Delivery"]

PERIOD = 0.1
"""Seconds between two looks at the ledger."""
PATIENCE = 5.0
"""Seconds until a batch that control has not answered is sent again: its disk may have been full."""


class Delivery:
    """Sends what the ledger holds to the control that is connected now."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.writer: asyncio.StreamWriter | None = None
        self.sent = 0.0
        self.finishing = False
        self.emptied = asyncio.Event()

    async def run(self) -> None:
        """Send every `PERIOD` seconds for as long as the worker lives."""
        while True:
            self.send()
            await asyncio.sleep(PERIOD)

    def connected(self, writer: asyncio.StreamWriter) -> None:
        """Take `writer` for the way to control."""
        self.ledger.give_up()
        self.writer = writer

    def lost(self) -> None:
        """Take note that control is away."""
        self.ledger.give_up()
        self.writer = None
        self.emptied.set()

    def send(self) -> None:
        """Send the next batch, unless one is unanswered or control is away."""
        ledger = self.ledger
        now = time.monotonic()
        if ledger.unanswered and now - self.sent < PATIENCE:
            return
        if self.writer is None or self.writer.is_closing():
            return
        records = ledger.batch()
        if records:
            self.sent = now
            self.writer.write(pack(Usage(ledger.number, records)))
        else:
            self.emptied.set()

    def taken(self, number: int) -> None:
        """Let go of a batch that control has; go on at once where more than one batch is left."""
        self.ledger.taken(number)
        if self.finishing or self.ledger.backlog() >= BATCH:
            self.send()

    async def finish(self, seconds: float) -> None:
        """Send all that is left, within `seconds`; what control does not get stays for it, or for the next worker."""
        self.finishing = True
        if self.writer is None:
            return
        self.emptied.clear()
        self.send()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.emptied.wait()
