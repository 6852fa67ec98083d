"""What a call used, as OpenAI and those who say they are compatible tell it."""

from __future__ import annotations

from msgspec import Struct

from plane.usage import Usage

__all__ = ["Counted", "usage_of"]

LIMIT = 1 << 40
"""A count from here on is no count of tokens."""


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


def bounded(count: int | None) -> int:
    """Return a token count that can be added up: what is absent, negative or absurd counts as nothing."""
    return count if count is not None and 0 <= count < LIMIT else 0


def usage_of(counted: Counted, reasoning_counted: bool = True, service_tier: str = "") -> Usage:
    """Return what an answer says it used.

    reasoning_counted: as of `Options`; where the total says that reasoning comes on top, it does.
    """
    is_chat = counted.input_tokens is None
    into = counted.prompt_tokens_details or counted.input_tokens_details or counted.input_token_details
    out = counted.completion_tokens_details or counted.output_tokens_details
    taken = bounded(counted.prompt_tokens if is_chat else counted.input_tokens)
    given = bounded(counted.completion_tokens if is_chat else counted.output_tokens)
    total = bounded(counted.total_tokens)
    reasoning = bounded(out.reasoning_tokens) if out is not None else 0
    if reasoning and (total == taken + given + reasoning or (not reasoning_counted and total != taken + given)):
        given += reasoning
    cached = bounded(into.cached_tokens) if into is not None else 0
    if cached == 0:
        cached = bounded(counted.prompt_cache_hit_tokens) or bounded(counted.cached_tokens)
    # PERF: the rest is set, not passed: arguments by name are a dict each time.
    usage = Usage(taken, given, min(cached, taken), min(reasoning, given))
    usage.service_tier = service_tier
    if into is not None:
        usage.cache_write_5m = min(bounded(into.cache_write_tokens), taken - usage.cache_read)
        usage.audio_in = min(bounded(into.audio_tokens), taken)
        usage.image_in = min(bounded(into.image_tokens), taken - usage.audio_in)
    if out is not None:
        usage.audio_out = min(bounded(out.audio_tokens), given)
        usage.image_out = min(bounded(out.image_tokens), given - usage.audio_out)
    if counted.prompt_audio_seconds is not None:
        usage.milliseconds = bounded(counted.prompt_audio_seconds) * 1000
    usage.server_tools = bounded(counted.num_search_queries)
    return usage
