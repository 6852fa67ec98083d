"""When an exchange may be tried again: the compiled form of a config's `retries`."""

from __future__ import annotations

from core.retry_budget import RetryBudget

__all__ = ["RetryRule"]


class RetryRule:
    """Further attempts after the first.

    name: whose rule it is, for the budget that outlives it. max: how many. on: mask of the failures (`plane.failure`)
    that are tried again. backoff: nanoseconds before the same place is asked again, doubled each time; wait: the
    longest such pause. budget: of its own until the runtime is bound.
    """

    def __init__(self, name: str, attempts: int, on: int, backoff: int, wait: int, percent: int) -> None:
        self.name = name
        self.max = attempts
        self.on = on
        self.backoff = backoff
        self.wait = wait
        self.budget = RetryBudget(percent)

    def __repr__(self) -> str:
        return f"<RetryRule {self.name}: {self.max} on {self.on:#b}>"
