"""A caller's Messages request, read into the hub."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Raw, Struct

from plane.canonical import (
    USUAL_EFFORT,
    Document,
    Effort,
    Image,
    Message,
    Output,
    Part,
    Reasoning,
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
from plane.dialects._anthropic_wire import FAMILY, NULL, Block, CacheControl, Source, cache_of, decoded, invalid

__all__ = ["read_request"]

SERVICE_TIERS = {"auto": "auto", "standard_only": "default"}
SAYS_NOTHING = frozenset([b"null", b"false", b"[]", b"{}", b'""'])
"""Values of members that ask for nothing: nobody misses them."""
DELIVERY = frozenset(["eager_input_streaming", "diagnostics"])
"""Members that ask how an answer is delivered, or to tell of caches: the answer is the same without."""


class Turn(Struct):
    """One of `messages`."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


class Think(Struct, gc=False):
    """`thinking`."""

    type: str
    budget_tokens: int | None = None
    display: str | None = None


class Format(Struct, gc=False):
    """`output_config.format`."""

    type: str
    schema: Raw = NULL


class OutputConfig(Struct):
    """`output_config`."""

    effort: Effort | None = None
    format: Format | None = None


class Choose(Struct, gc=False):
    """`tool_choice`."""

    type: Literal["auto", "any", "tool", "none"]
    name: str = ""
    disable_parallel_tool_use: bool | None = None


class Metadata(Struct, gc=False):
    """`metadata`."""

    user_id: str | None = None


class Offered(Struct):
    """One of `tools`, its known members."""

    name: str = ""
    type: str | None = None
    description: str | None = None
    input_schema: Raw = NULL
    strict: bool | None = None
    cache_control: CacheControl | None = None


class Asked(Struct):
    """A request's known members."""

    messages: list[Turn]
    max_tokens: int | None = None
    system: str | list[Block] | None = None
    tools: list[Raw] | None = None
    tool_choice: Choose | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    thinking: Think | None = None
    output_config: OutputConfig | None = None
    output_format: Format | None = None
    metadata: Metadata | None = None
    service_tier: str | None = None
    cache_control: CacheControl | None = None


KNOWN = frozenset([*Asked.__struct_fields__, "model", "stream"])
TOOL = frozenset(Offered.__struct_fields__)

_asked = msgspec.json.Decoder(Asked)
_members = msgspec.json.Decoder(dict[str, Raw])
_offered = msgspec.json.Decoder(Offered)
_source = msgspec.json.Decoder(Source)
_content = msgspec.json.Decoder(str | list[Block] | None)


def read_request(body: bytes, model: str, stream: bool, *, counts: bool = False) -> Request:
    """Return what a caller asks for; GatewayError 400. counts: only for the number of tokens, without `max_tokens`."""
    asked = decoded(_asked, body)
    if asked.max_tokens is None and not counts:
        raise invalid("max_tokens is missing.", "max_tokens")
    request = Request(model, [], stream=stream, max_tokens=asked.max_tokens)
    read_extras(body, request)
    if isinstance(asked.system, str):
        request.system = [Text(asked.system)] if asked.system else []
    elif asked.system:
        request.system = [words_of(block) for block in asked.system]
    reader = Reader(request)
    for turn in asked.messages:
        reader.turn(turn)
    if asked.cache_control is not None:
        mark_last(request, asked.cache_control)
    for tool in asked.tools or ():
        read_tool(tool, request)
    if asked.tool_choice is not None:
        read_choice(asked.tool_choice, request)
    request.temperature, request.top_p, request.top_k = asked.temperature, asked.top_p, asked.top_k
    request.stop = asked.stop_sequences or []
    read_reasoning(asked, request)
    form = asked.output_config.format if asked.output_config is not None else None
    form = form or asked.output_format
    if form is not None:
        if form.type != "json_schema":
            raise invalid("The format of an answer must be json_schema.", "output_config")
        request.output = Output("schema", "", text_of(form.schema))
    if asked.metadata is not None:
        request.user = asked.metadata.user_id or ""
    if asked.service_tier is not None:
        request.service_tier = SERVICE_TIERS.get(asked.service_tier, asked.service_tier)
    return request


def read_extras(body: bytes, request: Request) -> None:
    """Keep the members that have no place in the hub."""
    for name, value in decoded(_members, body).items():
        if name not in KNOWN and name not in DELIVERY:
            keep(request, name, value)


def keep(request: Request, name: str, value: Raw) -> None:
    """Keep what no other dialect could say, unless it asks for nothing."""
    text = bytes(value)
    if text not in SAYS_NOTHING:
        request.extras.setdefault(name, text.decode())


