"""A scripted Gemini: it echoes, calls the functions that a message names, and insists on its signatures.

At the paths of Vertex AI it is that: it wants a token, gives calls no ids and refuses them.
"""

import base64
import json
import re
from typing import Any

from tests.providers.scripted import Connection, Request, Step

SIGNATURE = base64.b64encode(b"the proof of a thought of Gemini's").decode()
MISSING = "Function call is missing a thought_signature in functionCall parts."
PATH = re.compile(r"(/v1beta|/v1/projects/acme/locations/eu/publishers/google)/models/([^/:]+):(\w+)(\?alt=sse)?")
UNPROVEN = "skip_thought_signature_validator"
"""Google's word for a call whose proof is nowhere to be had; it is taken for one."""

ID = "Xk3RacvHIpa8"


def answers(connection: Connection) -> None:
    """Answer the request just read."""
    for step in answer(connection.upstream.requests[-1]):
        assert isinstance(step, bytes)
        connection.socket.sendall(step)


def answer(request: Request) -> tuple[Step, ...]:
    """Return what Gemini answers to a request."""
    found = PATH.fullmatch(request.path)
    if found is None:
        return (failure(404, "NOT_FOUND", f"There is nothing at {request.path}."),)
    base, model, method, events = found.groups()
    vertex = base != "/v1beta"
    if not request.headers.get("authorization" if vertex else "x-goog-api-key"):
        return (failure(401, "UNAUTHENTICATED", "The API key is missing."),)
    body = request.json()
    if vertex and ids(body):
        return (failure(400, "INVALID_ARGUMENT", f"Unknown name: {ids(body)}"),)
    if method == "countTokens":
        whole = body.get("generateContentRequest", body)
        return (json_answer({"totalTokens": len(words(whole)), "promptTokensDetails": []}),)
    if method == "batchEmbedContents":
        if any(entry["model"] != f"models/{model}" for entry in body["requests"]):
            return (failure(400, "INVALID_ARGUMENT", "A request of the batch names another model."),)
        vectors = [{"values": [float(len(entry["content"]["parts"][0]["text"])), 0.5]} for entry in body["requests"]]
        return (json_answer({"embeddings": vectors}),)
    if is_unsigned(body["contents"]):
        return (failure(400, "INVALID_ARGUMENT", MISSING),)
    if "quota" in words(body):
        retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "2s"}
        return (failure(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.", retry),)
    chunks = list(reply(body))
    if vertex:
        for call in (part["functionCall"] for parts in chunks for part in parts if "functionCall" in part):
            del call["id"]
    if method == "generateContent":
        parts = [part for chunk in chunks for part in chunk]
        return (json_answer(response(parts, "STOP", body)),)
    assert events, "the gateway asks for events"
    messages = [response(parts, "STOP" if parts is chunks[-1] else None, body) for parts in chunks]
    return (stream_answer(messages),)


def reply(body: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """Return the parts of each chunk of the answer."""
    last = body["contents"][-1]["parts"]
    results = [part["functionResponse"]["response"] for part in last if "functionResponse" in part]
    if results:
        said = ", ".join(json.dumps(result, sort_keys=True) for result in results)
        return [[{"text": "The tools said: "}], [{"text": said}]]
    declared = [function["name"] for tool in body.get("tools", ()) for function in tool.get("functionDeclarations", ())]
    calls = [
        {"functionCall": {"id": f"{ID}-{index}", "name": name, "args": {"query": "Paris"}}}
        for index, name in enumerate(name for name in declared if name in words(body))
    ]
    if calls:
        calls[0]["thoughtSignature"] = SIGNATURE
        return [[{"text": "I need to look.", "thought": True}], *([call] for call in calls), [{"text": ""}]]
    texts = [part["text"] for part in last if "text" in part]
    return [[{"text": "You said: "}], [{"text": " ".join(texts)}]]


def ids(body: dict[str, Any]) -> list[str]:
    """Return the ids of calls and their results."""
    parts = [part for content in body.get("contents", ()) for part in content["parts"]]
    kinds = ("functionCall", "functionResponse")
    return [part[kind]["id"] for part in parts for kind in kinds if "id" in part.get(kind, ())]


def is_unsigned(contents: list[dict[str, Any]]) -> bool:
    """Tell whether a turn's first call is signed neither with what stood in the answer nor as unproven."""
    for content in contents:
        first = next((part for part in content["parts"] if "functionCall" in part), None)
        signature = first.get("thoughtSignature", "") if first is not None else UNPROVEN
        if signature != UNPROVEN and standard(signature) != SIGNATURE:
            return True
    return False


def standard(text: str) -> str:
    """Return base64 in its standard alphabet: Google's SDK writes the other one."""
    return text.replace("-", "+").replace("_", "/")


def words(body: dict[str, Any]) -> list[str]:
    """Return the words of all turns."""
    return [
        word.strip("?.,!")
        for content in body["contents"]
        for part in content["parts"]
        for word in part.get("text", "").split()
    ]


def response(parts: list[dict[str, Any]], reason: str | None, body: dict[str, Any]) -> dict[str, Any]:
    """Return a whole answer or a chunk."""
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if reason:
        candidate["finishReason"] = reason
    asked = len(words(body))
    usage = {
        "promptTokenCount": asked,
        "candidatesTokenCount": 4,
        "thoughtsTokenCount": 3,
        "totalTokenCount": asked + 7,
    }
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-3-flash", "responseId": ID}


def json_answer(body: object, status: str = "200 OK") -> bytes:
    """Return a whole HTTP answer."""
    text = json.dumps(body, indent=2).encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json; charset=UTF-8\r\ncontent-length: {len(text)}\r\n\r\n"
    return head.encode() + text


def stream_answer(messages: list[dict[str, Any]]) -> bytes:
    """Return a whole HTTP answer of events."""
    body = b"".join(b"data: %b\r\n\r\n" % json.dumps(message).encode() for message in messages)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return b"%b%x\r\n%b\r\n0\r\n\r\n" % (head, len(body), body)


def failure(code: int, status: str, message: str, *details: dict[str, Any]) -> bytes:
    """Return an error."""
    error = {"code": code, "message": message, "status": status, "details": list(details)}
    return json_answer({"error": error}, f"{code} {status}")
