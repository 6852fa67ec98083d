"""OpenAI's Responses API on Azure, which stands beside `azure` in a provider's ``also``."""

from __future__ import annotations

from plane.dialect import Operation
from plane.dialects._azure_urls import Options, checked, credential_line, place
from plane.dialects.openai_responses import OpenAIResponses

__all__ = ["AzureResponses", "Options", "build"]


class AzureResponses(OpenAIResponses):
    """The dialect: no deployment stands in its paths; callers ask at OpenAI's."""

    name = "azure_responses"
    wire = "openai_responses"
    prefixes = ()

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options

    def credential_line(self, secret: str) -> bytes:
        """Return the header line that carries a provider's credential."""
        return credential_line(self.options, secret)

    def path(self, operation: Operation, model: str, stream: bool) -> str:
        """Return where a provider is asked, below its base URL."""
        return place(self.options, operation.path, model)


def build(options: Options) -> AzureResponses:
    """Return the dialect; ValueError where the options do not go together."""
    return AzureResponses(checked(options))
