"""OpenAI's Responses API as a way to call chat models: its translator from and to the hub."""

from __future__ import annotations

from plane.canonical import Answer, Carry, Request, ToolCall
from plane.dialects._responses_answers import read_answer, write_answer
from plane.dialects._responses_event_reader import EventReader
from plane.dialects._responses_event_writer import EventWriter
from plane.dialects._responses_reading import read_request
from plane.dialects._responses_writing import write_request

__all__ = ["ResponsesChat"]


class ResponsesChat:
    """See `plane.dialect.Translator`."""

    def read_request(self, body: bytes, model: str, stream: bool) -> Request:
        """Return what a caller asks for."""
        return read_request(body, model, stream)

    def write_request(self, request: Request, carry: Carry) -> bytes:
        """Return the body for a provider."""
        return write_request(request, carry)

    def read_answer(self, body: bytes, carry: Carry) -> Answer:
        """Return what a provider answered."""
        answer = read_answer(body)
        if carry.tool_names:
            for part in answer.choices[0].parts:
                if isinstance(part, ToolCall):
                    part.name = carry.tool_names.get(part.name, part.name)
        return answer

    def write_answer(self, answer: Answer, request: Request) -> bytes:
        """Return the body for a caller."""
        return write_answer(answer, request)

    def event_reader(self, carry: Carry) -> EventReader:
        """Return what reads one stream."""
        return EventReader(carry)

    def event_writer(self, request: Request) -> EventWriter:
        """Return what writes one stream."""
        return EventWriter(request)
