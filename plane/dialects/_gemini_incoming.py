"""A caller's generateContent request, read into the hub.

Google's own parsers take every member in camel case and in snake case, and one object where a list belongs; so does
this. Tools and members that the hub has no field for become `Request.extras` under their path in the request.
"""

from __future__ import annotations

from typing import Any, Literal, NoReturn, TypeVar

import msgspec
from msgspec import Raw, Struct

from core.errors import GatewayError
from plane.canonical import (
    Audio,
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
)
from plane.dialects._gemini_schema import from_schema
from plane.dialects._gemini_wire import base64_text, read_proof, read_thought

__all__ = ["Asked", "Members", "members", "objects", "optional", "read_part", "read_request", "refuse", "text_of"]

Members = dict[str, Raw]
"""An object's members by their name in camel case, each value as JSON text."""

T = TypeVar("T")

DECLARED = frozenset({"name", "description", "parameters", "parametersJsonSchema", "response", "responseJsonSchema"})
"""What is read of a function's declaration. What it gives back, which Google's SDK tells of, no other dialect tells."""

SAID = frozenset({"thought", "thoughtSignature"})
"""Members of a part that are said about its data."""

CONFIG = {
    "temperature": ("temperature", float),
    "topP": ("top_p", float),
    "seed": ("seed", int),
    "presencePenalty": ("presence_penalty", float),
    "frequencyPenalty": ("frequency_penalty", float),
    "maxOutputTokens": ("max_tokens", int),
    "candidateCount": ("n", int),
    "stopSequences": ("stop", list[str]),
    "responseLogprobs": ("logprobs", bool),
    "logprobs": ("top_logprobs", int),
}
"""generationConfig's members that have a field of their own."""

MODES: dict[str, Any] = {"AUTO": "auto", "VALIDATED": "auto", "ANY": "required", "NONE": "none"}
LEVELS: dict[str, Effort] = {
    "MINIMAL": "minimal",
    "LOW": "low",
    "MEDIUM": "medium",
    "HIGH": "high",
    "XHIGH": "xhigh",
}
AUDIO = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}


class Asked(Request):
    """A request of a caller. array: it wants a stream as one JSON array, not as server-sent events."""

    array: bool = False


DECODERS: dict[Any, msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind, strict=False) for kind in (str, bool, int, float, list[str], dict[str, str])
}
"""For members, by their type; numbers may stand in strings, as in all JSON of Google's."""


class PlainPart(Struct, forbid_unknown_fields=True, gc=False):
    """A part that is text and nothing else."""

    text: str


class PlainContent(Struct, forbid_unknown_fields=True):
    """A turn of text: by far the most there are, and so read at once."""

    role: Literal["user", "model"]
    parts: list[PlainPart]


NULL = Raw(b"null")

_plain = msgspec.json.Decoder(PlainContent)
_list = msgspec.json.Decoder(list[Raw])
_object = msgspec.json.Decoder(dict[str, Raw])
_any = msgspec.json.Decoder(Any)


def read_request(body: bytes, model: str, stream: bool) -> Request:
    """Return what a caller asks for; GatewayError 400 where the body is no request."""
    asked = members(body, "the body")
    request = Asked(model=model, messages=read_contents(asked.pop("contents", None)), stream=stream)
    asked.pop("model", None)  # The path has it.
    if "systemInstruction" in asked:
        request.system = read_system(asked.pop("systemInstruction"))
    if "tools" in asked:
        for tool in objects(asked.pop("tools"), "tools"):
            read_tool(tool, request)
    if "toolConfig" in asked:
        read_tool_config(members(asked.pop("toolConfig"), "toolConfig"), request)
    if "generationConfig" in asked:
        read_config(members(asked.pop("generationConfig"), "generationConfig"), request)
    if "serviceTier" in asked:
        tier = convert(asked.pop("serviceTier"), str, "serviceTier").lower()
        request.service_tier = {"standard": "default", "unspecified": "auto"}.get(tier, tier)
    if "labels" in asked:
        request.metadata = convert(asked.pop("labels"), dict[str, str], "labels")
    if "store" in asked:
        request.store = convert(asked.pop("store"), bool, "store")
    for name, value in asked.items():
        extra(request, name, value)
    return request


def extra(request: Request, name: str, value: Raw) -> None:
    """Keep what has no field, unless it says nothing."""
    text = text_of(value)
    if text not in ("null", "[]", "{}"):
        request.extras.setdefault(name, text)


