"""Requests for OpenAI's Responses API, written from the hub. Wire format: the types of OpenAI's Python SDK.

A translated call leaves nothing at the provider unless the caller asks for it: `store` is false. So thoughts must come
back whole, and their encrypted form is asked for where thinking is.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from plane.canonical import (
    Audio,
    Carry,
    Document,
    Effort,
    Image,
    Output,
    Part,
    Reasoning,
    Refusal,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from plane.dialects._carrying import effort_for
from plane.dialects._responses_reading import ENCRYPTED, FAMILY, LOGPROBS

__all__ = ["effort_of", "format_of", "tools_of", "write_request"]

HINTS = frozenset(
    [
        *("include", "prompt_cache_options", "prompt_cache_retention", "safety_identifier", "truncation"),
        *("image", "access_programs", "background_options", "max_tool_calls"),
    ]
)
"""Extras that do not change what the model is asked."""

LACKING = ("top_k", "seed", "presence_penalty", "frequency_penalty")
"""Members of a request that this API has no place for."""


Json = dict[str, Any]


def write_request(request: Request, carry: Carry) -> bytes:
    """Return the body for a provider; what it has no place for is told to `carry`."""
    body: Json = {"model": carry.model, "input": [], "store": request.store is True}
    if len(request.system) == 1:
        body["instructions"] = request.system[0].text
    elif request.system:
        body["input"].append({"role": "developer", "content": [words_of(text, carry) for text in request.system]})
    for text in request.system:
        if text.cache:
            carry.hint("cache_control")
    for message in request.messages:
        write_turn(message.role, message.parts, body["input"], carry)
    if request.tools:
        body["tools"] = tools_of(request)
        if any(tool.cache for tool in request.tools):
            carry.hint("cache_control")
    if request.tool_choice is not None:
        body["tool_choice"] = choice_of(request.tool_choice)
    write_settings(request, body, carry)
    write_reasoning(request, body, carry)
    for name in request.extras:
        if name in HINTS:
            carry.hint(name)
        else:
            carry.drop(name)
    return msgspec.json.encode(body)


def write_settings(request: Request, body: Json, carry: Carry) -> None:
    """Write what is said besides the talk and the tools."""
    said = {
        "max_output_tokens": request.max_tokens,
        "parallel_tool_calls": request.parallel_tools,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_logprobs": request.top_logprobs,
        "metadata": request.metadata or None,
        "user": request.user or None,
        "service_tier": request.service_tier or None,
        "prompt_cache_key": request.cache_key or None,
        "stream": request.stream or None,
    }
    body.update({name: value for name, value in said.items() if value is not None})
    text: Json = {}
    if request.output is not None:
        text["format"] = format_of(request.output)
    if request.verbosity:
        text["verbosity"] = request.verbosity
    if text:
        body["text"] = text
    if request.logprobs:
        body["include"] = [LOGPROBS]
    for name in LACKING:
        if getattr(request, name) is not None:
            carry.drop(name)
    if request.stop:
        carry.drop("stop")
    if request.n is not None and request.n != 1:
        carry.drop("n")


def write_reasoning(request: Request, body: Json, carry: Carry) -> None:
    """Write how much is to be thought; a budget of tokens becomes an effort."""
    asked = request.reasoning
    if asked is None:
        return
    reasoning: Json = {}
    effort = effort_of(asked, carry.budgets)
    if effort is not None:
        reasoning["effort"] = effort
    if asked.show or (asked.show is None and asked.mode in ("on", "adaptive")):
        reasoning["summary"] = "auto"
    if reasoning:
        body["reasoning"] = reasoning
    if effort != "none":
        body["include"] = [*body.get("include", ()), ENCRYPTED]


def effort_of(asked: Reasoning, budgets: dict[str, int]) -> Effort | None:
    """Return the effort that says the same; of a budget the least that allows for it."""
    if asked.mode == "off":
        return "none"
    if asked.effort is not None:
        return asked.effort
    if asked.budget is None:
        return "medium" if asked.mode == "on" else None
    return effort_for(asked.budget, budgets, "high")


def write_turn(role: str, parts: list[Part], items: list[Json], carry: Carry) -> None:
    """Write one turn as the items it consists of, in order; words that follow each other make one message."""
    content: list[Json] = []
    for part in parts:
        if isinstance(part, Text | Image | Document | Audio | Refusal):
            if not content:
                items.append({"role": "developer" if role == "system" else role, "content": content})
            content.append(content_of(part, role, carry))
            continue
        content = []
        if isinstance(part, ToolCall):
            items.append(call_item(part))
        elif isinstance(part, ToolResult):
            items.append(result_item(part, items, carry))
        elif part.family == FAMILY and part.signature:
            items.append(thought_item(part))
        else:
            carry.hint("thinking")


def call_item(call: ToolCall) -> Json:
    """Return a call as an item of the input."""
    if call.custom:
        return {"type": "custom_tool_call", "call_id": call.id, "name": call.name, "input": call.arguments}
    return {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments}


def result_item(result: ToolResult, items: list[Json], carry: Carry) -> Json:
    """Return what a tool gave back as an item; its type is that of the call among `items`."""
    if result.is_error:
        carry.hint("is_error")
    if result.cache:
        carry.hint("cache_control")
    output: str | list[Json]
    if len(result.parts) == 1 and isinstance(result.parts[0], Text):
        output = result.parts[0].text
    else:
        output = [content_of(part, "user", carry) for part in result.parts]
    custom = any(item.get("type") == "custom_tool_call" and item["call_id"] == result.id for item in items)
    kind = "custom_tool_call_output" if custom else "function_call_output"
    return {"type": kind, "call_id": result.id, "output": output}


def thought_item(thought: Thinking) -> Json:
    """Return a thought of OpenAI's as it came; its signature is made by `_responses_reading.thought_of`."""
    item_id, _, encrypted = thought.signature.partition(":")
    summary = [{"type": "summary_text", "text": thought.text}] if thought.text else []
    item: Json = {"type": "reasoning", "summary": summary, "encrypted_content": encrypted}
    if item_id:
        item["id"] = item_id
    return item


