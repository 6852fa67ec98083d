"""What a provider is asked in OpenAI's chat completions, from the hub."""

from __future__ import annotations

from typing import Any

import msgspec

from plane.canonical import (
    Audio,
    Carry,
    Document,
    Image,
    Message,
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
from plane.dialects._openai_wire import ENCODER, TIERS, Options, capabilities_of, raw

__all__ = ["write_request"]

OWN = frozenset(["audio", "logit_bias", "modalities", "moderation", "prediction", "tools.custom", "web_search_options"])
"""What a caller may have said that only this dialect has."""
RAWS: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])
NO_SCHEMA = '{"type":"object","properties":{}}'


def write_request(request: Request, carry: Carry) -> bytes:
    """Return the body for a provider."""
    can = capabilities_of(carry)
    body: dict[str, Any] = {"model": carry.model, "messages": messages_of(request, carry, can)}
    if request.max_tokens is not None:
        body["max_completion_tokens" if can.max_completion_tokens else "max_tokens"] = request.max_tokens
    for name in ("temperature", "top_p", "n", "seed", "presence_penalty", "frequency_penalty", "logprobs"):
        value = getattr(request, name)
        if value is not None:
            body[name] = value
    if request.top_logprobs is not None:
        body["top_logprobs"] = request.top_logprobs
    if request.top_k is not None:
        carry.drop("top_k")
    if request.stop:
        body["stop"] = request.stop
    write_tools(request, carry, can, body)
    if request.output is not None:
        write_output(request, can, body)
    if request.reasoning is not None:
        write_reasoning(request.reasoning, carry, can, body)
    write_hints(request, carry, body)
    if request.stream:
        body["stream"] = True
        if can.stream_options:
            body["stream_options"] = {"include_usage": True}
    for name, text in request.extras.items():
        if name not in OWN:
            carry.drop(name)
        elif name != "tools.custom":
            body[name] = raw(text)
    return ENCODER.encode(body)


def messages_of(request: Request, carry: Carry, can: Options) -> list[dict[str, Any]]:
    """Return the talk. Instructions are of the role ``system``, which all servers know and OpenAI's still take."""
    messages: list[dict[str, Any]] = []
    if request.system:
        if any(text.cache for text in request.system):
            carry.hint("cache_control")
        messages.append({"role": "system", "content": "\n\n".join(text.text for text in request.system)})
    for message in request.messages:
        if message.role == "assistant":
            messages.append(said(message, carry, can))
        elif message.role == "system":
            words = "\n\n".join(part.text for part in message.parts if isinstance(part, Text))
            messages.append({"role": "system", "content": words})
        else:
            messages += asked(message, carry, can)
    return messages


def asked(message: Message, carry: Carry, can: Options) -> list[dict[str, Any]]:
    """Return a turn of the caller's: results of tools, each a message of its own, then what else it has.

    A tool's message holds words only, so pictures and files of a result are shown behind the results.
    """
    messages: list[dict[str, Any]] = []
    rest: list[Part] = []
    for part in message.parts:
        if not isinstance(part, ToolResult):
            rest.append(part)
            continue
        if part.is_error:
            carry.hint("tool_result.is_error")
        words = [inner.text for inner in part.parts if isinstance(inner, Text)]
        shown = [inner for inner in part.parts if not isinstance(inner, Text)]
        rest += shown
        if shown and not words:
            words = ["The result is attached to the next message."]
        messages.append({"role": "tool", "tool_call_id": part.id, "content": "\n".join(words)})
    if rest or not messages:
        told: dict[str, Any] = {"role": "user", "content": content_of(rest, carry, can)}
        if message.name:
            told["name"] = message.name
        messages.append(told)
    return messages


def content_of(parts: list[Part], carry: Carry, can: Options) -> str | list[dict[str, Any]]:
    """Return the content of a caller's message; a string where it is no more than that."""
    if len(parts) == 1 and isinstance(parts[0], Text) and not parts[0].cache:
        return parts[0].text
    found = [told for part in parts if (told := part_of(part, carry, can)) is not None]
    if len(found) == 1 and found[0]["type"] == "text":
        text: str = found[0]["text"]
        return text
    return found


def part_of(part: Part, carry: Carry, can: Options) -> dict[str, Any] | None:
    """Return one part of a caller's message, None for one that is left out."""
    if isinstance(part, Text | Image | Document) and part.cache:
        carry.hint("cache_control")
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if isinstance(part, Image):
        if part.file_id:
            carry.drop("image.file_id")
            return None
        told = {"url": part.url or f"data:{part.media_type};base64,{part.data}"}
        if part.detail:
            told["detail"] = part.detail
        return {"type": "image_url", "image_url": told}
    if isinstance(part, Audio):
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
    if isinstance(part, Document):
        return document_of(part, carry, can)
    if isinstance(part, Refusal):
        return {"type": "text", "text": part.text}
    return None


