"""What one call used, in the gateway's own terms."""

from __future__ import annotations

__all__ = ["Usage"]


class Usage:
    """Tokens of one call, read from the upstream's own count.

    input_total includes what was read from a cache (`cache_read`); output_total includes `reasoning`.
    """

    def __init__(self, input_total: int, output_total: int, cache_read: int = 0, reasoning: int = 0) -> None:
        self.input_total = input_total
        self.output_total = output_total
        self.cache_read = cache_read
        self.reasoning = reasoning

    def __repr__(self) -> str:
        return (
            f"Usage(in={self.input_total}, out={self.output_total}, "
            f"cached={self.cache_read}, reasoning={self.reasoning})"
        )
