"""Amazon Bedrock: the models of many makers behind one API, Converse. Spoken to providers only.

Requests carry an API key of Bedrock's as a bearer token, or are signed one by one with an access key of IAM
(`core.sigv4`). Source: the reference of the Bedrock Runtime API.
"""

from __future__ import annotations

import re
from time import time
from typing import Literal
from urllib.parse import quote

from msgspec import Struct

from core.sigv4 import Signer, parse_credential
from plane.canonical import Fault
from plane.dialect import Dialect, Operation
from plane.dialects._bedrock_chat import Chat
from plane.dialects._bedrock_faults import read_fault

__all__ = ["Bedrock", "Options", "build"]

SCOPE = re.compile(r"[a-z0-9-]+")
CONVERSE = Operation("bedrock.converse", "/model/{model}/converse", streams=True, kind="chat")


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """How Bedrock is called.

    auth: ``bearer``, the credential is an API key of Bedrock's; ``sigv4``, it is
    ``ACCESS_KEY_ID:SECRET_ACCESS_KEY[:SESSION_TOKEN]`` of IAM, and `region` says where. service: the name it is signed
    for. maker: who made the models whose ids do not tell, those behind inference profiles of one's own.
    """

    auth: Literal["bearer", "sigv4"] = "bearer"
    region: str = ""
    service: str = "bedrock"
    maker: Literal["", "anthropic", "amazon", "cohere", "mistral", "openai"] = ""


class Bedrock(Dialect):
    """The dialect; its only state are the signing keys of the day."""

    name = "bedrock"
    family = "bedrock"
    operations = (CONVERSE,)

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.translators = {"chat": Chat(options.maker)}
        self.signs = options.auth == "sigv4"
        self.signer = Signer(options.region, options.service)

    def credential_line(self, secret: str) -> bytes:
        """Return the header line that carries an API key."""
        return b"authorization: Bearer %b\r\n" % secret.encode()

    def check_credential(self, secret: str) -> None:
        """Raise ValueError where a request cannot be signed with it."""
        if self.signs:
            parse_credential(secret)

    def sign(self, method: bytes, host: bytes, path: bytes, body: bytes, secret: str) -> bytes:
        """Return the header lines that sign this request now."""
        fields = {"content-type": "application/json", "host": host.decode()}
        return self.signer.sign(parse_credential(secret), method.decode(), path.decode(), fields, body, time())

    def path(self, operation: Operation, model: str, stream: bool) -> str:
        """Return where a provider is asked; an ARN is one segment, its colons and slashes encoded."""
        return operation.path.replace("{model}", quote(model, safe="")) + ("-stream" if stream else "")

    def read_fault(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Fault:
        """Return what an error answer says."""
        return read_fault(status, headers, body)


def build(options: Options) -> Bedrock:
    """Return the dialect; ValueError where the options do not go together."""
    if options.auth == "sigv4" and not options.region:
        raise ValueError("'region' is missing: a signature is for one region, such as us-east-1")
    if not SCOPE.fullmatch(options.region + options.service):
        raise ValueError("'region' and 'service' are small letters, digits and hyphens")
    return Bedrock(options)
