"""Kinds of failures, as the config names them, and what an upstream says of the next try."""

from __future__ import annotations

import re
from collections.abc import Iterable
from email.utils import parsedate_to_datetime

from core.errors import GatewayError
from plane.dialect import Dialect
from plane.fault_words import Said, said_in

__all__ = [
    "ELSEWHERE",
    "LOST",
    "REFUSAL",
    "asked_wait",
    "failure_of",
    "failure_of_answer",
    "failure_of_fault",
    "failure_of_status",
    "is_ours",
    "mask_of",
    "refused_credential",
    "word_of",
]

CONNECT, RESET, TIMEOUT, CREDENTIAL, LIMITED, BROKEN = 1, 2, 4, 8, 16, 32
CONTEXT_LENGTH, REFUSAL = 128, 256
ELSEWHERE = CONTEXT_LENGTH | REFUSAL
"""The place is well, another may be right for this request."""
LOST = 64
"""The attempt ended for a reason that says nothing of the upstream: its caller left, or the gateway is at fault."""

WORDS: dict[object, int] = {
    "connect": CONNECT,
    "reset": RESET,
    "timeout": TIMEOUT,
    "credential": CREDENTIAL,
    429: LIMITED,
    "5xx": BROKEN,
    "context_length": CONTEXT_LENGTH,
    "refusal": REFUSAL,
}
"""The words of `retries.on`; a mask of several failures is their sum."""

NAMES = {failure: str(word) for word, failure in WORDS.items()}
RETRY_INFO = re.compile(rb'"retryDelay"\s*:\s*"([0-9]{1,9}(?:\.[0-9]{1,9})?)s"')
NUMBER = re.compile(rb"[0-9]{1,9}(?:\.[0-9]{1,9})?")


def mask_of(words: Iterable[object]) -> int:
    """Return the failures that the words of a config name."""
    return sum({WORDS[word] for word in words})


def word_of(failure: int) -> str:
    """Return the config's word of one failure."""
    return NAMES[failure]


def failure_of_status(status: int) -> int:
    """Return how an answer has failed with whose status this is, 0 if it has not, or the caller is at fault."""
    if status < 400:
        return 0
    if status >= 500 or status == 408:
        return BROKEN
    if status == 429:
        return LIMITED
    return CREDENTIAL if status in (401, 402, 403) else 0


def failure_of(error: GatewayError) -> int:
    """Return how an attempt has failed that ended in `error`.

    0: it has not, the caller is at fault. `LOST`: that says nothing of the upstream.
    """
    if error.code == "upstream_credential":
        return CREDENTIAL
    if error.failure:
        return error.failure
    if error.source != "upstream":
        return LOST
    if error.code == "upstream_error":
        return failure_of_status(error.status)
    if error.retry:
        return RESET if error.code == "upstream_reset" else CONNECT
    return TIMEOUT if error.code == "upstream_timeout" else BROKEN


def failure_of_answer(dialect: Dialect, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> int:
    """Return how an error answer of a model's provider has failed, by all it says: vendors do not agree on statuses."""
    fault = dialect.read_fault(status, headers, body)
    return failure_of_fault(fault.status, said_in(body))


def failure_of_fault(status: int, said: Said) -> int:
    """Return how an attempt has failed that ended in an error of this status, 0 if the caller is at fault."""
    if status < 500 and (said.is_unpaid() or said.is_bad_key()):
        return CREDENTIAL
    if status < 500 and said.is_flagged():
        return REFUSAL
    if status in (400, 413, 422) and said.is_too_long():
        return CONTEXT_LENGTH
    if status == 402 and said.is_busy():
        return LIMITED
    return failure_of_status(status)


def is_ours(failure: int, status: int) -> bool:
    """Tell whether an error answer must not reach the caller, who would take it for a refusal of its own key."""
    return failure == CREDENTIAL and status not in (402, 429)


def refused_credential(status: int) -> GatewayError:
    """Return the error for a caller whose provider has refused the gateway's own credential: it is not the caller's."""
    return GatewayError(
        502,
        "upstream_credential",
        "gateway",
        f"The provider refused the gateway's credential ({status}).",
        hint="The operator of the gateway has to renew the provider's credential.",
    )


def asked_wait(headers: Iterable[tuple[bytes, bytes]], body: bytes, now: float) -> int:
    """Return for how many nanoseconds an upstream asks not to be called; -1 where it does not say.

    It may say so in ``retry-after-ms``, in ``retry-after`` (seconds, or a date: RFC 9110 10.2.3) or in the RetryInfo of
    a Google error. now: Unix time.
    """
    seconds = -1.0
    for name, value in headers:
        lowered = name.lower()
        if lowered == b"retry-after-ms" and NUMBER.fullmatch(value):
            return int(float(value) * 1e6)
        if lowered == b"retry-after":
            seconds = seconds_of(value, now)
    if seconds < 0 and (found := RETRY_INFO.search(body)) is not None:
        seconds = float(found[1])
    return int(seconds * 1e9) if seconds >= 0 else -1


def seconds_of(value: bytes, now: float) -> float:
    """Return the seconds that a Retry-After field says, -1 if it says none."""
    if NUMBER.fullmatch(value):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value.decode("latin-1")).timestamp() - now)
    except (ValueError, OverflowError):
        return -1.0
