"""Claude on Google's Vertex AI: Anthropic's dialect at Google's addresses, with its access tokens.

Source: Google's page on Claude in Vertex AI's documentation, and the client for it in Anthropic's Python SDK.
"""

from __future__ import annotations

from typing import Literal
from urllib.parse import quote

from msgspec import Struct

from plane.canonical import Carry, Fault, Request
from plane.dialect import Operation
from plane.dialects._anthropic_chat import Count
from plane.dialects._anthropic_hosted import HostedChat, hosted
from plane.dialects._gemini_wire import fault_of
from plane.dialects.anthropic import Anthropic
from plane.dialects.anthropic import Options as AnthropicOptions
from plane.exchange import Exchange
from plane.runtime import Target

__all__ = ["AnthropicVertex", "Options", "build"]

VERSION = "vertex-2023-10-16"
ELSEWHERE = ("model",)
"""The member of Messages that Vertex AI has in its path."""
COUNTING = "count-tokens"
"""Stands in the path in place of a model; the body names it then."""


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """Where Claude is on Vertex AI.

    project, location: of the paths; ``global`` is at ``aiplatform.googleapis.com``, which is for the base URL to say.
    thinking, system_turns: as with Anthropic.
    """

    project: str = ""
    location: str = "global"
    thinking: Literal["auto", "adaptive", "budget"] = "auto"
    system_turns: bool = True


class VertexCount(Count):
    """Counting of tokens through the hub."""

    def write_request(self, request: Request, carry: Carry) -> bytes:
        """Return the body for a provider."""
        return hosted(super().write_request(request, carry), VERSION, ())


class AnthropicVertex(Anthropic):
    """The dialect; callers ask at Anthropic's paths."""

    name = "anthropic_vertex"
    wire = "anthropic"
    prefixes = ()
    fields = ()
    forwarded = frozenset({b"anthropic-beta", b"anthropic-user-profile-id"})
    own_faults = True

    def __init__(self, options: Options) -> None:
        super().__init__(AnthropicOptions())
        self.translators = {
            "chat": HostedChat(options.thinking, options.system_turns, VERSION, ELSEWHERE),
            "count_tokens": VertexCount(options.thinking, options.system_turns),
        }
        self.project = options.project
        project, location = quote(options.project, safe=""), quote(options.location, safe="")
        self.base = f"/v1/projects/{project}/locations/{location}/publishers/anthropic/models"

    def credential_line(self, secret: str) -> bytes:
        """Return the header line that carries an access token."""
        return b"authorization: Bearer %b\r\n" % secret.encode()

    def path(self, operation: Operation, model: str, stream: bool) -> str:
        """Return where a provider is asked; ValueError where the options lack the project."""
        named = COUNTING if operation.kind == "count_tokens" else quote(model, safe="@")
        if not self.project:
            raise ValueError("'options.project' is missing: the paths of Vertex AI hold it")
        return f"{self.base}/{named}:{'streamRawPredict' if stream else 'rawPredict'}"

    def write(self, exchange: Exchange, target: Target) -> bytes:
        """Return the body for `target`: the caller's, with the version in it."""
        if exchange.route.operation.kind == "count_tokens":
            return hosted(super().write(exchange, target), VERSION, ())
        return hosted(exchange.body, VERSION, ELSEWHERE)

    def read_fault(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Fault:
        """Return what an error answer says: Claude's own are Anthropic's, those of the platform Google's."""
        fault = super().read_fault(status, headers, body)
        if not fault.kind:
            fault.message = fault_of(status, body).message
        return fault


def build(options: Options) -> AnthropicVertex:
    """Return the dialect."""
    return AnthropicVertex(options)
