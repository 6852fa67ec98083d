"""A request and a stream of Gemini: refused in the right words, or read, written and read again without a fault."""

from collections.abc import Hashable

from core.errors import GatewayError
from plane.canonical import Carry, Event, Failed, PartEnded, PartStarted, Started, Stopped, UsageCounted
from plane.dialects._gemini_chat import GeminiChat
from plane.dialects._gemini_events import GeminiReader
from tests.fuzz.engine import cuts

WORDS = (
    *(
        b'"contents":',
        b'"parts":',
        b'"role":',
        b'"model"',
        b'"user"',
        b'{"text":"x"}',
        b'"inline_data":',
        b'"fileData":',
    ),
    *(b'"functionCall":{"name":"f","args":{"a":1}}', b'"functionResponse":{"name":"f","response":{"output":"x"}}'),
    *(b'"thought":true', b'"thoughtSignature":"aGcxLmFudGhyb3BpYy54"', b'"systemInstruction":', b'"generationConfig":'),
    *(b'"thinkingConfig":{"thinkingBudget":0}', b'"responseSchema":{"type":"OBJECT","nullable":true}', b'"topK":1e9'),
    *(
        b'"tools":[{"functionDeclarations":[{"name":"f","parameters":',
        b'"toolConfig":',
        b'"mode":"ANY"',
        b"null",
        b"[]",
    ),
    *(
        b'data: {"candidates":[',
        b'{"content":',
        b'"finishReason":"STOP"',
        b'"index":1',
        b'"usageMetadata":',
        b"\r\n\r\n",
    ),
    *(b'data: [{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}]', b'"promptFeedback":{"blockReason":"SAFETY"}'),
)
MODELS = ("gemini-3-pro", "gemini-2.5-flash", "gemini-2.0-flash")


def check(data: bytes) -> Hashable:
    """Take `data` for a stream if it begins as one, else for a request."""
    return stream(data) if data.startswith((b"data:", b"\n", b"\r")) else request(data)


def request(data: bytes) -> Hashable:
    """Read a request, write it for models of each generation, and read that."""
    chat = GeminiChat()
    try:
        asked = chat.read_request(data, "m", False)
    except GatewayError as error:
        return refused(error)
    outcomes: list[Hashable] = []
    for model in MODELS:
        carry = Carry(model, drops=True)
        try:
            written = chat.write_request(asked, carry)
        except GatewayError as error:
            outcomes.append(refused(error))
            continue
        again = chat.read_request(written, "m", False)
        assert len(again.messages) <= max(1, 2 * len(asked.messages))
        outcomes.append(tuple(carry.names))
    return tuple(outcomes)


def refused(error: GatewayError) -> Hashable:
    """Return what a refusal says."""
    assert (error.status, error.source) == (400, "caller"), error
    return error.code, error.param


def stream(data: bytes) -> Hashable:
    """Compare one read with many, and look whether parts begin and end in order."""
    events = outcome([data])
    if isinstance(events, GatewayError):
        assert (events.status, events.code) == (502, "upstream_bad_answer")
        return events.code
    assert repr(outcome(cuts(data))) == repr(events), "another cut, other events"
    assert isinstance(events[-1], Failed | Stopped | UsageCounted), "the end is not told"
    open_parts: set[tuple[int, int]] = set()
    for place, event in enumerate(events):
        assert not isinstance(event, Started) or place == 0
        if isinstance(event, PartStarted):
            open_parts.add((event.choice, event.index))
        elif isinstance(event, PartEnded):
            open_parts.remove((event.choice, event.index))
        elif isinstance(event, Stopped):
            assert not any(choice == event.choice for choice, _ in open_parts)
        elif not isinstance(event, Started | Failed | UsageCounted):
            assert (event.choice, event.index) in open_parts
    return tuple(type(event).__name__ for event in events[:8]), type(events[-1]).__name__


def outcome(pieces: list[bytes]) -> list[Event] | GatewayError:
    """Return all events, or why there are none."""
    reader = GeminiReader(Carry("m"))
    reader.id = "an id, as none is made up then"
    try:
        return [event for piece in pieces for event in reader.feed(piece)] + reader.flush()
    except GatewayError as error:
        return error
