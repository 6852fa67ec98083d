"""One call as the ledger knows it, found by its request id, with how its cost came about."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import MsgspecError, Struct

from control.segments import SEALED, bodies, segments_in
from core.bill import Counts, bill_of
from core.explanation import Bill, Explanation
from core.money import Price
from core.price_list import PriceList
from core.snapshot import Snapshot, entries_of, prices_of
from core.usage import Detail, UsageEvent, decode_event
from core.wildcards import STAR, filled, star_of

__all__ = ["Call", "Calls", "call_of", "find"]

MOST = 20
"""Calls of one request id that are told."""
READ = 1 << 20
NO_DETAIL = Detail()


class Call(Struct, frozen=True):
    """One finished call.

    event: its usage event, by the names of the fields. explanation: what the worker told, where its caller asked. bill:
    None where the cost is not known, or not any more how it came about; `unbilled` says why.
    """

    event: dict[str, Any]
    explanation: Explanation | None
    bill: Bill | None
    unbilled: str


class Calls(Struct, frozen=True):
    """The calls of one request id, in the order in which they ended."""

    calls: list[Call]


def find(folder: Path, request_id: str) -> list[UsageEvent]:
    """Return the events with this request id that the newest segment has which has any; slow, for a thread.

    A caller may give an id to several calls, and a copy of a call for a shadow target has that of the call.
    """
    needle = request_id.encode()
    for path in reversed(segments_in(folder)):
        try:
            found = list(_in(path, request_id, needle))
        except FileNotFoundError:  # Sealed since the folder was listed, or removed.
            sealed = path.with_suffix(SEALED)
            found = list(_in(sealed, request_id, needle)) if sealed.exists() else []
        except ValueError:
            continue  # No segment: control has said so when it started.
        if found:
            return found[-MOST:]
    return []


def call_of(event: UsageEvent, active: Snapshot) -> Call:
    """Return what is known of a call. active: where prices stand, if it is from before they were kept with the call."""
    detail = event.detail or NO_DETAIL
    fields = msgspec.structs.asdict(event)
    fields["detail"] = {name: value for name, value in msgspec.structs.asdict(detail).items() if name != "explanation"}
    bill = detail.explanation.bill if detail.explanation is not None else None
    unbilled = ""
    if bill is None:
        bill, unbilled = _bill(event, detail, active)
    return Call(fields, detail.explanation, bill, unbilled)


def _in(path: Path, request_id: str, needle: bytes) -> Iterator[UsageEvent]:
    """Yield the events of a segment with this request id."""
    if not _holds(path, needle):
        return
    for _, body in bodies(path):
        if body is not None and needle in body:
            try:
                event = decode_event(body)
            except MsgspecError:
                continue  # Of another build.
            if event.request_id == request_id:
                yield event


def _holds(path: Path, needle: bytes) -> bool:
    """Tell whether a file holds these bytes anywhere."""
    with path.open("rb") as file:
        data = b""
        while more := file.read(READ):
            data += more
            if needle in data:
                return True
            data = data[-len(needle) :]
    return False


def _bill(event: UsageEvent, detail: Detail, active: Snapshot) -> tuple[Bill | None, str]:
    """Return how the cost of a call came about by the prices of the active config, or why that is not known."""
    if event.cost_nano is None:
        return None, "unpriced: there is no price for what it used" if event.usage_known else "its usage is not known"
    own, less = set(UsageEvent.__struct_fields__), set(Detail.__struct_fields__)
    counted = {name: getattr(event, name) for name in Counts._fields if name in own}
    counted |= {name: getattr(detail, name) for name in Counts._fields if name in less}
    minute = event.time_ms // 60_000 % 1440
    for price in _prices(event, active):
        bill = bill_of(price, detail.service_tier, minute, Counts(**counted), event.cost_nano)
        if bill is not None:
            return bill, ""
    return None, f"the config it was served under ({event.snapshot[:12]}) had another price, {event.price}"


def _prices(event: UsageEvent, active: Snapshot) -> Iterator[Price]:
    """Yield the prices that the active config has for what answered a call; of a wildcard's names, its list has."""
    requested = event.detail.requested if event.detail is not None else ""
    for name, model in entries_of(active, "models"):
        if name != event.model:
            continue
        for target in model.targets:
            if f"{target.provider}/{target.model}" != event.target:
                continue
            price = target.price
            if price is None and STAR in target.model:
                rows = prices_of(active).get(target.provider, PriceList())
                price = rows.price(filled(target.model, star_of(name, requested)))
            if price is not None:
                yield Price(price)
