"""A scripted Cohere, second version: chat, embeddings and reranking."""

import json
from base64 import b64encode
from struct import pack
from typing import Any

from tests.providers.replies import chunked, reply, whole
from tests.providers.scripted import Connection, Request, Step

ID = "c14c80c3-18eb-4519-9460-6c92edd8cfb4"
USAGE = {
    "billed_units": {"input_tokens": 11, "output_tokens": 7},
    "tokens": {"input_tokens": 511, "output_tokens": 9},
}


def answers(connection: Connection) -> None:
    """Answer the request just read."""
    for step in answer(connection.upstream.requests[-1]):
        assert isinstance(step, bytes)
        connection.socket.sendall(step)


def answer(request: Request) -> tuple[Step, ...]:
    """Return what Cohere answers to a request."""
    if not request.headers.get("authorization", "").startswith("Bearer "):
        return (whole({"message": "no api key supplied"}, "401 Unauthorized"),)
    body = request.json()
    if request.path == "/v2/rerank":
        return (whole(reranked(body)),)
    if request.path == "/v2/embed":
        return (whole(embedded(body)),)
    assert request.path == "/v2/chat", request.path
    if "overload" in text_of(body["messages"][-1]):
        return (whole({"message": "You are past the rate limit."}, "429 Too Many Requests"),)
    return (chat(body),)


def text_of(message: dict[str, Any]) -> str:
    """Return the words of a message."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(part.get("text") or json.dumps(part.get("document")) for part in content)


def chat(body: dict[str, Any]) -> bytes:
    """Return the answer to a chat."""
    messages = body["messages"]
    results = [text_of(message) for message in messages[-1:] if message["role"] == "tool"]
    tools = [tool["function"]["name"] for tool in body.get("tools", ())]
    thinks = body.get("thinking", {}).get("type") == "enabled"
    thought, pieces, called = reply(text_of(messages[-1]), tools, results, thinks)
    calls = [
        {"id": f"{name}_{place}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for place, (name, arguments) in enumerate(called)
    ]
    finish = "TOOL_CALL" if calls else "COMPLETE"
    if body.get("stream"):
        return chunked("text/event-stream", [*events(thought, pieces, calls, finish), b"data: [DONE]\n\n"])
    content = [{"type": "thinking", "thinking": thought}] if thought else []
    message: dict[str, Any] = {"role": "assistant"}
    if pieces:
        content.append({"type": "text", "text": "".join(pieces)})
    if content:
        message["content"] = content
    if calls:
        message |= {"tool_plan": "I will look.", "tool_calls": calls}
    return whole({"id": ID, "message": message, "finish_reason": finish, "usage": USAGE})


def event(kind: str, message: dict[str, Any] | None = None, **more: Any) -> bytes:
    """Return one event."""
    told = {"type": kind, **more, **({"delta": {"message": message}} if message is not None else {})}
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps(told).encode())


def events(thought: str, pieces: list[str], calls: list[dict[str, Any]], finish: str) -> list[bytes]:
    """Return the events of an answer."""
    told = [event("message-start", {"role": "assistant", "content": [], "tool_calls": [], "citations": []}, id=ID)]
    index = 0
    for kind, texts in (("thinking", [thought] if thought else []), ("text", pieces)):
        if texts:
            told.append(event("content-start", {"content": {"type": kind, kind: ""}}, index=index))
            told += [event("content-delta", {"content": {kind: text}}, index=index) for text in texts]
            told.append(event("content-end", index=index))
            index += 1
    if calls:
        told += [event("tool-plan-delta", {"tool_plan": word}) for word in ("I will", " look.")]
    for place, call in enumerate(calls):
        arguments = call["function"]["arguments"]
        begun = {**call, "function": {**call["function"], "arguments": ""}}
        told.append(event("tool-call-start", {"tool_calls": begun}, index=place))
        for piece in (arguments[:5], arguments[5:]):
            told.append(event("tool-call-delta", {"tool_calls": {"function": {"arguments": piece}}}, index=place))
        told.append(event("tool-call-end", index=place))
    return [*told, event("message-end", delta={"finish_reason": finish, "usage": USAGE})]


def embedded(body: dict[str, Any]) -> dict[str, Any]:
    """Return vectors in the form asked for."""
    assert body["input_type"]
    vectors = [[float(len(text)), 0.5] for text in body["texts"]]
    (form,) = body["embedding_types"]
    told = {"float": vectors, "base64": [b64encode(pack("<2f", *vector)).decode() for vector in vectors]}
    meta = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 4}}
    return {
        "id": ID, "embeddings": {form: told[form]}, "texts": body["texts"], "meta": meta,
        "response_type": "embeddings_by_type",
    }  # fmt: skip


def reranked(body: dict[str, Any]) -> dict[str, Any]:
    """Return the documents, longest first."""
    assert "return_documents" not in body
    order = sorted(range(len(body["documents"])), key=lambda place: -len(body["documents"][place]))
    results = [{"index": place, "relevance_score": 1 / (1 + rank)} for rank, place in enumerate(order)]
    meta = {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}
    return {"id": ID, "results": results[: body.get("top_n")], "meta": meta}
