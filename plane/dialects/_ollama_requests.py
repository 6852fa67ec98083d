"""Requests of Ollama's own chat, from and to the hub.

Its tool calls had no ids for long, and results name the tool: both are written, and where a caller gives only names,
calls are counted through and a result belongs to the first call of its name that has none.
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
    ToolResult,
    pack_call_id,
    unpack_call_id,
)
from plane.dialects._carrying import (
    as_object,
    joined,
    leave_hints,
    offered_tools,
    sendable_thoughts,
    set_hints_apart,
    text_of,
)
from plane.dialects._json import read_asked, unknown_members
from plane.dialects._ollama_wire import Asked, Settings, Turn

__all__ = ["FAMILY", "read_request", "write_call", "write_request"]

FAMILY = "ollama"
OWN = ("keep_alive", "truncate", "shift")
"""Members that only Ollama has; a caller of another dialect that sends them as extras means them."""
SETTING = "options."
"""Before the names of extras that stand in `options`."""
HINTS = frozenset(
    [
        *OWN,
        *(f"{SETTING}{name}" for name in ("num_ctx", "num_keep", "num_batch", "num_gpu", "main_gpu", "num_thread")),
        *(f"{SETTING}{name}" for name in ("numa", "use_mmap", "use_mlock", "low_vram", "f16_kv", "vocab_only")),
    ]
)
"""How a server loads and runs a model; nothing to one that does so itself."""
KNOWN = frozenset(["model", "stream", *Asked.__struct_fields__])
PLAIN = (
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("top_k", "top_k"),
    ("seed", "seed"),
    ("max_tokens", "num_predict"),
    ("presence_penalty", "presence_penalty"),
    ("frequency_penalty", "frequency_penalty"),
)
"""Fields of a request that are settings."""
THINK: dict[str, Effort] = {"low": "low", "medium": "medium", "high": "high", "max": "max"}
EFFORTS: dict[Effort, str] = {
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}
PICTURES = {"iVBORw0KGgo": "image/png", "/9j/": "image/jpeg", "R0lGOD": "image/gif", "UklGR": "image/webp"}
"""How pictures begin, in base64."""

_asked = msgspec.json.Decoder(Asked)


def read_request(body: bytes, model: str, stream: bool) -> Request:
    """Return what a caller asks for."""
    asked = read_asked(_asked, body)
    request = Request(model, [], stream=stream, usage_wanted=True, extras=unknown_members(body, KNOWN))
    history = History(request)
    for turn in asked.messages or ():
        history.add(turn)
    read_settings(asked.options or {}, request)
    set_hints_apart(request, HINTS)
    request.tools = [
        Tool(
            tool.function.name,
            tool.function.description or "",
            text_of(tool.function.parameters),
        )
        for tool in asked.tools or ()
    ]
    form = text_of(asked.format)
    if form == '"json"':
        request.output = Output("json")
    elif form.startswith("{"):
        request.output = Output("schema", schema=form)
    request.logprobs = asked.logprobs
    request.top_logprobs = asked.top_logprobs
    request.reasoning = read_thinking(asked.think)
    return request


def read_settings(options: dict[str, Raw], request: Request) -> None:
    """Read `options`; what is not known in it becomes extras."""
    try:
        settings = msgspec.convert(
            {name: msgspec.json.decode(value) for name, value in options.items() if name in Settings.__struct_fields__},
            Settings,
        )
    except msgspec.ValidationError as error:
        raise GatewayError(
            400, "invalid_request", "caller", f"The options are not valid: {error}.", param="options"
        ) from None
    for field, name in PLAIN:
        setattr(request, field, getattr(settings, name))
    if request.max_tokens is not None and request.max_tokens < 0:
        request.max_tokens = None  # Without end, or as long as the context: as if it had not been said.
    request.stop = settings.stop or []
    for name, value in options.items():
        if name not in Settings.__struct_fields__ and bytes(value) != b"null":
            request.extras[SETTING + name] = bytes(value).decode()


def read_thinking(think: bool | str | None) -> Reasoning | None:
    """Return how much the model should think: yes or no, or one of three efforts."""
    if think is None or think == "":
        return None
    if isinstance(think, bool):
        return Reasoning(mode="on" if think else "off")
    effort = THINK.get(think)
    if effort is not None:
        return Reasoning(effort=effort)
    raise GatewayError(400, "invalid_request", "caller", "think must be true, false or an effort.", param="think")


def read_image(data: str) -> Image:
    """Return a picture of base64 `data`, which says itself what it is."""
    kinds = (kind for start, kind in PICTURES.items() if data.startswith(start))
    return Image(media_type=next(kinds, ""), data=data)


class History:
    """The messages of a caller, with ids for the calls that have none."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.count = 0
        self.open: list[tuple[str, str]] = []

    def add(self, turn: Turn) -> None:
        """Add a message; GatewayError 400 where its role is unknown."""
        messages = self.request.messages
        parts: list[Part] = [Text(turn.content)] if turn.content else []
        if turn.role == "system":
            if messages:
                messages.append(Message("system", parts))
            else:
                self.request.system.append(Text(turn.content or ""))
        elif turn.role == "user":
            messages.append(Message("user", parts + [read_image(data) for data in turn.images or ()]))
        elif turn.role == "assistant":
            if turn.thinking:
                parts.insert(0, Thinking(turn.thinking, family=FAMILY))
            messages.append(Message("assistant", [*parts, *self.calls(turn)]))
        elif turn.role == "tool":
            self.result(turn)
        else:
            raise GatewayError(
                400, "invalid_request", "caller", "A message's role must be system, user, assistant or tool.",
                param="messages",
            )  # fmt: skip

    def calls(self, turn: Turn) -> list[ToolCall]:
        """Return the calls of a turn."""
        self.open = []
        calls = []
        for call in turn.tool_calls or ():
            self.count += 1
            call_id, family, signature = unpack_call_id(call.id or f"call_{self.count}")
            arguments = text_of(call.function.arguments)
            calls.append(ToolCall(call_id, call.function.name, arguments or "{}", signature, family))
            self.open.append((call_id, call.function.name))
        return calls

    def result(self, turn: Turn) -> None:
        """Add what a tool gave back."""
        call_id = unpack_call_id(turn.tool_call_id or "")[0]
        name = turn.tool_name or ""
        if not call_id:
            fitting = [entry for entry in self.open if not name or entry[1] == name]
            if not fitting:
                raise GatewayError(
                    400, "invalid_request", "caller", "The result of a tool answers no call.", param="messages"
                )
            call_id, name = fitting[0]
        self.open = [entry for entry in self.open if entry[0] != call_id]
        images = [read_image(data) for data in turn.images or ()]
        result = ToolResult(call_id, [Text(turn.content or ""), *images], name)
        last = self.request.messages[-1] if self.request.messages else None
        if last is not None and last.role == "user" and last.parts and isinstance(last.parts[-1], ToolResult):
            last.parts.append(result)
        else:
            self.request.messages.append(Message("user", [result]))


