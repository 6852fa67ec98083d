"""How AWS's Bedrock is reached, whatever is spoken there: its addresses, its keys, its signatures and its errors."""

from __future__ import annotations

import re
from time import time
from urllib.parse import quote

from core.sigv4 import Signer, parse_credential
from plane.canonical import Fault
from plane.dialect import Operation
from plane.dialects._bedrock_counting import COUNT, countable
from plane.dialects._bedrock_faults import read_fault

__all__ = ["Access"]

SCOPE = re.compile(r"[a-z0-9-]+")


class Access:
    """What the dialects of Bedrock have in common: a base beside `plane.dialect.Dialect`, some of whose methods it has.

    Its only state are the signing keys of the day. stream_end: what the path of a stream ends in.
    """

    stream_end = ""
    signs: bool

    def set_access(self, auth: str, region: str, service: str) -> None:
        """Keep how a call proves who it is from; ValueError where these do not go together.

        auth: ``bearer``, the credential is an API key of Bedrock's; ``sigv4``, it is
        ``ACCESS_KEY_ID:SECRET_ACCESS_KEY[:SESSION_TOKEN]`` of IAM, and `region` says where. service: the name it is
        signed for.
        """
        self.signs = auth == "sigv4"
        if self.signs and not region:
            raise ValueError("'region' is missing: a signature is for one region, such as us-east-1")
        if not SCOPE.fullmatch(region + service):
            raise ValueError("'region' and 'service' are small letters, digits and hyphens")
        self.signer = Signer(region, service)

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
        named = countable(model) or model if operation is COUNT else model
        return operation.path.replace("{model}", quote(named, safe="")) + (self.stream_end if stream else "")

    def can_count(self, model: str) -> bool:
        """Tell whether the tokens of a request to this model can be counted."""
        return bool(countable(model))

    def read_fault(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Fault:
        """Return what an error answer says."""
        return read_fault(status, headers, body)
