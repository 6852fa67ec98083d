"""What one call used, in the gateway's own terms."""

from __future__ import annotations

__all__ = ["Usage"]


class Usage:
    """Tokens and other units of one call, read from the upstream's own count before anything is translated.

    input_total includes what was read from a prompt cache (`cache_read`) and written to one (`cache_write_5m`,
    `cache_write_1h`, by how long it lives), and `audio_in`, `image_in` and `tool_use_prompt`; output_total includes
    `reasoning`, `audio_out` and `image_out`: all of them tokens, whatever the dialect counts apart.
    server_tools: calls of tools that the provider ran. units: what is billed by count (images made, characters spoken,
    searches of a rerank, pages read); milliseconds: of audio heard. service_tier: as the provider says, "" if it does
    not; of pictures ``size/quality``, on which their price may depend. estimated: the call was cut short and the counts
    are the gateway's own guess.
    """

    def __init__(
        self,
        input_total: int,
        output_total: int,
        cache_read: int = 0,
        reasoning: int = 0,
        *,
        cache_write_5m: int = 0,
        cache_write_1h: int = 0,
        audio_in: int = 0,
        audio_out: int = 0,
        image_in: int = 0,
        image_out: int = 0,
        tool_use_prompt: int = 0,
        server_tools: int = 0,
        units: int = 0,
        milliseconds: int = 0,
        service_tier: str = "",
        estimated: bool = False,
    ) -> None:
        self.input_total = input_total
        self.output_total = output_total
        self.cache_read = cache_read
        self.reasoning = reasoning
        self.cache_write_5m = cache_write_5m
        self.cache_write_1h = cache_write_1h
        self.audio_in = audio_in
        self.audio_out = audio_out
        self.image_in = image_in
        self.image_out = image_out
        self.tool_use_prompt = tool_use_prompt
        self.server_tools = server_tools
        self.units = units
        self.milliseconds = milliseconds
        self.service_tier = service_tier
        self.estimated = estimated

    @property
    def input_uncached(self) -> int:
        """Input that no cache held or took: what is billed at the plain rate, and Anthropic's `input_tokens`."""
        return max(0, self.input_total - self.cache_read - self.cache_write_5m - self.cache_write_1h)

    def __repr__(self) -> str:
        return (
            f"Usage(in={self.input_total}, out={self.output_total}, "
            f"cached={self.cache_read}, reasoning={self.reasoning})"
        )
