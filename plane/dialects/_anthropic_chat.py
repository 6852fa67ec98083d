"""Anthropic's side of the hub: its translators of chats and of the counting of their tokens."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from plane.canonical import Answer, Carry, Request
from plane.dialects._anthropic_answers import read_answer, write_answer
from plane.dialects._anthropic_events import Reader, Writer
from plane.dialects._anthropic_reading import read_request
from plane.dialects._anthropic_thinking import thinks_of
from plane.dialects._anthropic_wire import bad_answer
from plane.dialects._anthropic_writing import write_request

__all__ = ["Chat", "Count"]


class Counted(Struct, gc=False):
    """An answer of ``count_tokens``."""

    input_tokens: int


_counted = msgspec.json.Decoder(Counted)


class Chat:
    """Calls of a model; see `plane.dialect.Translator`.

    thinking, system_turns: as in the options of the dialect.
    """

    def __init__(self, thinking: str, system_turns: bool) -> None:
        self._thinking = thinking
        self._system_turns = system_turns

    def read_request(self, body: bytes, model: str, stream: bool) -> Request:
        """Return what a caller asks for."""
        return read_request(body, model, stream)

    def write_request(self, request: Request, carry: Carry) -> bytes:
        """Return the body for a provider."""
        thinks = thinks_of(carry.model, self._thinking)
        return write_request(request, carry, thinks, system_turns=self._system_turns)

    def read_answer(self, body: bytes, carry: Carry) -> Answer:
        """Return what a provider answered."""
        return read_answer(body, carry)

    def write_answer(self, answer: Answer, _: Request) -> bytes:
        """Return the body for a caller."""
        return write_answer(answer)

    def event_reader(self, carry: Carry) -> Reader:
        """Return what reads one stream."""
        return Reader(carry)

    def event_writer(self, request: Request) -> Writer:
        """Return what writes one stream."""
        return Writer(request.model)


class Count:
    """Counting of tokens; see `plane.counting.CountTranslator`."""

    def __init__(self, thinking: str, system_turns: bool) -> None:
        self._thinking = thinking
        self._system_turns = system_turns

    def read_request(self, body: bytes, model: str) -> Request:
        """Return what a caller wants counted."""
        return read_request(body, model, False, counts=True)

    def write_request(self, request: Request, carry: Carry) -> bytes:
        """Return the body for a provider."""
        thinks = thinks_of(carry.model, self._thinking)
        return write_request(request, carry, thinks, system_turns=self._system_turns, counts=True)

    def read_answer(self, body: bytes, _: Carry) -> int:
        """Return the number that a provider answered."""
        try:
            return _counted.decode(body).input_tokens
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise bad_answer(str(error).rstrip(".")) from None

    def write_answer(self, answer: int, _: Request) -> bytes:
        """Return the body for a caller."""
        return b'{"input_tokens":%d}' % answer
