"""Telling a caller that asked, and the ledger, why a call went as it did.

The header leaves with the head of the answer and has what is known by then, bounded; the usage event has all of it.
What goes wrong here is logged and leaves the call as it is.
"""

from __future__ import annotations

import json
import logging
from time import time

import msgspec

from core.bill import Counts, bill_of
from core.explanation import Bill, Explanation, Limit, Passage, PassedOver
from core.usage import Detail
from plane.exchange import Exchange
from plane.runtime import Target
from plane.trace import considered, milliseconds, name_of

__all__ = ["announce", "explained"]

log = logging.getLogger("headgate.plane")

LARGEST = 4096
"""Bytes of the header's value at most."""
LISTS = ("limits", "candidates", "passed_over", "attempts")
MOST = 64
LONGEST = 256
"""Characters that are kept of what its caller wrote: a model's name, that of a member which was dropped."""


def announce(exchange: Exchange) -> None:
    """Add what is known now to the head of the answer, where the call's consumer may have it."""
    told = tell(exchange)
    if told is not None:
        exchange.fields += line_of(told)


def explained(exchange: Exchange, detail: Detail | None) -> Detail | None:
    """Return the detail of a finished call's event with its explanation, which its caller gets as well if it can."""
    told = tell(exchange)
    if told is None:
        return detail
    if not exchange.committed:
        exchange.fields += line_of(told)
    return msgspec.structs.replace(detail or Detail(), explanation=told)


def tell(exchange: Exchange) -> Explanation | None:
    """Return why the call went as it did up to now; None where that is not for its caller, or could not be told."""
    if exchange.consumer is None or not exchange.consumer.explain:
        return None
    try:
        return explanation_of(exchange)
    except Exception:
        log.exception("request %s could not be explained", exchange.request_id.decode())
        return None


def explanation_of(exchange: Exchange) -> Explanation:
    """Return what the exchange and its notes have to say."""
    trace = exchange.trace
    model = exchange.model
    sticky = model.sticky if model is not None else None
    candidates = trace.candidates
    if candidates is None:
        candidates = [considered(candidate, {}) for candidate in (exchange.candidates or [])[:MOST]]
    return Explanation(
        route=exchange.route.name,
        matched=matched(exchange),
        consumer=exchange.consumer.name,
        limits=limits_of(exchange),
        asked=(exchange.model_name or "")[:LONGEST],
        model=model.name if model is not None else "",
        strategy=strategy_of(exchange),
        sticky=sticky.by if sticky is not None and exchange.affinity else "",
        candidates=candidates,
        passed_over=[*left_out(exchange), *trace.passed_over],
        attempts=trace.all_attempts(exchange),
        ended=trace.ended,
        passage=passage_of(exchange),
        bill=bill(exchange),
    )


def strategy_of(exchange: Exchange) -> str:
    """Return the config's word for what ranked the targets; ``kept`` where one of them keeps what the call names."""
    if exchange.pins is not None or exchange.home is not None:
        return "kept"
    return type(exchange.model.strategy).__module__.rpartition(".")[2] if exchange.model is not None else ""


def left_out(exchange: Exchange) -> list[PassedOver]:
    """Return the targets of the model that were no candidates, with what kept them from being some."""
    if exchange.model is None or exchange.pins is not None:
        return []
    candidates = exchange.candidates or []
    others = [(target, unfit(exchange, target)) for target in exchange.model.targets if target not in candidates]
    return [PassedOver(name_of(target), reason) for target, reason in others[:MOST] if reason]


def unfit(exchange: Exchange, target: Target) -> str:
    """Return why a target does not come into question for the call, "" if it does."""
    if exchange.route.operation.name not in target.ways:
        return "its provider has nothing for this path"
    unmet = target.when.unmet(exchange) if target.when is not None else ""
    if unmet:
        return f"its condition on {unmet} is not met"
    return "its weight is 0" if target.weight == 0 else ""


def matched(exchange: Exchange) -> str:
    """Return how the route was found."""
    method = exchange.method.decode("latin-1")
    pattern = exchange.runtime.router.pattern(method, exchange.host, exchange.path)
    return f"{method} {pattern}"


def limits_of(exchange: Exchange) -> list[Limit]:
    """Return the consumer's limits as they were when the call came in, those on what is under way as they are now."""
    limits = []
    consumer = exchange.consumer
    if exchange.limit >= 0:
        reset = milliseconds(exchange.reset_ns)
        limits.append(Limit("requests", consumer.limits.requests, exchange.remaining, reset))
    if consumer.concurrency is not None:
        row = consumer.concurrency
        others = row.cells.load(row.row) - (exchange.holding is not None)
        limits.append(Limit("concurrent", str(row.limit), max(0, row.limit - others - 1)))
    return limits


def passage_of(exchange: Exchange) -> Passage | None:
    """Return how the call was carried to the provider, None where it never was, or where there is no dialect."""
    way = exchange.way
    if way is None:
        return None
    caller = exchange.route.dialect.name
    translation = exchange.translation if way.translates else None
    dropped = [name[:LONGEST] for name in translation.carry.names[:MOST]] if translation is not None else []
    return Passage(caller, way.dialect.name, way.name, way.translates, dropped)


def bill(exchange: Exchange) -> Bill | None:
    """Return how the cost came about, None where there is none, or not yet."""
    usage = exchange.usage
    if usage is None or exchange.cost is None:
        return None
    counts = Counts(*(getattr(usage, name) for name in Counts._fields))
    minute = int(time()) // 60 % 1440
    return bill_of(exchange.target.price, usage.service_tier, minute, counts, exchange.cost)


def line_of(told: Explanation) -> bytes:
    """Return the header line, in printable ASCII; where it would be too long, lists end earlier and `cut` says so."""
    value = compact(told)
    size = MOST
    while len(value) > LARGEST and size > 0:
        size //= 2
        shorter = {name: getattr(told, name)[:size] for name in LISTS}
        value = compact(msgspec.structs.replace(told, **shorter, cut=True))
    if len(value) > LARGEST:
        value = compact(Explanation(route=told.route, cut=True))
    return b"x-headgate-explain: %b\r\n" % value


def compact(told: Explanation) -> bytes:
    """Return an explanation as JSON of one line."""
    text = json.dumps(msgspec.to_builtins(told), separators=(",", ":"))
    return text.replace("\x7f", "\\u007f").encode()
