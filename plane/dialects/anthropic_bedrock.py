"""Claude on Amazon Bedrock in Anthropic's own words (`InvokeModel`); in Bedrock's the dialect is `bedrock`.

Callers of Anthropic's dialect get every field that Claude knows, and its events, which Bedrock wraps. Counting of
tokens is Bedrock's `CountTokens`. Source: the reference of the Bedrock Runtime API.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from plane.canonical import Carry, Request
from plane.dialect import Operation
from plane.dialects._anthropic_chunks import ChunkReader, ChunkScan
from plane.dialects._anthropic_hosted import HostedChat, field_of, hosted
from plane.dialects._bedrock_access import Access
from plane.dialects._bedrock_counting import COUNT, counted, invocation, talk_of
from plane.dialects.anthropic import MARKS, MAX_EVENT, Anthropic
from plane.dialects.anthropic import Options as AnthropicOptions
from plane.exchange import Exchange
from plane.runtime import Target

__all__ = ["AnthropicBedrock", "Options", "build"]

VERSION = "bedrock-2023-05-31"
ELSEWHERE = ("model", "stream")
"""Members of Messages that Bedrock has in its path."""


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """How Bedrock is called.

    auth, region, service: see `plane.dialects._bedrock_access.Access`. thinking, system_turns: as with Anthropic.
    betas: which of those that callers ask for (``anthropic-beta``) go along, as in ``a,b``; ``*`` for all of them.
    Bedrock refuses what it does not know.
    """

    auth: Literal["bearer", "sigv4"] = "bearer"
    region: str = ""
    service: str = "bedrock"
    thinking: Literal["auto", "adaptive", "budget"] = "auto"
    system_turns: bool = True
    betas: str = "*"


class BedrockChat(HostedChat):
    """Calls of Claude through the hub."""

    def event_reader(self, carry: Carry) -> ChunkReader:
        """Return what reads one stream."""
        return ChunkReader(carry)


class BedrockCount:
    """The provider's side of a `plane.counting.CountTranslator`: what is counted is a call, as it would be made."""

    def __init__(self, chat: BedrockChat) -> None:
        self._chat = chat

    def write_request(self, request: Request, carry: Carry) -> bytes:
        """Return the body for Bedrock."""
        return invocation(self._chat.write_request(talk_of(request), carry))

    def read_answer(self, body: bytes, _: Carry) -> int:
        """Return the number that Bedrock answered."""
        return counted(body)


class AnthropicBedrock(Access, Anthropic):
    """The dialect; callers ask at Anthropic's paths."""

    name = "anthropic_bedrock"
    wire = "anthropic"
    operations = (Operation("messages", "/model/{model}/invoke", True, "chat"), COUNT)
    prefixes = ()
    fields = ()
    forwarded = frozenset()
    own_faults = True
    stream_end = "-with-response-stream"

    def __init__(self, options: Options) -> None:
        super().__init__(AnthropicOptions())
        chat = BedrockChat(options.thinking, options.system_turns, VERSION, ELSEWHERE)
        self.translators = {"chat": chat, "count_tokens": BedrockCount(chat)}
        self.set_access(options.auth, options.region, options.service)
        self.betas = None if options.betas == "*" else frozenset(words(options.betas))

    def write(self, exchange: Exchange, target: Target) -> bytes:
        """Return the body for `target`: the caller's, with what Anthropic has in the head."""
        more: dict[str, Any] = {}
        asked = words(field_of(exchange, b"anthropic-beta"))
        betas = [beta for beta in asked if self.betas is None or beta in self.betas]
        if betas:
            more["anthropic_beta"] = betas
        if user := field_of(exchange, b"anthropic-user-profile-id"):
            more["user_profile_id"] = user
        return hosted(exchange.body, VERSION, ELSEWHERE, more)

    def scan(self, exchange: Exchange) -> ChunkScan:
        """Return what makes the answer's events, and reads them."""
        return ChunkScan(MAX_EVENT, MARKS)


def words(text: str) -> list[str]:
    """Return the words of a list with commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


def build(options: Options) -> AnthropicBedrock:
    """Return the dialect; ValueError where the options do not go together."""
    return AnthropicBedrock(options)
