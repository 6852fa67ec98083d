"""Requests of Cohere's chat, from and to the hub.

What a model says before it calls tools is `tool_plan` here and text in the hub. Cohere has no choice of one tool: it is
offered alone and required. Documents of a user's turn go where Cohere cites from, as `documents`.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from core.errors import GatewayError
from plane.canonical import (
    Audio,
    Carry,
    Document,
    Image,
    Message,
    Output,
    Part,
    Reasoning,
    Refusal,
    Request,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    pack_call_id,
    unpack_call_id,
)
from plane.dialects._carrying import (
    data_uri,
    from_uri,
    joined,
    leave_hints,
    offered_tools,
    sendable_thoughts,
    set_hints_apart,
    text_of,
)
from plane.dialects._cohere_wire import Asked, Content, Source, Turn, WireCall
from plane.dialects._json import read_asked, unknown_members

__all__ = ["FAMILY", "read_request", "write_request"]

FAMILY = "cohere"
OWN = ("documents", "citation_options", "safety_mode", "priority")
"""Members that only Cohere has; a caller of another dialect that sends them as extras means them."""
HINTS = frozenset(["citation_options", "priority"])
"""Those of them that change nothing in what the model says."""
KNOWN = frozenset(["model", "stream", *Asked.__struct_fields__])
PLAIN = (
    ("max_tokens", "max_tokens"),
    ("temperature", "temperature"),
    ("top_p", "p"),
    ("top_k", "k"),
    ("seed", "seed"),
    ("presence_penalty", "presence_penalty"),
    ("frequency_penalty", "frequency_penalty"),
    ("logprobs", "logprobs"),
)
"""Fields of a request that are only called otherwise."""
NO_SCHEMA = Raw(b'{"type":"object","properties":{}}')

_asked = msgspec.json.Decoder(Asked)
_object = msgspec.json.Decoder(dict[str, Raw])
_text_only = msgspec.json.Decoder(dict[str, str])


def read_request(body: bytes, model: str, stream: bool) -> Request:
    """Return what a caller asks for."""
    asked = read_asked(_asked, body)
    request = Request(model, [], stream=stream, usage_wanted=True, extras=unknown_members(body, KNOWN))
    set_hints_apart(request, HINTS)
    for turn in asked.messages:
        read_turn(turn, request)
    for field, name in PLAIN:
        setattr(request, field, getattr(asked, name))
    request.stop = asked.stop_sequences or []
    request.tools = [
        Tool(
            tool.function.name,
            tool.function.description or "",
            text_of(tool.function.parameters),
            asked.strict_tools,
        )
        for tool in asked.tools or ()
    ]
    if asked.tool_choice is not None:
        request.tool_choice = ToolChoice(choice_named(asked.tool_choice))
    if asked.response_format is not None and asked.response_format.type == "json_object":
        schema = text_of(asked.response_format.json_schema)
        request.output = Output("schema", schema=schema) if schema else Output("json")
    if asked.thinking is not None:
        off = asked.thinking.type == "disabled"
        request.reasoning = Reasoning(budget=asked.thinking.token_budget, mode="off" if off else "on")
    return request


def choice_named(word: str) -> Any:
    """Return the hub's word for a tool choice; GatewayError 400 for one that is none."""
    mode = {"REQUIRED": "required", "NONE": "none"}.get(word.upper())
    if mode is None:
        raise GatewayError(
            400, "invalid_request", "caller", "tool_choice must be REQUIRED or NONE.", param="tool_choice"
        )
    return mode


def read_turn(turn: Turn, request: Request) -> None:
    """Add a message to `request`."""
    parts = [Content("text", turn.content)] if isinstance(turn.content, str) else turn.content or []
    if turn.role == "system":
        texts = [Text(part.text or "") for part in parts]
        if request.messages:
            request.messages.append(Message("system", [*texts]))
        else:
            request.system += texts
    elif turn.role == "user":
        request.messages.append(Message("user", [read_part(part) for part in parts]))
    elif turn.role == "assistant":
        said: list[Part] = [read_part(part) for part in parts]
        if turn.tool_plan:
            said.append(Text(turn.tool_plan))
        request.messages.append(Message("assistant", said + [read_call(call) for call in turn.tool_calls or ()]))
    elif turn.role == "tool":
        call_id, _, _ = unpack_call_id(turn.tool_call_id or "")
        result = ToolResult(call_id, [read_result(part) for part in parts])
        last = request.messages[-1] if request.messages else None
        if last is not None and last.role == "user" and last.parts and isinstance(last.parts[-1], ToolResult):
            last.parts.append(result)
        else:
            request.messages.append(Message("user", [result]))
    else:
        raise GatewayError(
            400, "invalid_request", "caller", "A message's role must be system, user, assistant or tool.",
            param="messages",
        )  # fmt: skip


