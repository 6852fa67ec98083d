"""What a worker has to tell control of finished calls, kept in order until control has it."""

from __future__ import annotations

from core.wire import UsageEvent

__all__ = ["Ledger"]


class Ledger:
    """The usage events of one worker that have not been handed to control yet.

    worker: the worker's index. boot: a word unlike that of any other run of it. dropped: events lost because control
    stayed away for longer than `limit` events.
    """

    def __init__(self, worker: int, boot: str, limit: int = 200_000) -> None:
        self.worker = worker
        self.boot = boot
        self.limit = limit
        self.dropped = 0
        self.sequence = 0
        self.ids = 0
        self.events: list[UsageEvent] = []
        self.prefix = f"hg-{boot[:8]}-{worker}-".encode()

    def next_sequence(self) -> int:
        """Return the number of the next event."""
        self.sequence += 1
        return self.sequence

    def next_id(self) -> bytes:
        """Return a request id unlike any other."""
        self.ids += 1
        return b"%b%x" % (self.prefix, self.ids)

    def append(self, event: UsageEvent) -> None:
        """Keep `event` for control."""
        if len(self.events) < self.limit:
            self.events.append(event)
        else:
            self.dropped += 1

    def take(self) -> list[UsageEvent]:
        """Return the events kept so far and keep them no longer."""
        events = self.events
        self.events = []
        return events

    def put_back(self, events: list[UsageEvent]) -> None:
        """Keep events that control did not get, before those that came after them."""
        self.events = events + self.events
