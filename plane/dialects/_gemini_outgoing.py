"""A request of the hub, written as generateContent for a provider.

What Google asks of the turns (its reference on function calling and on thought signatures): user and model take turns;
results of functions stand alone in an entry of their own, in the order of the calls; a call that Gemini signed comes
back with its signature. Since version 3 a turn whose first call has no signature is refused, unless it has
`UNSIGNED`, Google's word for a call that another model made.
"""

from __future__ import annotations

import base64
import mimetypes
import re
from typing import Any

import msgspec
from msgspec import Raw

from core.errors import GatewayError
from plane.canonical import (
    Audio,
    Carry,
    Document,
    Image,
    Message,
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
from plane.dialects._gemini_answers import arguments, inline
from plane.dialects._gemini_schema import to_schema
from plane.dialects._gemini_wire import FAMILY, generation

__all__ = ["write_content", "write_request"]

UNSIGNED = "skip_thought_signature_validator"
MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY", "tool": "ANY"}
LEVELS = {"minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "HIGH", "max": "HIGH"}
FILES = "https://generativelanguage.googleapis.com/"
"""Where files stand that were given to Google before; no other address on the web is fetched."""

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:\-]{0,127}")
ODD = re.compile(r"[^A-Za-z0-9_.:\-]")

SAMPLING = (
    ("temperature", "temperature"),
    ("top_p", "topP"),
    ("top_k", "topK"),
    ("seed", "seed"),
    ("presence_penalty", "presencePenalty"),
    ("frequency_penalty", "frequencyPenalty"),
    ("max_tokens", "maxOutputTokens"),
    ("n", "candidateCount"),
    ("logprobs", "responseLogprobs"),
    ("top_logprobs", "logprobs"),
)
TIERS = {"flex": "flex", "priority": "priority", "default": "standard", "standard": "standard"}
HINTS = ("user", "metadata", "cache_key", "verbosity")
HINT_NAMES = {"cache_key": "prompt_cache_key"}

_object = msgspec.json.Decoder(dict[str, Raw])


def write_request(request: Request, carry: Carry, vertex: bool) -> bytes:
    """Return the body for a provider; vertex: it is Vertex AI, which differs in a few members."""
    version = generation(carry.model)
    turns = Turns(carry, version, vertex)
    for message in request.messages:
        turns.add(message)
    system = [{"text": text.text} for text in request.system if text.text]
    body: dict[str, Any] = {}
    if turns.entries:
        body["contents"] = turns.entries
        if system:
            body["systemInstruction"] = {"parts": system}
    else:  # A request without a turn is refused.
        body["contents"] = [{"role": "user", "parts": system or [{"text": " "}]}]
    write_tools(request, carry, version, body)
    config = write_config(request, carry, version)
    if config:
        body["generationConfig"] = config
    if request.service_tier in TIERS and not vertex:
        body["serviceTier"] = TIERS[request.service_tier]
    elif request.service_tier not in ("", "auto", "default"):
        carry.hint("service_tier")
    for name in HINTS:
        if getattr(request, name):
            carry.hint(HINT_NAMES.get(name, name))
    if request.store is not None:
        carry.hint("store")
    if any(part.cache for part in request.system):
        carry.hint("cache_control")
    if request.parallel_tools is False and request.tools:
        carry.drop("parallel_tool_calls")
    for name in request.extras:
        carry.drop(name)
    return msgspec.json.encode(body)


def write_content(message: Message, carry: Carry) -> dict[str, Any]:
    """Return one user's turn, as it stands in a request to embed it."""
    turns = Turns(carry, generation(carry.model), vertex=False)
    turns.add(message)
    return turns.entries[0] if turns.entries else {"parts": [{"text": ""}]}


class Turns:
    """The entries of `contents`, as they are written.

    calls: id -> (name as sent, place) of the functions called in the model's last turn; names: id -> name of all.
    """

    def __init__(self, carry: Carry, version: tuple[int, int], vertex: bool) -> None:
        self.carry = carry
        self.version = version
        self.vertex = vertex
        self.entries: list[dict[str, Any]] = []
        self.names: dict[str, str] = {}
        self.places: dict[str, int] = {}
        self.results: list[tuple[int, dict[str, Any]]] | None = None  # Of the last entry, where it holds results.

    def add(self, message: Message) -> None:
        """Add one turn."""
        if message.name:
            self.carry.hint("name")
        if message.role == "assistant":
            self.answered(message.parts)
            return
        parts = []
        for part in message.parts:
            if isinstance(part, ToolResult):
                self.result(part)
            elif (written := self.part(part)) is not None:
                parts.append(written)
        if parts:
            self.append("user", parts)

    def append(self, role: str, parts: list[dict[str, Any]]) -> None:
        """Add parts to the last entry if it is of the same side and no entry of results, else to a new one."""
        if self.entries and self.results is None and self.entries[-1]["role"] == role:
            self.entries[-1]["parts"] += parts
        else:
            self.entries.append({"role": role, "parts": parts})
        self.results = None

    def answered(self, parts: list[Part]) -> None:
        """Add a turn of the model."""
        written = []
        self.places = {}
        for part in parts:
            if isinstance(part, ToolCall):
                written.append(self.call(part))
            elif isinstance(part, Thinking):
                if part.family == FAMILY and (part.text or part.signature):
                    written.append(thought(part))
                elif part.family != FAMILY:
                    self.carry.hint("thinking")
            elif (made := self.part(part)) is not None:
                written.append(made)
        if written:
            self.append("model", written)

    def call(self, call: ToolCall) -> dict[str, Any]:
        """Return a call of a function; only the first one of a turn has to be signed."""
        name = sent_name(call.name, self.carry)
        function: dict[str, Any] = {"name": name, "args": arguments(call)}
        if call.id and not self.vertex:
            function["id"] = call.id
        part: dict[str, Any] = {"functionCall": function}
        if call.signature and call.family == FAMILY:
            part["thoughtSignature"] = call.signature
        elif not self.places and self.version >= (3, 0):
            part["thoughtSignature"] = UNSIGNED
        self.names[call.id] = name
        self.places[call.id] = len(self.places)
        return part

    def result(self, result: ToolResult) -> None:
        """Add what a function gave back to the entry of results, in the order of the calls."""
        name = self.names.get(result.id) or (sent_name(result.name, self.carry) if result.name else "")
        if not name:
            raise GatewayError(
                400,
                "invalid_request",
                "caller",
                f"The tool result '{result.id[:64]}' answers no tool call of the conversation.",
                param="messages",
            )
        texts = [part.text for part in result.parts if isinstance(part, Text)]
        response: dict[str, Any] = {"name": name, "response": wrapped("\n".join(texts), result.is_error)}
        if result.id and not self.vertex:
            response["id"] = result.id
        others = [self.part(part) for part in result.parts if not isinstance(part, Text)]
        shown = [part for part in others if part is not None]
        if shown and self.version < (3, 0):
            self.carry.drop("tool_result.image")
        elif shown:
            response["parts"] = shown
        place = self.places.get(result.id, len(self.places))
        if self.results is None:
            self.results = []
            self.entries.append({"role": "user", "parts": []})
        self.results.append((place, {"functionResponse": response}))
        self.results.sort(key=lambda entry: entry[0])
        self.entries[-1]["parts"] = [part for _, part in self.results]

    def part(self, part: Part) -> dict[str, Any] | None:
        """Return a part that either side may say; None for one that is empty or left out."""
        if getattr(part, "cache", ""):
            self.carry.hint("cache_control")
        if isinstance(part, Text | Refusal):
            return {"text": part.text} if part.text else None
        if isinstance(part, Image):
            if part.detail not in ("", "auto"):
                self.carry.hint("detail")
            if part.data:
                return inline(part.media_type or "image/png", part.data)
            return self.file(part.url, part.file_id, part.media_type, "image_url")
        if isinstance(part, Audio):
            return inline("audio/mpeg" if part.format == "mp3" else f"audio/{part.format}", part.data)
        if isinstance(part, Document):
            if part.name:
                self.carry.hint("filename")
            if part.text:
                return inline("text/plain", base64.b64encode(part.text.encode()).decode())
            if part.data:
                return inline(part.media_type or "application/pdf", part.data)
            return self.file(part.url, part.file_id, part.media_type, "file_url")
        self.carry.drop("thinking" if isinstance(part, Thinking) else "messages")
        return None

    def file(self, url: str, file_id: str, media_type: str, name: str) -> dict[str, Any] | None:
        """Return a reference to a file; only Google's own storage can be named, as nobody fetches anything else."""
        if not url.startswith(("gs://", FILES)):
            self.carry.drop("file_id" if file_id else name)
            return None
        kind = media_type or mimetypes.guess_type(url)[0] or ""
        return {"fileData": {"mimeType": kind, "fileUri": url} if kind else {"fileUri": url}}


def thought(part: Thinking) -> dict[str, Any]:
    """Return one of Gemini's own thoughts. A signature without a thought was that of the answer's text."""
    written: dict[str, Any] = {"text": part.text}
    if part.text:
        written["thought"] = True
    if part.signature:
        written["thoughtSignature"] = part.signature
    return written


def sent_name(name: str, carry: Carry) -> str:
    """Return a function's name as Gemini takes it; `carry` undoes it in the answer."""
    if NAME.fullmatch(name):
        return name
    sent = ODD.sub("_", name)
    if not NAME.fullmatch(sent):
        sent = f"_{sent}"[:128]
    carry.tool_names[sent] = name
    return sent


def wrapped(text: str, is_error: bool) -> Raw:
    """Return a function's response, which must be an object."""
    if not is_error and text.lstrip()[:1] == "{":
        try:
            _object.decode(text)
            return Raw(text.encode())
        except (msgspec.MsgspecError, RecursionError):
            pass
    return Raw(msgspec.json.encode({"error" if is_error else "output": text}))


def write_tools(request: Request, carry: Carry, version: tuple[int, int], body: dict[str, Any]) -> None:
    """Put the functions into `body`, and whether they are called."""
    declarations = []
    for tool in request.tools:
        declared: dict[str, Any] = {"name": sent_name(tool.name, carry)}
        if tool.description:
            declared["description"] = tool.description
        if tool.schema:
            if version >= (2, 5):
                declared["parametersJsonSchema"] = Raw(tool.schema.encode())
            else:
                schema = to_schema(msgspec.json.decode(tool.schema))
                if schema.get("properties") or schema.get("type", "object") != "object":
                    declared["parameters"] = schema
        if tool.strict:
            carry.hint("strict")
        if tool.cache:
            carry.hint("cache_control")
        declarations.append(declared)
    if declarations:
        body["tools"] = [{"functionDeclarations": declarations}]
    choice = request.tool_choice
    if choice is not None and declarations:
        body["toolConfig"] = {"functionCallingConfig": write_choice(choice, carry)}


def write_choice(choice: ToolChoice, carry: Carry) -> dict[str, Any]:
    """Return whether functions are called. AUTO takes no names; VALIDATED is the mode that lets the model choose."""
    if not choice.names or choice.mode == "none":
        return {"mode": MODES[choice.mode]}
    mode = "VALIDATED" if choice.mode == "auto" else "ANY"
    return {"mode": mode, "allowedFunctionNames": [sent_name(name, carry) for name in choice.names]}


def write_config(request: Request, carry: Carry, version: tuple[int, int]) -> dict[str, Any]:
    """Return `generationConfig`."""
    config: dict[str, Any] = {}
    for name, written in SAMPLING:
        value = getattr(request, name)
        if value is not None:
            config[written] = value
    if request.stop:
        config["stopSequences"] = request.stop
    if request.output is not None:
        write_output(request.output, carry, version, config)
    if request.reasoning is not None:
        thinking = write_thinking(request.reasoning, carry, version)
        if thinking:
            config["thinkingConfig"] = thinking
            budget = thinking.get("thinkingBudget", -1)
            if request.max_tokens is not None and 0 < request.max_tokens <= budget:
                config["maxOutputTokens"] = request.max_tokens + budget
    return config


def write_output(output: Output, carry: Carry, version: tuple[int, int], config: dict[str, Any]) -> None:
    """Put the form of the answer into `config`. A schema is always held to, also where the caller did not insist."""
    config["responseMimeType"] = "application/json"
    if output.kind == "schema":
        if version >= (2, 5):
            config["responseJsonSchema"] = Raw(output.schema.encode())
        else:
            config["responseSchema"] = to_schema(msgspec.json.decode(output.schema))
        if output.description:
            carry.hint("response_format.json_schema.description")


def write_thinking(reasoning: Reasoning, carry: Carry, version: tuple[int, int]) -> dict[str, Any]:
    """Return how much a model should think: in tokens up to 2.5, by level since 3; before 2.5 none of them thinks."""
    off = (
        reasoning.mode == "off"
        or reasoning.effort == "none"
        or (reasoning.budget is not None and reasoning.budget <= 0)
    )
    if version < (2, 5):
        if not off and (reasoning.effort or reasoning.budget or reasoning.mode):
            carry.drop("reasoning_effort")
        return {}
    thinking: dict[str, Any] = {}
    if version < (3, 0):
        if off:  # The large model always thinks, with at least 128 tokens.
            thinking["thinkingBudget"] = 128 if "pro" in carry.model else 0
        elif reasoning.budget is not None:
            thinking["thinkingBudget"] = reasoning.budget
        elif reasoning.effort is not None or reasoning.mode:
            thinking["thinkingBudget"] = carry.budgets.get(reasoning.effort or "", -1)
    else:
        effort: str | None = "minimal" if off else reasoning.effort
        if effort is None and reasoning.budget is not None and carry.budgets:
            effort = effort_for(reasoning.budget, carry.budgets, "max")
        if effort is not None:  # No model since 3 can be kept from thinking; the large ones know nothing below LOW.
            thinking["thinkingLevel"] = "LOW" if effort == "minimal" and "pro" in carry.model else LEVELS[effort]
        elif reasoning.budget is not None:
            thinking["thinkingBudget"] = reasoning.budget
    if reasoning.show is not None and not off:
        thinking["includeThoughts"] = reasoning.show
    return thinking