def write_request(request: Request, carry: Carry, preset: dict[str, Any], keep_alive: str) -> bytes:
    """Return the body for a provider. preset: settings where the caller has none; keep_alive: "" to leave it out."""
    body: dict[str, Any] = {"model": carry.model, "messages": [], "stream": request.stream}
    turns = Turns(carry, body["messages"])
    if request.system:
        turns.add("system", request.system)
    for message in request.messages:
        turns.add(message.role, message.parts)
    if keep_alive:
        body["keep_alive"] = keep_alive
    write_settings(request, carry, preset, body)
    write_tools(request, carry, body)
    if request.output is not None:
        schema = request.output.schema if request.output.kind == "schema" else ""
        body["format"] = Raw(schema.encode()) if schema else "json"
    write_thinking(request, carry, body)
    if request.logprobs is not None:
        body["logprobs"] = request.logprobs
    if request.top_logprobs is not None:
        body["top_logprobs"] = request.top_logprobs
    if request.n is not None and request.n != 1:
        carry.drop("n")
    leave_hints(request, carry)
    return msgspec.json.encode(body)


def write_settings(request: Request, carry: Carry, preset: dict[str, Any], body: dict[str, Any]) -> None:
    """Put `options` into `body`, and what extras are Ollama's own."""
    options = dict(preset)
    for field, name in PLAIN:
        value = getattr(request, field)
        if value is not None:
            options[name] = value
    if request.stop:
        options["stop"] = request.stop
    for name, text in (request.extras | request.hints).items():
        if name in OWN:
            body[name] = Raw(text.encode())
        elif name.startswith(SETTING):
            options[name.removeprefix(SETTING)] = Raw(text.encode())
        elif name in request.extras:
            carry.drop(name)
    if options:
        body["options"] = options


