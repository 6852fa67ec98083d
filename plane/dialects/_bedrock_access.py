"""How AWS's Bedrock is reached, whatever is spoken there: its addresses, its keys and its signatures."""

from __future__ import annotations

import re
from time import time
from urllib.parse import quote

from core.sigv4 import Signer, parse_credential
from plane.dialect import Operation

__all__ = ["Access", "place"]

SCOPE = re.compile(r"[a-z0-9-]+")


class Access:
    """One way to prove who calls; its only state are the signing keys of the day.

    auth: ``bearer``, the credential is an API key of Bedrock's; ``sigv4``, it is
    ``ACCESS_KEY_ID:SECRET_ACCESS_KEY[:SESSION_TOKEN]`` of IAM, and `region` says where. service: the name it is signed
    for. Raises ValueError where these do not go together.
    """

    def __init__(self, auth: str, region: str, service: str) -> None:
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


def place(operation: Operation, model: str) -> str:
    """Return where an operation is asked; an ARN is one segment, its colons and slashes encoded."""
    return operation.path.replace("{model}", quote(model, safe=""))
