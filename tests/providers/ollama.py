"""A scripted Ollama: it streams unless told otherwise, wants arguments as objects, and gives calls no ids."""

import json
from typing import Any

from tests.providers.replies import chunked, reply, whole
from tests.providers.scripted import Connection, Request, Step

HEAD = {"model": "qwen3", "created_at": "2025-10-09T08:53:20.416799123Z"}
COUNTS = {"total_duration": 4883583458, "load_duration": 1334875, "prompt_eval_count": 11, "eval_count": 7}


def answers(connection: Connection) -> None:
    """Answer the request just read."""
    for step in answer(connection.upstream.requests[-1]):
        assert isinstance(step, bytes)
        connection.socket.sendall(step)


def answer(request: Request) -> tuple[Step, ...]:
    """Return what Ollama answers to a request."""
    body = request.json()
    if request.path == "/api/embed":
        given = [body["input"]] if isinstance(body["input"], str) else body["input"]
        vectors = [[float(len(text)), 0.5] for text in given]
        return (whole({"model": "qwen3", "embeddings": vectors, "prompt_eval_count": 4}),)
    assert request.path == "/api/chat", request.path
    for message in body["messages"]:
        assert isinstance(message.get("content", ""), str)
        assert all(isinstance(call["function"]["arguments"], dict) for call in message.get("tool_calls") or ())
    if "overload" in body["messages"][-1]["content"]:
        return (whole({"error": "server busy, please try again"}, "503 Service Unavailable"),)
    return (chat(body),)


def chat(body: dict[str, Any]) -> bytes:
    """Return the answer to a chat."""
    last = body["messages"][-1]
    results = [last["content"]] if last["role"] == "tool" else []
    tools = [tool["function"]["name"] for tool in body.get("tools") or ()]
    thought, pieces, called = reply(last["content"], tools, results, bool(body.get("think")))
    calls = [{"function": {"name": name, "arguments": arguments}} for name, arguments in called]
    end = {"done": True, "done_reason": "stop", **COUNTS}
    if body.get("stream") is False:
        message: dict[str, Any] = {"role": "assistant", "content": "".join(pieces)}
        if thought:
            message["thinking"] = thought
        if calls:
            message["tool_calls"] = calls
        return whole({**HEAD, "message": message, **end})
    added: list[dict[str, Any]] = [{"thinking": thought}] if thought else []
    added += [{"content": piece} for piece in pieces]
    if calls:
        added.append({"tool_calls": calls})
    return chunked("application/x-ndjson", [*(line(more, {"done": False}) for more in added), line({}, end)])


def line(message: dict[str, Any], more: dict[str, Any]) -> bytes:
    """Return one line."""
    return json.dumps({**HEAD, "message": {"role": "assistant", "content": "", **message}, **more}).encode() + b"\n"