def content_of(part: Text | Image | Document | Audio | Refusal, role: str, carry: Carry) -> Json:
    """Return a part of a message or of a tool's output."""
    if isinstance(part, Text):
        return words_of(part, carry, "output_text" if role == "assistant" else "input_text")
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    if isinstance(part, Audio):
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
    if part.cache:
        carry.hint("cache_control")
    if isinstance(part, Image):
        return image_of(part)
    return file_of(part)


def words_of(text: Text, carry: Carry, kind: str = "input_text") -> Json:
    """Return words as a part."""
    if text.cache:
        carry.hint("cache_control")
    return {"type": kind, "text": text.text}


def image_of(image: Image) -> Json:
    """Return an image as a part."""
    made: Json = {"type": "input_image"}
    if image.detail:
        made["detail"] = image.detail
    if image.file_id:
        made["file_id"] = image.file_id
    else:
        made["image_url"] = f"data:{image.media_type};base64,{image.data}" if image.data else image.url
    return made


def file_of(document: Document) -> Json:
    """Return a file as a part; plain text becomes words, as files of this API are PDF and the like."""
    if document.file_id:
        return {"type": "input_file", "file_id": document.file_id}
    if document.text:
        return {"type": "input_text", "text": document.text}
    if document.data:
        return {
            "type": "input_file",
            "filename": document.name or "document",
            "file_data": f"data:{document.media_type};base64,{document.data}",
        }
    return {"type": "input_file", "file_url": document.url}


def tools_of(request: Request) -> list[Json]:
    """Return the functions; `strict` is said always, as this API takes it for granted and others do not."""
    return [
        {
            "type": "function",
            "name": tool.name,
            "description": tool.description or None,
            "parameters": Raw(tool.schema.encode()) if tool.schema else None,
            "strict": tool.strict is True,
        }
        for tool in request.tools
    ]


def choice_of(choice: ToolChoice) -> str | Json:
    """Return `tool_choice`."""
    if choice.mode == "tool":
        return {"type": "function", "name": choice.names[0]}
    if choice.names and choice.mode != "none":
        tools = [{"type": "function", "name": name} for name in choice.names]
        return {"type": "allowed_tools", "mode": choice.mode, "tools": tools}
    return choice.mode


def format_of(output: Output) -> Json:
    """Return `text.format`."""
    if output.kind == "json":
        return {"type": "json_object"}
    made: Json = {
        "type": "json_schema",
        "name": output.name or "answer",
        "schema": Raw(output.schema.encode()),
        "strict": output.strict is True,
    }
    if output.description:
        made["description"] = output.description
    return made
