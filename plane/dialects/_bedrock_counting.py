"""CountTokens of Bedrock: a request as it would be made is wrapped, and one number is the answer.

It knows models by the ids of their makers, not by inference profiles: of these the id of the model is taken where they
tell it. AWS's user guide lists Anthropic's models alone. Source: the reference of the Bedrock Runtime API.
"""

from __future__ import annotations

import re
from base64 import b64encode

import msgspec
from msgspec import Raw, Struct, field

from plane.canonical import Carry, Request
from plane.dialect import Operation
from plane.dialects._bedrock_requests import write_request
from plane.dialects._json import read_answered

__all__ = ["COUNT", "ConverseCount", "countable", "counted", "invocation", "talk_of"]

COUNT = Operation("bedrock.count_tokens", "/model/{model}/count-tokens", streams=False, kind="count_tokens")
COUNTABLE = re.compile(r"(?:^|[./])(anthropic\.[a-zA-Z0-9.:_-]+)$")
MEMBERS = ("messages", "system", "toolConfig", "additionalModelRequestFields")
"""What of Converse is counted."""


class Counted(Struct, gc=False):
    """The answer."""

    tokens: int = field(name="inputTokens")


_object = msgspec.json.Decoder(dict[str, Raw])
_counted = msgspec.json.Decoder(Counted)


def countable(model: str) -> str:
    """Return the id by which the tokens of a model are counted, "" where they cannot be."""
    found = COUNTABLE.search(model)
    return found[1] if found else ""


def invocation(body: bytes) -> bytes:
    """Return the request that counts the body of an `InvokeModel`."""
    return msgspec.json.encode({"input": {"invokeModel": {"body": b64encode(body).decode()}}})


def talk_of(request: Request) -> Request:
    """Return what of a request has tokens: how the answer is to be made matters to nobody who counts."""
    return Request(
        request.model,
        request.messages,
        request.system,
        request.tools,
        request.tool_choice,
        output=request.output,
        reasoning=request.reasoning,
    )


def counted(body: bytes) -> int:
    """Return the number answered; GatewayError 502 where there is none."""
    return read_answered(_counted, body).tokens


class ConverseCount:
    """The provider's side of a `plane.counting.CountTranslator`, by Converse. maker: as in the dialect's options."""

    def __init__(self, maker: str) -> None:
        self.maker = maker

    def write_request(self, request: Request, carry: Carry) -> bytes:
        """Return the body for Bedrock."""
        whole = _object.decode(write_request(talk_of(request), carry, self.maker))
        return msgspec.json.encode({"input": {"converse": {name: whole[name] for name in MEMBERS if name in whole}}})

    def read_answer(self, body: bytes, _: Carry) -> int:
        """Return the number that Bedrock answered."""
        return counted(body)