def read_contents(raw: Raw | None) -> list[Message]:
    """Return the turns. What one side says in several turns is one: streams are sent back chunk by chunk."""
    messages: list[Message] = []
    calls: list[ToolCall] = []  # Of the last turn of the model, that have no result yet.
    for index, entry in enumerate(entries(raw, "contents") if raw is not None else ()):
        try:
            plain = _plain.decode(entry)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            plain = None
        if plain is not None:
            if plain.role == "model" and messages and messages[-1].role == "user":
                calls = []
            read_plain(plain, messages)
            continue
        content = members(entry, "contents")
        role = optional(content, "role", str)
        parts = objects(content["parts"], "contents.parts") if "parts" in content else []
        if role == "model":
            said: list[Part] = []
            for number, part in enumerate(parts):
                read_answered(part, f"call_{index}_{number}", said)
            if messages and messages[-1].role == "assistant":
                go_on(messages[-1].parts, said)
            else:
                calls = []
                messages.append(Message("assistant", said))
            calls += [part for part in said if isinstance(part, ToolCall)]
        elif role in (None, "user", "function", "tool"):
            asked: list[Part] = []
            for part in parts:
                if "functionResponse" in part:
                    asked.append(read_result(part["functionResponse"], calls))
                else:
                    asked.append(read_part(part))
            if messages and messages[-1].role == "user":
                messages[-1].parts += asked
            else:
                messages.append(Message("user", asked))
        else:
            refuse("contents.role", "must be 'user' or 'model'")
    return messages


def read_plain(content: PlainContent, messages: list[Message]) -> None:
    """Add a turn of text."""
    if content.role == "user":
        said: list[Part] = [Text(part.text) for part in content.parts]
        role: Literal["user", "assistant"] = "user"
    else:
        said = [Text(part.text) for part in content.parts if part.text]
        role = "assistant"
    if not messages or messages[-1].role != role:
        messages.append(Message(role, said))
    elif role == "user":
        messages[-1].parts += said
    else:
        go_on(messages[-1].parts, said)


def go_on(parts: list[Part], more: list[Part]) -> None:
    """Add a model's next chunk to what it said before: words go on where they left off."""
    if more and parts and isinstance(first := more[0], Text) and isinstance(last := parts[-1], Text):
        last.text += first.text
        more = more[1:]
    for part in more:
        add(parts, part)


def add(parts: list[Part], part: Part) -> None:
    """Add a part. A thought goes on until it is signed: in a stream its signature comes behind its words."""
    last = parts[-1] if parts else None
    if (
        isinstance(part, Thinking)
        and isinstance(last, Thinking)
        and not (last.signature or last.redacted or part.redacted)
    ):
        parts[-1] = Thinking(last.text + part.text, part.signature, family=part.family)
    else:
        parts.append(part)


def read_answered(part: Members, made_id: str, said: list[Part]) -> None:
    """Add what a part of the model's turn is to `said`; made_id: the id of a call that has none."""
    signature = optional(part, "thoughtSignature", str) or ""
    if "functionCall" in part:
        call = members(part["functionCall"], "functionCall")
        family, proof = read_proof(signature) if signature else ("", "")
        name = optional(call, "name", str)
        if not name:
            refuse("functionCall.name", "is missing")
        arguments = text_of(call["args"]) if "args" in call else "{}"
        said.append(ToolCall(optional(call, "id", str) or made_id, name, arguments, proof, family))
    elif optional(part, "thought", bool):
        add(said, read_thought(optional(part, "text", str) or "", signature))
    elif "text" in part:
        text = optional(part, "text", str)
        if text:
            said.append(Text(text))
        if signature:
            add(said, read_thought("", signature))
    else:
        said.append(read_part(part))


def read_part(part: Members) -> Part:
    """Return a part that either side may say."""
    if "text" in part:
        return Text(optional(part, "text", str) or "")
    if "inlineData" in part:
        return read_inline(members(part["inlineData"], "inlineData"))
    if "fileData" in part:
        return read_file(members(part["fileData"], "fileData"))
    names = ", ".join(name for name in part if name not in SAID) or "nothing"
    raise GatewayError(
        400,
        "unsupported",
        "caller",
        f"The provider of this model takes no part of the kind '{names}'.",
        hint="Send text, inlineData, fileData, functionCall or functionResponse.",
        param="contents.parts",
    )


