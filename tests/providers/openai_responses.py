"""A scripted provider of OpenAI's Responses API, with what such a one keeps."""

import json
import re
from typing import Any

from tests.providers.scripted import Connection, Request

Json = dict[str, Any]
CREATED = 1_760_000_000
USAGE = {
    "input_tokens": 11,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 18,
}


class Keeper:
    """A provider with one credential: a step for `Upstream.default`.

    before: what its paths begin with. kept: id -> what it answers about it.
    """

    def __init__(self, before: str = "") -> None:
        self.before = before
        self.kept: dict[str, Json] = {}
        self.contents: dict[str, bytes] = {}
        self.later: dict[str, Json] = {}
        self.count = 0

    def __call__(self, connection: Connection) -> None:
        request = connection.upstream.requests[-1]
        status, body = self.answer(request)
        if isinstance(body, dict) and "stream" in body:
            data = stream_of(body["stream"])
            head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            connection.socket.sendall(head)
            for at in range(0, len(data), 97):
                piece = data[at : at + 97]
                connection.socket.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            connection.socket.sendall(b"0\r\n\r\n")
            return
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = f"HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
        connection.socket.sendall(head.encode() + data)

    def answer(self, request: Request) -> tuple[int, Json | bytes]:
        """Return status and body of the answer; ``{"stream": response}`` for one that is streamed."""
        method, target, _ = request.line.split(" ")
        path, _, query = target.partition("?")
        parts = path.removeprefix(f"{self.before}/v1/").split("/")
        if method == "POST" and len(parts) == 1:
            return self.create(parts[0], request)
        if parts[0] == "responses" and parts[1] == "input_tokens":
            return 200, {"object": "response.input_tokens", "input_tokens": 11}
        if parts[0] == "responses" and parts[1] == "compact":
            return 200, {"id": "cmp_1", "object": "response.compaction", "output": [], "usage": USAGE, "created_at": 1}
        kept = self.kept.get(parts[1])
        if kept is None:
            return 404, error(f"No such {parts[0]}: {parts[1]}", "not_found_error")
        if method == "DELETE":
            del self.kept[parts[1]]
            return 200, {"id": parts[1], "object": kept["object"], "deleted": True}
        if parts[0] == "uploads":
            return self.upload(kept, parts[2], request)
        if parts[2:] == ["content"]:
            return 200, self.contents[parts[1]]
        if parts[2:] == ["cancel"]:
            if kept.get("background"):
                kept |= {"status": "cancelled"}
            return 200, {**kept, "status": "cancelled"}
        if parts[2:] == ["input_items"]:
            items = [{"id": "msg_in", "type": "message", "role": "user", "content": kept["metadata"].get("said", "")}]
            return 200, {"object": "list", "data": items, "first_id": "msg_in", "last_id": "msg_in", "has_more": False}
        if kept.get("status") in ("queued", "in_progress"):
            self.work_on(kept)
        return 200, {"stream": kept} if "stream=true" in query else kept

    def work_on(self, made: Json) -> None:
        """Go on with a response that is made in the background: each look at it finds it a step further."""
        if made["status"] == "queued":
            made["status"] = "in_progress"
        else:
            made |= {"status": "completed", "usage": USAGE, **self.later.pop(made["id"])}

    def upload(self, kept: Json, step: str, request: Request) -> tuple[int, Json]:
        """Take a part of an upload, or make a file of the parts that are named, in their order."""
        self.count += 1
        if step == "parts":
            part = {"id": f"part_made{self.count}", "object": "upload.part", "created_at": CREATED}
            found = re.search(rb"name=\"data\".*?\r\n\r\n(.*?)\r\n--", request.body, re.DOTALL)
            self.contents[part["id"]] = found[1] if found is not None else b""
            return 200, {**part, "upload_id": kept["id"]}
        if step == "cancel":
            return 200, {**kept, "status": "cancelled"}
        named = request.json()["part_ids"]
        if any(name not in self.contents for name in named):
            return 400, error("No such part.", "invalid_request_error")
        data = b"".join(self.contents[name] for name in named)
        made = {"id": f"file-made{self.count}", "object": "file", "bytes": len(data), "created_at": CREATED}
        made |= {"filename": kept["filename"], "purpose": kept["purpose"], "status": "processed"}
        self.contents[made["id"]] = data
        return 200, {**kept, "status": "completed", "file": self.keep(made)}

    def create(self, kind: str, request: Request) -> tuple[int, Json | bytes]:
        """Make a response, a file, a batch or a conversation."""
        self.count += 1
        if kind == "files":
            found = re.search(rb"filename=\"([^\"]+)\"\r\n.*?\r\n\r\n(.*?)\r\n--", request.body, re.DOTALL)
            if found is None:
                return 400, error("No file was sent.", "invalid_request_error")
            made = {"id": f"file-made{self.count}", "object": "file", "bytes": len(found[2]), "created_at": CREATED}
            made |= {"filename": found[1].decode(), "purpose": "batch", "status": "processed"}
            self.contents[made["id"]] = found[2]
            return 200, self.keep(made)
        body = request.json()
        if kind == "uploads":
            made = {"id": f"upload_made{self.count}", "object": "upload", "status": "pending", "created_at": CREATED}
            made |= {**{name: body[name] for name in ("filename", "purpose", "bytes")}, "expires_at": CREATED}
            return 200, self.keep(made)
        if kind == "batches":
            if body["input_file_id"] not in self.kept:
                return 400, error("No such file.", "invalid_request_error")
            made = {"id": f"batch_made{self.count}", "object": "batch", "status": "completed", "created_at": CREATED}
            made |= {name: body[name] for name in ("input_file_id", "endpoint", "completion_window")}
            made |= {"output_file_id": f"file-out{self.count}", "error_file_id": None}
            self.kept[made["output_file_id"]] = {"id": made["output_file_id"], "object": "file"}
            self.contents[made["output_file_id"]] = b'{"custom_id":"1"}\n'
            return 200, self.keep(made)
        if kind == "conversations":
            return 200, self.keep({"id": f"conv_made{self.count}", "object": "conversation", "created_at": CREATED})
        return self.respond(body)

    def keep(self, made: Json) -> Json:
        """Keep what was made, and return it."""
        self.kept[made["id"]] = made
        return made

    def respond(self, body: Json) -> tuple[int, Json]:
        """Answer a call of the model."""
        earlier = body.get("previous_response_id")
        if earlier is not None and earlier not in self.kept:
            return 400, error(f"Previous response with id '{earlier}' not found.", "invalid_request_error")
        made = {
            **{"id": f"resp_made{self.count}", "object": "response", "created_at": CREATED, "status": "completed"},
            **{"model": body["model"], "output": output_of(body), "usage": USAGE, "previous_response_id": earlier},
            **{"parallel_tool_calls": True, "tool_choice": "auto", "tools": body.get("tools", []), "error": None},
            **{"metadata": body.get("metadata", {}), "store": body.get("store", True), "incomplete_details": None},
            **{"from_the_future": [1.5, 1e3]},
        }
        if body.get("conversation"):
            named = body["conversation"]
            made["conversation"] = {"id": named if isinstance(named, str) else named["id"]}
        if body.get("background") and not body.get("stream"):
            self.later[made["id"]] = {"output": made["output"]}
            made |= {"background": True, "status": "queued", "output": [], "usage": None}
        if made["store"]:
            self.keep(made)
        return 200, {"stream": made} if body.get("stream") else made


