"""Where a call goes first, and where it goes after a failure: the compiled steps of surviving a provider.

A *place* is a candidate with one of its credentials. Places are taken in the order of the candidates; one that has been
tried is not tried again before all others were, and never more often than `retries.max` says, whatever the config: so
there is no way to go round in circles. An attempt that could not end before the call has to is not begun.
"""

from __future__ import annotations

import logging
from time import monotonic_ns, time
from zlib import crc32

from core.breaker import PROBE
from core.errors import GatewayError
from core.metrics import TARGET_FAILURES, slot, slots
from plane.exchange import Exchange
from plane.failure import (
    CREDENTIAL,
    ELSEWHERE,
    LIMITED,
    LOST,
    REFUSAL,
    RESET,
    asked_wait,
    failure_of,
    failure_of_answer,
    failure_of_status,
    word_of,
)
from plane.health import COOLED, EJECTED, QUARANTINED, Health
from plane.runtime import Candidate

__all__ = ["after_answer", "after_error", "conclude", "first", "re_enter", "report"]

SECOND = 1_000_000_000
RETRIES = slots("headgate_retries_total")
FAILOVERS = slot("headgate_failovers_total")
NO_BUDGET = slot("headgate_retries_refused_total")
KINDS = {word: kind for kind, word in enumerate(TARGET_FAILURES)}
OUTCOMES = {
    EJECTED: slot("headgate_ejections_total"),
    COOLED: slot("headgate_cooldowns_total"),
    QUARANTINED: slot("headgate_quarantines_total"),
}


SAID = {EJECTED: "breaker opened", QUARANTINED: "credential refused"}

log = logging.getLogger("headgate.plane")


def first(exchange: Exchange) -> Candidate:
    """Return where the call goes first; GatewayError 503 where nothing is in service."""
    exchange.retries.budget.asked += 1
    candidate: Candidate = exchange.candidates[0]
    if candidate.health is None:
        return candidate  # Then no other has one either: there is one place, or nobody looks after them.
    now = monotonic_ns()
    place = pick(exchange, 0, now)
    if place is None:
        raise out_of_service(exchange, now)
    return place


def pick(exchange: Exchange, failure: int, now: int) -> Candidate | None:
    """Return the best place that is in service and was not tried; it has let the call in. None where there is none.

    failure: of the attempt before, 0 for none. A place that comes back slowly may get the call only if no other can.
    """
    slow: Candidate | None = None
    for candidate in exchange.candidates:
        if failure != 0 and candidate.on != 0 and not candidate.on & failure:
            reject(exchange, candidate, "it is no fallback for this failure")
            continue
        place = key_of(exchange, candidate, now)
        if place is None:
            continue
        if place.health is not None and place.health.is_slow(now):
            slow = slow or place
            reject(exchange, place, "it is starting slowly")
            continue
        if let_in(exchange, place, now):
            return place
        reject(exchange, place, "its breaker lets one call at a time try it")
    if slow is not None and let_in(exchange, slow, now):
        return slow
    return None


def let_in(exchange: Exchange, place: Candidate, now: int) -> bool:
    """Count the call in at a place; False if its health does not allow that."""
    exchange.probing = False
    if place.health is None:
        return True
    entered: int = place.health.enter(now)
    exchange.probing = entered == PROBE
    return entered != 0


def key_of(exchange: Exchange, candidate: Candidate, now: int) -> Candidate | None:
    """Return the place of a candidate to try: of its credentials the one with the fewest calls under way, in turn.

    Calls with an `affinity` stay with one credential as long as it is in service. A call that names what one keeps
    (`plane.kept`) has that one as its candidate.
    """
    keys = candidate.keys
    if keys is None or exchange.pins is not None:
        return candidate if is_usable(exchange, candidate, now) else None
    count = len(keys)
    stays = bool(exchange.affinity)
    start = crc32(exchange.affinity or b"") % count if stays else candidate.turn % count
    candidate.turn = (candidate.turn + 1) % count
    best: Candidate | None = None
    for offset in range(count):
        key: Candidate = keys[(start + offset) % count]
        if (best is None or key.in_flight < best.in_flight) and is_usable(exchange, key, now):
            best = key
            if stays:
                break
    return best


