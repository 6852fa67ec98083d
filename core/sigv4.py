"""AWS Signature Version 4: the header lines that prove who sends a request, over its method, target, fields and body.

Source of the format: "Signing AWS API requests" in AWS's IAM User Guide; the tests compare it with botocore's. This is
the rule for all services but S3: the path, percent-encoded as it is sent, is encoded once more before it is signed.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256
from time import gmtime, strftime
from typing import NamedTuple
from urllib.parse import quote

__all__ = ["Credential", "Signer", "parse_credential"]

ALGORITHM = "AWS4-HMAC-SHA256"


class Credential(NamedTuple):
    """An access key of AWS, as its console and its security token service hand it out.

    session_token: "" for a key that lasts.
    """

    access_key: str
    secret_key: str
    session_token: str = ""

    def __repr__(self) -> str:
        return f"<Credential {self.access_key}>"


def parse_credential(text: str) -> Credential:
    """Return what ``ACCESS_KEY_ID:SECRET_ACCESS_KEY[:SESSION_TOKEN]`` says; ValueError, which repeats none of it."""
    parts = text.split(":")
    if not 2 <= len(parts) <= 3 or not all(parts):
        raise ValueError("a credential of AWS has the form ACCESS_KEY_ID:SECRET_ACCESS_KEY[:SESSION_TOKEN]")
    return Credential(*parts)


class Signer:
    """Signs requests to one service in one region. It keeps the keys that it derived for a day, one per credential."""

    def __init__(self, region: str, service: str) -> None:
        self.region = region
        self.service = service
        self._day = ""
        self._keys: dict[str, bytes] = {}

    def sign(
        self, credential: Credential, method: str, target: str, fields: Mapping[str, str], body: bytes, now: float
    ) -> bytes:
        """Return the header lines ``x-amz-date``, ``x-amz-security-token`` if there is one, and ``authorization``.

        target: path and query exactly as they are sent, percent-encoded. fields: what else is signed, by lower-case
        name: ``host``, as it is sent, and best all that the service acts on. now: seconds since the epoch; AWS refuses
        signatures that are more than five minutes off its own clock.
        """
        time = strftime("%Y%m%dT%H%M%SZ", gmtime(now))
        signed = {**fields, "x-amz-date": time}
        if credential.session_token:
            signed["x-amz-security-token"] = credential.session_token
        names = sorted(signed)
        listed = ";".join(names)
        path, _, query = target.partition("?")
        lines = [method, quote(normal(path), safe="/~"), sorted_query(query)]
        lines += [f"{name}:{' '.join(signed[name].split())}" for name in names]
        lines += ["", listed, sha256(body).hexdigest()]
        scope = f"{time[:8]}/{self.region}/{self.service}/aws4_request"
        digest = sha256("\n".join(lines).encode()).hexdigest()
        text = f"{ALGORITHM}\n{time}\n{scope}\n{digest}"
        signature = hmac.digest(self._key(credential.secret_key, time[:8]), text.encode(), "sha256").hex()
        token = f"x-amz-security-token: {credential.session_token}\r\n" if credential.session_token else ""
        return (
            f"x-amz-date: {time}\r\n{token}authorization: {ALGORITHM} Credential={credential.access_key}/{scope}, "
            f"SignedHeaders={listed}, Signature={signature}\r\n"
        ).encode()

    def _key(self, secret: str, day: str) -> bytes:
        """Return the key that signs on `day`."""
        if day != self._day:
            self._day = day
            self._keys = {}
        key = self._keys.get(secret)
        if key is None:
            key = f"AWS4{secret}".encode()
            for step in (day, self.region, self.service, "aws4_request"):
                key = hmac.digest(key, step.encode(), "sha256")
            self._keys[secret] = key
        return key


def normal(path: str) -> str:
    """Return a path without empty segments and those of one or two dots."""
    if path == "" or ("//" not in path and "/." not in path):
        return path or "/"
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    end = "/" if kept and path.endswith("/") else ""
    return "/" + "/".join(kept) + end


def sorted_query(query: str) -> str:
    """Return the parameters of a query by name and value, each with its equals sign; they are encoded already."""
    if not query:
        return ""
    pairs = sorted(pair.partition("=")[::2] for pair in query.split("&"))
    return "&".join(f"{name}={value}" for name, value in pairs)
