"""How many retries a model may cost: a share of its requests, and a few per second besides.

When a provider fails, every request of every caller would be sent several times: just what it does not need then. The
budget bounds that. It is a bucket: each request adds a part of a retry, each second a few, and a retry takes one out.
A request costs one addition; the rest is worked out when a retry is asked for.
"""

__all__ = ["RetryBudget"]

SECOND = 1_000_000_000
PER_SECOND = 3
"""Retries per second that the fewest requests may have."""
MAX_SAVED = 100
"""Retries that the bucket holds at most: what may follow one another at once."""
RETRY = 100
"""Hundredths of a retry, which is what is counted."""


class RetryBudget:
    """The bucket of one model.

    percent: of the requests, how many retries there may be. asked: requests so far, counted by the owner.
    """

    def __init__(self, percent: int) -> None:
        self.percent = percent
        self.asked = 0
        self.seen = 0
        self.time = 0
        self.saved = MAX_SAVED * RETRY

    def take(self, now: int) -> bool:
        """Take a retry out at `now` (nanoseconds, never going back); False where there is none."""
        since = min(now - self.time, 60 * SECOND)
        self.saved += (self.asked - self.seen) * self.percent + since * PER_SECOND * RETRY // SECOND
        self.saved = min(self.saved, MAX_SAVED * RETRY)
        self.seen = self.asked
        self.time = now
        if self.saved < RETRY:
            return False
        self.saved -= RETRY
        return True

    def give_back(self) -> None:
        """Put a retry back that was not made after all."""
        self.saved += RETRY