class Turns:
    """The messages of a request for a provider."""

    def __init__(self, carry: Carry, turns: list[dict[str, Any]]) -> None:
        self.carry = carry
        self.turns = turns
        self.names: dict[str, str] = {}

    def add(self, role: str, parts: list[Any]) -> None:
        """Add a turn; results of tools become turns of their own, before what else the user says."""
        rest = [part for part in parts if not isinstance(part, ToolResult)]
        for part in parts:
            if isinstance(part, ToolResult):
                self.result(part)
        if not rest and parts:
            return
        turn: dict[str, Any] = {"role": role, "content": self.content(rest)}
        thoughts = sendable_thoughts(rest, FAMILY, self.carry)
        if thoughts:
            turn["thinking"] = "\n".join(thought.text for thought in thoughts)
        images = self.images(rest)
        if images:
            turn["images"] = images
        calls = [part for part in rest if isinstance(part, ToolCall)]
        if calls:
            turn["tool_calls"] = [write_call(call, call.id) for call in calls]
            self.names.update((call.id, call.name) for call in calls)
        self.turns.append(turn)

    def result(self, result: ToolResult) -> None:
        """Add what a tool gave back."""
        turn: dict[str, Any] = {"role": "tool", "content": self.content(result.parts)}
        name = result.name or self.names.get(result.id, "")
        if name:
            turn["tool_name"] = name
        if result.id:
            turn["tool_call_id"] = result.id
        images = self.images(result.parts)
        if images:
            turn["images"] = images
        self.turns.append(turn)

    def content(self, parts: list[Any]) -> str:
        """Return the words of a turn, those of documents among them."""
        words: list[Text | Refusal] = []
        for part in parts:
            if isinstance(part, Text | Refusal):
                words.append(part)
            elif isinstance(part, Document):
                if part.text:
                    words.append(Text(f"{part.name}\n{part.text}" if part.name else part.text))
                else:
                    self.carry.drop("file")
            elif isinstance(part, Audio):
                self.carry.drop("input_audio")
        return joined(words)

    def images(self, parts: list[Any]) -> list[str]:
        """Return the pictures of a turn, which must be there as bytes: nobody fetches them."""
        images = []
        for part in parts:
            if isinstance(part, Image):
                if part.data:
                    images.append(part.data)
                else:
                    self.carry.drop("file_id" if part.file_id else "image_url")
        return images


def write_call(call: ToolCall, call_id: str) -> dict[str, Any]:
    """Return a tool call."""
    return {"id": call_id, "function": {"name": call.name, "arguments": as_object(call.arguments)}}


def write_asked_call(call: ToolCall) -> dict[str, Any]:
    """Return a tool call for a caller, its proof in the id."""
    return write_call(call, pack_call_id(call.id, call.family, call.signature))


def write_tools(request: Request, carry: Carry, body: dict[str, Any]) -> None:
    """Put the tools into `body`. The model cannot be told to call one; that it shall call none, by offering none."""
    choice = request.tool_choice
    if choice is not None and choice.mode == "none":
        return
    tools = offered_tools(request)
    if choice is not None and choice.mode in ("required", "tool"):
        carry.drop("tool_choice")
    if tools:
        body["tools"] = [write_tool(tool) for tool in tools]
        if any(tool.strict for tool in tools):
            carry.hint("strict")
        if request.parallel_tools is False:
            carry.drop("parallel_tool_calls")


def write_tool(tool: Tool) -> dict[str, Any]:
    """Return a tool."""
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    if tool.schema:
        function["parameters"] = Raw(tool.schema.encode())
    return {"type": "function", "function": function}


def write_thinking(request: Request, carry: Carry, body: dict[str, Any]) -> None:
    """Put into `body` whether the model thinks; of six efforts Ollama knows three, and it counts no tokens."""
    reasoning = request.reasoning
    if reasoning is None:
        return
    if reasoning.mode == "off" or reasoning.effort == "none":
        body["think"] = False
    elif reasoning.effort is not None:
        body["think"] = EFFORTS[reasoning.effort]
        if body["think"] != reasoning.effort:
            carry.hint("reasoning_effort")
    elif reasoning.mode == "on" or reasoning.budget is not None:
        body["think"] = True
    if reasoning.budget is not None:
        carry.hint("budget_tokens")
