"""OpenAI's models on Azure: the bodies are OpenAI's and pass through as such, addresses and keys are Azure's.

Callers may ask as they ask Azure, at ``/openai/deployments/NAME/chat/completions``: NAME is a model of the gateway's.
"""

from __future__ import annotations

from urllib.parse import unquote

import msgspec

from core.splice import insert_member, scan
from plane.dialect import Operation
from plane.dialects._azure_urls import DEPLOYMENT, Options, checked, credential_line, place
from plane.dialects.openai import OpenAI
from plane.exchange import Exchange

__all__ = ["Azure", "Options", "build"]

DEPLOYED = ("/chat/completions", "/completions", "/embeddings", "/images/", "/audio/")
"""What the operations begin with that belong to a deployment."""


class Azure(OpenAI):
    """The dialect."""

    name = "azure"
    wire = "openai"
    operations = tuple(
        msgspec.structs.replace(operation, path=DEPLOYMENT + operation.path)
        for operation in OpenAI.operations
        if operation.path.startswith(DEPLOYED)
    )
    prefixes = ("/openai",)

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options

    def credential_line(self, secret: str) -> bytes:
        """Return the header line that carries a provider's credential."""
        return credential_line(self.options, secret)

    def path(self, operation: Operation, model: str, stream: bool) -> str:
        """Return where a provider is asked, below its base URL."""
        return place(self.options, operation.path, model)

    def read(self, exchange: Exchange) -> None:
        """Read what the request asks for; the deployment in its path is the model, whatever the body says."""
        body: bytes = exchange.body
        end = exchange.route.operation.path.removeprefix(DEPLOYMENT)
        model = unquote(exchange.path.decode().partition("/deployments/")[2].removesuffix(end))
        if scan(body, (b"model",))[0][0] < 0:
            exchange.body = insert_member(body, b'"model":' + msgspec.json.encode(model))
        super().read(exchange)
        exchange.model_name = model


def build(options: Options) -> Azure:
    """Return the dialect; ValueError where the options do not go together."""
    return Azure(checked(options))