class Reader:
    """Reads the turns into `request.messages`. names: of the tools called so far, by the id of the call."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.names: dict[str, str] = {}

    def turn(self, turn: Turn) -> None:
        """Read one turn."""
        parts: list[Part] = []
        if isinstance(turn.content, str):
            parts.append(Text(turn.content))
        else:
            for block in turn.content:
                self.block(block, parts)
        self.request.messages.append(Message(turn.role, parts))

    def block(self, block: Block, parts: list[Part]) -> None:
        """Read one block of content into `parts`."""
        kind = block.type
        if kind == "text":
            parts.append(words_of(block))
            self.beyond("citations", block.citations)
        elif kind == "tool_use":
            call_id, family, signature = unpack_call_id(block.id)
            self.names[call_id] = block.name
            cache = cache_of(block.cache_control)
            parts.append(ToolCall(call_id, block.name, text_of(block.input), signature, family, cache=cache))
        elif kind == "tool_result":
            parts.append(self.result(block))
        elif kind == "thinking":
            family, signature = own_signature(block.signature, FAMILY) if block.signature else ("", "")
            parts.append(Thinking(block.thinking, signature, family=family))
        elif kind == "redacted_thinking":
            family, redacted = own_signature(block.data, FAMILY)
            parts.append(Thinking(redacted=redacted, family=family))
        elif kind == "image" or kind == "document":
            parts.append(self.medium(block))
        elif kind == "mid_conv_system":
            parts += [words_of(inner) for inner in blocks_of(block.content)]
        else:
            self.beyond(f"messages.{kind}", Raw(msgspec.json.encode(block)))

    def result(self, block: Block) -> ToolResult:
        """Read what a tool gave back."""
        call_id = unpack_call_id(block.tool_use_id)[0]
        parts: list[Text | Image | Document] = []
        for inner in blocks_of(block.content):
            if inner.type == "text":
                parts.append(words_of(inner))
            elif inner.type == "image" or inner.type == "document":
                parts.append(self.medium(inner))
            else:
                self.beyond(f"messages.tool_result.{inner.type}", Raw(msgspec.json.encode(inner)))
        name = self.names.get(call_id, "")
        return ToolResult(call_id, parts, name, block.is_error is True, cache_of(block.cache_control))

    def medium(self, block: Block) -> Image | Document:
        """Read an image or a document."""
        source = decoded(_source, block.source)
        cache = cache_of(block.cache_control)
        if source.type not in ("base64", "url", "file", "text", "content"):
            raise invalid(f"The source of an {block.type} cannot be '{source.type}'.", "messages")
        if block.type == "image":
            return Image(source.url, source.media_type, source.data, source.file_id, cache=cache)
        self.beyond("messages.document.context", block.context)
        self.beyond("citations", block.citations)
        made = Document(source.url, source.media_type, source.data, "", source.file_id, block.title or "", cache)
        if source.type == "text":
            made.text, made.data = source.data, ""
            made.media_type = source.media_type or "text/plain"
        elif source.type == "content":
            words = [inner.text for inner in blocks_of(source.content) if inner.type == "text"]
            if len(words) != len(blocks_of(source.content)):
                self.beyond("messages.document.source.content", source.content)
            made.text, made.media_type = "".join(words), "text/plain"
        return made

    def beyond(self, name: str, value: Raw) -> None:
        """Keep what no other dialect could say; citations that are not enabled are none."""
        if name == "citations" and bytes(value).replace(b" ", b"") == b'{"enabled":false}':
            return
        keep(self.request, name, value)


def blocks_of(content: Raw) -> list[Block]:
    """Return the blocks of a content that may also be a string."""
    found = decoded(_content, content)
    if isinstance(found, str):
        return [Block("text", found)] if found else []
    return found or []


def words_of(block: Block) -> Text:
    """Return a block of words."""
    if block.type != "text":
        raise invalid(f"A block of the type '{block.type}' cannot stand here.")
    return Text(block.text, cache_of(block.cache_control))


def text_of(value: Raw) -> str:
    """Return carried JSON as text, "" for null."""
    text = bytes(value).decode()
    return "" if text == "null" else text


def mark_last(request: Request, control: CacheControl) -> None:
    """Set the breakpoint that a top-level `cache_control` asks for: behind the last part that can have one."""
    for message in reversed(request.messages):
        for part in reversed(message.parts):
            if isinstance(part, Text | Image | Document | ToolCall | ToolResult):
                part.cache = part.cache or cache_of(control)
                return


def read_tool(raw: Raw, request: Request) -> None:
    """Read a function of the caller's; tools that Anthropic runs or knows by a version are nobody else's."""
    tool = decoded(_offered, raw)
    if tool.type is not None and tool.type != "custom":
        keep(request, f"tools.{tool.type}", raw)
        return
    if not tool.name:
        raise invalid("A tool needs a name.", "tools")
    for name, value in decoded(_members, raw).items():
        if name not in TOOL and name not in DELIVERY:
            keep(request, f"tools.{name}", value)
    request.tools.append(
        Tool(
            tool.name,
            tool.description or "",
            text_of(tool.input_schema),
            tool.strict,
            cache_of(tool.cache_control),
        )
    )


def read_choice(choice: Choose, request: Request) -> None:
    """Read whether tools are called."""
    if choice.type == "tool":
        request.tool_choice = ToolChoice("tool", (choice.name,))
    else:
        request.tool_choice = ToolChoice("required" if choice.type == "any" else choice.type)
    if choice.disable_parallel_tool_use is not None:
        request.parallel_tools = not choice.disable_parallel_tool_use


def read_reasoning(asked: Asked, request: Request) -> None:
    """Read how much the model should think."""
    think = asked.thinking
    effort = asked.output_config.effort if asked.output_config is not None else None
    if think is None and effort is None:
        return
    reasoning = Reasoning(effort)
    if think is not None:
        if think.type == "enabled":
            reasoning.mode, reasoning.budget = "on", think.budget_tokens
        elif think.type == "adaptive":
            reasoning.mode = "adaptive"
            reasoning.effort = effort or USUAL_EFFORT
        elif think.type == "disabled":
            reasoning.mode = "off"
        else:
            keep(request, f"thinking.{think.type}", Raw(b"true"))
        if think.display is not None:
            reasoning.show = think.display != "omitted"
    request.reasoning = reasoning
