"""What calls used that are no chats: pictures, speech, transcriptions, embeddings and rerankings in OpenAI's dialect.

Newer models count tokens in `usage`. Older ones are billed by the piece and say nothing of it: a picture (by size and
quality), a second of sound heard, a character spoken. These are counted here. Wire formats: the public API reference of
OpenAI and the types of its Python SDK; of those who copy it, their API references.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from plane.dialects._carrying import bounded
from plane.dialects._openai_usage import Counted, usage_of
from plane.dialects._passing import found, passed
from plane.dialects._reranking import rerank_usage
from plane.exchange import Exchange
from plane.usage import Usage

__all__ = ["other_usage"]

PICTURES = ("images", "image edits", "image variations")
HEARD = ("transcriptions", "audio translations")
LONGEST = 1e6
"""Seconds of sound; a longer one is none."""


class Pictures(Struct):
    """What an answer with pictures says: itself, or the event of a stream that ends one. type: of the event."""

    data: list[Any] | None = None
    size: str | None = None
    quality: str | None = None
    type: str = ""


class Asked(Struct):
    """What is asked for, as far as it is billed."""

    input: str = ""
    size: str | None = None
    quality: str | None = None


class Heard(Struct):
    """The long form of a transcription; some write the number as text."""

    duration: float | None = None


_pictures = msgspec.json.Decoder(Pictures)
_asked = msgspec.json.Decoder(Asked)
_heard = msgspec.json.Decoder(Heard, strict=False)


def other_usage(exchange: Exchange, counted: Counted | None) -> Usage | None:
    """Return what a call used whose answer counts no tokens as a chat's does; None where nothing tells.

    counted: the `usage` of the answer, or of the event that ended its stream; None if there was none.
    """
    if not 200 <= exchange.answer_status < 300:
        return None
    kind = exchange.route.operation.kind
    said = passed(exchange)
    usage = usage_of(counted) if counted is not None and counted.input_tokens is not None else None
    if kind in PICTURES:
        return picture_usage(exchange, said, counted, usage)
    if kind in HEARD:
        return usage or sound_usage(said, counted)
    if kind == "speech":
        return speech_usage(exchange, usage)
    if kind == "rerank":
        return usage or rerank_usage(said)
    if usage is None and counted is not None:
        # Some count embeddings in one number. What is left may tell the rest of it: cache reads, searches.
        usage = usage_of(counted)
        if counted.completion_tokens is None:
            usage.input_total = bounded(counted.total_tokens)
    return usage


def picture_usage(exchange: Exchange, said: bytes, counted: Counted | None, usage: Usage | None) -> Usage | None:
    """Return the tokens and the number of pictures; size and quality are what their rate may depend on."""
    if not said:
        return None
    made = found(_pictures, said) or Pictures()
    pictures = 1 if made.type else len(made.data or ())
    if usage is None and pictures == 0:
        return None
    if usage is None:
        usage = Usage(0, 0)
    elif counted is not None and counted.output_tokens_details is None:
        usage.image_out = usage.output_total  # Such a model gives nothing else.
    usage.units = pictures
    asked = Asked() if exchange.upload is not None else found(_asked, exchange.body) or Asked()
    size, quality = made.size or asked.size or "", made.quality or asked.quality or ""
    if size or quality:
        usage.service_tier = f"{size[:16]}/{quality[:15]}"
    return usage


def sound_usage(said: bytes, counted: Counted | None) -> Usage | None:
    """Return the time of the sound heard, from `usage` or, of the long form, from its duration."""
    seconds = counted.seconds if counted is not None else None
    if seconds is None:
        heard = found(_heard, said)
        seconds = heard.duration if heard is not None else None
    if seconds is None or not 0 <= seconds < LONGEST:
        return None
    return Usage(0, 0, milliseconds=round(seconds * 1000))


def speech_usage(exchange: Exchange, usage: Usage | None) -> Usage | None:
    """Return the characters spoken, beside the tokens if those were counted."""
    asked = found(_asked, exchange.body)
    if asked is None:
        return usage
    if usage is None:
        usage = Usage(0, 0)
    usage.units = len(asked.input)
    return usage
