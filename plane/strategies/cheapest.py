"""Targets by what the call would cost there, by the prices that it will be charged at."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from core.money import usd
from plane.charge import cost_of
from plane.exchange import Exchange
from plane.runtime import Target
from plane.usage import Usage

__all__ = ["Cheapest", "Options", "build"]

USUAL_OUTPUT = 512
"""Tokens of an answer whose caller set no bound."""


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """Cheapest has no options."""


class Generation(Struct, gc=False):
    """Where Gemini's callers bound the answer."""

    maxOutputTokens: int | None = None  # noqa: N815 Gemini's own spelling


class Bounds(Struct):
    """Where the dialects let a caller bound the answer."""

    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    max_output_tokens: int | None = None
    generationConfig: Generation | None = None  # noqa: N815 Gemini's own spelling


_bounds = msgspec.json.Decoder(Bounds)


class Cheapest:
    """Ranks by estimated cost; what costs the same stays as written, what has no price comes last.

    Four bytes of the request count as a token. The answer counts as long as the caller lets it become, up to
    `USUAL_OUTPUT` tokens.
    """

    def rank(self, targets: list[Target], exchange: Exchange) -> list[Target]:
        """Return the targets to try, best first."""
        usage = expected(exchange)
        costs = {
            target: cost_of(target.price, usage) if target.price is not None else None
            for target in targets
            if target.weight > 0
        }
        return sorted(costs, key=lambda target: (costs[target] is None, costs[target] or 0))

    def figures(self, target: Target, exchange: Exchange) -> dict[str, str | int | float]:
        """Return what a call is estimated to cost at a target."""
        cost = cost_of(target.price, expected(exchange)) if target.price is not None else None
        return {"estimated_usd": usd(cost) if cost is not None else "unpriced"}


def expected(exchange: Exchange) -> Usage:
    """Return what a call is estimated to use."""
    return Usage(len(exchange.body) // 4, min(bound_of(exchange.body), USUAL_OUTPUT))


def bound_of(body: bytes) -> int:
    """Return how many tokens the caller lets the answer have; `USUAL_OUTPUT` where it does not say."""
    try:
        said = _bounds.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return USUAL_OUTPUT
    nested = said.generationConfig.maxOutputTokens if said.generationConfig is not None else None
    found = said.max_completion_tokens or said.max_tokens or said.max_output_tokens or nested
    return found if found is not None and found > 0 else USUAL_OUTPUT


def build(_: Options) -> Cheapest:
    """Return the strategy for one model."""
    return Cheapest()
