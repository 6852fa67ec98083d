"""A request of the hub, written as Converse for Bedrock.

What Bedrock asks of the turns: user and assistant take turns, so neighbours of one role become one; no text is blank;
a document stands beside a text, under a name of its own; tools are declared where the talk has calls of any, also where
none may be called now.
"""

from __future__ import annotations

import mimetypes
import re
from typing import Any

import msgspec
from msgspec import Raw

from core.errors import GatewayError
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
    ToolCall,
    ToolResult,
)
from plane.dialects._bedrock_models import fields_of, maker_of, put_top_k, think
from plane.dialects._bedrock_wire import FAMILY

__all__ = ["write_request"]

TOOL_NAME = re.compile(r"[^a-zA-Z0-9_-]")
CALL_ID = re.compile(r"[^a-zA-Z0-9_.:-]")
LONGEST_NAME = 64
DOCUMENT_NAME = re.compile(r"[^a-zA-Z0-9()\[\]-]+")
LONGEST_DOCUMENT_NAME = 200
METADATA = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}")
MOST_METADATA = 16

IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
DOCUMENTS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
BESIDE_DOCUMENTS = {"text": "See the documents."}
PLACEHOLDER = {
    "toolSpec": {
        "name": "unavailable",
        "description": "There is no tool. Do not call this.",
        "inputSchema": {"json": {"type": "object", "properties": {}}},
    }
}
"""Stands for the tools of a talk that has calls but declares none any more."""

CACHING = frozenset({"anthropic", "amazon"})
"""Makers whose models know cache points."""
TIERS = frozenset({"priority", "default", "flex", "reserved"})
INFERENCE = (("max_tokens", "maxTokens"), ("temperature", "temperature"), ("top_p", "topP"), ("stop", "stopSequences"))
ABSENT = ("seed", "presence_penalty", "frequency_penalty", "top_logprobs")
HINTS = {"user": "user", "cache_key": "prompt_cache_key", "verbosity": "verbosity"}
FIELDS = "additionalModelRequestFields"
CARRIED = ("additionalModelResponseFieldPaths", "guardrailConfig", "performanceConfig", "promptVariables")
"""Members of Converse that a caller may say in any dialect, in these words; and `FIELDS`."""

_object = msgspec.json.Decoder(dict[str, Any])


def write_request(request: Request, carry: Carry, maker: str) -> bytes:
    """Return the body for Bedrock; maker: of the model, where its id does not tell."""
    maker = maker_of(carry.model) or maker
    body: dict[str, Any] = {}
    tools = Tools(request, carry, maker in CACHING)
    turns = Turns(carry, tools.names, maker in CACHING)
    for text in request.system:
        turns.put_system(text)
    for message in request.messages:
        turns.add(message)
    if not turns.entries:  # A talk without a turn is refused.
        turns.entries, turns.system = [("user", turns.system)], []
    body["messages"] = [{"role": role, "content": finished(content)} for role, content in turns.entries]
    if turns.system:
        body["system"] = turns.system
    inference = {word: value for name, word in INFERENCE if (value := getattr(request, name)) not in (None, [])}
    if inference:
        body["inferenceConfig"] = inference
    tools.put(request, maker, turns.with_tools, body, carry)
    if request.top_k is not None:
        put_top_k(request.top_k, maker, fields_of(body), carry)
    for name in CARRIED:
        if name in request.extras:
            body[name] = Raw(request.extras[name].encode())
    if FIELDS in request.extras:
        fields_of(body).update(object_of(FIELDS, request.extras[FIELDS]))
    put_output(request, body, carry)
    think(request, maker, turns.unthought, body, carry)
    if request.stop and maker == "anthropic":
        body.setdefault("additionalModelResponseFieldPaths", ["/stop_sequence"])
    if not body.get(FIELDS, True):
        del body[FIELDS]
    put_hints(request, body, carry)
    return msgspec.json.encode(body)


class Names:
    """Words made to fit: what is odd becomes ``_``, and no two become the same.

    sent: as meant -> as sent.
    """

    def __init__(self, odd: re.Pattern[str]) -> None:
        self.odd = odd
        self.sent: dict[str, str] = {}
        self.taken: set[str] = set()

    def __call__(self, meant: str) -> str:
        """Return the word for `meant`, the same each time."""
        sent = self.sent.get(meant)
        if sent is None:
            fitting = self.odd.sub("_", meant)[:LONGEST_NAME] or "_"
            sent = fitting
            number = 2
            while sent in self.taken:
                end = f"_{number}"
                sent = fitting[: LONGEST_NAME - len(end)] + end
                number += 1
            self.sent[meant] = sent
            self.taken.add(sent)
        return sent


