"""Gemini's translator of the kind ``count_tokens``: countTokens, from and to the hub."""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from core.errors import GatewayError
from plane.canonical import Carry, Request
from plane.dialects._gemini_incoming import members, read_request
from plane.dialects._gemini_outgoing import write_request

__all__ = ["GeminiCounting"]

COUNTED = frozenset({"contents", "systemInstruction", "tools"})


class Answered(Struct, rename="camel"):
    """A provider's answer."""

    total_tokens: int


class GeminiCounting:
    """Counts the tokens of a request; see `plane.counting.CountTranslator`. vertex: as of `GeminiChat`."""

    def __init__(self, *, vertex: bool = False) -> None:
        self.vertex = vertex
        self.answered = msgspec.json.Decoder(Answered)

    def read_request(self, body: bytes, model: str) -> Request:
        """Return what a caller wants counted: turns, or a whole request of generateContent in a member of its own."""
        asked = members(body, "the body")
        whole = asked.get("generateContentRequest")
        return read_request(bytes(whole) if whole is not None else body, model, False)

    def write_request(self, request: Request, carry: Carry) -> bytes:
        """Return the body for a provider. AI Studio counts instructions and tools only within a whole request."""
        body = write_request(request, carry, self.vertex)
        if self.vertex:
            found = msgspec.json.decode(body, type=dict[str, Raw])
            return msgspec.json.encode({name: value for name, value in found.items() if name in COUNTED})
        model = msgspec.json.encode(f"models/{carry.model.removeprefix('models/')}")
        return b'{"generateContentRequest":{"model":%b,%b}' % (model, body[1:])

    def read_answer(self, body: bytes, carry: Carry) -> int:
        """Return the number that a provider answered."""
        try:
            return self.answered.decode(body).total_tokens
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise GatewayError(
                502, "upstream_bad_answer", "upstream", "The upstream's answer has no count of tokens."
            ) from None

    def write_answer(self, answer: int, request: Request) -> bytes:
        """Return the body for a caller."""
        return msgspec.json.encode({"totalTokens": answer})
