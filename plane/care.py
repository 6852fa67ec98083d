"""Which places are looked after, by which rule: what of a config keeps failing providers from being asked."""

from __future__ import annotations

from typing import Any, NamedTuple

from core.breaker import BreakerRule
from core.model import Breaker
from plane.health import HealthRule
from plane.runtime import Candidate, Target

__all__ = ["Care", "breaker_rule", "care_of", "places_of"]


class Care(NamedTuple):
    """The places of one model or upstream. name: of whom, for what is remembered of them beyond a runtime."""

    name: str
    rule: HealthRule
    places: list[Candidate]


def places_of(targets: list[Target]) -> list[Target]:
    """Return the places that targets stand for: each with each of its provider's credentials."""
    return [place for target in targets for place in (target.keys or [target])]


def care_of(
    name: str, places: list[Any], breaker: BreakerRule | None, max_ejected: int, slow_start: int, probed: bool
) -> Care | None:
    """Return how places are looked after; None where nobody would do anything with what is known of them.

    A place without another is asked whatever is known of it, unless the config says when it is not to be.
    """
    if len(places) == 1 and breaker is None and not probed:
        return None
    return Care(name, HealthRule(breaker, max_ejected, slow_start), places)


def breaker_rule(config: Breaker, window: int, pause: int) -> BreakerRule | None:
    """Return the rule of a breaker, None where it is switched off; times in nanoseconds."""
    if not config.enabled:
        return None
    return BreakerRule(config.share, config.calls, window, config.consecutive, pause)
