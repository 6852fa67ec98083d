"""Gemini's translator of the kind ``chat``; see `plane.dialect.Translator`."""

from __future__ import annotations

from plane.canonical import Answer, Carry, Request
from plane.dialect import EventReader, EventWriter
from plane.dialects._gemini_answers import read_answer, write_answer
from plane.dialects._gemini_events import GeminiReader, GeminiWriter
from plane.dialects._gemini_incoming import Asked, read_request
from plane.dialects._gemini_outgoing import write_request

__all__ = ["GeminiChat"]


class GeminiChat:
    """generateContent, from and to the hub. vertex: the provider is Vertex AI, not Google AI Studio."""

    def __init__(self, *, vertex: bool = False) -> None:
        self.vertex = vertex

    def read_request(self, body: bytes, model: str, stream: bool) -> Request:
        """Return what a caller asks for."""
        return read_request(body, model, stream)

    def write_request(self, request: Request, carry: Carry) -> bytes:
        """Return the body for a provider."""
        return write_request(request, carry, self.vertex)

    def read_answer(self, body: bytes, carry: Carry) -> Answer:
        """Return what a provider answered."""
        return read_answer(body, carry)

    def write_answer(self, answer: Answer, request: Request) -> bytes:
        """Return the body for a caller."""
        return write_answer(answer, request)

    def event_reader(self, carry: Carry) -> EventReader:
        """Return what reads one stream of server-sent events."""
        return GeminiReader(carry)

    def event_writer(self, request: Request) -> EventWriter:
        """Return what writes one stream, in the form that the caller asked for."""
        return GeminiWriter(request, array=isinstance(request, Asked) and request.array)
