"""What reading a chat body costs: the spans of its routed members, then its view by msgspec."""

import json
from collections.abc import Callable

import msgspec
import pytest

from core.splice import insert_member, replace, scan

Measure = Callable[..., None]
WANTED = (b"model", b"stream", b"stream_options")
OPTION = b'"stream_options":{"include_usage":true}'
TEXT = 'The quick brown fox "jumps" over the lazy dog,\nand the dog sleeps on. '


class View(msgspec.Struct, gc=False):
    model: str
    stream: bool | None = None


def chat(size: int) -> bytes:
    """Return a chat body of about `size` bytes: a short system message, the rest in one of the user's."""
    text = (TEXT * (size // len(TEXT) + 1))[: size - 220]
    messages = [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": text}]
    body = {"model": "gpt-4o-mini", "messages": messages, "temperature": 0.7, "max_tokens": 128, "stream": True}
    return json.dumps(body, separators=(",", ":")).encode()


@pytest.fixture(params=[1024, 16384], ids=["1KB", "16KB"])
def body(request: pytest.FixtureRequest) -> bytes:
    return chat(request.param)


def test_scan(measure: Measure, body: bytes) -> None:
    measure(f"scan of {len(body)} bytes", scan, body, WANTED)


def test_view(measure: Measure, body: bytes) -> None:
    measure(f"msgspec view of {len(body)} bytes", msgspec.json.Decoder(View).decode, body)


def test_scan_of_a_body_of_short_messages(measure: Measure) -> None:
    messages = [{"role": "user", "content": TEXT} for _ in range(10)]
    body = json.dumps({"model": "gpt-4o-mini", "messages": messages}).encode()
    measure(f"scan of {len(body)} bytes, 10 messages", scan, body, WANTED)


def test_model_replaced_and_usage_asked_for(measure: Measure, body: bytes) -> None:
    span = scan(body, WANTED)[0]
    measure(f"replace in {len(body)} bytes", lambda text: insert_member(replace(text, span, b'"gpt-5"'), OPTION), body)
