"""A scripted Bedrock: Converse, whole and as a binary event stream."""

import json
from collections.abc import Iterator
from typing import Any

from tests.providers.event_stream import event
from tests.providers.scripted import Connection, Request, Step

Block = dict[str, Any]
COUNTS = {"inputTokens": 11, "outputTokens": 7, "totalTokens": 18}
TOOL_ID = "tooluse_kZJMlvQmRJ6eAyJE5GIl7Q"
SIGNATURE = "ErUBCkYIBxgCIkAxMjM0NTY3ODkwYWJjZGVm"


def converse(blocks: list[Block], stop: str, usage: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return an answer."""
    message = {"role": "assistant", "content": blocks}
    return {"output": {"message": message}, "stopReason": stop, "usage": usage, "metrics": {"latencyMs": 551}, **more}


def converse_stream(blocks: list[Block], stop: str, usage: dict[str, Any], **more: Any) -> bytes:
    """Return the same as a stream: `additionalModelResponseFields` stand at its stop, all else at its end."""
    messages = [event("messageStart", {"role": "assistant"})]
    for index, block in enumerate(blocks):
        call = block.get("toolUse")
        if call is not None:
            start = {"toolUse": {"toolUseId": call["toolUseId"], "name": call["name"]}}
            messages.append(event("contentBlockStart", {"contentBlockIndex": index, "start": start}))
        for delta in deltas(block):
            messages.append(event("contentBlockDelta", {"contentBlockIndex": index, "delta": delta}))
        messages.append(event("contentBlockStop", {"contentBlockIndex": index}))
    found = {name: more.pop(name) for name in ["additionalModelResponseFields"] if name in more}
    messages.append(event("messageStop", {"stopReason": stop, **found}))
    messages.append(event("metadata", {"usage": usage, "metrics": {"latencyMs": 551}, **more}))
    return b"".join(messages)


def deltas(block: Block) -> Iterator[Block]:
    """Yield the pieces of a block."""
    if "toolUse" in block:
        for piece in halves(json.dumps(block["toolUse"]["input"], separators=(",", ":"))):
            yield {"toolUse": {"input": piece}}
    elif "text" in block:
        for piece in halves(block["text"]):
            yield {"text": piece}
    elif "reasoningText" in block["reasoningContent"]:
        said = block["reasoningContent"]["reasoningText"]
        for piece in halves(said["text"]):
            yield {"reasoningContent": {"text": piece}}
        if "signature" in said:
            yield {"reasoningContent": {"signature": said["signature"]}}
    else:
        yield {"reasoningContent": block["reasoningContent"]}


def halves(text: str) -> list[str]:
    """Return a text in two pieces."""
    return [text[: len(text) // 2], text[len(text) // 2 :]]


def reply(request: Request) -> tuple[list[Block], str]:
    """Return what the model says, and why it stops.

    It calls the first tool that is declared, unless results of one came last; it thinks where it is told to.
    """
    body = request.json()
    content = body["messages"][-1]["content"]
    results = [block["toolResult"] for block in content if "toolResult" in block]
    thoughts: list[Block] = []
    if "thinking" in body.get("additionalModelRequestFields", {}):
        thoughts = [{"reasoningContent": {"reasoningText": {"text": "Let me see.", "signature": SIGNATURE}}}]
    if results:
        return [*thoughts, {"text": f"The tool said: {results[0]['content'][0]['text']}"}], "end_turn"
    if "toolConfig" in body:
        name = body["toolConfig"]["tools"][0]["toolSpec"]["name"]
        call = {"toolUseId": TOOL_ID, "name": name, "input": {"city": "Paris"}}
        return [*thoughts, {"toolUse": call}], "tool_use"
    said = " ".join(block["text"] for block in content if "text" in block)
    return [*thoughts, {"text": f"You said: {said}"}], "end_turn"


def answer(connection: Connection) -> None:
    """Answer the request just read, and keep the connection."""
    request = connection.upstream.requests[-1]
    blocks, stop = reply(request)
    if request.path.endswith("/converse-stream"):
        connection.socket.sendall(streamed(converse_stream(blocks, stop, COUNTS)))
    else:
        connection.socket.sendall(whole(converse(blocks, stop, COUNTS)))


def whole(body: dict[str, Any], status: str = "200 OK", fields: str = "") -> bytes:
    """Return an answer of HTTP."""
    text = json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{fields}content-length: {len(text)}\r\n\r\n"
    return head.encode() + text


def streamed(data: bytes) -> bytes:
    """Return a stream of HTTP, in chunks that are cut anywhere."""
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(data[at : at + 61]), data[at : at + 61]) for at in range(0, len(data), 61))
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + chunks + b"0\r\n\r\n"


def failure(status: str, kind: str, message: str) -> Step:
    """Return an error answer."""
    return whole({"message": message}, status, f"x-amzn-ErrorType: {kind}:http://internal.amazon.com/coral/\r\n")