def read_part(part: Content) -> Part:
    """Return a part of a message; GatewayError 400 where its type is unknown."""
    if part.type == "image_url" and part.image_url is not None:
        return from_uri(part.image_url.url, part.image_url.detail or "")
    if part.type == "thinking":
        return Thinking(part.thinking or "", family=FAMILY)
    if part.type == "text":
        return Text(part.text or "")
    raise GatewayError(
        400, "invalid_request", "caller", f"A part of a message has the unknown type {part.type!r:.40}.",
        param="messages",
    )  # fmt: skip


def read_call(call: WireCall) -> ToolCall:
    """Return a tool call of the conversation."""
    name = call.function.name if call.function is not None else None
    arguments = call.function.arguments if call.function is not None else None
    call_id, family, signature = unpack_call_id(call.id or "")
    return ToolCall(call_id, name or "", arguments or "{}", signature, family)


def read_result(part: Content) -> Text | Image | Document:
    """Return what a tool gave back."""
    if part.document is not None:
        return Document(text=read_source(part.document), name=part.document.id or "")
    read = read_part(part)
    return read if isinstance(read, Text | Image) else Text("")


def read_source(source: Source) -> str:
    """Return a document's text, or the JSON text of what else it is."""
    try:
        data = _text_only.decode(source.data)
        if list(data) == ["text"]:
            return data["text"]
    except msgspec.MsgspecError:
        pass
    return bytes(source.data).decode()


def write_request(request: Request, carry: Carry) -> bytes:
    """Return the body for a provider."""
    body: dict[str, Any] = {"model": carry.model, "messages": []}
    messages = Messages(carry, body["messages"])
    if request.system:
        messages.add_system(request.system)
    for message in request.messages:
        messages.add(message)
    for field, name in PLAIN:
        value = getattr(request, field)
        if value is not None:
            body[name] = value
    if request.stop:
        body["stop_sequences"] = request.stop
    if request.stream:
        body["stream"] = True
    write_tools(request, carry, body)
    write_output(request, body)
    write_thinking(request, carry, body)
    if request.n is not None and request.n != 1:
        carry.drop("n")
    if request.top_logprobs:
        carry.drop("top_logprobs")
    leave_hints(request, carry)
    for name, text in (request.extras | request.hints).items():
        if name in OWN:
            body[name] = Raw(text.encode())
        elif name in request.extras:
            carry.drop(name)
    if messages.documents:
        body["documents"] = [*own_documents(request), *messages.documents]
    return msgspec.json.encode(body)


def own_documents(request: Request) -> list[Any]:
    """Return the documents that the caller sent beside the messages; GatewayError 400 where they are no list."""
    documents = msgspec.json.decode(request.extras.get("documents", "[]"))
    if not isinstance(documents, list):
        raise GatewayError(400, "invalid_request", "caller", "documents must be a list.", param="documents")
    return documents


