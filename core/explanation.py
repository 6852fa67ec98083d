"""Why a call went as it did: what a worker tells of one whose caller asked, and what control keeps of that.

In a usage event it is msgpack, in the header and the API JSON; both are maps in which what is empty is left out. It
holds names of the config, numbers and fixed words; nothing of a body, no credential, no address of a provider.
"""

from msgspec import Struct

__all__ = ["Attempt", "Bill", "Candidate", "Explanation", "Limit", "Line", "Passage", "PassedOver"]


class _Part(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A part of an explanation."""


class Limit(_Part, frozen=True):
    """A limit of the consumer. limit: as the config has it. remaining: after this call came in.

    reset_ms: until all of it is there again.
    """

    name: str
    limit: str
    remaining: int
    reset_ms: float | None = None


class Candidate(_Part, frozen=True):
    """Somewhere the call could go. figures: what the strategy went by, as it was then."""

    target: str
    weight: int
    figures: dict[str, str | int | float] = {}


class PassedOver(_Part, frozen=True):
    """Somewhere the call did not go, and why.

    credential: which one of the provider's pool, from 1; 0 without a pool.
    """

    target: str
    reason: str
    credential: int = 0


class Attempt(_Part, frozen=True):
    """One time that the call was sent, or was to be.

    status: of the answer, 0 if none came. error: how it failed, "" if it did not. asked_ms: for how long the provider
    asks not to be called. pause_ms: before the next attempt. credential: see `PassedOver`.
    """

    target: str
    ms: float
    status: int = 0
    error: str = ""
    asked_ms: float | None = None
    pause_ms: float | None = None
    credential: int = 0


class Passage(_Part, frozen=True):
    """How the call got from its caller's dialect to the provider's. dropped: what the latter has no place for."""

    caller: str
    provider: str
    operation: str
    translated: bool = False
    dropped: list[str] = []


class Line(_Part, frozen=True):
    """One product of a bill: `count` of `unit` at `rate` dollars `per` so many of them makes `usd`."""

    kind: str
    count: int
    unit: str
    rate: str
    per: str
    usd: str


class Bill(_Part, frozen=True):
    """How the cost came about, in dollars: the sum of the lines, rounded to a billionth. price: where that is from."""

    lines: list[Line]
    sum: str
    cost: str
    price: str


class Explanation(_Part, frozen=True):
    """Why a call went as it did.

    matched: method and pattern that the route was found by. asked: the model as the caller names it, model: as the
    config does. strategy: what ranked its targets; ``kept``: one of them keeps what the call names. sticky: what keeps
    the call on one target. candidates: best first. ended: why nothing else was tried after the last attempt. cut: lists
    are shorter than they were, to fit.
    """

    route: str
    matched: str = ""
    consumer: str = ""
    limits: list[Limit] = []
    asked: str = ""
    model: str = ""
    strategy: str = ""
    sticky: str = ""
    candidates: list[Candidate] = []
    passed_over: list[PassedOver] = []
    attempts: list[Attempt] = []
    ended: str = ""
    passage: Passage | None = None
    bill: Bill | None = None
    cut: bool = False
