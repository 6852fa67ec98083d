"""What is sent and answered: a 1 KB chat call, its 1 KB answer, and streams of events; constant bytes throughout."""

import json

__all__ = ["CHAT", "CHAT_ANSWER", "DONE", "EVENTS", "STREAM_EVENT", "STREAM_PAYLOAD", "STREAM_USAGE", "stream_call"]

# Events with content in one stream: long enough that opening and closing it weighs little.
EVENTS = 256


def _fill(words: str, size: int, text: dict[str, object], leaf: dict[str, object]) -> bytes:
    """Return `text` as JSON of exactly `size` bytes, made so by the length of ``leaf["content"]``."""
    leaf["content"] = ""
    empty = len(json.dumps(text, separators=(",", ":")))
    leaf["content"] = (f"{words} " * size)[: size - empty]
    return json.dumps(text, separators=(",", ":")).encode()


def _chat() -> bytes:
    user: dict[str, object] = {"role": "user"}
    call: dict[str, object] = {
        "model": "chat",
        "messages": [{"role": "system", "content": "You answer in one sentence."}, user],
        "temperature": 0.2,
        "max_tokens": 256,
    }
    return _fill("Which of these parcels is late, and by how many days?", 1024, call, user)


def _chat_answer() -> bytes:
    message: dict[str, object] = {"role": "assistant"}
    answer: dict[str, object] = {
        "id": "chatcmpl-bench00000000000000000000",
        "object": "chat.completion",
        "created": 1760000000,
        "model": "chat",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 210,
            "completion_tokens": 120,
            "total_tokens": 330,
            "prompt_tokens_details": {"cached_tokens": 128},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
        "system_fingerprint": "fp_bench",
    }
    return _fill("The second parcel is three days late.", 1024, answer, message)


def _event(data: dict[str, object]) -> bytes:
    head = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1760000000, "model": "stream"}
    return b"data: " + json.dumps(head | data, separators=(",", ":")).encode() + b"\n\n"


CHAT = _chat()
CHAT_ANSWER = _chat_answer()
STREAM_EVENT = _event({"choices": [{"index": 0, "delta": {"content": " parcel"}, "finish_reason": None}]})
STREAM_USAGE = _event({"choices": [], "usage": {"prompt_tokens": 21, "completion_tokens": 256, "total_tokens": 277}})
DONE = b"data: [DONE]\n\n"
# What a caller that did not ask for usage must get, byte for byte.
STREAM_PAYLOAD = STREAM_EVENT * EVENTS + DONE


def stream_call(model: str) -> bytes:
    """Return the body of a streamed call; `model` tells the upstream how to pace."""
    call = {"model": model, "stream": True, "messages": [{"role": "user", "content": "Where is my parcel?"}]}
    return json.dumps(call, separators=(",", ":")).encode()