class Messages:
    """The messages of a request, and the documents that stand beside them."""

    def __init__(self, carry: Carry, turns: list[dict[str, Any]]) -> None:
        self.carry = carry
        self.turns = turns
        self.documents: list[dict[str, Any]] = []

    def add_system(self, parts: list[Any]) -> None:
        """Add instructions."""
        texts = [part.text for part in parts if isinstance(part, Text)]
        self.turns.append({"role": "system", "content": texts[0] if len(texts) == 1 else text_parts(texts)})

    def add(self, message: Message) -> None:
        """Add a turn; results of tools become turns of their own, before what else the user says."""
        if message.role == "system":
            self.add_system(message.parts)
        elif message.role == "assistant":
            self.add_answer(message.parts)
        else:
            rest: list[dict[str, Any]] = []
            for part in message.parts:
                if isinstance(part, ToolResult):
                    content = self.result(part)
                    self.turns.append({"role": "tool", "tool_call_id": part.id, "content": content})
                else:
                    written = self.part(part)
                    if written is not None:
                        rest.append(written)
            if rest or not message.parts:
                plain = len(rest) == 1 and rest[0]["type"] == "text"
                self.turns.append({"role": "user", "content": rest[0]["text"] if plain else rest})

    def add_answer(self, parts: list[Part]) -> None:
        """Add what the model said before."""
        turn: dict[str, Any] = {"role": "assistant"}
        thoughts = sendable_thoughts(parts, FAMILY, self.carry)
        content: list[dict[str, Any]] = [{"type": "thinking", "thinking": thought.text} for thought in thoughts]
        texts = [part.text for part in parts if isinstance(part, Text | Refusal) and part.text]
        calls = [part for part in parts if isinstance(part, ToolCall)]
        if calls:
            if texts:
                turn["tool_plan"] = joined(parts)
            turn["tool_calls"] = [write_call(call) for call in calls]
        elif content or len(texts) != 1:
            content += text_parts(texts)
        if content:
            turn["content"] = content
        elif not calls:
            turn["content"] = texts[0] if texts else ""
        self.turns.append(turn)

    def result(self, result: ToolResult) -> str | list[dict[str, Any]]:
        """Return what a tool gave back."""
        content: list[dict[str, Any]] = []
        for part in result.parts:
            if isinstance(part, Text):
                content.append({"type": "text", "text": part.text})
            elif isinstance(part, Document) and part.text:
                content.append({"type": "document", "document": write_source(part)})
            else:
                self.carry.drop("tool_result.image" if isinstance(part, Image) else "file")
        if len(content) == 1 and content[0]["type"] == "text":
            text: str = content[0]["text"]
            return text
        return content or ""

    def part(self, part: Part) -> dict[str, Any] | None:
        """Return a part of a user's turn; None where it stands elsewhere or is left out."""
        if isinstance(part, Text | Refusal):
            return {"type": "text", "text": part.text}
        if isinstance(part, Image) and (part.data or part.url):
            url = {"url": data_uri(part)}
            return {"type": "image_url", "image_url": {**url, "detail": part.detail} if part.detail else url}
        if isinstance(part, Document) and part.text:
            self.documents.append(write_source(part))
        elif isinstance(part, Audio):
            self.carry.drop("input_audio")
        else:
            self.carry.drop("file_id" if isinstance(part, Image) else "file")
        return None


def text_parts(texts: list[str]) -> list[dict[str, Any]]:
    """Return words as parts."""
    return [{"type": "text", "text": text} for text in texts]


def write_call(call: ToolCall) -> dict[str, Any]:
    """Return a tool call; the proof of another family's call means nothing to Cohere and stays here."""
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def write_source(document: Document) -> dict[str, Any]:
    """Return a document as something to cite: an object as it is, other text as its `text`."""
    try:
        _object.decode(document.text)
        data: Any = Raw(document.text.encode())
    except (msgspec.MsgspecError, RecursionError):
        data = {"text": document.text}
    return {"data": data, "id": document.name} if document.name else {"data": data}


def write_tools(request: Request, carry: Carry, body: dict[str, Any]) -> None:
    """Put the tools into `body`, and whether they are called."""
    choice = request.tool_choice
    tools = offered_tools(request)
    if tools:
        body["tools"] = [write_tool(tool) for tool in tools]
        strict = [bool(tool.strict) for tool in tools]
        if all(strict):
            body["strict_tools"] = True
        elif any(strict):
            carry.drop("strict")
    if choice is not None and choice.mode != "auto":
        body["tool_choice"] = "NONE" if choice.mode == "none" else "REQUIRED"
    if request.parallel_tools is False and tools:
        carry.drop("parallel_tool_calls")


def write_tool(tool: Tool) -> dict[str, Any]:
    """Return a tool; its parameters must be there."""
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = Raw(tool.schema.encode()) if tool.schema else NO_SCHEMA
    return {"type": "function", "function": function}


def write_output(request: Request, body: dict[str, Any]) -> None:
    """Put the form of the answer into `body`; a schema has no name here and is always kept to."""
    output = request.output
    if output is not None:
        body["response_format"] = {"type": "json_object"}
        if output.kind == "schema" and output.schema:
            body["response_format"]["json_schema"] = Raw(output.schema.encode())


def write_thinking(request: Request, carry: Carry, body: dict[str, Any]) -> None:
    """Put into `body` whether the model thinks. Efforts count as tokens, by the model's `budgets`."""
    reasoning = request.reasoning
    if reasoning is None:
        return
    if reasoning.mode == "off" or reasoning.effort == "none":
        body["thinking"] = {"type": "disabled"}
        return
    budget = reasoning.budget
    if budget is None and reasoning.effort is not None:
        budget = carry.budgets.get(reasoning.effort)
    if budget is not None and budget > 0:
        body["thinking"] = {"type": "enabled", "token_budget": budget}
    elif reasoning.mode or reasoning.effort:
        body["thinking"] = {"type": "enabled"}
    if budget and request.max_tokens is not None and request.max_tokens <= budget:
        body["max_tokens"] = budget + request.max_tokens


def write_asked_call(call: ToolCall) -> dict[str, Any]:
    """Return a tool call for a caller, its proof in the id."""
    return {
        "id": pack_call_id(call.id, call.family, call.signature),
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }
