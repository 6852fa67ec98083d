"""A scripted Anthropic: Messages, whole and as a stream, and the counting of tokens.

It holds callers to what the real one does: a key and a version in the head, `max_tokens`, turns that alternate, results
that follow their calls, and a thought, unchanged, in front of a call whose result comes back.
"""

import json
from itertools import pairwise
from typing import Any

from tests.providers.scripted import Connection, Request, Step

Json = dict[str, Any]
USAGE: Json = {"input_tokens": 11, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4, "output_tokens": 7}
THOUGHT: Json = {
    "type": "thinking",
    "thinking": "The weather is asked for.",
    "signature": "EqQBCkYIBxgCKkBzY3JpcHRlZA==",
}
CALL: Json = {"type": "tool_use", "id": "toolu_01scripted", "name": "get_weather", "input": {"city": "Paris"}}
COUNT = 42


def error(status: int, kind: str, message: str, *fields: str) -> bytes:
    """Return an error answer."""
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_scripted"}
    return sized(status, json.dumps(body).encode(), "application/json", *fields)


def sized(status: int, body: bytes, kind: str, *fields: str) -> bytes:
    """Return an answer with its length."""
    lines = [
        f"HTTP/1.1 {status} X",
        f"content-type: {kind}",
        f"content-length: {len(body)}",
        "request-id: req_up",
        *fields,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def message(blocks: list[Json], stop: str, **more: Any) -> Json:
    """Return an answer."""
    return {
        "id": "msg_scripted",
        "type": "message",
        "role": "assistant",
        "model": "claude-scripted",
        "content": blocks,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": USAGE,
        "unknown_to_us": {"x": [1.50]},
        **more,
    }


def stream(said: Json) -> bytes:
    """Return the same as a stream."""
    start = {**said, "content": [], "stop_reason": None, "usage": {**USAGE, "output_tokens": 1}}
    events = [{"type": "message_start", "message": start}, {"type": "ping"}]
    for index, block in enumerate(said["content"]):
        empty, deltas = pieces(block)
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    end = {name: said.get(name) for name in ("stop_reason", "stop_sequence", "stop_details")}
    events.append({"type": "message_delta", "delta": end, "usage": {"output_tokens": USAGE["output_tokens"]}})
    events.append({"type": "message_stop"})
    return b"".join(event(item) for item in events)


def event(item: Json) -> bytes:
    """Return one event."""
    return f"event: {item['type']}\ndata: {json.dumps(item)}\n\n".encode()


def pieces(block: Json) -> tuple[Json, list[Json]]:
    """Return a block as it starts, and what is added to it."""
    if block["type"] == "text":
        half = len(block["text"]) // 2
        halves = (block["text"][:half], block["text"][half:])
        return {"type": "text", "text": ""}, [{"type": "text_delta", "text": text} for text in halves]
    if block["type"] == "thinking":
        deltas = [
            {"type": "thinking_delta", "thinking": block["thinking"]},
            {"type": "signature_delta", "signature": block["signature"]},
        ]
        return {"type": "thinking", "thinking": "", "signature": ""}, deltas
    text = json.dumps(block["input"])
    halves = ("", text[:5], text[5:])
    return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": text} for text in halves]


def complaint(body: Json) -> str:
    """Return what is wrong with a request, "" for nothing."""
    turns = body["messages"]
    if any(turn["role"] == after["role"] for turn, after in pairwise(turns)):
        return "messages: roles must alternate"  # The real one merges them; a gateway should have.
    calls: set[str] = set()
    for turn in turns:
        blocks = turn["content"] if isinstance(turn["content"], list) else []
        results = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        if results != calls:
            return "messages: `tool_use` ids were found without `tool_result` blocks immediately after"
        calls = {block["id"] for block in blocks if block["type"] == "tool_use"}
        if calls and body.get("thinking", {}).get("type") == "enabled" and blocks[0] != THOUGHT:
            return "messages: Expected `thinking` or `redacted_thinking`, but found `tool_use`."
    return ""


def said(body: Json) -> Json:
    """Return the answer to a request: its last words echoed, or a call of its tool if they speak of the weather."""
    content = body["messages"][-1]["content"]
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    for block in content:
        if block["type"] == "tool_result":
            return message([{"type": "text", "text": f"The tool says: {block['content']}"}], "end_turn")
    words = "".join(block["text"] for block in content if block["type"] == "text")
    if "refuse" in words:
        return message([], "refusal", stop_details={"type": "refusal", "category": None, "explanation": "I will not."})
    if "weather" in words and body.get("tools"):
        thinks = body.get("thinking", {"type": "disabled"})["type"] != "disabled"
        return message([THOUGHT, CALL] if thinks else [CALL], "tool_use")
    return message([{"type": "text", "text": f"You said: {words}"}], "end_turn")


def answer(request: Request, key: str) -> bytes:
    """Return the bytes that answer a request of a caller with `key`."""
    if request.headers.get("x-api-key") != key:
        return error(401, "authentication_error", "invalid x-api-key")
    if "anthropic-version" not in request.headers:
        return error(400, "invalid_request_error", "anthropic-version: header is required")
    body = request.json()
    if request.path == "/v1/messages/count_tokens":
        return sized(200, b'{"input_tokens":%d}' % COUNT, "application/json")
    if request.path != "/v1/messages":
        return error(404, "not_found_error", "Not found")
    if "max_tokens" not in body:
        return error(400, "invalid_request_error", "max_tokens: Field required")
    if wrong := complaint(body):
        return error(400, "invalid_request_error", wrong)
    found = said(body)
    if body.get("stream"):
        return sized(200, stream(found), "text/event-stream; charset=utf-8")
    return sized(200, json.dumps(found).encode(), "application/json")


def answers(key: str) -> Step:
    """Return the step that answers the request just read."""

    def step(connection: Connection) -> None:
        connection.socket.sendall(answer(connection.upstream.requests[-1], key))

    return step
