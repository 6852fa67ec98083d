"""OpenAI's chat completions, from and to the hub: the parts, put together as a `plane.dialect.Translator`."""

from __future__ import annotations

from plane.canonical import Answer, Carry, Request
from plane.dialects._openai_answers import read_answer, write_answer
from plane.dialects._openai_events import EventReader, EventWriter
from plane.dialects._openai_reading import read_request
from plane.dialects._openai_writing import write_request

__all__ = ["OpenAIChat"]


class OpenAIChat:
    """Both sides of the dialect; a provider's differences are in the options that the `Carry` brings."""

    def read_request(self, body: bytes, model: str, stream: bool) -> Request:
        """Return what a caller asks for."""
        return read_request(body, model, stream)

    def write_request(self, request: Request, carry: Carry) -> bytes:
        """Return the body for a provider."""
        return write_request(request, carry)

    def read_answer(self, body: bytes, carry: Carry) -> Answer:
        """Return what a provider answered."""
        return read_answer(body, carry)

    def write_answer(self, answer: Answer, request: Request) -> bytes:
        """Return the body for a caller."""
        return write_answer(answer, request)

    def event_reader(self, carry: Carry) -> EventReader:
        """Return what reads a provider's stream."""
        return EventReader(carry)

    def event_writer(self, request: Request) -> EventWriter:
        """Return what writes a caller's stream."""
        return EventWriter(request)
