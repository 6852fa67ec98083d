"""What several dialects do alike when they write a request for a provider, or read what it says of a call."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Iterable

import msgspec
from msgspec import Raw

from plane.canonical import Carry, Effort, Image, Part, Refusal, Request, Text, Thinking, Tool
from plane.dialects._json import one_line
from plane.usage import Usage

__all__ = [
    "as_object",
    "bounded",
    "data_uri",
    "from_uri",
    "joined",
    "leave_hints",
    "offered_tools",
    "retry_after_of",
    "sendable_thoughts",
    "set_hints_apart",
    "text_of",
    "tokens",
]

HINTS = (
    ("user", "user"),
    ("metadata", "metadata"),
    ("service_tier", "service_tier"),
    ("cache_key", "prompt_cache_key"),
    ("verbosity", "verbosity"),
)
"""Fields of a request that do not change what the model does, and what callers call them."""

LIMIT = 1 << 40
"""A count from here on is no count."""

RISING: tuple[Effort, ...] = ("low", "medium", "high", "xhigh", "max")
"""Efforts that a budget of tokens can stand for, the least first."""

_object = msgspec.json.Decoder(dict[str, Raw])


def leave_hints(request: Request, carry: Carry, kept: frozenset[str] = frozenset()) -> None:
    """Tell `carry` of the hints that are not `kept`, among them the cache breakpoints, names and errors of tools."""
    for field, name in HINTS:
        if field not in kept and getattr(request, field):
            carry.hint(name)
    if request.store is not None:
        carry.hint("store")
    if any(message.name for message in request.messages):
        carry.hint("name")
    parts: Iterable[Part] = (part for message in request.messages for part in message.parts)
    if any(getattr(one, "cache", "") for one in (*request.system, *request.tools, *parts)):
        carry.hint("cache_control")
    if any(getattr(part, "is_error", False) for message in request.messages for part in message.parts):
        carry.hint("is_error")


def set_hints_apart(request: Request, names: frozenset[str]) -> None:
    """Move the extras of these names to the request's hints, as they change nothing in what a model does."""
    for name in request.extras.keys() & names:
        request.hints[name] = request.extras.pop(name)


def offered_tools(request: Request) -> list[Tool]:
    """Return the tools that the model may call: of all, those that the caller's choice names, if it names some."""
    choice = request.tool_choice
    if choice is None or not choice.names or choice.mode == "none":
        return request.tools
    return [tool for tool in request.tools if tool.name in choice.names]


def joined(parts: Iterable[Part]) -> str:
    """Return the words of `parts`, each text on lines of its own."""
    return "\n".join(part.text for part in parts if isinstance(part, Text | Refusal) and part.text)


def sendable_thoughts(parts: Iterable[Part], family: str, carry: Carry) -> list[Thinking]:
    """Return the thoughts that a provider takes which signs none, or its own; others are left out and told."""
    kept = []
    for part in parts:
        if isinstance(part, Thinking):
            if part.text and (not part.signature or part.family == family):
                kept.append(part)
            else:
                carry.hint("thinking")
    return kept


def text_of(value: Raw) -> str:
    """Return JSON that was only carried as text, "" where there is none, or null."""
    text = bytes(value)
    return "" if text == b"null" else text.decode()


def as_object(arguments: str) -> Raw:
    """Return a call's arguments as the object that they must be; other text becomes the member `input` of one.

    It stands on one line, as in a stream of lines it has to; nothing but white space is changed for that.
    """
    try:
        _object.decode(arguments)
    except (msgspec.MsgspecError, RecursionError):
        return Raw(msgspec.json.encode({"input": arguments}))
    return Raw(one_line(arguments.encode()))


def effort_for(budget: int, budgets: dict[str, int], most: Effort) -> Effort:
    """Return the least effort that allows for `budget` tokens of thinking; `most` where none up to that does."""
    if budget <= 0:
        return "none"
    known = RISING[: RISING.index(most)]
    return next((effort for effort in known if budget <= budgets.get(effort, 0)), most)


def data_uri(image: Image) -> str:
    """Return where a picture is, as a URL that may hold it; "" where it is a file at a provider."""
    if image.data:
        return f"data:{image.media_type or 'image/png'};base64,{image.data}"
    return image.url


def from_uri(url: str, detail: str = "") -> Image:
    """Return the picture at `url`, which may hold it as base64."""
    if url.startswith("data:"):
        head, comma, data = url[5:].partition(",")
        if comma and head.endswith(";base64"):
            return Image(media_type=head.removesuffix(";base64"), data=data, detail=detail)
    return Image(url=url, detail=detail)


def bounded(count: float | None) -> int:
    """Return a count that can be added up: what is absent, negative or absurd counts as nothing."""
    return int(count) if count is not None and 0 <= count < LIMIT else 0


def retry_after_of(headers: list[tuple[bytes, bytes]]) -> float:
    """Return the seconds that a provider asks to wait, -1.0 where it does not say (RFC 9110 10.2.3)."""
    said = {name.lower(): value.strip() for name, value in headers}
    for name, unit in ((b"retry-after-ms", 0.001), (b"retry-after", 1.0)):
        value = said.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) * unit
        except ValueError:
            date = email.utils.parsedate_tz(value.decode("latin-1"))
            seconds = max(0.0, email.utils.mktime_tz(date) - time.time()) if date is not None else -1.0
        if 0.0 <= seconds < LIMIT:
            return seconds
    return -1.0


def tokens(taken: float | None, given: float | None, cached: float | None = None, units: float | None = None) -> Usage:
    """Return the usage of a call; what was read from a cache is part of what was taken in."""
    taken = bounded(taken)
    return Usage(taken, bounded(given), min(bounded(cached), taken), units=bounded(units))
