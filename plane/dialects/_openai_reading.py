"""What a caller asks for in OpenAI's chat completions, for the hub."""

from __future__ import annotations

from typing import Literal, cast

import msgspec
from msgspec import Raw, Struct

from core.errors import GatewayError
from plane.canonical import (
    USUAL_EFFORT,
    Audio,
    Cache,
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
from plane.dialects._json import read_asked, unknown_members
from plane.dialects._openai_wire import text_of

__all__ = ["HINTS", "read_request"]

NULL = Raw(b"null")
THOUGHTS = "anthropic"
"""Whose proof a thinking block has that says nothing else: the form is Anthropic's."""


class ImageUrl(Struct, gc=False):
    """Where a picture is."""

    url: str
    detail: str | None = None


class InputAudio(Struct, gc=False):
    """Sound."""

    data: str
    format: str = "wav"


class File(Struct, gc=False):
    """A file to read."""

    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class CacheControl(Struct, gc=False):
    """Anthropic's mark of a prefix to keep, which many clients send in this dialect, too."""

    ttl: str | None = None


class ContentPart(Struct):
    """One part of a message's content."""

    type: str
    text: str = ""
    refusal: str = ""
    image_url: ImageUrl | str | None = None
    input_audio: InputAudio | None = None
    file: File | None = None
    cache_control: CacheControl | None = None
    prompt_cache_breakpoint: Raw = NULL


class Function(Struct, gc=False):
    """The call of a function."""

    name: str
    arguments: str = ""


class Custom(Struct, gc=False):
    """The call of a tool that takes free text."""

    name: str
    input: str = ""


class Call(Struct):
    """A tool call of the history."""

    id: str = ""
    function: Function | None = None
    custom: Custom | None = None


class ThinkingBlock(Struct, gc=False):
    """What a model thought, with its proof, in the form that this gateway and others give it to callers."""

    type: str
    thinking: str = ""
    signature: str = ""
    data: str = ""


class Said(Struct):
    """One message."""

    role: str
    content: str | list[ContentPart] | None = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: str = ""
    function_call: Function | None = None
    reasoning_content: str | None = None
    thinking_blocks: list[ThinkingBlock] | None = None


class FunctionTool(Struct):
    """A function as it is offered."""

    name: str
    description: str | None = None
    parameters: Raw = NULL
    strict: bool | None = None


class OfferedTool(Struct):
    """A tool as it is offered."""

    type: str = "function"
    function: FunctionTool | None = None
    cache_control: CacheControl | None = None


class Name(Struct, gc=False):
    """The name of a tool."""

    name: str = ""


class Allowed(Struct):
    """One of the tools that may be called."""

    function: Name | None = None
    custom: Name | None = None


class AllowedTools(Struct):
    """The tools that may be called."""

    mode: Literal["auto", "required"] = "auto"
    tools: list[Allowed] = []


class NamedChoice(Struct):
    """A choice of tools that is more than a word."""

    type: str = "function"
    function: Name | None = None
    custom: Name | None = None
    allowed_tools: AllowedTools | None = None


class Schema(Struct):
    """The form an answer shall have."""

    name: str = ""
    description: str | None = None
    schema: Raw = NULL
    strict: bool | None = None


class Format(Struct):
    """`response_format`."""

    type: str
    json_schema: Schema | None = None


class StreamOptions(Struct, gc=False):
    """`stream_options`."""

    include_usage: bool | None = None


class ThinkingSwitch(Struct, gc=False):
    """Anthropic's `thinking`, which many clients send in this dialect, too."""

    type: str = "enabled"
    budget_tokens: int | None = None


class Asked(Struct):
    """A request; numbers that come as floats where counts belong are refused, as OpenAI does."""

    messages: list[Said]
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    n: int | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    tools: list[Raw] | None = None
    tool_choice: str | NamedChoice | None = None
    parallel_tool_calls: bool | None = None
    functions: list[FunctionTool] | None = None
    function_call: str | Name | None = None
    response_format: Format | None = None
    reasoning_effort: Effort | None = None
    thinking: ThinkingSwitch | None = None
    verbosity: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    metadata: dict[str, str] | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    store: bool | None = None


ASKED = msgspec.json.Decoder(Asked)
TOOL = msgspec.json.Decoder(OfferedTool)
KNOWN = frozenset(["model", "stream", *Asked.__struct_fields__])
HINTS = frozenset(["prompt_cache_options", "prompt_cache_retention"])
"""Members that change nothing in what a model answers."""


def read_request(body: bytes, model: str, stream: bool) -> Request:
    """Return what a caller asks for; GatewayError 400 where it is no request."""
    asked = read_asked(ASKED, body)
    request = Request(model, [], stream=stream)
    read_messages(asked.messages, request)
    read_tools(asked, request)
    request.max_tokens = asked.max_completion_tokens if asked.max_completion_tokens is not None else asked.max_tokens
    request.temperature = asked.temperature
    request.top_p = asked.top_p
    request.top_k = asked.top_k
    request.n = asked.n
    request.seed = asked.seed
    request.presence_penalty = asked.presence_penalty
    request.frequency_penalty = asked.frequency_penalty
    request.logprobs = asked.logprobs
    request.top_logprobs = asked.top_logprobs
    if asked.stop is not None:
        request.stop = [asked.stop] if isinstance(asked.stop, str) else asked.stop
    if asked.response_format is not None:
        request.output = output_of(asked.response_format)
    request.reasoning = reasoning_of(asked)
    request.verbosity = asked.verbosity or ""
    request.usage_wanted = asked.stream_options is not None and asked.stream_options.include_usage is True
    request.user = asked.safety_identifier or asked.user or ""
    request.metadata = asked.metadata or {}
    request.service_tier = asked.service_tier or ""
    request.cache_key = asked.prompt_cache_key or ""
    request.store = asked.store
    for name, text in unknown_members(body, KNOWN).items():
        if name in HINTS:
            request.hints[name] = text
        elif name != "modalities" or "audio" in text:
            request.extras.setdefault(name, text)
    return request


def read_messages(messages: list[Said], request: Request) -> None:
    """Take the talk; instructions before it go where others have them."""
    turns = request.messages
    for said in messages:
        role = said.role
        if role == "system" or role == "developer":
            words = cast(list[Text], [part for part in content_of(said.content) if isinstance(part, Text)])
            if turns:
                turns.append(Message("system", list(words)))
            else:
                request.system += words
        elif role == "user":
            turns.append(Message("user", content_of(said.content), said.name or ""))
        elif role == "assistant":
            turns.append(Message("assistant", answer_parts(said), said.name or ""))
        elif role == "tool" or role == "function":
            call_id = unpack_call_id(said.tool_call_id or legacy_id(said.name or ""))[0]
            parts = content_of(said.content)
            shown = [part for part in parts if isinstance(part, Text | Image | Document)]
            result = ToolResult(call_id, shown, said.name or "")
            if parts and isinstance(parts[-1], Text):
                result.cache = parts[-1].cache
            if turns and turns[-1].parts and isinstance(turns[-1].parts[-1], ToolResult):
                turns[-1].parts.append(result)  # Results of parallel calls are one turn of the caller's.
            else:
                turns.append(Message("user", [result]))
        else:
            raise GatewayError(400, "invalid_request", "caller", f"There is no role {role[:40]!r}.", param="messages")


def content_of(content: str | list[ContentPart] | None) -> list[Part]:
    """Return the parts of a message's content."""
    if content is None:
        return []
    if isinstance(content, str):
        return [Text(content)]
    return [part_of(part) for part in content]


def part_of(part: ContentPart) -> Part:
    """Return one part; GatewayError 400 for one that the hub does not know."""
    cache: Cache = ""
    if part.cache_control is not None:
        cache = "1h" if part.cache_control.ttl == "1h" else "5m"
    elif part.prompt_cache_breakpoint != NULL:
        cache = "5m"
    if part.type == "text":
        return Text(part.text, cache)
    if part.type == "image_url" and part.image_url is not None:
        told = part.image_url if isinstance(part.image_url, ImageUrl) else ImageUrl(part.image_url)
        media_type, data = data_url(told.url)
        if data:
            return Image(media_type=media_type, data=data, detail=told.detail or "", cache=cache)
        return Image(url=told.url, detail=told.detail or "", cache=cache)
    if part.type == "input_audio" and part.input_audio is not None:
        return Audio(part.input_audio.format, part.input_audio.data)
    if part.type == "file" and part.file is not None:
        file = part.file
        name = file.filename or ""
        if file.file_id:
            return Document(file_id=file.file_id, name=name, cache=cache)
        media_type, data = data_url(file.file_data or "")
        return Document(
            media_type=media_type or "application/pdf", data=data or file.file_data or "", name=name, cache=cache
        )
    if part.type == "refusal":
        return Refusal(part.refusal)
    raise GatewayError(
        400,
        "unsupported",
        "caller",
        f"The provider of this model has no content part of the type {part.type[:40]!r}.",
        param="messages",
    )


def data_url(url: str) -> tuple[str, str]:
    """Return media type and base64 data of a ``data:`` URL; ("", "") for another."""
    if not url.startswith("data:"):
        return "", ""
    head, _, data = url[5:].partition(",")
    return head.partition(";")[0], data


def answer_parts(said: Said) -> list[Part]:
    """Return what a model said earlier: thoughts first, calls last."""
    parts: list[Part] = []
    if said.thinking_blocks:
        for block in said.thinking_blocks:
            if block.type == "redacted_thinking":
                family, redacted = own_signature(block.data, THOUGHTS)
                parts.append(Thinking(redacted=redacted, family=family))
            else:
                family, signature = own_signature(block.signature, THOUGHTS) if block.signature else ("", "")
                parts.append(Thinking(block.thinking, signature, family=family))
    elif said.reasoning_content:
        parts.append(Thinking(said.reasoning_content))
    if said.content:
        parts += content_of(said.content)
    if said.refusal:
        parts.append(Refusal(said.refusal))
    for call in said.tool_calls or ():
        call_id, family, signature = unpack_call_id(call.id)
        if call.custom is not None:
            parts.append(ToolCall(call_id, call.custom.name, call.custom.input, signature, family, custom=True))
        elif call.function is not None:
            arguments = call.function.arguments or "{}"
            parts.append(ToolCall(call_id, call.function.name, arguments, signature, family))
    if said.function_call is not None:
        name = said.function_call.name
        parts.append(ToolCall(legacy_id(name), name, said.function_call.arguments or "{}"))
    return parts


def legacy_id(name: str) -> str:
    """Return the id of a call from before calls had ids: one per function."""
    return f"call_{name}"


def read_tools(asked: Asked, request: Request) -> None:
    """Take the tools, those of the time before `tools` included, and the choice among them."""
    custom: list[Raw] = []
    for text in asked.tools or ():
        tool = read_asked(TOOL, bytes(text))
        if tool.function is not None:
            cache: Cache = ""
            if tool.cache_control is not None:
                cache = "1h" if tool.cache_control.ttl == "1h" else "5m"
            request.tools.append(tool_of(tool.function, cache))
        elif tool.type == "custom":
            custom.append(text)
        else:
            request.extras[f"tools.{tool.type[:40]}"] = bytes(text).decode()
    if custom:
        request.extras["tools.custom"] = msgspec.json.encode(custom).decode()
    request.tools += [tool_of(function, "") for function in asked.functions or ()]
    request.parallel_tools = asked.parallel_tool_calls
    if asked.tool_choice is not None:
        request.tool_choice = choice_of(asked.tool_choice)
    elif asked.function_call is not None:
        word = asked.function_call
        request.tool_choice = word_choice(word) if isinstance(word, str) else ToolChoice("tool", (word.name,))


def tool_of(function: FunctionTool, cache: Cache) -> Tool:
    """Return a function as a tool."""
    return Tool(function.name, function.description or "", text_of(function.parameters), function.strict, cache)


def choice_of(choice: str | NamedChoice) -> ToolChoice:
    """Return which tools are to be called."""
    if isinstance(choice, str):
        return word_choice(choice)
    if choice.allowed_tools is not None:
        names = [tool.function or tool.custom or Name() for tool in choice.allowed_tools.tools]
        return ToolChoice(choice.allowed_tools.mode, tuple(name.name for name in names))
    name = choice.function or choice.custom
    if name is None:
        raise GatewayError(400, "invalid_request", "caller", "tool_choice names no tool.", param="tool_choice")
    return ToolChoice("tool", (name.name,))


def word_choice(word: str) -> ToolChoice:
    """Return the choice that a word stands for."""
    if word in ("auto", "none", "required"):
        return ToolChoice(cast(Literal["auto", "none", "required"], word))
    raise GatewayError(
        400, "invalid_request", "caller", "tool_choice must be auto, none, required or an object.", param="tool_choice"
    )


def output_of(form: Format) -> Output | None:
    """Return the form that the answer shall have."""
    if form.type == "json_object":
        return Output("json")
    if form.type == "json_schema" and form.json_schema is not None:
        schema = form.json_schema
        return Output("schema", schema.name, text_of(schema.schema), schema.strict, schema.description or "")
    if form.type == "text":
        return None
    raise GatewayError(
        400, "invalid_request", "caller", "response_format has no type that is known.", param="response_format"
    )


def reasoning_of(asked: Asked) -> Reasoning | None:
    """Return how much the model shall think."""
    switch = asked.thinking
    if switch is not None:
        if switch.type == "disabled":
            return Reasoning(mode="off")
        mode: Literal["adaptive", "on"] = "adaptive" if switch.type == "adaptive" else "on"
        effort = asked.reasoning_effort
        if mode == "adaptive" and switch.budget_tokens is None:
            effort = effort or USUAL_EFFORT
        return Reasoning(effort, switch.budget_tokens, mode, show=True)
    if asked.reasoning_effort is not None:
        return Reasoning(asked.reasoning_effort)
    return None
