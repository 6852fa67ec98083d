"""What vendors' words for errors mean: for events that tell of an error and have no status to say."""

from __future__ import annotations

__all__ = ["status_of"]

STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "insufficient_quota": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "overloaded_error": 529,
    "timeout_error": 504,
}
UNKNOWN = 502


def status_of(kind: str | None, code: str | int | None) -> int:
    """Return the status that an error of this type and code stands for; 502 where neither is known.

    Google and OpenRouter have the status itself in the code, others a word.
    """
    word = str(code)
    if len(word) == 3 and word.isdigit() and 400 <= int(word) < 600:
        return int(word)
    return STATUSES.get(kind or "") or STATUSES.get(word) or UNKNOWN
