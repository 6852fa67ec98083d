"""What scanning a stream costs for each event, at one and at eight of them per read."""

from collections.abc import Callable

import pytest

from core.sse import EventScan

Measure = Callable[..., None]
CHUNK = (
    b'data: {"id":"chatcmpl-AbCdEfGhIjKlMnOpQrStUvWxYz012","object":"chat.completion.chunk","created":1763900000,'
    b'"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_0123456789","choices":'
    b'[{"index":0,"delta":{"content":" hello"},"logprobs":null,"finish_reason":null}]%b}\n\n'
)
USAGE = b',"usage":{"prompt_tokens":12,"completion_tokens":34,"total_tokens":46}'


@pytest.mark.parametrize("usage", [b"", b',"usage":null', USAGE], ids=["plain", "usage null", "usage"])
@pytest.mark.parametrize("events", [1, 8])
def test_feed(measure: Measure, events: int, usage: bytes) -> None:
    read = CHUNK % usage * events
    measure(f"event, {events} per read of {len(read)} bytes", EventScan().feed, read, operations=events)


def test_feed_of_events_cut_in_two(measure: Measure) -> None:
    stream = CHUNK % b"" * 8
    cut = len(stream) // 2 + 20
    scan = EventScan()

    def feed_both(first: bytes, second: bytes) -> None:
        scan.feed(first)
        scan.feed(second)

    measure("event, 8 in two reads", feed_both, stream[:cut], stream[cut:], operations=8)
