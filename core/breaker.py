"""A breaker: whether a place that calls go to is asked at all, by how its last calls went.

It is a table: a state and an event give the next state. It opens when too large a share of the recent calls failed, or
too many in a row. Open, it lets nothing through for a while, each time it opens anew twice as long; then one call goes
out as a probe, and its end decides. How calls end that began before it opened is of no interest any more.
"""

from __future__ import annotations

__all__ = ["CLOSED", "EVENTS", "HALF_OPEN", "OPEN", "PROBE", "STATES", "TABLE", "Breaker", "BreakerRule"]

CLOSED, OPEN, HALF_OPEN = range(3)
STATES = ("closed", "open", "half_open")

PASSED, FAILED, TRIPPED, ASKED, LOST = range(5)
EVENTS = ("passed", "failed", "tripped", "asked", "lost")
"""passed, failed: how a call ended. tripped: it failed, and that was too much. asked: somebody wants to call, and the
pause is over. lost: the probe ended without telling anything, since its caller left."""

TABLE = (
    # passed    failed     tripped    asked      lost
    (CLOSED,    CLOSED,    OPEN,      CLOSED,    CLOSED),     # closed
    (OPEN,      OPEN,      OPEN,      HALF_OPEN, OPEN),       # open
    (CLOSED,    OPEN,      OPEN,      HALF_OPEN, OPEN),       # half_open: only the probe counts
)  # fmt: skip
"""The next state, by state and event."""

SLOTS = 10
"""Parts of the window: what is older than it is forgotten one part at a time."""
MAX_PAUSE = 300_000_000_000
"""Nanoseconds that a breaker stays open at most, however often it opened in a row, unless its rule says longer."""
SHUT, CALL, PROBE = range(3)
"""What `enter` says: no call, a call, a call that is the probe."""


class BreakerRule:
    """When a breaker opens, and for how long.

    share: percent of calls that fail, of at least `calls` in the last `window` nanoseconds, at which it opens; 0 never.
    row: failures one after the other at which it opens; 0 never. pause: nanoseconds that it is open.
    """

    def __init__(self, share: int, calls: int, window: int, row: int, pause: int) -> None:
        self.share = share
        self.calls = calls
        self.slot = max(window // SLOTS, 1)
        self.row = row
        self.pause = pause


class Breaker:
    """One breaker; every time given to it is in nanoseconds of one clock that never goes back.

    until: when an open one may be asked again. times: how often in a row it opened without closing in between.
    """

    def __init__(self, rule: BreakerRule) -> None:
        self.rule = rule
        self.state = CLOSED
        self.until = 0
        self.times = 0
        self.failed_in_row = 0
        self.begin(0)

    def __repr__(self) -> str:
        return f"<Breaker {STATES[self.state]}, opened {self.times} times>"

    def begin(self, now: int) -> None:
        """Forget all calls so far."""
        self.calls = [0] * SLOTS
        self.failures = [0] * SLOTS
        self.at = now // self.rule.slot

    def obey(self, rule: BreakerRule) -> None:
        """Go by another rule from now on; where it counts over another window, the count begins anew."""
        before, self.rule = self.rule, rule
        if before.slot != rule.slot:
            self.begin(0)

    def is_shut(self, now: int) -> bool:
        """Tell whether no call may go out now."""
        return self.state == HALF_OPEN or (self.state == OPEN and now < self.until)

    def enter(self, now: int) -> int:
        """Say whether a call may go out now, 0 or not; `PROBE` if its end decides for all, else 1."""
        if self.state == CLOSED:
            return CALL
        if self.is_shut(now):
            return SHUT
        self.state = TABLE[self.state][ASKED]
        return PROBE

    def leave(self, now: int, failed: bool, probing: bool, may_open: bool) -> bool:
        """Take note of how a call ended; return whether that opened the breaker.

        probing: it entered as the probe. may_open: failures in a row may open it.
        """
        if probing:
            return self.move(now, FAILED if failed else PASSED)
        if self.state != CLOSED:
            return False
        self.count(now, failed)
        return failed and self.is_too_much(may_open) and self.move(now, TRIPPED)

    def lose(self, probing: bool) -> None:
        """Take note of a call that ended without telling anything: the next one is the probe then."""
        if probing:
            self.state = TABLE[self.state][LOST]

    def move(self, now: int, event: int) -> bool:
        """Go to the next state; return whether that is to be open."""
        self.state = TABLE[self.state][event]
        self.failed_in_row = 0
        self.begin(now)
        if self.state != OPEN:
            self.times = 0
            return False
        pause = self.rule.pause
        self.until = now + max(min(pause << min(self.times, 16), MAX_PAUSE), pause)
        self.times += 1
        return True

    def count(self, now: int, failed: bool) -> None:
        """Count a call in the window."""
        at = now // self.rule.slot
        for passed in range(self.at + 1, min(at, self.at + SLOTS) + 1):
            self.calls[passed % SLOTS] = self.failures[passed % SLOTS] = 0
        self.at = max(at, self.at)
        self.calls[self.at % SLOTS] += 1
        if failed:
            self.failures[self.at % SLOTS] += 1
            self.failed_in_row += 1
        else:
            self.failed_in_row = 0

    def is_too_much(self, may_open: bool) -> bool:
        """Tell whether the rule opens the breaker now."""
        rule = self.rule
        if may_open and 0 < rule.row <= self.failed_in_row:
            return True
        calls = sum(self.calls)
        return rule.share > 0 and calls >= rule.calls and sum(self.failures) * 100 >= calls * rule.share
