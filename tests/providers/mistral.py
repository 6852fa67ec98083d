"""A scripted Mistral: it refuses members that it does not know, and ids that are not nine letters and digits."""

import json
from typing import Any

from tests.providers.replies import chunked, reply, whole
from tests.providers.scripted import Connection, Request, Step

MEMBERS = {
    *("model", "messages", "temperature", "top_p", "max_tokens", "stream", "stop", "random_seed", "metadata", "n"),
    *("response_format", "tools", "tool_choice", "presence_penalty", "frequency_penalty", "prediction", "guardrails"),
    *("parallel_tool_calls", "prompt_mode", "reasoning_effort", "safe_prompt", "prompt_cache_key", "service_tier"),
}
CHOICES = ("auto", "none", "any", "required")
HEAD = {"id": "cmpl-e5cc70bb28c4", "created": 1760000000, "model": "mistral-medium-latest"}


def answers(connection: Connection) -> None:
    """Answer the request just read."""
    for step in answer(connection.upstream.requests[-1]):
        assert isinstance(step, bytes)
        connection.socket.sendall(step)


def answer(request: Request) -> tuple[Step, ...]:
    """Return what Mistral answers to a request."""
    if not request.headers.get("authorization", "").startswith("Bearer "):
        return (whole({"message": "Unauthorized", "request_id": "x"}, "401 Unauthorized"),)
    body = request.json()
    if request.path == "/v1/embeddings":
        return (whole(embeddings(body)),)
    assert request.path == "/v1/chat/completions", request.path
    problems = [{"loc": ["body", *where], "msg": said} for where, said in wrong(body)]
    if problems:
        return (whole({"object": "error", "message": {"detail": problems}}, "422 Unprocessable Entity"),)
    if "overload" in text_of(body["messages"][-1]):
        return (whole({"object": "error", "message": "Rate limit exceeded", "type": "rate_limited"}, "429 Too Many"),)
    return (chat(body),)


def wrong(body: dict[str, Any]) -> list[tuple[list[str], str]]:
    """Return what Mistral's validation says of a request: where, and what."""
    found = [([name], "Extra inputs are not permitted") for name in body if name not in MEMBERS]
    if isinstance(body.get("tool_choice", "auto"), str) and body.get("tool_choice", "auto") not in CHOICES:
        found.append((["tool_choice"], "Input should be 'auto', 'none', 'any' or 'required'"))
    for message in body["messages"]:
        if message["role"] not in ("system", "user", "assistant", "tool"):
            found.append((["messages"], "Input tag found does not match any of the expected tags"))
        ids = [call["id"] for call in message.get("tool_calls") or ()]
        ids += [message["tool_call_id"]] if message["role"] == "tool" else []
        if not all(len(one) == 9 and one.isalnum() for one in ids):
            found.append((["messages"], "Tool call id was invalid: a-z, A-Z, 0-9, with a length of 9"))
    if body["messages"][-1]["role"] == "assistant" and not body["messages"][-1].get("prefix"):
        found.append((["messages"], "Expected last role User or Tool (or Assistant with prefix True)"))
    return found


def text_of(message: dict[str, Any]) -> str:
    """Return the words of a message."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(chunk["text"] for chunk in content if chunk["type"] == "text")


def chat(body: dict[str, Any]) -> bytes:
    """Return the answer to a chat."""
    messages = body["messages"]
    results = [text_of(message) for message in messages[-1:] if message["role"] == "tool"]
    tools = [tool["function"]["name"] for tool in body.get("tools", ())]
    thinks = body.get("prompt_mode") == "reasoning" or body.get("reasoning_effort", "none") != "none"
    thought, pieces, called = reply(text_of(messages[-1]), tools, results, thinks)
    calls = [
        {"id": f"abcdefgh{place}", "function": {"name": name, "arguments": json.dumps(arguments)}, "index": place}
        for place, (name, arguments) in enumerate(called)
    ]
    finish = "tool_calls" if calls else "stop"
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    thinking = [{"type": "thinking", "thinking": [{"type": "text", "text": thought}]}] if thought else []
    if not body.get("stream"):
        words = "".join(pieces)
        content: Any = [*thinking, {"type": "text", "text": words}] if thinking else words
        message = {"role": "assistant", "content": content, "tool_calls": calls or None}
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return whole({**HEAD, "object": "chat.completion", "choices": [choice], "usage": usage})
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": [chunk]} for chunk in thinking]
    deltas += [{"content": piece} for piece in pieces]
    if calls:
        deltas.append({"content": "", "tool_calls": calls})
    events = []
    for place, delta in enumerate(deltas):
        last = place == len(deltas) - 1
        choice = {"index": 0, "delta": delta, "finish_reason": finish if last else None}
        chunk = {**HEAD, "object": "chat.completion.chunk", "choices": [choice], **({"usage": usage} if last else {})}
        events.append(b"data: %b\n\n" % json.dumps(chunk).encode())
    return chunked("text/event-stream; charset=utf-8", [*events, b"data: [DONE]\n\n"])


def embeddings(body: dict[str, Any]) -> dict[str, Any]:
    """Return vectors, always as numbers."""
    given = [body["input"]] if isinstance(body["input"], str) else body["input"]
    data = [{"object": "embedding", "index": at, "embedding": [float(len(one)), 0.5]} for at, one in enumerate(given)]
    return {**HEAD, "object": "list", "data": data, "usage": {"prompt_tokens": 4, "total_tokens": 4}}