def read_inline(blob: Members) -> Part:
    """Return what the bytes within a message are."""
    kind = (optional(blob, "mimeType", str) or "").lower()
    data = base64_text(optional(blob, "data", str) or "")
    if kind.startswith("image/"):
        return Image(media_type=kind, data=data)
    if kind.startswith("audio/"):
        return Audio(AUDIO.get(kind, kind.removeprefix("audio/")), data)
    return Document(media_type=kind, data=data, name=optional(blob, "displayName", str) or "")


def read_file(file: Members) -> Part:
    """Return what a message refers to."""
    kind = (optional(file, "mimeType", str) or "").lower()
    url = optional(file, "fileUri", str) or ""
    if kind.startswith("image/"):
        return Image(url=url, media_type=kind)
    return Document(url=url, media_type=kind, name=optional(file, "displayName", str) or "")


def read_result(raw: Raw, calls: list[ToolCall]) -> ToolResult:
    """Return what a function gave back. Without an id it answers the first call of its name that has no answer yet."""
    found = members(raw, "functionResponse")
    name = optional(found, "name", str) or ""
    call_id = optional(found, "id", str) or ""
    call = next((call for call in calls if (call.id == call_id if call_id else call.name == name)), None)
    if call is not None:
        calls.remove(call)
    elif not call_id:
        refuse("contents.functionResponse", f"'{name}' answers no functionCall of the turn before")
    text, is_error = read_response(found.get("response"))
    result = ToolResult(call.id if call is not None else call_id, [Text(text)], name=name, is_error=is_error)
    for part in objects(found["parts"], "functionResponse.parts") if "parts" in found else ():
        made = read_part(part)
        if isinstance(made, Text | Image | Document):
            result.parts.append(made)
        else:
            refuse("functionResponse.parts", "must be text, pictures or documents")
    return result


def read_response(raw: Raw | None) -> tuple[str, bool]:
    """Return a function's response as text, and whether it is an error. `output` and `error` are Google's words."""
    if raw is None:
        return "{}", False
    response = _decode(_object, raw, "functionResponse.response")
    if len(response) == 1:
        ((key, value),) = response.items()
        if key in ("output", "result", "error") and bytes(value).startswith(b'"'):
            return convert(value, str, "functionResponse.response"), key == "error"
        if key == "error":
            return text_of(value), True
    return text_of(raw), False


def read_system(raw: Raw) -> list[Text]:
    """Return the instructions, which are text or a turn of it."""
    if bytes(memoryview(raw)[:1]) == b'"':
        return [Text(convert(raw, str, "systemInstruction"))]
    content = members(raw, "systemInstruction")
    parts = objects(content["parts"], "systemInstruction.parts") if "parts" in content else [content]
    system = []
    for part in parts:
        if "text" not in part:
            refuse("systemInstruction", "must be text")
        system.append(Text(optional(part, "text", str) or ""))
    return system


def read_tool(tool: Members, request: Request) -> None:
    """Add the functions of a tool; tools that Google runs itself have no field."""
    for name, value in tool.items():
        if name != "functionDeclarations":
            extra(request, f"tools.{name}", value if bytes(value) != b"{}" else Raw(b"true"))
            continue
        for function in objects(value, "tools.functionDeclarations"):
            made = Tool(optional(function, "name", str) or "", optional(function, "description", str) or "")
            if not made.name:
                refuse("tools.functionDeclarations.name", "is missing")
            if "parametersJsonSchema" in function:
                made.schema = text_of(function["parametersJsonSchema"])
            elif "parameters" in function:
                made.schema = read_schema(function["parameters"])
            request.tools.append(made)
            for member in function.keys() - DECLARED:
                extra(request, f"tools.functionDeclarations.{member}", function[member])


def read_schema(raw: Raw) -> str:
    """Return a `Schema` as the text of a JSON Schema."""
    return msgspec.json.encode(from_schema(_decode(_any, raw, "schema"))).decode()


def read_tool_config(config: Members, request: Request) -> None:
    """Read whether functions are called."""
    if "functionCallingConfig" in config:
        calling = members(config.pop("functionCallingConfig"), "toolConfig.functionCallingConfig")
        mode = MODES.get((optional(calling, "mode", str) or "").upper())
        names = tuple(optional(calling, "allowedFunctionNames", list[str]) or ())
        if mode == "required" and len(names) == 1:
            mode = "tool"
        if mode is not None:
            request.tool_choice = ToolChoice(mode, names)
        if optional(calling, "streamFunctionCallArguments", bool):
            extra(request, "toolConfig.functionCallingConfig.streamFunctionCallArguments", Raw(b"true"))
    for name, value in config.items():
        extra(request, f"toolConfig.{name}", value)


