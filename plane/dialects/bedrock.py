"""Amazon Bedrock: the models of many makers behind one API, Converse. Spoken to providers only.

Requests carry an API key of Bedrock's as a bearer token, or are signed one by one with an access key of IAM
(`core.sigv4`). Source: the reference of the Bedrock Runtime API.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from plane.canonical import Fault
from plane.dialect import Dialect, Operation
from plane.dialects._bedrock_access import Access, place
from plane.dialects._bedrock_chat import Chat
from plane.dialects._bedrock_counting import COUNT, ConverseCount, countable
from plane.dialects._bedrock_faults import read_fault

__all__ = ["Bedrock", "Options", "build"]

CONVERSE = Operation("bedrock.converse", "/model/{model}/converse", streams=True, kind="chat")


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """How Bedrock is called.

    auth, region, service: see `plane.dialects._bedrock_access.Access`. maker: who made the models whose ids do not
    tell, those behind inference profiles of one's own.
    """

    auth: Literal["bearer", "sigv4"] = "bearer"
    region: str = ""
    service: str = "bedrock"
    maker: Literal["", "anthropic", "amazon", "cohere", "mistral", "openai"] = ""


class Bedrock(Dialect):
    """The dialect; its only state are the signing keys of the day."""

    name = "bedrock"
    family = "bedrock"
    operations = (CONVERSE, COUNT)

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.translators = {"chat": Chat(options.maker), "count_tokens": ConverseCount(options.maker)}
        self.access = Access(options.auth, options.region, options.service)
        self.signs = self.access.signs

    def credential_line(self, secret: str) -> bytes:
        """Return the header line that carries an API key."""
        return self.access.credential_line(secret)

    def check_credential(self, secret: str) -> None:
        """Raise ValueError where a request cannot be signed with it."""
        self.access.check_credential(secret)

    def sign(self, method: bytes, host: bytes, path: bytes, body: bytes, secret: str) -> bytes:
        """Return the header lines that sign this request now."""
        return self.access.sign(method, host, path, body, secret)

    def path(self, operation: Operation, model: str, stream: bool) -> str:
        """Return where a provider is asked."""
        if operation is COUNT:
            return place(operation, countable(model) or model)
        return place(operation, model) + ("-stream" if stream else "")

    def can_count(self, model: str) -> bool:
        """Tell whether the tokens of a request to this model can be counted."""
        return bool(countable(model))

    def read_fault(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Fault:
        """Return what an error answer says."""
        return read_fault(status, headers, body)


def build(options: Options) -> Bedrock:
    """Return the dialect; ValueError where the options do not go together."""
    return Bedrock(options)
