"""Recorded bytes of providers that speak another dialect than the caller: one answer and one stream in each."""

import json
import struct
from binascii import crc32
from typing import NamedTuple

__all__ = ["PROVIDERS", "Recorded"]

WORDS = ("The second parcel is three days late. " * 24)[:900]
WORD = " parcel"


class Recorded(NamedTuple):
    """A provider. host, base: where it is. model: what it calls the model. answer: to a chat call, 1 KB.

    kind: of its streams; they are `start`, `event` for each word, and `end`.
    """

    dialect: str
    host: str
    base: str
    model: str
    answer: bytes
    kind: bytes
    start: bytes
    event: bytes
    end: bytes


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _anthropic() -> Recorded:
    def event(kind: str, **members: object) -> bytes:
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), _json({"type": kind, **members}))

    message = {"id": "msg_bench", "type": "message", "role": "assistant", "model": "real", "stop_sequence": None}
    usage = {"input_tokens": 82, "cache_read_input_tokens": 128, "cache_creation_input_tokens": 0, "output_tokens": 120}
    content = [{"type": "text", "text": WORDS}]
    return Recorded(
        "anthropic",
        "anthropic.test",
        "http://anthropic.test:9003",
        "real",
        _json({**message, "content": content, "stop_reason": "end_turn", "usage": usage}),
        b"text/event-stream",
        event("message_start", message={**message, "content": [], "stop_reason": None, "usage": usage})
        + event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": WORD}),
        event("content_block_stop", index=0)
        + event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 9})
        + event("message_stop"),
    )


def _gemini() -> Recorded:
    def answer(words: str, **members: object) -> bytes:
        candidate = {"content": {"parts": [{"text": words}], "role": "model"}, "index": 0, **members}
        counts = {"promptTokenCount": 210, "candidatesTokenCount": 120, "totalTokenCount": 330}
        return _json(
            {"candidates": [candidate], "usageMetadata": counts, "modelVersion": "real", "responseId": "bench"}
        )

    def event(words: str, **members: object) -> bytes:
        return b"data: %b\r\n\r\n" % answer(words, **members)

    return Recorded(
        "gemini",
        "gemini.test",
        "http://gemini.test:9004/v1beta",
        "real",
        answer(WORDS, finishReason="STOP"),
        b"text/event-stream",
        b"",
        event(WORD),
        event("", finishReason="STOP"),
    )


def _bedrock() -> Recorded:
    def event(kind: str, **members: object) -> bytes:
        fields = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
        head = b"".join(
            bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
            for name, value in fields.items()
        )
        body = _json({**members, "p": "abcdefghij"})
        prelude = struct.pack(">II", len(head) + len(body) + 16, len(head))
        text = prelude + struct.pack(">I", crc32(prelude)) + head + body
        return text + struct.pack(">I", crc32(text))

    usage = {"inputTokens": 210, "outputTokens": 120, "totalTokens": 330}
    message = {"role": "assistant", "content": [{"text": WORDS}]}
    metrics = {"latencyMs": 20}
    return Recorded(
        "bedrock",
        "bedrock.test",
        "http://bedrock.test:9005",
        "real",
        _json({"output": {"message": message}, "stopReason": "end_turn", "usage": usage, "metrics": metrics}),
        b"application/vnd.amazon.eventstream",
        event("messageStart", role="assistant"),
        event("contentBlockDelta", contentBlockIndex=0, delta={"text": WORD}),
        event("contentBlockStop", contentBlockIndex=0)
        + event("messageStop", stopReason="end_turn")
        + event("metadata", usage=usage, metrics=metrics),
    )


PROVIDERS = (_anthropic(), _gemini(), _bedrock())
