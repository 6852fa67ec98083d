"""Counting the tokens of a request without asking the model: the kind ``count_tokens`` of operations.

A request to be counted is a chat's (`plane.canonical.Request`), its answer one number. A provider without such an
operation cannot be asked; the gateway then answers `estimate`, and says so in ``x-headgate-estimate: true``.
"""

from __future__ import annotations

from typing import Protocol

from plane.answer import accept_estimate
from plane.canonical import Audio, Carry, Document, Image, Part, Refusal, Request, Text, Thinking, ToolCall, ToolResult
from plane.exchange import Exchange
from plane.runtime import Target

__all__ = ["CountTranslator", "answer_estimate", "estimate"]

BYTES_PER_TOKEN = 4
"""Of English text; other scripts have more bytes a letter and fewer letters a token, so that bytes come close to it."""
PER_TURN = 4
"""Tokens that mark a turn, a call or a result."""
PER_TOOL = 12
"""Tokens that stand around the description of a tool."""
PER_IMAGE = 1500
"""Tokens of an image of a usual size."""
BYTES_PER_PAGE = 40_000
PER_PAGE = 2000
"""A page of a PDF: its base64 text, and its tokens."""
BYTES_PER_SECOND = 20_000
PER_SECOND = 25
"""A second of sound: its base64 text as MP3, and its tokens."""


class CountTranslator(Protocol):
    """Counting in one dialect, from and to the hub; `plane.dialect.Translator` is its like for chat."""

    def read_request(self, body: bytes, model: str) -> Request:
        """Return what a caller wants counted."""

    def write_request(self, request: Request, carry: Carry) -> bytes:
        """Return the body for a provider; what it has no place for is told to `carry`."""

    def read_answer(self, body: bytes, carry: Carry) -> int:
        """Return the number that a provider answered; GatewayError 502 ``upstream_bad_answer`` where there is none."""

    def write_answer(self, answer: int, request: Request) -> bytes:
        """Return the body for a caller."""


def answer_estimate(exchange: Exchange) -> bool:
    """Answer a count by an estimate if the target that comes first cannot count it; tell whether."""
    operation = exchange.route.operation
    target = exchange.candidates[0]
    if counted_by(target, operation.name):
        exchange.candidates = [other for other in exchange.candidates if counted_by(other, operation.name)]
        return False
    translator = exchange.route.dialect.translators[operation.kind]
    request = translator.read_request(exchange.body, exchange.model_name)
    exchange.target = target
    accept_estimate(exchange, translator.write_answer(estimate(request), request))
    return True


def counted_by(target: Target, name: str) -> bool:
    """Tell whether a target has an operation for a caller's, that counts the tokens of its model."""
    way = target.ways.get(name)
    return way is not None and way.dialect.can_count(target.model)


def estimate(request: Request) -> int:
    """Return about how many tokens a request has: within a third of it for plain talk, further off for media."""
    total = sum(weight(text) for text in request.system)
    for message in request.messages:
        total += PER_TURN + sum(weight(part) for part in message.parts)
    for tool in request.tools:
        total += PER_TOOL + size(tool.name + tool.description + tool.schema)
    if request.output is not None:
        total += size(request.output.schema)
    return max(1, total)


def weight(part: Part) -> int:
    """Return about how many tokens a part has."""
    if isinstance(part, Text | Refusal):
        return size(part.text)
    if isinstance(part, Thinking):
        return size(part.text)
    if isinstance(part, ToolCall):
        return PER_TURN + size(part.name + part.arguments)
    if isinstance(part, ToolResult):
        return PER_TURN + sum(weight(inner) for inner in part.parts)
    if isinstance(part, Image):
        return PER_IMAGE
    if isinstance(part, Document):
        if part.text:
            return size(part.text)
        return PER_PAGE * max(1, len(part.data) // BYTES_PER_PAGE)
    assert isinstance(part, Audio)
    return PER_SECOND * max(1, len(part.data) // BYTES_PER_SECOND)


def size(text: str) -> int:
    """Return about how many tokens a text has."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)
