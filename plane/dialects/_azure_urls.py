"""Where Azure has OpenAI's operations, and how it takes a credential.

Source: Microsoft's reference of Azure OpenAI in Foundry Models, "API version lifecycle" and the REST reference.
"""

from __future__ import annotations

from typing import Literal
from urllib.parse import quote

from msgspec import Struct

__all__ = ["DEPLOYMENT", "Options", "checked", "credential_line", "place"]

DEPLOYMENT = "/deployments/{model}"
"""Stands before the path of an operation that names its model there."""


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """How Azure is called. The base URL of the provider ends before ``/openai``.

    style: ``v1``, its API without versions, where the body names the deployment; ``dated``, the one before, where the
    path does. api_version: of the dated style, such as ``2024-10-21``; in the other, ``preview`` or nothing. auth:
    ``key``, the credential is a key of the resource; ``bearer``, it is a token of Microsoft Entra ID.
    """

    style: Literal["v1", "dated"] = "v1"
    api_version: str = ""
    auth: Literal["key", "bearer"] = "key"


def checked(options: Options) -> Options:
    """Return the options; ValueError where they do not go together."""
    if options.style == "dated" and not options.api_version:
        raise ValueError("'api_version' is missing: the dated style needs one, such as 2024-10-21")
    return options


def place(options: Options, path: str, model: str) -> str:
    """Return where the operation at `path` is asked, below the resource's address."""
    version = f"?api-version={quote(options.api_version, safe='')}" if options.api_version else ""
    if options.style == "v1":
        return f"/openai/v1{path.removeprefix(DEPLOYMENT)}{version}"
    return f"/openai{path.replace('{model}', quote(model, safe=''))}{version}"


def credential_line(options: Options, secret: str) -> bytes:
    """Return the header line that carries the credential."""
    if options.auth == "bearer":
        return b"authorization: Bearer %b\r\n" % secret.encode()
    return b"api-key: %b\r\n" % secret.encode()