def read_config(config: Members, request: Request) -> None:
    """Read how the answer is to be made."""
    kind = (optional(config, "responseMimeType", str) or "").lower()
    schema = ""
    for name, value in config.items():
        known = CONFIG.get(name)
        if name == "responseMimeType":
            continue
        if known is not None:
            setattr(request, known[0], convert(value, known[1], f"generationConfig.{name}"))
        elif name == "topK":  # A number with a fraction, in Google's SDK.
            request.top_k = int(convert(value, float, "generationConfig.topK"))
        elif name == "thinkingConfig":
            request.reasoning = read_thinking(members(value, "generationConfig.thinkingConfig"))
        elif name == "responseJsonSchema":
            schema = text_of(value)
        elif name == "responseSchema":
            schema = schema or read_schema(value)
        elif name == "responseModalities" and [word.upper() for word in convert(value, list[str], name)] == ["TEXT"]:
            continue
        else:
            extra(request, f"generationConfig.{name}", value)
    if schema:
        request.output = Output("schema", "response", schema)
    elif kind == "application/json":
        request.output = Output("json")
    elif kind not in ("", "text/plain"):
        extra(request, "generationConfig.responseMimeType", config["responseMimeType"])


def read_thinking(config: Members) -> Reasoning:
    """Read how much a model should think."""
    reasoning = Reasoning(show=optional(config, "includeThoughts", bool))
    reasoning.effort = LEVELS.get((optional(config, "thinkingLevel", str) or "").upper())
    budget = optional(config, "thinkingBudget", int)
    if budget is not None and budget > 0:
        reasoning.mode, reasoning.budget = "on", budget
    elif budget is not None:
        reasoning.mode = "off" if budget == 0 else "adaptive"
    return reasoning


def members(raw: Raw | bytes, where: str) -> Members:
    """Return an object's members by their name in camel case."""
    return camel(_decode(_object, raw, where))


def objects(raw: Raw, where: str) -> list[Members]:
    """Return a list's objects, also where one stands without its list."""
    return [members(entry, where) for entry in entries(raw, where)]


def entries(raw: Raw, where: str) -> list[Raw]:
    """Return a list's entries, or the one object that stands where a list belongs."""
    if bytes(memoryview(raw)[:1]) == b"{":
        return [raw]
    return [] if raw == NULL else _decode(_list, raw, where)


def camel(found: Members) -> Members:
    """Return `found` with its keys in camel case, and without what is null."""
    return {key if "_" not in key else camel_word(key): value for key, value in found.items() if value != NULL}


def camel_word(key: str) -> str:
    """Return ``snake_case`` as ``snakeCase``."""
    first, *rest = key.split("_")
    return first + "".join(word.capitalize() for word in rest)


def optional(found: Members, name: str, kind: type[T]) -> T | None:
    """Return a member, None where it is absent; GatewayError 400 where it is not of that kind."""
    raw = found.get(name)
    return None if raw is None else convert(raw, kind, name)


def convert(raw: Raw, kind: type[T], where: str) -> T:
    """Return the value of JSON text; GatewayError 400 where it is not of that kind."""
    try:
        value: T = DECODERS[kind].decode(raw)
        return value
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        refuse(where, f"is not valid: {error}")


def text_of(raw: Raw) -> str:
    """Return JSON that is carried as it is; GatewayError 400 where its strings are no UTF-8, which nobody has read."""
    try:
        return bytes(raw).decode()
    except UnicodeDecodeError:
        raise not_json() from None


def not_json() -> GatewayError:
    """Return the error of a body that cannot be read at all."""
    return GatewayError(400, "invalid_json", "caller", "The request body is not valid JSON.")


def _decode(decoder: msgspec.json.Decoder[T], raw: Raw | bytes, where: str) -> T:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        refuse(where, f"is not valid: {error}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise not_json() from None


def refuse(where: str, why: str) -> NoReturn:
    """Raise the error of a request that is not valid."""
    raise GatewayError(400, "invalid_request", "caller", f"The request is not valid: {where} {why}.", param=where)
