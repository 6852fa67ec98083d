"""Bedrock's Converse as it comes: the parts of answers and events that are read, and what their words mean.

Source: the reference of the Bedrock Runtime API, `Converse` and `ConverseStream`, and botocore's model of it.
"""

from __future__ import annotations

from msgspec import Raw, Struct

from plane.canonical import Stop
from plane.usage import Usage

__all__ = [
    "FAMILY",
    "STATUSES",
    "STOPS",
    "BlockDelta",
    "BlockStart",
    "BlockStop",
    "Counted",
    "Ended",
    "Said",
    "usage_of",
]

FAMILY = "bedrock"
"""Whose proofs of thoughts these are. Anthropic's own API takes none of them, nor does Bedrock take Anthropic's."""

STOPS: dict[str, Stop] = {
    "end_turn": "end",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "stop_sequence": "stop_sequence",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "malformed_model_output": "error",
    "malformed_tool_use": "error",
}

STATUSES = {
    "accessdenied": 403,
    "internalserver": 500,
    "modelerror": 502,
    "modelnotready": 429,
    "modelstreamerror": 502,
    "modeltimeout": 408,
    "resourcenotfound": 404,
    "servicequotaexceeded": 429,
    "serviceunavailable": 503,
    "throttling": 429,
    "toomanyrequests": 429,
    "validation": 400,
}
"""What an error means to a caller, by its name in lower case without ``Exception``.

Bedrock itself answers 424 where the model failed and 400 where a quota is used up.
"""


class CacheDetail(Struct, rename="camel"):
    """What was written to the prompt cache, to live so long."""

    ttl: str = ""
    input_tokens: int = 0


class TokenUsage(Struct, rename="camel"):
    """Counts of tokens; those of the cache are not part of `input_tokens`."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None
    cache_details: list[CacheDetail] | None = None


class Tier(Struct):
    """How urgently the call was served."""

    type: str = ""


class ToolUse(Struct, rename="camel"):
    """A call of a tool. type: ``server_tool_use`` where Bedrock runs it itself."""

    tool_use_id: str
    name: str
    input: Raw = Raw(b"{}")
    type: str = ""


class ReasoningText(Struct):
    """A thought and its proof."""

    text: str = ""
    signature: str | None = None


class ReasoningContent(Struct, rename="camel"):
    """A thought, or one that is opaque (base64)."""

    reasoning_text: ReasoningText | None = None
    redacted_content: str | None = None


class CitedText(Struct):
    """Words that have a source."""

    text: str | None = None


class CitationsContent(Struct):
    """Words with their sources, which the hub does not carry."""

    content: list[CitedText] = []


class Block(Struct, rename="camel"):
    """One part of an answer: exactly one of these, or something that is not known here."""

    text: str | None = None
    tool_use: ToolUse | None = None
    reasoning_content: ReasoningContent | None = None
    citations_content: CitationsContent | None = None


class Spoken(Struct):
    """The model's turn."""

    content: list[Block]


class Output(Struct):
    """What holds the model's turn."""

    message: Spoken


class FieldsAsked(Struct):
    """What was asked for by `additionalModelResponseFieldPaths`."""

    stop_sequence: str | None = None


class Said(Struct, rename="camel"):
    """An answer."""

    output: Output
    stop_reason: str = "end_turn"
    usage: TokenUsage | None = None
    additional_model_response_fields: FieldsAsked | None = None
    service_tier: Tier | None = None


class Start(Struct, rename="camel"):
    """How a block begins that says so."""

    tool_use: ToolUse | None = None


class BlockStart(Struct, rename="camel"):
    """Event ``contentBlockStart``; blocks of text and of thoughts come without."""

    content_block_index: int
    start: Start


class ToolDelta(Struct):
    """More text of a call's arguments."""

    input: str = ""


class ReasoningDelta(Struct, rename="camel"):
    """More of a thought."""

    text: str | None = None
    signature: str | None = None
    redacted_content: str | None = None


class Delta(Struct, rename="camel"):
    """More of a block: one of these, or something that is not known here."""

    text: str | None = None
    tool_use: ToolDelta | None = None
    reasoning_content: ReasoningDelta | None = None


class BlockDelta(Struct, rename="camel"):
    """Event ``contentBlockDelta``."""

    content_block_index: int
    delta: Delta


class BlockStop(Struct, rename="camel"):
    """Event ``contentBlockStop``."""

    content_block_index: int


class Ended(Struct, rename="camel"):
    """Event ``messageStop``."""

    stop_reason: str = "end_turn"
    additional_model_response_fields: FieldsAsked | None = None


class Counted(Struct, rename="camel"):
    """Event ``metadata``, the last of a stream."""

    usage: TokenUsage | None = None
    service_tier: Tier | None = None


def usage_of(counted: TokenUsage | None, tier: Tier | None) -> Usage | None:
    """Return what a call used."""
    if counted is None:
        return None
    read = bounded(counted.cache_read_input_tokens)
    written = bounded(counted.cache_write_input_tokens)
    long = sum(bounded(detail.input_tokens) for detail in counted.cache_details or () if detail.ttl == "1h")
    long = min(long, written)
    return Usage(
        bounded(counted.input_tokens) + read + written,
        bounded(counted.output_tokens),
        read,
        cache_write_5m=written - long,
        cache_write_1h=long,
        service_tier=tier.type if tier is not None else "",
    )


def bounded(count: int | None) -> int:
    """Return a count that can be added up: what is absent, negative or absurd counts as nothing."""
    return count if count is not None and 0 <= count < 1 << 40 else 0
