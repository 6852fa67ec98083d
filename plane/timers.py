"""Deadlines of everything in a worker that waits for a peer, checked by one coarse tick instead of a timer each.

A read or a write moves a deadline by one assignment. The tick looks at every item: 10,000 of them take about 0.04 ms
(`bench/micro/test_timers.py`), ten times a second; a loop timer would have to be armed for each request.
"""

__all__ = ["TICK", "Timed", "Timers"]

TICK = 0.1
"""Seconds between two looks: how late a deadline may be noticed."""


class Timed:
    """Something with a deadline.

    due: when it is up, in nanoseconds of the monotonic clock; 0 while there is none.
    """

    due: int

    def expire(self, now: int) -> None:
        """Act on the deadline having passed; called once, with `due` already back at 0."""
        raise NotImplementedError


class Timers:
    """The items with deadlines of one worker."""

    items: set[Timed]

    def __init__(self) -> None:
        self.items = set()

    def __len__(self) -> int:
        return len(self.items)

    def add(self, item: Timed) -> None:
        """Look at `item` from the next tick on."""
        self.items.add(item)

    def discard(self, item: Timed) -> None:
        """Look at `item` no more; it need not be known."""
        self.items.discard(item)

    def run(self, now: int) -> None:
        """Expire every item whose deadline has passed at `now` (nanoseconds, monotonic)."""
        expired = []
        for item in self.items:
            if 0 < item.due <= now:
                expired.append(item)
        for item in expired:
            if 0 < item.due <= now:  # The one before may have ended this wait, or begun another.
                item.due = 0
                item.expire(now)