def error(message: str, kind: str) -> Json:
    """Return an error answer."""
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def output_of(body: Json) -> list[Json]:
    """Return what the model says: the result of a tool, else a call of the first tool, else what it was told."""
    items = body["input"] if isinstance(body["input"], list) else [{"role": "user", "content": body["input"]}]
    thoughts: list[Json] = []
    if body.get("reasoning"):
        summary = [{"type": "summary_text", "text": "Let me see."}]
        thoughts = [{"id": "rs_1", "type": "reasoning", "summary": summary, "encrypted_content": "gAAAAsecret"}]
    last = items[-1]
    if last.get("type") == "function_call_output":
        return [*thoughts, message(f"The tool said: {last['output']}")]
    if body.get("tools"):
        name = body["tools"][0]["name"]
        call = {
            "id": "fc_1",
            "type": "function_call",
            "call_id": "call_1",
            "name": name,
            "arguments": '{"city":"Paris"}',
        }
        return [*thoughts, {**call, "status": "completed"}]
    content = last["content"]
    said = content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)
    return [*thoughts, message(f"You said: {said}")]


def message(text: str) -> Json:
    """Return a message as an item."""
    content = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [content]}


def stream_of(response: Json) -> bytes:
    """Return the stream of a response."""
    events: list[Json] = []
    begun = {**response, "status": "in_progress", "output": [], "usage": None}
    events += [{"type": "response.created", "response": begun}, {"type": "response.in_progress", "response": begun}]
    for place, item in enumerate(response["output"]):
        where = {"output_index": place, "item_id": item["id"]}
        added = {"message": {"content": []}, "function_call": {"arguments": ""}, "reasoning": {"summary": []}}
        events.append(
            {"type": "response.output_item.added", "output_index": place, "item": {**item, **added[item["type"]]}}
        )
        if item["type"] == "message":
            part = item["content"][0]
            where["content_index"] = 0
            events.append({"type": "response.content_part.added", **where, "part": {**part, "text": ""}})
            for word in re.findall(r"\S+\s*", part["text"]):
                events.append({"type": "response.output_text.delta", **where, "delta": word, "logprobs": []})
            events.append({"type": "response.output_text.done", **where, "text": part["text"], "logprobs": []})
            events.append({"type": "response.content_part.done", **where, "part": part})
        elif item["type"] == "function_call":
            arguments = item["arguments"]
            for piece in (arguments[:5], arguments[5:]):
                events.append({"type": "response.function_call_arguments.delta", **where, "delta": piece})
            events.append({"type": "response.function_call_arguments.done", **where, "arguments": arguments})
        events.append({"type": "response.output_item.done", "output_index": place, "item": item})
        events.append({"type": "response.event_from_the_future", "x": place})
    events.append({"type": "response.completed", "response": response})
    blocks = [json.dumps({**event, "sequence_number": number}) for number, event in enumerate(events)]
    return "".join(
        f"event: {event['type']}\ndata: {block}\n\n" for event, block in zip(events, blocks, strict=True)
    ).encode()
