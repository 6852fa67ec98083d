"""Requests of OpenAI's Responses API, read into the hub. Wire format: the types of OpenAI's Python SDK.

The input is a list of items that stand side by side; the hub's messages are turns that hold them as parts. So items of
the model that follow each other become one turn, and outputs of tools that follow each other another.
"""

from __future__ import annotations

from typing import Any, Literal, NoReturn

import msgspec
from msgspec import Raw, Struct, field

from core.errors import GatewayError
from plane.canonical import (
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

__all__ = [
    "ENCRYPTED",
    "FAMILY",
    "LOGPROBS",
    "REDACTED",
    "CallItem",
    "CustomCallItem",
    "ReasoningItem",
    "read_request",
    "thought_of",
]

FAMILY = "openai"
REDACTED = "redacted-"
"""Before the family of a thought that is opaque, in a reasoning item's `encrypted_content`."""

ENCRYPTED = "reasoning.encrypted_content"
LOGPROBS = "message.output_text.logprobs"
"""Words of `include` that the hub has other places for."""

STATEFUL = {
    "previous_response_id": "The earlier response is kept by a provider that this model does not use.",
    "conversation": "Conversations are kept by a provider that this model does not use.",
    "background": "The provider of this model answers at once, never in the background.",
    "prompt": "The provider of this model keeps no prompts.",
}
"""What needs a provider of this dialect, and why; there is no answer without it that the caller could have meant."""

CARRIED = (
    *("context_management", "include", "max_tool_calls", "moderation", "prompt_cache_options"),
    *("prompt_cache_retention", "safety_identifier", "truncation", "image", "access_programs", "background_options"),
)
"""Members that no other dialect has; they reach its writer as `extras`."""

HARMLESS = {"truncation": b'"disabled"', "context_management": b"[]"}
"""Values that say what is so anyway."""


class Breakpoint(Struct, gc=False):
    """`prompt_cache_breakpoint` of a part."""

    mode: str = "explicit"
    ttl: str = "30m"


class Sound(Struct, gc=False):
    """`input_audio` of a part."""

    data: str
    format: str


class Content(Struct, gc=False):
    """A part of a message or of a tool's output, of whatever type."""

    type: str
    text: str = ""
    refusal: str = ""
    image_url: str | None = None
    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None
    detail: str | None = None
    input_audio: Sound | None = None
    prompt_cache_breakpoint: Breakpoint | None = None


class MessageItem(Struct, gc=False):
    """What somebody said."""

    role: str
    content: str | list[Content]


class CallItem(Struct, gc=False):
    """A call of a function."""

    call_id: str
    name: str
    arguments: str = "{}"


class CustomCallItem(Struct, gc=False):
    """A call of a custom tool."""

    call_id: str
    name: str
    input: str = ""


class OutputItem(Struct, gc=False):
    """What a function or a custom tool gave back."""

    call_id: str
    output: str | list[Content]


class Said(Struct, gc=False):
    """A part of a reasoning item."""

    text: str = ""


class ReasoningItem(Struct, gc=False):
    """What the model thought."""

    id: str | None = None
    summary: list[Said] = field(default_factory=list)
    content: list[Said] | None = None
    encrypted_content: str | None = None


class Kind(Struct, gc=False):
    """What every item, tool and choice has; a message need not say that it is one."""

    type: str = "message"


class FunctionTool(Struct, gc=False):
    """A function, described flat."""

    name: str
    description: str | None = None
    parameters: Raw = Raw(b"null")
    strict: bool | None = None


class Choosing(Struct, gc=False):
    """`tool_choice`, where it is an object."""

    type: str
    name: str = ""
    mode: str = "auto"
    tools: list[Choosing] = field(default_factory=list)


class Format(Struct, gc=False):
    """`text.format`."""

    type: str = "text"
    name: str = ""
    schema: Raw = Raw(b"")
    strict: bool | None = None
    description: str | None = None


class TextConfig(Struct, gc=False):
    """`text`."""

    format: Format | None = None
    verbosity: str | None = None


class ReasoningConfig(Struct, gc=False):
    """`reasoning`."""

    effort: Effort | None = None
    summary: str | None = None
    generate_summary: str | None = None


class Asked(Struct, gc=False):
    """The members of a request that the hub has places for."""

    input: str | list[Raw] = ""
    instructions: str | None = None
    max_output_tokens: int | None = None
    metadata: dict[str, str] | None = None
    parallel_tool_calls: bool | None = None
    prompt_cache_key: str | None = None
    reasoning: ReasoningConfig | None = None
    service_tier: str | None = None
    store: bool | None = None
    temperature: float | None = None
    text: TextConfig | None = None
    tool_choice: str | Choosing | None = None
    tools: list[Raw] | None = None
    top_logprobs: int | None = None
    top_p: float | None = None
    user: str | None = None


ASKED = msgspec.json.Decoder(Asked)
MEMBERS = msgspec.json.Decoder(dict[str, Raw])
INCLUDE = msgspec.json.Decoder(list[str])
KIND = msgspec.json.Decoder(Kind)
FUNCTION = msgspec.json.Decoder(FunctionTool)
ITEMS: dict[str, msgspec.json.Decoder[Any]] = {
    "message": msgspec.json.Decoder(MessageItem),
    "function_call": msgspec.json.Decoder(CallItem),
    "custom_tool_call": msgspec.json.Decoder(CustomCallItem),
    "function_call_output": msgspec.json.Decoder(OutputItem),
    "custom_tool_call_output": msgspec.json.Decoder(OutputItem),
    "reasoning": msgspec.json.Decoder(ReasoningItem),
}
MODES: dict[str, Literal["auto", "none", "required"]] = {"auto": "auto", "none": "none", "required": "required"}
CONTROLS = frozenset([*STATEFUL, *CARRIED])
NOTHING = (b"null", b"false")


def read_request(body: bytes, model: str, stream: bool) -> Request:
    """Return what a caller asks for; GatewayError 400 where it is not valid, or needs a provider's state."""
    where = ""
    try:
        asked = ASKED.decode(body)
        request = Request(model, [], stream=stream, usage_wanted=True)
        read_members(body, request)
        read_settings(asked, request)
        for index, tool in enumerate(asked.tools or ()):
            where = f"tools[{index}]"
            read_tool(tool, request)
        if isinstance(asked.input, str):
            if asked.input:
                request.messages.append(Message("user", [Text(asked.input)]))
            return request
        for index, item in enumerate(asked.input):
            where = f"input[{index}]"
            read_item(item, request)
    except msgspec.ValidationError as error:
        text = str(error)
        if where:
            text = text.replace("`$", f"`{where}") if "`$" in text else f"{text} - at `{where}`"
        raise GatewayError(
            400, "invalid_request", "caller", f"The request body is not valid: {text}.", param=where or None
        ) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise GatewayError(400, "invalid_json", "caller", "The request body is not valid JSON.") from None
    return request


def read_members(body: bytes, request: Request) -> None:
    """Look for the members that need state, and keep those that have no field."""
    for name, value in MEMBERS.decode(body).items():
        if name not in CONTROLS or bytes(value) in NOTHING:
            continue
        if name in STATEFUL:
            raise GatewayError(
                400,
                "unsupported",
                "caller",
                STATEFUL[name],
                hint=f"Leave '{name}' out, and send the whole talk as `input`.",
                param=name,
            )
        if name == "include":
            read_include(INCLUDE.decode(value), request)
        elif HARMLESS.get(name) != bytes(value):
            request.extras[name] = bytes(value).decode()


def read_include(names: list[str], request: Request) -> None:
    """Take what the answer is to hold besides; thoughts come with what proves them always."""
    if LOGPROBS in names:
        request.logprobs = True
    rest = [name for name in names if name not in (LOGPROBS, ENCRYPTED)]
    if rest:
        request.extras["include"] = msgspec.json.encode(rest).decode()


def read_settings(asked: Asked, request: Request) -> None:
    """Take what is said besides the talk and the tools."""
    if asked.instructions:
        request.system.append(Text(asked.instructions))
    request.max_tokens = asked.max_output_tokens
    request.metadata = asked.metadata or {}
    request.parallel_tools = asked.parallel_tool_calls
    request.cache_key = asked.prompt_cache_key or ""
    request.service_tier = asked.service_tier or ""
    request.store = asked.store
    request.temperature = asked.temperature
    request.top_p = asked.top_p
    request.user = asked.user or ""
    request.top_logprobs = asked.top_logprobs
    if asked.top_logprobs:
        request.logprobs = True
    request.reasoning = reasoning_of(asked.reasoning)
    if asked.text is not None:
        request.verbosity = asked.text.verbosity or ""
        request.output = output_of(asked.text.format)
    request.tool_choice = choice_of(asked.tool_choice, request)


def reasoning_of(asked: ReasoningConfig | None) -> Reasoning | None:
    """Return what is said of reasoning."""
    if asked is None or (asked.effort is None and asked.summary is None and asked.generate_summary is None):
        return None
    show = True if asked.summary or asked.generate_summary else None
    return Reasoning(effort=asked.effort, show=show)


def output_of(asked: Format | None) -> Output | None:
    """Return the form that the answer is to have."""
    if asked is None or asked.type == "text":
        return None
    if asked.type == "json_object":
        return Output("json")
    if asked.type == "json_schema" and bytes(asked.schema):
        schema = bytes(asked.schema).decode()
        return Output("schema", asked.name, schema, asked.strict, asked.description or "")
    return invalid("text.format", "text, json_object or json_schema with its schema")


def choice_of(asked: str | Choosing | None, request: Request) -> ToolChoice | None:
    """Return whether tools are called; the choice of a built-in tool is kept as an extra."""
    if asked is None:
        return None
    if isinstance(asked, str):
        mode = MODES.get(asked)
        if mode is not None:
            return ToolChoice(mode)
        return invalid("tool_choice", "auto, none, required or an object")
    if asked.type in ("function", "custom") and asked.name:
        return ToolChoice("tool", (asked.name,))
    if asked.type == "allowed_tools":
        names = tuple(tool.name for tool in asked.tools if tool.name)
        if len(names) == len(asked.tools):
            return ToolChoice("required" if asked.mode == "required" else "auto", names)
    request.extras["tool_choice"] = msgspec.json.encode(asked).decode()
    return None


def read_tool(raw: Raw, request: Request) -> None:
    """Take a function; other tools are the provider's own, and kept as extras."""
    kind = KIND.decode(raw).type
    if kind != "function":
        request.extras[f"tools.{kind}"] = bytes(raw).decode()
        return
    tool = FUNCTION.decode(raw)
    schema = bytes(tool.parameters).decode()
    request.tools.append(Tool(tool.name, tool.description or "", "" if schema == "null" else schema, tool.strict))


def read_item(raw: Raw, request: Request) -> None:
    """Add an item of the input to the talk."""
    kind = KIND.decode(raw).type
    decoder = ITEMS.get(kind)
    if decoder is None:
        request.extras[f"input.{kind}"] = bytes(raw).decode()
        return
    item = decoder.decode(raw)
    if isinstance(item, MessageItem):
        read_message(item, request)
    elif isinstance(item, OutputItem):
        # A signed call's id comes back as it was given out; the proof has come with the call itself.
        call_id, _, _ = unpack_call_id(item.call_id)
        output = [Content("input_text", item.output)] if isinstance(item.output, str) else item.output
        results_of(request).append(ToolResult(call_id, [result_part(one) for one in output]))
    elif isinstance(item, ReasoningItem):
        thought = thought_of(item)
        if thought is not None:
            assistant_of(request).append(thought)
    else:
        call_id, family, signature = unpack_call_id(item.call_id)
        custom = isinstance(item, CustomCallItem)
        words = item.input if custom else item.arguments or "{}"
        assistant_of(request).append(ToolCall(call_id, item.name, words, signature, family, custom))


def read_message(item: MessageItem, request: Request) -> None:
    """Add a message; instructions before the talk belong to those of the request."""
    content = [Content("input_text", item.content)] if isinstance(item.content, str) else item.content
    parts = [part_of(one) for one in content]
    if item.role == "assistant":
        assistant_of(request).extend(parts)
    elif item.role == "user":
        request.messages.append(Message("user", parts))
    elif item.role in ("system", "developer"):
        texts = [part for part in parts if isinstance(part, Text)]
        if len(texts) == len(parts) and not request.messages:
            request.system += texts
        else:
            request.messages.append(Message("system", parts))
    else:
        invalid("role", "user, assistant, system or developer")


def assistant_of(request: Request) -> list[Part]:
    """Return the parts of the model's turn that is under way, a new one if another's turn was."""
    messages = request.messages
    if not messages or messages[-1].role != "assistant":
        messages.append(Message("assistant", []))
    return messages[-1].parts


def results_of(request: Request) -> list[Part]:
    """Return the parts of the turn that holds the outputs of tools, a new one if another's turn was."""
    messages = request.messages
    if not messages or not messages[-1].parts or not isinstance(messages[-1].parts[-1], ToolResult):
        messages.append(Message("user", []))
    return messages[-1].parts


def thought_of(item: ReasoningItem) -> Thinking | None:
    """Return a reasoning item's thought; what it proves is another family's if the gateway had wrapped it."""
    said = item.content or item.summary
    text = "\n\n".join(one.text for one in said if one.text)
    if not item.encrypted_content:
        return Thinking(text) if text else None
    family, signature = own_signature(item.encrypted_content, FAMILY)
    if family == FAMILY and signature == item.encrypted_content:
        # OpenAI checks that a thought comes back under the id that it had.
        return Thinking(text, f"{item.id or ''}:{signature}", family=FAMILY)
    if family.startswith(REDACTED):
        return Thinking(text, redacted=signature, family=family.removeprefix(REDACTED))
    return Thinking(text, signature, family=family)


def part_of(content: Content) -> Part:
    """Return a part of a message."""
    kind = content.type
    if kind in ("input_text", "output_text", "text"):
        return Text(content.text, cache_of(content))
    if kind == "refusal":
        return Refusal(content.refusal)
    if kind == "input_audio" and content.input_audio is not None:
        return Audio(content.input_audio.format, content.input_audio.data)
    return file_part(content)


def result_part(content: Content) -> Text | Image | Document:
    """Return a part of a tool's output."""
    if content.type in ("input_text", "output_text", "text"):
        return Text(content.text, cache_of(content))
    return file_part(content)


def file_part(content: Content) -> Image | Document:
    """Return an image or a file."""
    cache = cache_of(content)
    if content.type == "input_image":
        url = content.image_url or ""
        media_type, data = data_of(url)
        if data:
            url = ""
        if not (url or data or content.file_id):
            invalid("image_url", "set, or file_id")
        return Image(url, media_type, data, content.file_id or "", content.detail or "", cache)
    if content.type == "input_file":
        media_type, data = data_of(content.file_data or "")
        if content.file_data and not data:
            data = content.file_data  # Some callers leave the `data:` out.
            media_type = "application/pdf"
        if not (data or content.file_url or content.file_id):
            invalid("file_data", "set, or file_url, or file_id")
        return Document(
            content.file_url or "", media_type, data, "", content.file_id or "", content.filename or "", cache
        )
    return invalid("type", "a type of content that can be translated")


def data_of(url: str) -> tuple[str, str]:
    """Return (media type, base64) of a ``data:`` URL, ("", "") of any other."""
    if not url.startswith("data:"):
        return "", ""
    head, found, data = url[5:].partition(";base64,")
    return (head or "text/plain", data) if found else ("", "")


def cache_of(content: Content) -> Cache:
    """Return how long the prompt is kept up to this part."""
    if content.prompt_cache_breakpoint is None:
        return ""
    return "1h" if content.prompt_cache_breakpoint.ttl.endswith("h") else "5m"


def invalid(param: str, must: str) -> NoReturn:
    """Refuse a value."""
    raise GatewayError(400, "invalid_request", "caller", f"'{param}' must be {must}.", param=param)
