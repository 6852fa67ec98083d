"""A scripted model provider that speaks OpenAI's wire format: Headgate can be tried without a vendor's key.

    QUICKSTART_PROVIDER_KEY=anything python provider.py --listen 127.0.0.1:8089

It echoes the last user message, calls a tool when the message names it, and counts words as tokens, so that every
answer and every usage figure can be foretold. Standard library only.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import os
import signal
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus

MODELS = ("scripted-large", "scripted-small")
CREATED = 1_790_000_000  # a fixed moment, in seconds since 1970: the same question gets the same bytes
MAX_BODY = 64 * 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """An HTTP answer: either one JSON `body`, or the `events` of a stream (complete SSE events, in order)."""

    status: int
    body: bytes = b""
    events: tuple[bytes, ...] = ()


def respond(method: str, path: str, headers: Mapping[str, str], body: bytes, key: str = "") -> Answer:
    """Answer one request as OpenAI would; pure.

    headers: names in lower case.
    key: the only credential that is accepted; "" accepts any.
    """
    given = headers.get("authorization", "").removeprefix("Bearer ")
    if not given or (key and given != key):
        return failure(401, "Incorrect API key provided.", "invalid_request_error", code="invalid_api_key")
    if (method, path) == ("GET", "/v1/models"):
        return Answer(200, dump({"object": "list", "data": [model_card(name) for name in MODELS]}))
    handler = {"/v1/chat/completions": chat, "/v1/completions": completion, "/v1/embeddings": embeddings}.get(path)
    if handler is None:
        return failure(404, f"Unknown request URL: {method} {path}.", "invalid_request_error", code="unknown_url")
    if method != "POST":
        return failure(405, f"Not allowed to {method} on {path}.", "invalid_request_error")
    try:
        request = json.loads(body)
        if request["model"] not in MODELS:
            message = f"The model `{request['model']}` does not exist or you do not have access to it."
            return failure(404, message, "invalid_request_error", code="model_not_found")
        return handler(request)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return failure(400, f"We could not read your request: {error!r}.", "invalid_request_error")


def chat(request: dict) -> Answer:
    """Answer ``POST /v1/chat/completions``."""
    last = request["messages"][-1]
    text = text_of(next((m["content"] for m in reversed(request["messages"]) if m["role"] == "user"), ""))
    told = last["role"] == "tool"
    reply = f"The tool said: {text_of(last['content'])}" if told else f"You said: {text}"
    tool = None if told else tool_to_call(request, text)
    usage = usage_of(sum(words(text_of(m.get("content"))) for m in request["messages"]), words(reply))
    head = {"id": identity("chatcmpl", request), "created": CREATED, "model": request["model"]}
    finish = "tool_calls" if tool else "stop"
    if not request.get("stream"):
        message = {"role": "assistant", "content": None if tool else reply, "refusal": None, "annotations": []}
        if tool:
            message["tool_calls"] = [tool]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        return Answer(200, dump(head | {"object": "chat.completion", "choices": [choice], "usage": usage}))

    deltas = [{"role": "assistant", "content": None if tool else "", "refusal": None}]
    deltas += tool_deltas(tool) if tool else [{"content": piece} for piece in pieces(reply)]
    choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "logprobs": None, "finish_reason": finish})
    return stream(request, head | {"object": "chat.completion.chunk"}, choices, usage)


def completion(request: dict) -> Answer:
    """Answer ``POST /v1/completions``."""
    text = text_of(request["prompt"])
    reply = f"You said: {text}"
    usage = usage_of(words(text), words(reply))
    head = {"id": identity("cmpl", request), "object": "text_completion", "created": CREATED, "model": request["model"]}
    if not request.get("stream"):
        choice = {"index": 0, "text": reply, "logprobs": None, "finish_reason": "stop"}
        return Answer(200, dump(head | {"choices": [choice], "usage": usage}))
    choices = [{"index": 0, "text": piece, "logprobs": None, "finish_reason": None} for piece in pieces(reply)]
    choices.append({"index": 0, "text": "", "logprobs": None, "finish_reason": "stop"})
    return stream(request, head, choices, usage)


def embeddings(request: dict) -> Answer:
    """Answer ``POST /v1/embeddings``: eight numbers for each input, the same for the same input."""
    inputs = request["input"]
    if isinstance(inputs, str) or (inputs and isinstance(inputs[0], int)):
        inputs = [inputs]
    data = []
    for index, item in enumerate(inputs):
        vector = [byte / 255 for byte in hashlib.sha256(json.dumps(item).encode()).digest()[:8]]
        packed = base64.b64encode(struct.pack("<8f", *vector)).decode()
        value = packed if request.get("encoding_format") == "base64" else vector
        data.append({"object": "embedding", "index": index, "embedding": value})
    count = sum(words(item) if isinstance(item, str) else len(item) for item in inputs)
    usage = {"prompt_tokens": count, "total_tokens": count}
    return Answer(200, dump({"object": "list", "data": data, "model": request["model"], "usage": usage}))


def stream(request: dict, head: dict, choices: list[dict], usage: dict) -> Answer:
    """Wrap `choices` into chunks; the usage chunk comes only where the caller asked for it, as OpenAI does."""
    asked = bool((request.get("stream_options") or {}).get("include_usage"))
    extra = {"usage": None} if asked else {}
    chunks = [head | {"choices": [choice]} | extra for choice in choices]
    if asked:
        chunks.append(head | {"choices": [], "usage": usage})
    return Answer(200, events=(*(event(dump(chunk)) for chunk in chunks), event(b"[DONE]")))


def tool_to_call(request: dict, text: str) -> dict | None:
    """Return the call of the first tool that `text` names (any tool, where one is required), or None."""
    choice = request.get("tool_choice", "auto")
    if choice == "none":
        return None
    forced = choice["function"]["name"] if isinstance(choice, dict) else ""
    for tool in request.get("tools", ()):
        name = tool["function"]["name"]
        if name == forced or (not forced and (choice == "required" or name in text)):
            call = {"name": name, "arguments": json.dumps({"query": text})}
            return {"id": identity("call", call), "type": "function", "function": call}
    return None


def tool_deltas(tool: dict) -> Iterator[dict]:
    """Cut one tool call into fragments: id and name come first and once, the arguments in pieces."""
    function = tool["function"]
    yield {"tool_calls": [{"index": 0, **tool, "function": {"name": function["name"], "arguments": ""}}]}
    for piece in pieces(function["arguments"]):
        yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}


def failure(status: int, message: str, kind: str, code: str | None = None) -> Answer:
    """Return an error in OpenAI's shape."""
    return Answer(status, dump({"error": {"message": message, "type": kind, "param": None, "code": code}}))


