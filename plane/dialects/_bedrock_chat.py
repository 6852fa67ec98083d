"""Converse and the hub, on a provider's side: callers do not speak it."""

from __future__ import annotations

import msgspec

from plane.canonical import Answer, Carry, Choice, Part, Request, Text, Thinking, ToolCall
from plane.dialects._bedrock_events import Reader
from plane.dialects._bedrock_requests import write_request
from plane.dialects._bedrock_wire import FAMILY, STOPS, Block, Said, usage_of
from plane.dialects._json import read_answered

__all__ = ["Chat"]

_said = msgspec.json.Decoder(Said)


class Chat:
    """The provider's side of a `plane.dialect.Translator`. maker: of models whose id does not tell who made them."""

    def __init__(self, maker: str = "") -> None:
        self.maker = maker

    def write_request(self, request: Request, carry: Carry) -> bytes:
        """Return the body for Bedrock; what it has no place for is told to `carry`."""
        return write_request(request, carry, self.maker)

    def read_answer(self, body: bytes, carry: Carry) -> Answer:
        """Return what Bedrock answered; it tells neither an id nor the model's name."""
        said = read_answered(_said, body)
        parts = [part for block in said.output.message.content for part in parts_of(block, carry)]
        found = said.additional_model_response_fields
        choice = Choice(parts, STOPS.get(said.stop_reason, "end"), (found and found.stop_sequence) or "")
        usage = usage_of(said.usage, said.service_tier)
        return Answer(carry.model, [choice], usage=usage, service_tier=usage.service_tier if usage else "")

    def event_reader(self, carry: Carry) -> Reader:
        """Return what reads one stream."""
        return Reader(carry)


def parts_of(block: Block, carry: Carry) -> list[Part]:
    """Return what a block says; nothing for what the hub has no word for, such as tools that Bedrock ran itself."""
    if block.text is not None:
        return [Text(block.text)]
    if (call := block.tool_use) is not None and not call.type:
        name = carry.tool_names.get(call.name, call.name)
        return [ToolCall(call.tool_use_id, name, bytes(call.input).decode())]
    if (content := block.reasoning_content) is not None:
        if content.redacted_content is not None:
            return [Thinking(redacted=content.redacted_content, family=FAMILY)]
        if (thought := content.reasoning_text) is not None:
            return [Thinking(thought.text, thought.signature or "", family=FAMILY)]
    if block.citations_content is not None:
        return [Text(cited.text) for cited in block.citations_content.content if cited.text is not None]
    return []