def document_of(part: Document, carry: Carry, can: Options) -> dict[str, Any] | None:
    """Return a file as a part of a message."""
    if part.text:
        return {"type": "text", "text": part.text}
    if part.url:
        carry.drop("document.url")
        return None
    if not can.files:
        carry.drop("document")
        return None
    if part.file_id:
        return {"type": "file", "file": {"file_id": part.file_id}}
    data = f"data:{part.media_type};base64,{part.data}"
    return {"type": "file", "file": {"filename": part.name or "document.pdf", "file_data": data}}


def said(message: Message, carry: Carry, can: Options) -> dict[str, Any]:
    """Return a turn of the model's."""
    words: list[str] = []
    refusal: list[str] = []
    calls: list[dict[str, Any]] = []
    thoughts: list[str] = []
    for part in message.parts:
        if isinstance(part, Text):
            words.append(part.text)
        elif isinstance(part, Refusal):
            refusal.append(part.text)
        elif isinstance(part, ToolCall):
            calls.append(call_of(part))
        elif isinstance(part, Thinking):
            if can.reasoning_content and part.text:
                thoughts.append(part.text)
            else:
                carry.hint("thinking")
    told: dict[str, Any] = {"role": "assistant", "content": "".join(words) if words else None}
    if thoughts:
        told["reasoning_content"] = "".join(thoughts)
    if refusal:
        told["refusal"] = "".join(refusal)
    elif not words and not calls:
        told["content"] = ""
    if calls:
        told["tool_calls"] = calls
    if message.name:
        told["name"] = message.name
    return told


def call_of(part: ToolCall) -> dict[str, Any]:
    """Return a tool call."""
    if part.custom:
        return {"id": part.id, "type": "custom", "custom": {"name": part.name, "input": part.arguments}}
    return {"id": part.id, "type": "function", "function": {"name": part.name, "arguments": part.arguments or "{}"}}


def write_tools(request: Request, carry: Carry, can: Options, body: dict[str, Any]) -> None:
    """Write the tools and the choice among them."""
    tools: list[Any] = []
    for tool in request.tools:
        function: dict[str, Any] = {"name": tool.name}
        if tool.description:
            function["description"] = tool.description
        function["parameters"] = raw(tool.schema or NO_SCHEMA)
        if tool.strict is not None and can.strict:
            function["strict"] = tool.strict
        tools.append({"type": "function", "function": function})
        if tool.cache:
            carry.hint("cache_control")
    custom = request.extras.get("tools.custom", "")
    if custom.startswith("["):
        tools += [raw(text) for text in custom_tools(custom)]
    elif custom:
        carry.drop("tools.custom")
    if not tools:
        return
    body["tools"] = tools
    if request.tool_choice is not None:
        body["tool_choice"] = choice_of(request.tool_choice)
    if request.parallel_tools is not None:
        body["parallel_tool_calls"] = request.parallel_tools


def custom_tools(text: str) -> list[str]:
    """Return the tools that take free text, each as JSON text."""
    return [bytes(tool).decode() for tool in RAWS.decode(text)]


def choice_of(choice: ToolChoice) -> Any:
    """Return which tools are to be called."""
    if choice.mode == "tool":
        return {"type": "function", "function": {"name": choice.names[0] if choice.names else ""}}
    if choice.names and choice.mode != "none":
        tools = [{"type": "function", "function": {"name": name}} for name in choice.names]
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": tools}}
    return choice.mode


def write_output(request: Request, can: Options, body: dict[str, Any]) -> None:
    """Write the form that the answer shall have."""
    output = request.output
    if output is None:
        return
    if output.kind == "json":
        body["response_format"] = {"type": "json_object"}
        return
    schema: dict[str, Any] = {"name": output.name or "answer"}
    if output.description:
        schema["description"] = output.description
    if output.schema:
        schema["schema"] = raw(output.schema)
    if output.strict is not None and can.strict:
        schema["strict"] = output.strict
    body["response_format"] = {"type": "json_schema", "json_schema": schema}


def write_reasoning(reasoning: Reasoning, carry: Carry, can: Options, body: dict[str, Any]) -> None:
    """Write how much the model shall think: an effort, also where a budget was asked for."""
    effort = reasoning.effort
    if reasoning.mode == "off":
        effort = "none"
    elif effort is None and reasoning.budget is not None:
        effort = effort_for(reasoning.budget, carry.budgets, "high")
    if effort is None:
        return
    if can.reasoning_effort:
        body["reasoning_effort"] = effort
    else:
        carry.hint("reasoning_effort")


def write_hints(request: Request, carry: Carry, body: dict[str, Any]) -> None:
    """Write what is for OpenAI alone; others' words for it mean nothing there."""
    if request.verbosity:
        body["verbosity"] = request.verbosity
    if request.user:
        body["user"] = request.user
    if request.cache_key:
        body["prompt_cache_key"] = request.cache_key
    if request.store is not None:
        body["store"] = request.store
    if request.metadata:
        if request.store:
            body["metadata"] = request.metadata
        else:
            carry.hint("metadata")  # Taken only of calls that are stored.
    if request.service_tier:
        if request.service_tier in TIERS:
            body["service_tier"] = request.service_tier
        else:
            carry.hint("service_tier")