def is_usable(exchange: Exchange, place: Candidate, now: int) -> bool:
    """Tell whether a place was not tried yet and is in service."""
    if exchange.visited is not None and place in exchange.visited:
        return False
    health = place.health
    if health is None or health.is_open(now):
        return True
    if exchange.trace is not None:
        reject(exchange, place, health.reason(now))
    return False


def reject(exchange: Exchange, candidate: Candidate, reason: str) -> None:
    """Note why a candidate is passed over, where the call is to be explained."""
    if exchange.trace is not None:
        exchange.trace.reject(candidate, reason)


def stay(exchange: Exchange, reason: str) -> Candidate | None:
    """Return no place, and note why the call is not tried again, where it is to be explained."""
    if exchange.trace is not None:
        exchange.trace.ended = reason
    return None


def out_of_service(exchange: Exchange, now: int) -> GatewayError:
    """Return the error of a call that nothing can serve now: why, and when that will have changed."""
    reasons = []
    soonest = 0
    for candidate in exchange.candidates:
        for place in candidate.keys or [candidate]:
            health = place.health
            if health is None:
                continue
            said = f"{place.name}: {health.reason(now) or 'it is being tried'}"
            if said not in reasons:
                reasons.append(said)
            at = health.opens_at(now)
            soonest = at if soonest == 0 else min(soonest, at)
    return GatewayError(
        503,
        "no_candidate",
        "gateway",
        f"Nothing that could serve this request is in service ({'; '.join(reasons)}).",
        retry_after=max(soonest - now, SECOND // 10) / SECOND,
    )


def after_error(exchange: Exchange, error: GatewayError) -> Candidate | None:
    """Take note that the attempt ended in `error`; return where to try again, None if nowhere.

    Errors of the gateway itself and of the caller end the call: they would be the same everywhere.
    """
    failure = failure_of(error)
    wait = int(error.retry_after * SECOND) if error.source == "upstream" and error.retry_after >= 0 else -1
    report(exchange, failure, wait)
    return noted(exchange, next_place(exchange, failure, wait), error.code, wait)


def after_answer(exchange: Exchange) -> Candidate | None:
    """Take note that the attempt got an error answer or a refusal; return where to try again, None to let it go out."""
    if exchange.answer_status < 400:
        exchange.failure = REFUSAL
        report(exchange, REFUSAL, -1)
        return noted(exchange, next_place(exchange, REFUSAL, -1), word_of(REFUSAL), -1)
    body = b"".join(exchange.answer_parts)
    if exchange.route.needs_model:
        failure = failure_of_answer(exchange.way.dialect, exchange.answer_status, exchange.answer_headers, body)
    else:
        failure = failure_of_status(exchange.answer_status)
    if failure == 0:
        report(exchange, 0, -1)
        return stay(exchange, "the request would be as wrong elsewhere")
    exchange.failure = failure
    wait = asked_wait(exchange.answer_headers, body, time())
    report(exchange, failure, wait)
    said = word_of(failure) if failure & ELSEWHERE else "upstream_error"
    return noted(exchange, next_place(exchange, failure, wait), said, wait)


def noted(exchange: Exchange, following: Candidate | None, error: str, wait: int) -> Candidate | None:
    """Return the place that follows a failed attempt, and note how that ended, where the call is to be explained."""
    if exchange.trace is not None:
        exchange.trace.failed(exchange, error, wait)
    return following


def next_place(exchange: Exchange, failure: int, wait: int) -> Candidate | None:
    """Return where the call is tried again, in `exchange.pause` nanoseconds; None if it is not to be."""
    rule = exchange.retries
    exchange.pause = 0
    if failure == LOST:
        return stay(exchange, "the failure says nothing of the provider")
    if exchange.tried > rule.max:
        return stay(exchange, "there were as many attempts as retries.max allows")
    if not (failure == RESET or rule.on & failure):
        return stay(exchange, "retries.on does not have this failure")
    if exchange.upload is not None and exchange.upload.moved:
        return stay(exchange, "what was sent on of the form is not there any more")
    now = monotonic_ns()
    if now >= exchange.deadline(exchange.timeouts.total):
        return stay(exchange, "the call has no time left")
    metrics = exchange.runtime.shared.metrics
    before: Candidate = exchange.target
    if failure & ELSEWHERE:  # Nothing is in trouble that a budget would have to spare.
        visit(exchange, before, failure)
        place = pick(exchange, failure, now)
    elif rule.budget.take(now):
        visit(exchange, before, failure)
        place = pick(exchange, failure, now) or again(exchange, failure, wait, now)
        if place is None:
            rule.budget.give_back()
    else:
        metrics.add(NO_BUDGET, 1)
        return stay(exchange, "the budget of retries is used up")
    if place is None:
        return stay(exchange, "no other place is in service, or will be soon enough")
    metrics.add(RETRIES[word_of(failure)], 1)
    if place is not before:
        metrics.add(FAILOVERS, 1)
    return place


def visit(exchange: Exchange, place: Candidate, failure: int) -> None:
    """Note that a place was tried; where it is not the credential that failed, its others need not be tried either."""
    if exchange.visited is None:
        exchange.visited = []
    places = [place]
    if place.keys is not None and failure != CREDENTIAL and failure != LIMITED:
        places = place.keys
    for one in places:
        if one not in exchange.visited:
            exchange.visited.append(one)
    if failure & ELSEWHERE:
        exchange.unfit = (exchange.unfit or []) + places


def again(exchange: Exchange, failure: int, wait: int, now: int) -> Candidate | None:
    """Return which of the places that were tried is to be asked anew, and set the pause before that.

    It is the one that may be asked soonest; of equal ones that which was tried first. The pause is what it asked for,
    or a jittered back-off, if that is longer; None if it would be too long.
    """
    rule = exchange.retries
    best: Candidate | None = None
    soonest = 0
    visited = exchange.visited or []
    for place in visited:
        if place is exchange.target and failure == CREDENTIAL:
            continue
        if exchange.unfit is not None and place in exchange.unfit:
            continue
        at = now if place.health is None else place.health.opens_at(now)
        if place is exchange.target and wait > 0:
            at = max(at, now + wait)
        if best is None or at < soonest:
            best, soonest = place, at
    if best is None or soonest - now > rule.wait:
        return None
    pause = soonest - now
    if failure != RESET:  # An old connection had died: a new one is made at once.
        backoff = min(rule.backoff << min(exchange.rounds, 16), rule.wait)
        exchange.rounds += 1
        pause = max(pause, int(backoff * (0.8 + 0.4 * exchange.runtime.shared.random.random())))
    if now + pause >= exchange.deadline(exchange.timeouts.total):
        return None
    visited.remove(best)
    visited.append(best)
    exchange.pause = pause
    if pause == 0 and not let_in(exchange, best, now):
        return None
    return best


def re_enter(exchange: Exchange, place: Candidate) -> None:
    """Let the call in at a place after its pause; GatewayError 503 if that has gone out of service meanwhile."""
    now = monotonic_ns()
    if not let_in(exchange, place, now):
        raise out_of_service(exchange, now)


def report(exchange: Exchange, failure: int, wait: int) -> None:
    """Tell the counts and the health of the place how the attempt ended; once for each attempt."""
    if exchange.reported or exchange.answering is None:
        return
    exchange.reported = True
    answering: Candidate = exchange.answering
    if failure != 0 and failure != LOST:
        answering.counts.failed(KINDS[word_of(failure)])
        if failure & ELSEWHERE:
            failure = 0
    health: Health | None = answering.health
    if health is not None:
        outcome = health.leave(monotonic_ns(), failure, wait, exchange.probing)
        if outcome != 0:
            exchange.runtime.shared.metrics.add(OUTCOMES[outcome], 1)
        if outcome == EJECTED:
            answering.counts.ejections += 1
        if outcome in SAID:
            log.warning(SAID[outcome], extra={"fields": {"place": answering.name}})


def conclude(exchange: Exchange) -> None:
    """Tell of the place how the call that it answered ended."""
    error = exchange.error
    if not error:
        failure = 0
    elif error == "upstream_error":
        failure = failure_of_status(exchange.answer_status) if exchange.answer_status >= 400 else failure_of_status(500)
    elif error.startswith("upstream_"):
        failure = failure_of_status(504 if error == "upstream_timeout" else 502)
    else:
        failure = LOST
    report(exchange, failure, -1)