class Tools:
    """The tools of a request. names: of theirs and of those in the talk, as Bedrock takes them."""

    def __init__(self, request: Request, carry: Carry, caching: bool) -> None:
        self.names = Names(TOOL_NAME)
        choice = request.tool_choice
        allowed = choice.names if choice is not None and choice.mode != "tool" else ()
        self.specs: list[dict[str, Any]] = []
        for tool in request.tools:
            name = self.names(tool.name)
            if (choice is not None and choice.mode == "none") or (allowed and tool.name not in allowed):
                continue
            schema: Any = Raw(tool.schema.encode()) if tool.schema else {"type": "object", "properties": {}}
            spec: dict[str, Any] = {"name": name, "inputSchema": {"json": schema}}
            if tool.description:
                spec["description"] = tool.description
            if tool.strict:
                spec["strict"] = True
            self.specs.append({"toolSpec": spec})
            if tool.cache and caching:
                self.specs.append(cache_point(tool.cache))
            elif tool.cache:
                carry.hint("cache_control")

    def put(self, request: Request, maker: str, with_tools: bool, body: dict[str, Any], carry: Carry) -> None:
        """Put the tools and the choice among them into `body`. with_tools: the talk has calls or results."""
        carry.tool_names.update((sent, meant) for meant, sent in self.names.sent.items() if sent != meant)
        if not self.specs:
            if with_tools:
                body["toolConfig"] = {"tools": [PLACEHOLDER]}
            return
        config = body["toolConfig"] = {"tools": self.specs}
        choice = request.tool_choice
        if choice is not None and choice.mode == "tool":
            config["toolChoice"] = {"tool": {"name": self.names(choice.names[0])}}
        elif choice is not None:
            config["toolChoice"] = {"any" if choice.mode == "required" else "auto": {}}
        if request.parallel_tools is not False:
            return
        if maker == "anthropic":
            said: dict[str, Any] = {"type": "auto"}
            if choice is not None and choice.mode == "tool":
                said = {"type": "tool", "name": self.names(choice.names[0])}
            elif choice is not None and choice.mode == "required":
                said = {"type": "any"}
            fields_of(body)["tool_choice"] = {**said, "disable_parallel_tool_use": True}
        else:
            carry.drop("parallel_tool_calls")


class Turns:
    """The talk, as it is written.

    entries: role and content, user and assistant in turn. with_tools: it has calls or results of tools.
    """

    def __init__(self, carry: Carry, names: Names, caching: bool) -> None:
        self.carry = carry
        self.names = names
        self.ids = Names(CALL_ID)
        self.caching = caching
        self.system: list[dict[str, Any]] = []
        self.entries: list[tuple[str, list[dict[str, Any]]]] = []
        self.documents: set[str] = set()
        self.with_tools = False

    @property
    def unthought(self) -> bool:
        """The last turn has results of tools, and that before it does not begin with a thought."""
        if len(self.entries) < 2 or not any("toolResult" in block for block in self.entries[-1][1]):
            return False
        return "reasoningContent" not in self.entries[-2][1][0]

    def add(self, message: Message) -> None:
        """Add one turn; instructions amid the talk join those before it."""
        if message.name:
            self.carry.hint("name")
        if message.role == "system":
            for part in message.parts:
                if isinstance(part, Text):
                    self.put_system(part)
            return
        if not self.entries or self.entries[-1][0] != message.role:
            self.entries.append((message.role, []))
        content = self.entries[-1][1]
        for part in message.parts:
            written = self.part(part)
            if written is not None:
                content.append(written)
                self.put_cache_point(getattr(part, "cache", ""), content)
        if not content:
            self.entries.pop()

    def put_system(self, text: Text) -> None:
        """Add instructions."""
        if text.text.strip():
            self.system.append({"text": text.text})
            self.put_cache_point(text.cache, self.system)

    def put_cache_point(self, cache: Cache, content: list[dict[str, Any]]) -> None:
        """Add a breakpoint of the prompt cache, where there is one."""
        if cache and self.caching:
            content.append(cache_point(cache))
        elif cache:
            self.carry.hint("cache_control")

    def part(self, part: Part) -> dict[str, Any] | None:
        """Return one part as a block, None if it has to stay out."""
        match part:
            case Text() | Refusal():
                return {"text": part.text} if part.text.strip() else None
            case Image():
                return self.image(part)
            case Document():
                return self.document(part)
            case Audio():
                return {"audio": {"format": part.format, "source": {"bytes": part.data}}}
            case ToolCall():
                self.with_tools = True
                call = {"toolUseId": self.ids(part.id), "name": self.names(part.name), "input": arguments_of(part)}
                return {"toolUse": call}
            case ToolResult():
                self.with_tools = True
                return {"toolResult": self.result(part)}
            case Thinking():
                return self.thought(part)

    def thought(self, part: Thinking) -> dict[str, Any] | None:
        """Return a thought with Bedrock's own proof of it; others it refuses."""
        if part.family == FAMILY and part.redacted:
            return {"reasoningContent": {"redactedContent": part.redacted}}
        if part.family == FAMILY and part.signature:
            return {"reasoningContent": {"reasoningText": {"text": part.text, "signature": part.signature}}}
        self.carry.hint("thinking")
        return None

    def result(self, result: ToolResult) -> dict[str, Any]:
        """Return what a tool gave back."""
        content = []
        for part in result.parts:
            written = self.part(part)
            if written is not None:
                content.append(written)
            if part.cache:
                self.carry.hint("cache_control")
        block = {"toolUseId": self.ids(result.id), "content": content}
        return {**block, "status": "error"} if result.is_error else block

    def image(self, image: Image) -> dict[str, Any] | None:
        """Return a picture; Bedrock fetches none but from S3."""
        if image.detail not in ("", "auto"):
            self.carry.hint("detail")
        kind = image.media_type or mimetypes.guess_type(image.url)[0] or ""
        source = self.source(image.url, image.data)
        if source is None or kind not in IMAGES:
            self.carry.drop("image_url")
            return None
        return {"image": {"format": IMAGES[kind], "source": source}}

    def document(self, document: Document) -> dict[str, Any] | None:
        """Return a file under a name that no other has."""
        guessed = mimetypes.guess_type(document.name or document.url)[0]
        kind = document.media_type if document.media_type in DOCUMENTS else guessed or document.media_type
        form = DOCUMENTS.get(kind, "txt" if kind.startswith("text/") else "")
        source: dict[str, Any] | None
        if document.text:
            form, source = form or "txt", {"bytes": document.text.encode()}
        else:
            source = self.source(document.url, document.data)
        if source is None or not form:
            self.carry.drop("file_id" if document.file_id else "file")
            return None
        stem = document.name.rpartition(".")[0] or document.name
        fitting = DOCUMENT_NAME.sub(" ", stem).strip()[:LONGEST_DOCUMENT_NAME] or "document"
        name = fitting
        number = 2
        while name in self.documents:
            end = f" {number}"
            name = fitting[: LONGEST_DOCUMENT_NAME - len(end)] + end
            number += 1
        self.documents.add(name)
        return {"document": {"format": form, "name": name, "source": source}}

    def source(self, url: str, data: str) -> dict[str, Any] | None:
        """Return where something is read from, None where Bedrock cannot."""
        if data:
            return {"bytes": data}
        return {"s3Location": {"uri": url}} if url.startswith("s3://") else None


