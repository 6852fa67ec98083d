"""Usage events of tests."""

from typing import Any

import msgspec

from core.usage import UsageEvent

__all__ = ["event"]

BLANK = UsageEvent(0, 0, "", "", "", "", "", "", 200, "", False, 1, 0, 0, 0, 0, 0, 0, False)


def event(number: int, **fields: Any) -> UsageEvent:
    """Return an event with this id."""
    return msgspec.structs.replace(BLANK, id=number, **fields)
