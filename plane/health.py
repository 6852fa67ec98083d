"""How a place that calls go to is doing: what is remembered of it from call to call, and from runtime to runtime.

A place is an endpoint, or a target with one of its provider's credentials. It is left alone while its breaker is open,
while it has asked for a pause (429, `retry-after`), while its credential is refused, and while its probes fail.
"""

from __future__ import annotations

from core.breaker import CALL, CLOSED, OPEN, Breaker, BreakerRule
from plane.failure import CREDENTIAL, LIMITED, LOST, RESET

__all__ = ["COOLED", "EJECTED", "QUARANTINED", "STATES", "Health", "HealthRule", "Standing"]

SECOND = 1_000_000_000
COOLING = 2 * SECOND
"""Pause after a 429 that names none; doubled while they go on."""
MAX_COOLING = 600 * SECOND
"""Pause at most, whatever the upstream asks for."""
QUARANTINE = 300 * SECOND
"""How long a credential is not used after it was refused; doubled each time up to an hour. Its next use is a test."""
MAX_QUARANTINE = 3600 * SECOND
PROBE_GRACE = SECOND
"""When to ask again about what its probes say is away: nobody knows when it will be back."""
LEAST_SHARE = 10
"""Percent of its share that a place gets when a slow start begins."""


class HealthRule:
    """What a model or an upstream says of the health of its places.

    breaker: None for none. max_ejected: percent of the group that failures in a row may take out. slow_start:
    nanoseconds in which a place that came back, or is new, comes to its whole share.
    """

    def __init__(self, breaker: BreakerRule | None, max_ejected: int, slow_start: int) -> None:
        self.breaker = breaker
        self.max_ejected = max_ejected
        self.slow_start = slow_start


class Standing:
    """What is known of one credential of a provider, whatever it is used for. until: end of its quarantine."""

    def __init__(self) -> None:
        self.until = 0
        self.times = 0


class Health:
    """What is known of one place. Times are nanoseconds of the monotonic clock.

    group: all places of the model or upstream, this one among them. down: its probes say that it is away. cool_until:
    end of the pause it asked for, `cools` how many of them there were in a row. slow_from: when its slow start began.
    """

    def __init__(self, standing: Standing) -> None:
        self.standing = standing
        self.rule = HealthRule(None, 0, 0)
        self.breaker: Breaker | None = None
        self.group: list[Health] = [self]
        self.down = False
        self.cool_until = 0
        self.cools = 0
        self.slow_from = 0
        self.credit = 0

    def obey(self, rule: HealthRule, group: list[Health]) -> None:
        """Go by another rule, as one of `group`, from now on."""
        self.rule = rule
        self.group = group
        if rule.breaker is None:
            self.breaker = None
        elif self.breaker is None:
            self.breaker = Breaker(rule.breaker)
        else:
            self.breaker.obey(rule.breaker)

    def reason(self, now: int) -> str:
        """Return why no call may go there now, "" if one may."""
        if self.down:
            return "its health probes fail"
        if self.standing.until > now:
            return "its credential is refused"
        if self.cool_until > now:
            return "it asked for a pause"
        if self.breaker is not None and self.breaker.is_shut(now):
            return "its breaker is open"
        return ""

    def opens_at(self, now: int) -> int:
        """Return when to ask again: `now` if a call may go there now."""
        at = max(now, self.cool_until, self.standing.until)
        if self.down:
            at = max(at, now + PROBE_GRACE)
        if self.breaker is not None and self.breaker.is_shut(now):
            at = max(at, self.breaker.until)
        return at

    def is_open(self, now: int) -> bool:
        """Tell whether a call may go there now."""
        if self.down or self.cool_until > now or self.standing.until > now:
            return False
        return self.breaker is None or not self.breaker.is_shut(now)

    def enter(self, now: int) -> int:
        """Count a call in: 0 if it may not go there, `PROBE` if its end decides for the breaker, else 1."""
        if self.down or self.cool_until > now or self.standing.until > now:
            return 0
        return CALL if self.breaker is None else self.breaker.enter(now)

    def leave(self, now: int, failure: int, wait: int, probing: bool) -> int:
        """Take note of how a call ended; return what came of it: `EJECTED`, `COOLED`, `QUARANTINED` or 0.

        failure: 0 for none. wait: for how long the place asks to be left alone, -1 if it does not say.
        """
        if failure in (LOST, RESET):
            # A reused connection that dies is what servers do with idle ones.
            if self.breaker is not None:
                self.breaker.lose(probing)
            return 0
        if wait >= 0 or failure == LIMITED:
            self.cool(now, wait)
        if failure in (LIMITED, CREDENTIAL):
            # It answers: that is no failure for the breaker, and no success that outweighs one.
            if probing:
                self.judge(now, False, True)
            if failure == LIMITED:
                return COOLED
            return QUARANTINED if self.quarantine(now) else 0
        if failure == 0:
            self.cools = 0
            self.standing.times = 0
        return EJECTED if self.judge(now, failure != 0, probing) else 0

    def judge(self, now: int, failed: bool, probing: bool) -> bool:
        """Tell the breaker how a call ended; return whether that opened it."""
        breaker = self.breaker
        if breaker is None:
            return False
        opened: bool = breaker.leave(now, failed, probing, failed and self.may_eject())
        if probing and not opened:
            self.begin_slowly(now)
        return opened

    def may_eject(self) -> bool:
        """Tell whether failures in a row may take one more of the group out."""
        out = 0
        for other in self.group:
            if other.breaker is not None and other.breaker.state != CLOSED:
                out += 1
        return (out + 1) * 100 <= len(self.group) * self.rule.max_ejected

    def cool(self, now: int, wait: int) -> None:
        """Leave the place alone for as long as it asks, or for longer each time where it does not say."""
        if wait < 0:
            wait = COOLING << min(self.cools, 10)
        self.cools += 1
        self.cool_until = max(self.cool_until, now + min(wait, MAX_COOLING))

    def quarantine(self, now: int) -> bool:
        """Leave the credential alone; False if it is already: calls under way that end the same way change nothing."""
        standing = self.standing
        if standing.until > now:
            return False
        standing.until = now + min(QUARANTINE << min(standing.times, 10), MAX_QUARANTINE)
        standing.times += 1
        return True

    def probed(self, now: int, down: bool) -> None:
        """Take note of what the probes say."""
        if self.down and not down:
            self.begin_slowly(now)
        self.down = down

    def begin_slowly(self, now: int) -> None:
        """Begin the slow start."""
        self.slow_from = now
        self.credit = 0

    def is_slow(self, now: int) -> bool:
        """Tell whether the place should not get this call, since its slow start lets it have only a part of them."""
        length = self.rule.slow_start
        if length == 0 or self.slow_from == 0 or now - self.slow_from >= length:
            return False
        self.credit += max((now - self.slow_from) * 100 // length, LEAST_SHARE)
        if self.credit < 100:
            return True
        self.credit -= 100
        return False

    def state(self, now: int) -> int:
        """Return the state for the metrics: an index of `STATES`."""
        if self.down:
            return 5
        if self.standing.until > now:
            return 4
        if self.cool_until > now:
            return 3
        breaker = self.breaker
        if breaker is None or breaker.state == CLOSED:
            return 0
        return 1 if breaker.state == OPEN else 2


EJECTED, COOLED, QUARANTINED = 1, 2, 3
STATES = ("closed", "open", "half_open", "cooling", "quarantined", "down")