def model_card(name: str) -> dict:
    """Return what ``/v1/models`` says of one model."""
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "quickstart"}


def usage_of(prompt: int, reply: int) -> dict:
    """Return a usage object, counts in tokens."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": reply,
        "total_tokens": prompt + reply,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def text_of(content: object) -> str:
    """Return the text of a message's content: a string, a list of parts, or nothing."""
    if isinstance(content, list):
        return " ".join(part if isinstance(part, str) else part.get("text", "") for part in content)
    return content if isinstance(content, str) else ""


def pieces(text: str) -> list[str]:
    """Cut `text` before every space, as tokens are cut; joined again they are `text`."""
    first, *rest = text.split(" ")
    return [first, *(" " + word for word in rest)]


def words(text: str) -> int:
    """Count the words of `text`: this provider's tokens."""
    return len(text.split())


def identity(prefix: str, request: dict) -> str:
    """Return the id of the answer to `request`."""
    return f"{prefix}-{hashlib.sha256(dump(request)).hexdigest()[:24]}"


def dump(value: object) -> bytes:
    """Return compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def event(data: bytes) -> bytes:
    """Return one server-sent event."""
    return b"data: " + data + b"\n\n"


async def read_request(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str], bytes] | None:
    """Return the next request as method, path, headers and body, or None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    line, *fields = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, path, _ = line.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    length = int(headers.get("content-length", "0"))
    if "transfer-encoding" in headers or length > MAX_BODY:
        raise ValueError("only bodies with a content-length of at most 64 MiB are read")
    return method, path, headers, await reader.readexactly(length)


def head_of(answer: Answer) -> bytes:
    """Return the status line and the header fields."""
    framing = f"content-length: {len(answer.body)}"
    kind = "application/json"
    if answer.events:
        framing, kind = "transfer-encoding: chunked", "text/event-stream; charset=utf-8"
    return (
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\ncontent-type: {kind}\r\n{framing}\r\n\r\n"
    ).encode()


def chunks_of(answer: Answer) -> Iterator[bytes]:
    """Yield the body as it goes over the wire: in one piece, or one HTTP chunk for each event."""
    if not answer.events:
        yield answer.body
        return
    for data in answer.events:
        yield b"%x\r\n%b\r\n" % (len(data), data)
    yield b"0\r\n\r\n"


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str) -> None:
    """Answer the requests of one connection until its end; an unreadable request ends it."""
    try:
        while request := await read_request(reader):
            answer = respond(*request, key=key)
            writer.write(head_of(answer))
            for chunk in chunks_of(answer):
                writer.write(chunk)
                await writer.drain()
    except (ValueError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass
    finally:
        writer.close()


async def serve(host: str, port: int, key: str) -> None:
    """Serve on host:port until SIGINT or SIGTERM; OSError if the port cannot be bound."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = await asyncio.start_server(lambda reader, writer: converse(reader, writer, key), host, port)
    async with server:
        print(f"scripted provider on http://{host}:{port}/v1", flush=True)
        await stop.wait()


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description="A scripted provider that speaks OpenAI's wire format.")
    parser.add_argument("--listen", default="127.0.0.1:8089", metavar="HOST:PORT")
    host, _, port = parser.parse_args().listen.rpartition(":")
    asyncio.run(serve(host, int(port), os.environ.get("QUICKSTART_PROVIDER_KEY", "")))


if __name__ == "__main__":
    main()
