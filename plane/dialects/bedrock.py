"""Amazon Bedrock: the models of many makers behind one API, Converse. Spoken to providers only.

Requests carry an API key of Bedrock's as a bearer token, or are signed one by one with an access key of IAM
(`core.sigv4`). Source: the reference of the Bedrock Runtime API.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from plane.dialect import Dialect, Operation
from plane.dialects._bedrock_access import Access
from plane.dialects._bedrock_chat import Chat
from plane.dialects._bedrock_counting import COUNT, ConverseCount

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


class Bedrock(Access, Dialect):
    """The dialect; its only state are the signing keys of the day."""

    name = "bedrock"
    family = "bedrock"
    operations = (CONVERSE, COUNT)
    stream_end = "-stream"

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.translators = {"chat": Chat(options.maker), "count_tokens": ConverseCount(options.maker)}
        self.set_access(options.auth, options.region, options.service)


def build(options: Options) -> Bedrock:
    """Return the dialect; ValueError where the options do not go together."""
    return Bedrock(options)