def finished(content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a turn's content as Bedrock takes it: results of tools first, and a text beside documents."""
    results = [block for block in content if "toolResult" in block]
    if results and content[: len(results)] != results and not any("cachePoint" in block for block in content):
        content = results + [block for block in content if "toolResult" not in block]
    if any("document" in block for block in content) and not any("text" in block for block in content):
        return [*content, BESIDE_DOCUMENTS]
    return content


def cache_point(cache: Cache) -> dict[str, Any]:
    """Return a breakpoint of the prompt cache; five minutes go without saying, as older models know nothing else."""
    return {"cachePoint": {"type": "default", "ttl": cache} if cache == "1h" else {"type": "default"}}


def arguments_of(call: ToolCall) -> Any:
    """Return the arguments as the object that Bedrock wants; what is none, stands in one."""
    text = call.arguments.strip() or "{}"
    if not call.custom:
        try:
            _object.decode(text)
        except (msgspec.MsgspecError, RecursionError):
            pass  # A model's own broken JSON comes back with the talk; refusing it would end the talk for good.
        else:
            return Raw(text.encode())
    return {"input": call.arguments}


def object_of(name: str, text: str) -> dict[str, Any]:
    """Return the object that a caller says under `name`."""
    try:
        return _object.decode(text)
    except msgspec.MsgspecError:
        raise GatewayError(400, "invalid_request", "caller", f"{name} must be an object.", param=name) from None


def put_output(request: Request, body: dict[str, Any], carry: Carry) -> None:
    """Say which form the answer shall have."""
    output = request.output
    if output is None:
        return
    if output.kind == "json":
        carry.drop("response_format")
        return
    schema = {"schema": output.schema}
    if output.name:
        schema["name"] = output.name
    if output.description:
        schema["description"] = output.description
    body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}


def put_hints(request: Request, body: dict[str, Any], carry: Carry) -> None:
    """Say what remains, and tell of what has no place."""
    if request.service_tier in TIERS:
        body["serviceTier"] = {"type": request.service_tier}
    elif request.service_tier not in ("", "auto"):
        carry.hint("service_tier")
    fits = len(request.metadata) <= MOST_METADATA and all(
        name and METADATA.fullmatch(name) and METADATA.fullmatch(value) for name, value in request.metadata.items()
    )
    if request.metadata and fits:
        body["requestMetadata"] = request.metadata
    elif request.metadata:
        carry.hint("metadata")
    for field, name in HINTS.items():
        if getattr(request, field):
            carry.hint(name)
    if request.store:
        carry.hint("store")
    for name in ABSENT:
        if getattr(request, name) is not None:
            carry.drop(name)
    if request.logprobs:
        carry.drop("logprobs")
    if request.n is not None and request.n != 1:
        carry.drop("n")
    for name in request.extras:
        if name != FIELDS and name not in CARRIED:
            carry.drop(name)
