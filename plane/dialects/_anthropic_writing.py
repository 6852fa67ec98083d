"""A request of the hub, written as Messages for a provider.

What Anthropic asks of the talk: user and assistant take turns; the results of tools come first in the turn after their
calls; no block of words is empty; a thought comes back as it was given, first in its turn.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

import msgspec
from msgspec import Raw

from plane.canonical import (
    Audio,
    Cache,
    Carry,
    Document,
    Image,
    Message,
    Part,
    Refusal,
    Request,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)
from plane.dialects._anthropic_thinking import Thinks, write_thinking
from plane.dialects._anthropic_wire import FAMILY

__all__ = ["Json", "input_of", "write_request"]

Json = dict[str, Any]

PICTURES = frozenset(["image/jpeg", "image/png", "image/gif", "image/webp"])
SERVICE_TIERS = {"auto": "auto", "default": "standard_only"}
LACKING = ("seed", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs")
MAX_BREAKPOINTS = 4
CACHE_CONTROL = b'"cache_control"'

BAD_ID = re.compile(r"[^A-Za-z0-9_-]")
BAD_NAME = re.compile(r"[^A-Za-z0-9_-]")
MAX_NAME = 128

_object = msgspec.json.Decoder(dict[str, Raw])


def write_request(request: Request, carry: Carry, thinks: Thinks, *, system_turns: bool, counts: bool = False) -> bytes:
    """Return the body for a provider; what it has no place for is told to `carry`.

    thinks: how the model is told to think. system_turns: instructions may stand amid the talk. counts: the body is for
    the number of its tokens only.
    """
    if counts:
        request = msgspec.structs.replace(request, temperature=None, top_p=None, top_k=None)
    body: Json = {"model": carry.model}
    writer = Writer(carry, system_turns)
    system = list(request.system)
    turns = request.messages
    while turns and turns[0].role == "system":
        system += [part for part in turns[0].parts if isinstance(part, Text)]
        turns = turns[1:]
    instructions = [writer.words(text) for text in system if text.text]
    for turn in turns:
        writer.turn(turn)
    writer.finish()
    body["messages"] = writer.turns
    if len(instructions) == 1 and "cache_control" not in instructions[0]:
        body["system"] = instructions[0]["text"]
    elif instructions:
        body["system"] = instructions
    write_tools(request, body, carry)
    write_thinking(request, body, carry, thinks)
    if request.output is not None:
        if request.output.kind == "schema":
            schema = Raw(request.output.schema.encode() or b"{}")
            body.setdefault("output_config", {})["format"] = {"type": "json_schema", "schema": schema}
        else:
            carry.drop("response_format")
    if counts:
        del body["max_tokens"]
    else:
        write_settings(request, body, carry)
    for name in request.extras:
        carry.drop(name)
    written = msgspec.json.encode(body)
    if CACHE_CONTROL in written and order_breakpoints(body, carry):
        written = msgspec.json.encode(body)
    return written


def write_settings(request: Request, body: Json, carry: Carry) -> None:
    """Write what is said besides the talk, the tools and the thinking, and tell what cannot be."""
    if request.stream:
        body["stream"] = True
    if request.stop:
        body["stop_sequences"] = request.stop
    user = request.user
    if request.metadata:
        user = user or request.metadata.get("user_id", "")
        if request.metadata.keys() != {"user_id"}:
            carry.hint("metadata")
    if user:
        body["metadata"] = {"user_id": user}
    if request.service_tier:
        if request.service_tier in SERVICE_TIERS:
            body["service_tier"] = SERVICE_TIERS[request.service_tier]
        else:
            carry.hint("service_tier")
    if request.cache_key:
        carry.hint("prompt_cache_key")
    if request.store:
        carry.hint("store")
    if request.verbosity:
        carry.hint("verbosity")
    if request.n is not None and request.n != 1:
        carry.drop("n")
    for name in LACKING:
        if getattr(request, name):  # A penalty of 0, and no wish for logprobs, ask for nothing.
            carry.drop(name)


class Writer:
    """Writes the turns into `turns`, merged so that user and assistant take turns.

    system: instructions that wait for a place, as none is between a call of a tool and its result.
    """

    def __init__(self, carry: Carry, system_turns: bool) -> None:
        self.carry = carry
        self.system_turns = system_turns
        self.turns: list[Json] = []
        self.system: list[Json] = []

    def turn(self, message: Message) -> None:
        """Write one turn."""
        if message.name:
            self.carry.hint("name")
        blocks = [block for part in message.parts if (block := self.block(part, message.role)) is not None]
        if not blocks:
            return
        if message.role == "system":
            self.system += blocks
            return
        if self.system and not any(block["type"] == "tool_result" for block in blocks):
            self.place_system()
        self.add(message.role, blocks)

    def add(self, role: str, blocks: list[Json]) -> None:
        """Write blocks into the turn of `role` that is last, or a new one; results of tools come first in it."""
        if self.turns and self.turns[-1]["role"] == role:
            blocks = self.turns[-1]["content"] + blocks
            self.turns.pop()
        if role == "user" and len(blocks) > 1:
            blocks.sort(key=lambda block: block["type"] != "tool_result")
        self.turns.append({"role": role, "content": blocks})

    def place_system(self) -> None:
        """Write the instructions that wait: in a turn of their own, or as words of the user's."""
        if self.system_turns:
            self.turns.append({"role": "system", "content": self.system})
        else:
            self.add("user", self.system)
        self.system = []

    def finish(self) -> None:
        """Write what waits, and take the white space from the end of an answer that is to be gone on with."""
        if self.system:
            self.place_system()
        if self.turns and self.turns[-1]["role"] == "assistant":
            last = self.turns[-1]["content"][-1]
            if last["type"] == "text":
                last["text"] = last["text"].rstrip()
                if not last["text"]:
                    self.turns[-1]["content"].pop()
                    if not self.turns[-1]["content"]:
                        self.turns.pop()

    def block(self, part: Part, role: str) -> Json | None:
        """Return a part as a block of content, None where there is nothing to write."""
        if isinstance(part, Text):
            return self.words(part) if part.text else None
        if isinstance(part, ToolCall):
            name = sent_name(part.name, self.carry)
            block: Json = {"type": "tool_use", "id": sent_id(part.id), "name": name, "input": input_of(part)}
            return cached(block, part.cache)
        if isinstance(part, ToolResult):
            return self.result(part)
        if isinstance(part, Thinking):
            return self.thought(part) if role == "assistant" else None
        if isinstance(part, Image):
            return self.image(part)
        if isinstance(part, Document):
            return self.document(part)
        if isinstance(part, Refusal):
            return {"type": "text", "text": part.text} if part.text else None
        assert isinstance(part, Audio)
        self.carry.drop("input_audio")
        return None

    def words(self, text: Text) -> Json:
        """Return a block of words."""
        return cached({"type": "text", "text": text.text}, text.cache)

    def thought(self, part: Thinking) -> Json | None:
        """Return a thought; only one that Anthropic has signed means anything to it."""
        if part.family == FAMILY and part.redacted:
            return {"type": "redacted_thinking", "data": part.redacted}
        if part.family == FAMILY and part.signature:
            return {"type": "thinking", "thinking": part.text, "signature": part.signature}
        self.carry.hint("thinking")
        return None

    def result(self, part: ToolResult) -> Json:
        """Return what a tool gave back."""
        content = [written for inner in part.parts if (written := self.block(inner, "user")) is not None]
        block: Json = {"type": "tool_result", "tool_use_id": sent_id(part.id)}
        if len(content) == 1 and content[0].keys() == {"type", "text"}:
            block["content"] = content[0]["text"]
        elif content:
            block["content"] = content
        if part.is_error:
            block["is_error"] = True
        return cached(block, part.cache)

    def image(self, part: Image) -> Json | None:
        """Return a picture; a file id is another provider's."""
        if part.detail and part.detail != "auto":
            self.carry.hint("detail")
        if part.data and part.media_type in PICTURES:
            source = {"type": "base64", "media_type": part.media_type, "data": part.data}
        elif part.url.startswith(("https://", "http://")):
            source = {"type": "url", "url": part.url}
        else:
            self.carry.drop("image" if not part.file_id else "file_id")
            return None
        return cached({"type": "image", "source": source}, part.cache)

    def document(self, part: Document) -> Json | None:
        """Return a document: a PDF, or words."""
        text = part.text
        if part.data and part.media_type.startswith("text/"):
            try:
                text = base64.b64decode(part.data, validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                text = ""
        if text:
            source = {"type": "text", "media_type": "text/plain", "data": text}
        elif part.data and part.media_type == "application/pdf":
            source = {"type": "base64", "media_type": part.media_type, "data": part.data}
        elif part.url.startswith(("https://", "http://")):
            source = {"type": "url", "url": part.url}
        else:
            self.carry.drop("file" if not part.file_id else "file_id")
            return None
        block: Json = {"type": "document", "source": source}
        if part.name:
            block["title"] = part.name
        return cached(block, part.cache)


def cached(block: Json, cache: Cache) -> Json:
    """Return a block with the breakpoint that stands behind it."""
    if cache:
        block["cache_control"] = {"type": "ephemeral", "ttl": "1h"} if cache == "1h" else {"type": "ephemeral"}
    return block


def input_of(call: ToolCall) -> Json | Raw:
    """Return the arguments of a call as the object that they must be; free text, and what is no object, in one."""
    if not call.custom:
        text = call.arguments.strip()
        if text in ("", "{}"):
            return {}
        try:
            _object.decode(text)
        except (msgspec.MsgspecError, RecursionError):
            pass
        else:
            return Raw(text.encode())
    return {"input": call.arguments}


def sent_id(call_id: str) -> str:
    """Return the id of a call in the letters that Anthropic takes."""
    return BAD_ID.sub("_", call_id) or "_"


def sent_name(name: str, carry: Carry) -> str:
    """Return the name of a tool in the letters that Anthropic takes; an answer's is changed back by `carry`."""
    if len(name) <= MAX_NAME and not BAD_NAME.search(name):
        return name
    plain = BAD_NAME.sub("_", name)[:MAX_NAME] or "_"
    sent, count = plain, 1
    while carry.tool_names.get(sent, name) != name:
        count += 1
        end = f"_{count}"
        sent = plain[: MAX_NAME - len(end)] + end
    carry.tool_names[sent] = name
    return sent


def write_tools(request: Request, body: Json, carry: Carry) -> None:
    """Write the tools and whether they are called."""
    tools = request.tools
    choice = request.tool_choice
    if choice is not None and choice.names and choice.mode != "tool":
        tools = [tool for tool in tools if tool.name in choice.names]
    if not tools:
        return
    body["tools"] = [written_tool(tool, carry) for tool in tools]
    if choice is not None and choice.mode == "none":
        body["tool_choice"] = {"type": "none"}
        return
    chosen: Json = {"type": "auto"}
    if choice is not None and choice.mode == "required":
        chosen = {"type": "any"}
    elif choice is not None and choice.mode == "tool":
        chosen = {"type": "tool", "name": sent_name(choice.names[0], carry)}
    if request.parallel_tools is False:
        chosen["disable_parallel_tool_use"] = True
    if choice is not None or len(chosen) > 1:
        body["tool_choice"] = chosen


def written_tool(tool: Tool, carry: Carry) -> Json:
    """Return a function that the model may call."""
    written: Json = {"name": sent_name(tool.name, carry)}
    if tool.description:
        written["description"] = tool.description
    written["input_schema"] = schema_of(tool.schema)
    if tool.strict:
        written["strict"] = True
    return cached(written, tool.cache)


def schema_of(text: str) -> Json | Raw:
    """Return the schema of a tool's arguments; one without a type is an object's."""
    if not text:
        return {"type": "object", "properties": {}}
    try:
        members = _object.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return Raw(text.encode())
    return Raw(text.encode()) if "type" in members else {"type": "object", **members}


def order_breakpoints(body: Json, carry: Carry) -> bool:
    """Keep Anthropic's rules of breakpoints: four at most, and those of an hour before those of five minutes.

    Tell whether anything of the body was changed.
    """
    holders = [tool for tool in body.get("tools", ()) if "cache_control" in tool]
    system = body.get("system")
    if isinstance(system, list):
        holders += [block for block in system if "cache_control" in block]
    holders += [block for turn in body["messages"] for block in turn["content"] if "cache_control" in block]
    changed = len(holders) > MAX_BREAKPOINTS
    for holder in holders[:-MAX_BREAKPOINTS]:
        del holder["cache_control"]
    short = False
    for holder in holders[-MAX_BREAKPOINTS:]:
        if "ttl" not in holder["cache_control"]:
            short = True
        elif short:
            holder["cache_control"] = {"type": "ephemeral"}
            changed = True
    if changed:
        carry.hint("cache_control")
    return changed
