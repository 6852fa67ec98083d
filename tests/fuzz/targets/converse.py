"""A stream of Converse: the same events however it is cut, parts that begin and end in order, an end that is told."""

from collections.abc import Hashable

from plane.canonical import Carry, Event, Failed, PartEnded, PartStarted, Started, Stopped, UsageCounted
from plane.dialects._bedrock_events import Reader
from tests.fuzz.engine import cuts
from tests.providers.event_stream import header, message

WORDS = (
    *(
        b"messageStart ",
        b"contentBlockStart ",
        b"contentBlockDelta ",
        b"contentBlockStop ",
        b"messageStop ",
        b"metadata ",
    ),
    *(b"!throttlingException ", b"!modelStreamErrorException ", b"\n", b'{"message":"x"}', b'"contentBlockIndex":'),
    *(b'{"contentBlockIndex":0,"delta":{"text":"x"}}', b'{"contentBlockIndex":1,"delta":{"toolUse":{"input":"{}"}}}'),
    b'{"contentBlockIndex":1,"start":{"toolUse":{"toolUseId":"t","name":"n"}}}',
    *(b'{"contentBlockIndex":0}', b'{"stopReason":"end_turn"}', b'{"usage":{"inputTokens":1,"outputTokens":2}}'),
    *(
        b'{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"x"}}}',
        b'"signature":"s"',
        b'"redactedContent":"eA=="',
    ),
    *(b"null", b"-1", b"{}", b"[]", b'"type":"server_tool_use"'),
)


def stream_of(data: bytes) -> bytes:
    """Return the messages that the lines of `data` stand for: a kind, of an exception behind ``!``, and a payload."""
    messages = []
    for line in data.split(b"\n"):
        kind, _, payload = line.partition(b" ")
        name = kind.removeprefix(b"!").decode("latin-1")[:100]
        said = "exception" if kind.startswith(b"!") else "event"
        headers = header(f":{said}-type", 7, name) + header(":message-type", 7, said)
        messages.append(message(headers, payload))
    return b"".join(messages)


def outcome(pieces: list[bytes]) -> list[Event]:
    """Return all events."""
    reader = Reader(Carry("m"))
    return [event for piece in pieces for event in reader.feed(piece)] + reader.flush()


def check(data: bytes) -> Hashable:
    """Compare one read with many; what begins with ``%`` is the stream itself."""
    stream = data[1:] if data[:1] == b"%" else stream_of(data)
    events = outcome([stream])
    assert repr(outcome(cuts(stream))) == repr(events), "another cut, other events"
    assert isinstance(events[-1], Failed | Stopped | UsageCounted), "the end is not told"
    open_parts: set[int] = set()
    started = 0
    for place, event in enumerate(events):
        assert isinstance(event, Started) == (place == 0) or isinstance(events[0], Failed)
        if isinstance(event, PartStarted):
            assert event.index == started
            started += 1
            open_parts.add(event.index)
        elif isinstance(event, PartEnded):
            open_parts.remove(event.index)
        elif isinstance(event, Stopped | Failed | UsageCounted):
            assert not open_parts
        elif not isinstance(event, Started):
            assert event.index in open_parts
    return tuple(type(event).__name__ for event in events[:8]), type(events[-1]).__name__
