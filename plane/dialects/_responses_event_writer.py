"""Streams of OpenAI's Responses API, written for a caller. Wire format: the types of its Python SDK.

Clients build the response from the events and check them against each other: each item and each part is added before it
grows and done at its end, ids do not change, and numbers grow by one. The last event has the whole response once more.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from plane.canonical import (
    ArgumentsDelta,
    Event,
    Failed,
    Fault,
    PartEnded,
    PartStarted,
    RefusalDelta,
    Request,
    SignatureDelta,
    Started,
    Stop,
    Stopped,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    UsageCounted,
)
from plane.dialects._json import one_line
from plane.dialects._responses_answers import (
    Json,
    call_item,
    close_response,
    message_item,
    open_response,
    own_logprobs,
    refusal_content,
    status_of,
    text_content,
    thought_item,
)
from plane.usage import Usage

__all__ = ["EventWriter"]

TEXT_DELTA = (
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":%d,'
    b'"item_id":%b,"output_index":%d,"content_index":%d,"delta":%b,"logprobs":%b}\n\n'
)
DELTA = b'event: %b\ndata: {"type":"%b","sequence_number":%d,"item_id":%b,"output_index":%d,%b"delta":%b}\n\n'
REFUSAL_DELTA = b"response.refusal.delta"
SUMMARY_DELTA = b"response.reasoning_summary_text.delta"
ARGUMENTS_DELTA = b"response.function_call_arguments.delta"
INPUT_DELTA = b"response.custom_tool_call_input.delta"

encode = msgspec.json.Encoder().encode


class Growing:
    """A part under way, and where it stands in the output."""

    __slots__ = (
        "call",
        "content",
        "family",
        "item_id",
        "item_json",
        "kind",
        "logprobs",
        "pieces",
        "place",
        "redacted",
        "signature",
    )

    def __init__(self, kind: str, place: int, content: int, item_id: str) -> None:
        self.kind = kind
        self.place = place
        self.content = content
        self.item_id = item_id
        self.item_json = encode(item_id)
        self.pieces: list[str] = []
        self.logprobs: list[Raw] = []
        self.signature = ""
        self.family = ""
        self.redacted = ""
        self.call: ToolCall | None = None

    @property
    def text(self) -> str:
        """What has come of it."""
        return "".join(self.pieces)


class EventWriter:
    """Writes one stream; see `plane.dialect.EventWriter`."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._number = 0
        self._response: Json = {}
        self._output: list[Json] = []
        self._parts: dict[int, Growing] = {}
        self._message: Json | None = None  # The message that takes more parts, and its place.
        self._place = 0
        self._stop: Stop | None = None
        self._usage: Usage | None = None
        self._over = False

    def write(self, events: list[Event]) -> bytes:
        """Return the bytes of these events."""
        out: list[bytes] = []
        for event in events:
            if self._over:
                break
            if isinstance(event, TextDelta):
                if event.choice == 0:
                    out.append(self._text_delta(event))
            elif not self._response:
                self._open(event if isinstance(event, Started) else Started(), out)
                self._write(event, out)
            else:
                self._write(event, out)
        return b"".join(out)

    def flush(self) -> bytes:
        """Return the event that ends the stream, unless it has come already."""
        out: list[bytes] = []
        if not self._over:
            if not self._response:
                self._open(Started(), out)
            if self._stop is None:
                self._fail(Fault(status=502, message="The stream of the provider has broken off."), out)
            else:
                self._end(out)
        return b"".join(out)

    def _write(self, event: Event, out: list[bytes]) -> None:
        if isinstance(event, UsageCounted):
            self._usage = event.usage
            if self._stop is not None:
                self._end(out)
        elif isinstance(event, Failed):
            self._fail(event.fault, out)
        elif isinstance(event, Started) or event.choice != 0:
            return
        elif isinstance(event, PartStarted):
            self._start(event, out)
        elif isinstance(event, PartEnded):
            self._finish(self._parts.pop(event.index), out)
        elif isinstance(event, Stopped):
            self._close_message(out)
            self._stop = event.stop
        elif isinstance(event, SignatureDelta):
            part = self._parts[event.index]
            part.signature += event.signature
            part.family = event.family or part.family
        elif isinstance(event, ThinkingDelta):
            self._thinking_delta(self._parts[event.index], event.text, out)
        elif isinstance(event, ArgumentsDelta):
            part = self._parts[event.index]
            part.pieces.append(event.text)
            kind = INPUT_DELTA if part.call is not None and part.call.custom else ARGUMENTS_DELTA
            out.append(self._delta(kind, part, b"", event.text))
        elif isinstance(event, RefusalDelta):
            part = self._parts[event.index]
            part.pieces.append(event.text)
            out.append(self._delta(REFUSAL_DELTA, part, b'"content_index":%d,' % part.content, event.text))

    def _next(self) -> int:
        number = self._number
        self._number = number + 1
        return number

    def _event(self, kind: str, **members: object) -> bytes:
        data = {"type": kind, "sequence_number": self._next(), **members}
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), one_line(encode(data)))

    def _delta(self, kind: bytes, part: Growing, where: bytes, text: str) -> bytes:
        return DELTA % (kind, kind, self._next(), part.item_json, part.place, where, encode(text))

    def _text_delta(self, event: TextDelta) -> bytes:
        part = self._parts[event.index]
        part.pieces.append(event.text)
        logprobs = b"[]"
        if event.logprobs:
            entries = own_logprobs(event.logprobs)
            part.logprobs += entries
            logprobs = one_line(encode(entries))
        return TEXT_DELTA % (
            self._next(),
            part.item_json,
            part.place,
            part.content,
            encode(event.text),
            logprobs,
        )

    def _open(self, started: Started, out: list[bytes]) -> None:
        self._response = open_response(self._request, started.id, started.model, started.created)
        out.append(self._event("response.created", response=self._response))
        out.append(self._event("response.in_progress", response=self._response))

    def _item_id(self, prefix: str) -> str:
        return f"{prefix}_{self._response['id'][5:]}_{len(self._output)}"

    def _add(self, item: Json, out: list[bytes]) -> int:
        """Add an item to the output and return its place there."""
        place = len(self._output)
        out.append(self._event("response.output_item.added", output_index=place, item=item))
        self._output.append(item)
        return place

    def _done(self, place: int, item: Json, out: list[bytes]) -> None:
        self._output[place] = item
        out.append(self._event("response.output_item.done", output_index=place, item=item))

    def _start(self, event: PartStarted, out: list[bytes]) -> None:
        if event.kind in ("text", "refusal"):
            self._parts[event.index] = self._start_words(event.kind, out)
            return
        self._close_message(out)
        if event.kind == "thinking":
            part = Growing("thinking", len(self._output), 0, self._item_id("rs"))
            self._add({"id": part.item_id, "type": "reasoning", "summary": [], "status": "in_progress"}, out)
            part.family = event.family
            part.signature = event.signature
            part.redacted = event.redacted
        else:
            call = ToolCall(event.id, event.name, "", event.signature, event.family, event.custom)
            item = call_item(self._item_id("fc"), call, "in_progress")
            part = Growing("tool_call", self._add(item, out), 0, item["id"])
            part.call = call
        self._parts[event.index] = part

    def _start_words(self, kind: str, out: list[bytes]) -> Growing:
        if self._message is None:
            item = message_item(self._item_id("msg"), "in_progress", [])
            self._place = self._add(item, out)
            self._message = message_item(item["id"], "completed", [])
        message = self._message
        part = Growing(kind, self._place, len(message["content"]), message["id"])
        content = refusal_content("") if kind == "refusal" else text_content("", [])
        message["content"].append(content)
        out.append(self._content_event("response.content_part.added", part, part=content))
        return part

    def _content_event(self, kind: str, grown: Growing, /, **members: object) -> bytes:
        return self._event(
            kind, item_id=grown.item_id, output_index=grown.place, content_index=grown.content, **members
        )

    def _thinking_delta(self, part: Growing, text: str, out: list[bytes]) -> None:
        if not part.pieces:
            empty = {"type": "summary_text", "text": ""}
            out.append(self._summary_event("response.reasoning_summary_part.added", part, part=empty))
        part.pieces.append(text)
        out.append(self._delta(SUMMARY_DELTA, part, b'"summary_index":0,', text))

    def _summary_event(self, kind: str, grown: Growing, /, **members: object) -> bytes:
        return self._event(kind, item_id=grown.item_id, output_index=grown.place, summary_index=0, **members)

    def _finish(self, part: Growing, out: list[bytes]) -> None:
        """Write what ends a part: its text once more, and the item unless it is a message, which may grow on."""
        text = part.text
        if part.kind == "thinking":
            if part.pieces:
                whole = {"type": "summary_text", "text": text}
                out.append(self._summary_event("response.reasoning_summary_text.done", part, text=text))
                out.append(self._summary_event("response.reasoning_summary_part.done", part, part=whole))
            thought = Thinking(text, part.signature, part.redacted, part.family)
            self._done(part.place, thought_item(part.item_id, thought), out)
        elif part.call is not None:
            self._finish_call(part, part.call, text, out)
        elif part.kind == "refusal":
            out.append(self._content_event("response.refusal.done", part, refusal=text))
            self._finish_content(part, refusal_content(text), out)
        else:
            out.append(self._content_event("response.output_text.done", part, text=text, logprobs=part.logprobs))
            self._finish_content(part, text_content(text, part.logprobs), out)

    def _finish_content(self, part: Growing, content: Json, out: list[bytes]) -> None:
        out.append(self._content_event("response.content_part.done", part, part=content))
        if self._message is not None:
            self._message["content"][part.content] = content

    def _finish_call(self, part: Growing, call: ToolCall, text: str, out: list[bytes]) -> None:
        if call.custom:
            call.arguments = text
            members = {"item_id": part.item_id, "output_index": part.place, "input": text}
            out.append(self._event("response.custom_tool_call_input.done", **members))
        else:
            call.arguments = text or "{}"
            if not text:
                out.append(self._delta(ARGUMENTS_DELTA, part, b"", "{}"))
            members = {"item_id": part.item_id, "output_index": part.place, "arguments": call.arguments}
            out.append(self._event("response.function_call_arguments.done", name=call.name, **members))
        item = call_item("fc_", call, "completed")
        self._done(part.place, {**item, "id": part.item_id}, out)

    def _close_message(self, out: list[bytes]) -> None:
        if self._message is not None:
            self._done(self._place, self._message, out)
            self._message = None

    def _end(self, out: list[bytes]) -> None:
        stop = self._stop or "error"
        close_response(self._response, self._output, stop, self._usage)
        out.append(self._event(f"response.{status_of(stop)}", response=self._response))
        self._over = True

    def _fail(self, fault: Fault, out: list[bytes]) -> None:
        close_response(self._response, self._output, "error", self._usage)
        code = "rate_limit_exceeded" if fault.status == 429 else "server_error"
        self._response["error"] = {"code": code, "message": fault.message}
        out.append(self._event("response.failed", response=self._response))
        self._over = True
