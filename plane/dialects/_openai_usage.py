"""What a call used, as OpenAI and those who say they are compatible tell it."""

from __future__ import annotations

from msgspec import Struct
from msgspec.json import Decoder

from plane.dialects._openai_counts import Counts
from plane.usage import Usage

__all__ = ["Counted", "counts_at", "usage_of"]


class InputDetails(Struct, gc=False):
    """Parts of the input count."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


class OutputDetails(Struct, gc=False):
    """Parts of the output count."""

    reasoning_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


class Counted(Struct):
    """The `usage` object of an answer.

    input_tokens .. seconds: of images and transcriptions. At the top level, prompt_cache_hit_tokens is DeepSeek's,
    cached_tokens Moonshot's, num_search_queries Perplexity's, prompt_audio_seconds Mistral's.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: InputDetails | None = None
    completion_tokens_details: OutputDetails | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: InputDetails | None = None
    input_token_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None
    seconds: float | None = None
    prompt_cache_hit_tokens: int | None = None
    cached_tokens: int | None = None
    num_search_queries: int | None = None
    prompt_audio_seconds: int | None = None


COUNTED: Decoder[Counted | None] = Decoder(Counted | None)


def usage_of(counted: Counted, reasoning_counted: bool = True, service_tier: str = "") -> Usage:
    """Return what an answer says it used. reasoning_counted: as of `Options`."""
    counts = Counts()
    counts.take(counted)
    usage = counts.usage(reasoning_counted)
    usage.service_tier = service_tier
    return usage


def counts_at(text: bytes, start: int, end: int) -> Counts | None:
    """Return what the `usage` of an answer counts, None if it is null; msgspec.MsgspecError if it is no such object.

    start, end: its span in `text`.
    """
    counts = Counts()
    if not counts.read(text, start, end) or counts.is_silent():
        counted = COUNTED.decode(text[start:end])
        if counted is None:
            return None
        counts = Counts()
        counts.take(counted)
    return counts
