"""Requests of Mistral's chat, from and to the hub.

Ids of tool calls must be nine letters and digits; others are made so, the same each time, so that results fit calls.
A talk that ends with the model's words is gone on with: its last message is marked as the `prefix` of the answer.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec
from msgspec import Raw

from core.errors import GatewayError
from plane.canonical import (
    Audio,
    Carry,
    Document,
    Effort,
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
    own_signature,
    unpack_call_id,
)
from plane.dialects._carrying import (
    data_uri,
    effort_for,
    from_uri,
    leave_hints,
    offered_tools,
    sendable_thoughts,
    text_of,
)
from plane.dialects._json import read_asked, unknown_members
from plane.dialects._mistral_wire import Asked, Chosen, Chunk, Turn, Url, WireCall

__all__ = ["FAMILY", "arguments_of", "read_chunk", "read_request", "thinking_of", "write_request"]

FAMILY = "mistral"
KEPT = frozenset(["metadata", "cache_key"])
"""Hints that Mistral has a place for."""
OWN = frozenset(
    [
        *("random_seed", "safe_prompt", "prompt_mode", "prediction", "min_tokens", "repetition_penalty"),
        *("guardrails", "prompt_logprobs", "top_prompt_logprobs"),
    ]
)
"""Members that a caller of another dialect means as Mistral does, if it sends them as extras."""
KNOWN = frozenset(["model", "stream", *Asked.__struct_fields__])
PLAIN = (
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("top_k", "top_k"),
    ("max_tokens", "max_tokens"),
    ("seed", "random_seed"),
    ("presence_penalty", "presence_penalty"),
    ("frequency_penalty", "frequency_penalty"),
    ("n", "n"),
    ("logprobs", "logprobs"),
    ("top_logprobs", "top_logprobs"),
)
"""Fields of a request that are only called otherwise."""
TIERS = ("auto", "standard_only")
EFFORTS: dict[str, Effort] = {
    "none": "none",
    "minimal": "minimal",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}
CALL_ID = re.compile(r"[A-Za-z0-9]{9}")
NO_SCHEMA = Raw(b'{"type":"object","properties":{}}')

_asked = msgspec.json.Decoder(Asked)
_text = msgspec.json.Decoder(str)


def read_request(body: bytes, model: str, stream: bool) -> Request:
    """Return what a caller asks for."""
    asked = read_asked(_asked, body)
    request = Request(model, [], stream=stream, usage_wanted=True, extras=unknown_members(body, KNOWN))
    for turn in asked.messages:
        read_turn(turn, request)
    for field, name in PLAIN:
        setattr(request, field, getattr(asked, name))
    request.stop = [asked.stop] if isinstance(asked.stop, str) else asked.stop or []
    request.parallel_tools = asked.parallel_tool_calls
    request.cache_key = asked.prompt_cache_key or ""
    request.service_tier = asked.service_tier or ""
    request.metadata = {name: str(value) for name, value in (asked.metadata or {}).items()}
    read_tools(asked, request)
    form = asked.response_format
    if form is not None and form.type == "json_object":
        request.output = Output("json")
    elif form is not None and form.json_schema is not None:
        schema = form.json_schema
        request.output = Output("schema", schema.name, text_of(schema.schema), schema.strict, schema.description or "")
    if asked.reasoning_effort is not None and asked.reasoning_effort not in EFFORTS:
        raise wrong("reasoning_effort", "reasoning_effort is not one that is known.")
    if asked.reasoning_effort is not None:
        request.reasoning = Reasoning(effort=EFFORTS[asked.reasoning_effort])
    elif asked.prompt_mode == "reasoning":
        request.reasoning = Reasoning(mode="on")
    return request


def read_tools(asked: Asked, request: Request) -> None:
    """Read the tools and the choice among them."""
    for tool in asked.tools or ():
        function = tool.function
        if function is None:
            raise GatewayError(
                400, "unsupported", "caller", "The provider of this model runs no tools itself.", param="tools"
            )
        request.tools.append(
            Tool(function.name, function.description or "", text_of(function.parameters), function.strict)
        )
    choice = asked.tool_choice
    if isinstance(choice, Chosen):
        request.tool_choice = ToolChoice("tool", (choice.function.name,))
    elif choice == "any" or choice == "required":
        request.tool_choice = ToolChoice("required")
    elif choice == "auto" or choice == "none":
        request.tool_choice = ToolChoice("auto" if choice == "auto" else "none")
    elif choice is not None:
        raise wrong("tool_choice", "tool_choice must be auto, none, any or one tool.")


def wrong(param: str, message: str) -> GatewayError:
    """Return the refusal of what a caller sent."""
    return GatewayError(400, "invalid_request", "caller", message, param=param)


def read_turn(turn: Turn, request: Request) -> None:
    """Add a message to `request`."""
    chunks = [Chunk(text=turn.content)] if isinstance(turn.content, str) else turn.content or []
    parts = [read_chunk(chunk) for chunk in chunks]
    messages = request.messages
    if turn.role == "system":
        texts = [part for part in parts if isinstance(part, Text)]
        if messages:
            messages.append(Message("system", [*texts]))
        else:
            request.system += texts
    elif turn.role == "user":
        messages.append(Message("user", parts))
    elif turn.role == "assistant":
        said = [part for part in parts if not isinstance(part, Text) or part.text]
        messages.append(Message("assistant", [*said, *map(read_call, turn.tool_calls or ())]))
    elif turn.role == "tool":
        shown = [part for part in parts if isinstance(part, Text | Image | Document)]
        result = ToolResult(unpack_call_id(turn.tool_call_id or "")[0], shown, turn.name or "")
        last = messages[-1] if messages else None
        if last is not None and last.role == "user" and last.parts and isinstance(last.parts[-1], ToolResult):
            last.parts.append(result)
        else:
            messages.append(Message("user", [result]))
    else:
        raise wrong("messages", "A message's role must be system, user, assistant or tool.")


def read_chunk(chunk: Chunk) -> Part:
    """Return a chunk of a message; GatewayError 400 where its type is unknown."""
    if chunk.type == "text":
        return Text(chunk.text or "")
    if chunk.type == "thinking":
        return thinking_of(chunk)
    if chunk.type == "image_url" and chunk.image_url is not None:
        if isinstance(chunk.image_url, Url):
            return from_uri(chunk.image_url.url, chunk.image_url.detail or "")
        return from_uri(chunk.image_url)
    if chunk.type == "document_url" and chunk.document_url is not None:
        held = from_uri(chunk.document_url)
        return Document(held.url, held.media_type, held.data, name=chunk.document_name or "")
    if chunk.type == "file" and chunk.file_id is not None:
        return Document(file_id=chunk.file_id)
    if chunk.type == "input_audio" and chunk.input_audio is not None:
        return Audio("mp3" if chunk.input_audio.startswith(("SUQz", "//")) else "wav", chunk.input_audio)
    raise wrong("messages", f"A part of a message has the unknown type {chunk.type!r:.40}.")


def thinking_of(chunk: Chunk) -> Thinking:
    """Return a thought, with the proof of whoever thought it."""
    text = "".join(piece.text or "" for piece in chunk.thinking or ())
    if not chunk.signature:
        return Thinking(text, family=FAMILY)
    family, signature = own_signature(chunk.signature, FAMILY)
    return Thinking(text, signature, family=family)


def read_call(call: WireCall) -> ToolCall:
    """Return a tool call of the conversation."""
    call_id, family, signature = unpack_call_id(call.id or "")
    return ToolCall(call_id, call.function.name, arguments_of(call), signature, family)


def arguments_of(call: WireCall) -> str:
    """Return the arguments of a call as JSON text, in which form they mostly come."""
    text = text_of(call.function.arguments)
    if text.startswith('"'):
        text = _text.decode(text)
    return text


def write_request(request: Request, carry: Carry) -> bytes:
    """Return the body for a provider."""
    body: dict[str, Any] = {"model": carry.model, "messages": messages_of(request, carry)}
    for field, name in PLAIN:
        value = getattr(request, field)
        if value is not None:
            body[name] = value
    if request.stop:
        body["stop"] = request.stop
    if request.stream:
        body["stream"] = True
    write_tools(request, body)
    write_output(request, body)
    write_reasoning(request, carry, body)
    if request.metadata:
        body["metadata"] = request.metadata
    if request.cache_key:
        body["prompt_cache_key"] = request.cache_key
    tier = request.service_tier in TIERS
    if tier:
        body["service_tier"] = request.service_tier
    leave_hints(request, carry, KEPT | {"service_tier"} if tier else KEPT)
    for name, text in request.extras.items():
        if name in OWN:
            body[name] = Raw(text.encode())
        else:
            carry.drop(name)
    return msgspec.json.encode(body)


def messages_of(request: Request, carry: Carry) -> list[dict[str, Any]]:
    """Return the talk; results of tools are messages of their own, before what else the caller says."""
    messages: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    if request.system:
        messages.append({"role": "system", "content": content_of([*request.system], carry)})
    for message in request.messages:
        if message.role == "assistant":
            names.update((part.id, part.name) for part in message.parts if isinstance(part, ToolCall))
            messages.append(said(message.parts, carry))
            continue
        rest = [part for part in message.parts if not isinstance(part, ToolResult)]
        for part in message.parts:
            if isinstance(part, ToolResult):
                told = {"role": "tool", "tool_call_id": short_id(part.id), "content": content_of([*part.parts], carry)}
                name = part.name or names.get(part.id, "")
                messages.append({**told, "name": name} if name else told)
        if rest or not message.parts:
            messages.append({"role": message.role, "content": content_of(rest, carry)})
    if messages and messages[-1]["role"] == "assistant":
        messages[-1]["prefix"] = True
    return messages


def said(parts: list[Part], carry: Carry) -> dict[str, Any]:
    """Return a turn of the model's."""
    thoughts = sendable_thoughts(parts, FAMILY, carry)
    words = [part for part in parts if isinstance(part, Text | Refusal) and part.text]
    told: dict[str, Any] = {"role": "assistant", "content": content_of([*thoughts, *words], carry)}
    calls = [part for part in parts if isinstance(part, ToolCall)]
    if calls:
        told["tool_calls"] = [
            {"id": short_id(call.id), "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in calls
        ]
    return told


def content_of(parts: list[Any], carry: Carry) -> str | list[dict[str, Any]]:
    """Return the content of a message: a string where it is no more than that."""
    if not parts:
        return ""
    chunks = [chunk for part in parts if (chunk := chunk_of(part, carry)) is not None]
    if len(chunks) == 1 and chunks[0]["type"] == "text":
        text: str = chunks[0]["text"]
        return text
    return chunks


def chunk_of(part: Part, carry: Carry) -> dict[str, Any] | None:
    """Return a chunk of a message; None for one that is left out."""
    if isinstance(part, Text | Refusal):
        return {"type": "text", "text": part.text}
    if isinstance(part, Thinking):
        chunk: dict[str, Any] = {"type": "thinking", "thinking": [{"type": "text", "text": part.text}]}
        return {**chunk, "signature": part.signature} if part.signature else chunk
    if isinstance(part, Image):
        if part.file_id:
            carry.drop("file_id")
            return None
        uri = data_uri(part)
        return {"type": "image_url", "image_url": {"url": uri, "detail": part.detail} if part.detail else uri}
    if isinstance(part, Audio):
        return {"type": "input_audio", "input_audio": part.data}
    if isinstance(part, Document):
        return document_of(part)
    return None


def document_of(part: Document) -> dict[str, Any]:
    """Return a file as a chunk."""
    if part.text:
        return {"type": "text", "text": f"{part.name}\n{part.text}" if part.name else part.text}
    if part.file_id:
        return {"type": "file", "file_id": part.file_id}
    url = part.url or f"data:{part.media_type or 'application/pdf'};base64,{part.data}"
    chunk = {"type": "document_url", "document_url": url}
    return {**chunk, "document_name": part.name} if part.name else chunk


def short_id(call_id: str) -> str:
    """Return the id of a call as Mistral takes it."""
    if CALL_ID.fullmatch(call_id):
        return call_id
    return hashlib.sha256(call_id.encode()).hexdigest()[:9]


def write_tools(request: Request, body: dict[str, Any]) -> None:
    """Put the tools into `body`, and whether they are called."""
    tools = offered_tools(request)
    choice = request.tool_choice
    if not tools:
        return
    body["tools"] = [{"type": "function", "function": function_of(tool)} for tool in tools]
    if choice is not None and choice.mode == "tool":
        body["tool_choice"] = {"type": "function", "function": {"name": choice.names[0]}}
    elif choice is not None:
        body["tool_choice"] = "any" if choice.mode == "required" else choice.mode
    if request.parallel_tools is not None:
        body["parallel_tool_calls"] = request.parallel_tools


def function_of(tool: Tool) -> dict[str, Any]:
    """Return a tool; its parameters must be there."""
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = Raw(tool.schema.encode()) if tool.schema else NO_SCHEMA
    if tool.strict is not None:
        function["strict"] = tool.strict
    return function


def write_output(request: Request, body: dict[str, Any]) -> None:
    """Put the form of the answer into `body`."""
    output = request.output
    if output is None:
        return
    if output.kind == "json" or not output.schema:
        body["response_format"] = {"type": "json_object"}
        return
    schema: dict[str, Any] = {"name": output.name or "answer", "schema": Raw(output.schema.encode())}
    if output.description:
        schema["description"] = output.description
    if output.strict is not None:
        schema["strict"] = output.strict
    body["response_format"] = {"type": "json_schema", "json_schema": schema}


def write_reasoning(request: Request, carry: Carry, body: dict[str, Any]) -> None:
    """Put into `body` how much the model thinks: an effort, also where a budget was asked for."""
    reasoning = request.reasoning
    if reasoning is None:
        return
    effort = "none" if reasoning.mode == "off" else reasoning.effort
    if effort is None and reasoning.budget is not None:
        effort = EFFORTS[effort_for(reasoning.budget, carry.budgets, "high")]
        carry.hint("budget_tokens")
    if effort is not None:
        body["reasoning_effort"] = effort
    elif reasoning.mode:
        body["prompt_mode"] = "reasoning"
