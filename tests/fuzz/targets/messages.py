"""A stream of Anthropic's: the same events however it is cut, parts in order, and a well-formed stream for a caller."""

import json
from collections.abc import Hashable

from plane.canonical import Carry, Event, Failed, PartEnded, PartStarted, Started, Stopped, UsageCounted
from plane.dialects._anthropic_events import Reader, Writer
from tests.fuzz.engine import cuts

WORDS = (
    *(
        b"\n\n",
        b"\r\n\r\n",
        b"data: ",
        b"event: ping\n",
        b": x\n",
        b"null",
        b"-1",
        b"{}",
        b"[]",
        b'"type":"server_tool_use"',
    ),
    *(
        b'{"type":"message_start","message":{"usage":{"input_tokens":1}}}',
        b'{"type":"message_stop"}',
        b'{"type":"ping"}',
    ),
    *(
        b'{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}',
        b'{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"n","input":{}}}',
        b'{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"a"}}',
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}',
        b'{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{}"}}',
        b'{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"s"}}',
        b'{"type":"content_block_stop","index":0}',
        b'{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":2}}',
        b'{"type":"error","error":{"type":"overloaded_error","message":"no"}}',
    ),
)


def outcome(pieces: list[bytes]) -> list[Event]:
    """Return all events."""
    reader = Reader(Carry("m"))
    return [event for piece in pieces for event in reader.feed(piece)] + reader.flush()


def check(data: bytes) -> Hashable:
    """Compare one read with many, and look at the order of what is read and of what a caller gets."""
    events = outcome([data])
    assert repr(outcome(cuts(data))) == repr(events), "another cut, other events"
    assert isinstance(events[-1], Failed | Stopped | UsageCounted), "the end is not told"
    open_parts: set[int] = set()
    started = 0
    for place, event in enumerate(events):
        assert isinstance(event, Started) == (place == 0) or isinstance(event, Failed)
        if isinstance(event, PartStarted):
            assert event.index == started
            started += 1
            open_parts.add(event.index)
        elif isinstance(event, PartEnded):
            open_parts.remove(event.index)
        elif isinstance(event, Stopped):
            assert not open_parts
        elif not isinstance(event, Started | Failed | UsageCounted):
            assert event.index in open_parts
    writer = Writer("m")
    check_written(writer.write(events) + writer.flush(), isinstance(events[-1], Failed))
    return tuple(type(event).__name__ for event in events[:8]), type(events[-1]).__name__


def check_written(stream: bytes, failed: bool) -> None:
    """Look at a caller's stream: one block open at a time, each begun and ended, and the end that it should have."""
    *blocks, rest = stream.split(b"\n\n")
    assert rest == b""
    kinds = []
    open_block, count = -1, 0
    for block in blocks:
        event = json.loads(block.split(b"\ndata: ", 1)[1])
        kinds.append(event["type"])
        if event["type"] == "content_block_start":
            assert (open_block, event["index"]) == (-1, count)
            open_block, count = count, count + 1
        elif event["type"].startswith("content_block"):
            assert event["index"] == open_block
            if event["type"] == "content_block_stop":
                open_block = -1
    assert ("message_stop" in kinds) != failed
    assert kinds[-1] == ("error" if failed else "message_stop")
