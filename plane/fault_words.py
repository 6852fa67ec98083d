"""What vendors' words for errors mean, where there is no status to say it, or it does not tell all."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec

__all__ = ["Said", "said_in", "status_of"]

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

NO_MONEY = frozenset(
    [
        *("insufficient_quota", "billing_not_active", "billing_hard_limit_reached"),  # OpenAI
        "billing_error",  # Anthropic
        "exceeded_current_quota_error",  # Moonshot
    ]
)
"""Types and codes of errors that say that an account has no money left; most come with 429, some with 400."""
BROKE = ("Your credit balance is too low",)
"""How messages that say it begin where neither type nor code does: Anthropic's, with 400."""
BAD_KEY = frozenset(["API_KEY_INVALID", "invalid_api_key"])
"""Google refuses a key with 400, and this reason."""
FLAGGED = frozenset(
    [
        *("content_filter", "ResponsibleAIPolicyViolation"),  # Azure
        *("content_policy_violation", "moderation_blocked", "invalid_prompt"),  # OpenAI
        "flagged_input",  # OpenRouter, with 403
        "data_inspection_failed",  # Alibaba
    ]
)
"""Words of errors that say that what was asked, or would be answered, was found unfit."""
BLOCKED = ("Output blocked by content filtering policy",)
"""How messages that say it begin where neither type nor code does: Anthropic's."""
LONG = frozenset(["context_length_exceeded"])
TOO_LONG = re.compile(
    r"prompt is too long|input is too long|too many (?:input )?tokens|context size"
    r"|(?:maximum|max) (?:context|prompt|model) length"
    r"|exceeds? (?:the )?(?:maximum number of |model's )?(?:context (?:limit|window|length)|(?:input )?tokens)",
    re.IGNORECASE,
)
"""How messages say that a request is too long for a model where its code does not: Anthropic, Bedrock, Cohere, Gemini,
Mistral, xAI, vLLM and others."""
BUSY = "openrouter_in_flight_budget"
"""OpenRouter's 402 for calls that are under way: it passes."""
LARGEST = 65536
"""Bytes of an error that is looked into; a vendor's own is far smaller."""


class Said(NamedTuple):
    """What an error says. words: its types, codes and reasons, as the vendor spells them."""

    words: frozenset[str]
    message: str

    def is_unpaid(self) -> bool:
        """Tell whether the account has no money left: then waiting is of no use."""
        return not NO_MONEY.isdisjoint(self.words) or self.message.startswith(BROKE)

    def is_bad_key(self) -> bool:
        """Tell whether the credential was refused."""
        return not BAD_KEY.isdisjoint(self.words)

    def is_busy(self) -> bool:
        """Tell whether the account has as much under way as it may."""
        return BUSY in self.words

    def is_flagged(self) -> bool:
        """Tell whether what was asked, or would be answered, was found unfit."""
        return not FLAGGED.isdisjoint(self.words) or self.message.startswith(BLOCKED)

    def is_too_long(self) -> bool:
        """Tell whether the request has more tokens than the model takes."""
        return not LONG.isdisjoint(self.words) or TOO_LONG.search(self.message) is not None


NOTHING = Said(frozenset(), "")


def status_of(kind: str | None, code: str | int | None) -> int:
    """Return the status that an error of this type and code stands for; 502 where neither is known.

    Google and OpenRouter have the status itself in the code, others a word.
    """
    word = str(code)
    if len(word) == 3 and word.isdigit() and 400 <= int(word) < 600:
        return int(word)
    return STATUSES.get(kind or "") or STATUSES.get(word) or UNKNOWN


def said_in(body: bytes) -> Said:
    """Return what an error answer or event says, of whichever vendor; nothing where it is none.

    Only whole members count, never words within a message: those may be the caller's own, quoted.
    """
    if len(body) > LARGEST:
        return NOTHING
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return NOTHING
    if isinstance(found, list) and found:
        found = found[0]
    if isinstance(found, dict):
        found = part(found, "response") or found
        found = found.get("error") or found
    if isinstance(found, str):
        return Said(frozenset(), found)
    if not isinstance(found, dict):
        return NOTHING
    words = [found.get(name) for name in ("type", "code", "status", "__type")]
    words.append(part(found, "innererror").get("code"))
    details = found.get("details")
    if isinstance(details, list):
        words += [detail.get("reason") for detail in details if isinstance(detail, dict)]
    metadata = part(found, "metadata")
    words += [*metadata, metadata.get("limit_source")]
    message = found.get("message")
    known = frozenset(word for word in words if isinstance(word, str))
    return Said(known, message if isinstance(message, str) else "")


def part(found: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a member that is an object, an empty one where it is not."""
    member = found.get(name)
    return member if isinstance(member, dict) else {}
