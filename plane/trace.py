"""Notes that are taken of a call while it runs, where its caller has asked to have it explained.

Most calls have none: whoever could add to them looks whether they are there first. `plane.explain` tells them.
"""

from __future__ import annotations

from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from core.explanation import Attempt, Candidate, PassedOver
from plane.runtime import Target

if TYPE_CHECKING:
    from plane.exchange import Exchange

__all__ = ["Trace", "considered", "credential_of", "name_of"]

MOST = 64
"""Entries of a list that are kept at most."""
MILLISECOND = 1_000_000


class Trace:
    """The notes of one call; see `core.explanation`.

    candidates: as the strategy ranked them, None where there was nothing to rank. told: how many attempts are noted,
    sent: how many requests had gone out for them. ended: why there was no further one. began: when the attempt under
    way did, in monotonic nanoseconds, 0 before the second.
    """

    def __init__(self) -> None:
        self.candidates: list[Candidate] | None = None
        self.passed_over: list[PassedOver] = []
        self.attempts: list[Attempt] = []
        self.ended = ""
        self.told = 0
        self.sent = 0
        self.began = 0

    def rank(self, exchange: Exchange, ranked: list[Any]) -> None:
        """Note in which order the strategy puts a model's targets, and what it knows of them."""
        figures = getattr(exchange.model.strategy, "figures", None)
        self.candidates = [
            considered(target, figures(target, exchange) if figures is not None else {}) for target in ranked[:MOST]
        ]

    def reject(self, place: Any, reason: str) -> None:
        """Note why the call does not go to a place."""
        entry = PassedOver(name_of(place), reason, credential_of(place))
        if entry not in self.passed_over and len(self.passed_over) < MOST:
            self.passed_over.append(entry)

    def failed(self, exchange: Exchange, error: str, wait: int) -> None:
        """Note how an attempt ended. wait: nanoseconds asked for by the provider, -1 if it does not say."""
        if exchange.tried > self.told:
            self.attempts.append(self.attempt(exchange, error, wait))
            self.told = exchange.tried
            self.sent = exchange.attempts
            self.began = monotonic_ns() + exchange.pause

    def all_attempts(self, exchange: Exchange) -> list[Attempt]:
        """Return the attempts that failed and the one that is under way, or has ended the call."""
        if exchange.answering is None or exchange.tried == self.told:
            return self.attempts
        return [*self.attempts, self.attempt(exchange, exchange.error, -1)]

    def attempt(self, exchange: Exchange, error: str, wait: int) -> Attempt:
        """Return what there is to say of the attempt under way."""
        began = self.began or exchange.started + exchange.body_ns
        return Attempt(
            name_of(exchange.target),
            milliseconds(max(monotonic_ns() - began, 0)),
            exchange.answer_status if exchange.answer_head and exchange.attempts > self.sent else 0,
            error,
            milliseconds(wait) if wait >= 0 else None,
            milliseconds(exchange.pause) if error and exchange.pause else None,
            credential_of(exchange.target),
        )


def considered(place: Any, figures: dict[str, str | int | float]) -> Candidate:
    """Return the entry of a candidate."""
    return Candidate(name_of(place), place.weight, figures)


def name_of(place: Any) -> str:
    """Return how a candidate is called: a target by the model asked for there, of a wildcard's as well.

    An endpoint is called without its path, which could hold a secret.
    """
    if isinstance(place, Target):
        return f"{place.provider}/{place.model}" if place.model else place.name
    name: str = place.name
    return name.removesuffix(place.base_path.decode())


def credential_of(place: Any) -> int:
    """Return which credential of its provider's pool a place is, from 1; 0 where there is no pool."""
    return place.keys.index(place) + 1 if place.keys is not None else 0


def milliseconds(span: int) -> float:
    """Return nanoseconds as milliseconds, to a microsecond."""
    return round(span / MILLISECOND, 3)
