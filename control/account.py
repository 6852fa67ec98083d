"""A call told to a person: what it asked for, where it went and why, what it used and what that cost."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from control.calls import Call
from core.explanation import Attempt, Bill, Candidate, Explanation, Limit, PassedOver
from core.money import usd

__all__ = ["account_of"]

LABEL = 12
USED = {
    "cache_read": "from a cache",
    "cache_write_5m": "to a cache",
    "cache_write_1h": "to a cache for an hour",
    "audio_in": "audio in",
    "audio_out": "audio out",
    "image_in": "images in",
    "image_out": "images out",
    "reasoning": "reasoning",
    "tool_use_prompt": "from the provider's tools",
    "server_tools": "calls of the provider's tools",
    "units": "pieces",
    "milliseconds": "ms of audio",
}
"""Counts of a usage event that are told where they are not 0."""


def account_of(call: Call) -> str:
    """Return the account, some lines."""
    event, told = call.event, call.explanation
    rows = [*_asked(event, told), *(_told(told) if told is not None else ()), *_answered(event, told)]
    rows += _paid(event, call.bill, call.unbilled)
    if told is None and event["model"]:
        rows.append(("", ["limits, candidates and each attempt are kept of calls with the header x-headgate-explain"]))
    rows.append(("config", [event["snapshot"][:12]]))
    lines = [f"request {event['request_id']}"]
    for label, texts in rows:
        for index, text in enumerate(texts):
            lines.append(f"  {'' if index else label:<{LABEL}}{text}".rstrip())
    return _printable("\n".join(lines))


Row = tuple[str, Sequence[str]]


def _asked(event: dict[str, Any], told: Explanation | None) -> Iterator[Row]:
    when = datetime.fromtimestamp(event["time_ms"] / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    yield "ended", [f"{when} UTC after {event['latency_us'] / 1000:.1f} ms"]
    who = event["consumer"] or "nobody known"
    yield "caller", [f"{who} ({event['peer']}, {event['door']}): {event['method']} {event['path']}"]
    yield "route", [event["route"] + (f", by {told.matched}" if told is not None else "")]
    if event["model"]:
        asked = told.asked if told is not None else event["detail"].get("requested", "")
        by = f", by {told.strategy}" if told is not None and told.strategy else ""
        sticky = f", kept on one target by {told.sticky}" if told is not None and told.sticky else ""
        other = f", asked for as {asked}" if asked and asked != event["model"] else ""
        yield "model", [event["model"] + other + by + sticky]
    elif told is not None and told.asked:
        yield "model", [f"asked for {told.asked}"]


def _told(told: Explanation) -> Iterator[Row]:
    yield "limits", [_limit(limit) for limit in told.limits] or ["none"]
    yield "candidates", [f"{number}. {_candidate(one)}" for number, one in enumerate(told.candidates, 1)] or ["none"]
    yield "passed over", [_passed_over(one) for one in told.passed_over]
    yield "attempts", [f"{number}. {_attempt(one)}" for number, one in enumerate(told.attempts, 1)] or ["none"]
    if told.ended:
        yield "", [f"no further one: {told.ended}"]
    if told.passage is not None:
        way = f"{told.passage.operation} of {told.passage.provider}"
        how = f"translated from {told.passage.caller} to" if told.passage.translated else "bytes passed through to"
        dropped = f"; dropped: {', '.join(told.passage.dropped)}" if told.passage.dropped else ""
        yield "way", [f"{how} {way}{dropped}"]


def _answered(event: dict[str, Any], told: Explanation | None) -> Iterator[Row]:
    failed = f" {event['error']}" if event["error"] else ""
    by = f" by {event['target']}" if event["target"] else ""
    kind = " as a stream" if event["stream"] else ""
    first = f", first byte after {event['first_us'] / 1000:.1f} ms" if event["first_us"] else ""
    yield "answer", [f"{event['status']}{failed}{by}{kind}{first}"]
    if told is None:
        yield "attempts", [str(event["attempts"])]
    if event["usage_known"]:
        counted = {**event["detail"], **event}
        parts = [f"{counted[name]} {text}" for name, text in USED.items() if counted.get(name)]
        usage = f"{event['input_total']} tokens in, {event['output_total']} out"
        guessed = ["an estimate, as it was cut short"] if event["detail"].get("estimated") else []
        tier = event["detail"].get("service_tier")
        yield "usage", ["; ".join([usage, *parts, *guessed, *([f"tier {tier}"] if tier else [])])]
    else:
        yield "usage", ["not known"]


def _paid(event: dict[str, Any], bill: Bill | None, unbilled: str) -> Iterator[Row]:
    if bill is not None:
        cells = [
            (line.kind, f"{line.count} {line.unit}", f"x {line.rate} per {line.per}", f"= {line.usd}")
            for line in bill.lines
        ]
        yield "price", [bill.price, *_columns(cells)]
        yield "cost", [f"{bill.cost} USD" + (f", rounded from {bill.sum}" if bill.sum != bill.cost else "")]
    elif event["cost_nano"] is not None:
        yield "cost", [f"{usd(event['cost_nano'])} USD; {unbilled}"]
    elif event["model"]:
        yield "cost", [unbilled]


def _limit(limit: Limit) -> str:
    again = f", all again in {_span(limit.reset_ms)}" if limit.reset_ms else ""
    return f"{limit.name} {limit.limit}: {limit.remaining} left{again}"


def _candidate(candidate: Candidate) -> str:
    figures = "".join(f", {name} {value}" for name, value in candidate.figures.items())
    return f"{candidate.target}, weight {candidate.weight}{figures}"


def _passed_over(place: PassedOver) -> str:
    return f"{_place(place)}: {place.reason}"


def _attempt(attempt: Attempt) -> str:
    ended = " ".join(filter(None, (str(attempt.status or ""), attempt.error)))
    asked = f", asked for a pause of {_span(attempt.asked_ms)}" if attempt.asked_ms is not None else ""
    pause = f", then a pause of {_span(attempt.pause_ms)}" if attempt.pause_ms else ""
    return f"{_place(attempt)}: {ended} after {_span(attempt.ms)}{asked}{pause}"


def _place(place: PassedOver | Attempt) -> str:
    return place.target + (f" (credential {place.credential})" if place.credential else "")


def _span(milliseconds: float) -> str:
    return f"{milliseconds / 1000:g} s" if milliseconds >= 1000 else f"{milliseconds:.1f} ms"


def _columns(rows: Iterable[Sequence[str]]) -> list[str]:
    rows = list(rows)
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]


def _printable(text: str) -> str:
    """Return `text` without what a terminal would obey: names of models and paths are their callers'."""
    return "".join(char if char.isprintable() or char == "\n" else f"\\x{ord(char):02x}" for char in text)
