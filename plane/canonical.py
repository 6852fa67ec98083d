"""The hub between dialects: what a call of a chat model, its answer and its stream are, whoever's wire format they had.

Each dialect reads its own bytes into these and writes them from these, never one dialect from another. What a dialect
says that no other could is not here: it passes through where both ends speak it, and is dropped or refused elsewhere.
JSON that is only carried (arguments of tools, schemas) stays text, so that it is never written anew.
"""

from __future__ import annotations

import base64
import binascii
from typing import Literal

from msgspec import Struct, field

from core.errors import GatewayError
from plane.usage import Usage

__all__ = [
    "USUAL_EFFORT",
    "Answer",
    "ArgumentsDelta",
    "Audio",
    "Carry",
    "Choice",
    "Document",
    "Event",
    "Failed",
    "Fault",
    "Image",
    "Message",
    "Output",
    "Part",
    "PartEnded",
    "PartStarted",
    "Reasoning",
    "Refusal",
    "RefusalDelta",
    "Request",
    "SignatureDelta",
    "Started",
    "Stop",
    "Stopped",
    "Text",
    "TextDelta",
    "Thinking",
    "ThinkingDelta",
    "Tool",
    "ToolCall",
    "ToolChoice",
    "ToolResult",
    "UsageCounted",
    "fault_error",
    "foreign_signature",
    "own_signature",
    "pack_call_id",
    "unpack_call_id",
]

Cache = Literal["", "5m", "1h"]
"""A prompt-cache breakpoint behind a part, and how long it lives; "" is none."""

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]

Stop = Literal["end", "length", "stop_sequence", "tool_calls", "content_filter", "refusal", "pause", "error"]
"""Why a model stopped. refusal: it would not answer; content_filter: something around it withheld the answer; pause:
the caller may send the turn back to go on (Anthropic's pause_turn)."""


class Text(Struct, gc=False):
    """Words."""

    text: str
    cache: Cache = ""


class Image(Struct, gc=False):
    """A picture: either `url` (http, https, gs), or `data` (base64) of `media_type`, or a `file_id` at the provider.

    detail: ``low``, ``high``, ``auto`` or "" where not said.
    """

    url: str = ""
    media_type: str = ""
    data: str = ""
    file_id: str = ""
    detail: str = ""
    cache: Cache = ""


class Document(Struct, gc=False):
    """A file to read: `url`, or base64 `data` of `media_type`, or plain `text`, or a `file_id` at the provider."""

    url: str = ""
    media_type: str = ""
    data: str = ""
    text: str = ""
    file_id: str = ""
    name: str = ""
    cache: Cache = ""


class Audio(Struct, gc=False):
    """Sound, base64 `data` in `format` (``wav``, ``mp3``)."""

    format: str
    data: str


class Thinking(Struct, gc=False):
    """What a model thought.

    signature: the opaque proof that must come back unchanged. redacted: a thought that is opaque.
    family: whose proof it is (``anthropic``, ``gemini``, ``openai``, ``bedrock``); it means nothing to another one.
    """

    text: str = ""
    signature: str = ""
    redacted: str = ""
    family: str = ""


class ToolCall(Struct, gc=False):
    """A model's wish that the caller run a tool. arguments: JSON text, ``{}`` for none.

    signature, family: as of `Thinking`, where a provider signs its calls (Gemini). custom: arguments are free text.
    """

    id: str
    name: str
    arguments: str = "{}"
    signature: str = ""
    family: str = ""
    custom: bool = False
    cache: Cache = ""


class ToolResult(Struct):
    """What a tool gave back to the call `id`. name: of the tool, "" where the dialect does not say."""

    id: str
    parts: list[Text | Image | Document]
    name: str = ""
    is_error: bool = False
    cache: Cache = ""


class Refusal(Struct, gc=False):
    """A model's words for why it does not answer."""

    text: str


Part = Text | Image | Document | Audio | Thinking | ToolCall | ToolResult | Refusal


class Message(Struct):
    """One turn. Results of tools are parts of a user's message; instructions amid the talk have the role ``system``."""

    role: Literal["system", "user", "assistant"]
    parts: list[Part]
    name: str = ""


class Tool(Struct):
    """A function that the model may call. schema: JSON text of the JSON Schema of its arguments, "" for none."""

    name: str
    description: str = ""
    schema: str = ""
    strict: bool | None = None
    cache: Cache = ""


class ToolChoice(Struct, gc=False):
    """Whether tools are called. names: of the tools allowed; ``tool``: exactly the one in `names`."""

    mode: Literal["auto", "none", "required", "tool"]
    names: tuple[str, ...] = ()


class Output(Struct):
    """The form of the answer: any JSON object, or JSON of a `schema` (JSON text)."""

    kind: Literal["json", "schema"]
    name: str = ""
    schema: str = ""
    strict: bool | None = None
    description: str = ""


USUAL_EFFORT: Effort = "high"
"""How much Claude thinks as it sees fit where nobody says: others would think less then, or not at all."""


class Reasoning(Struct):
    """How much a model should think. Either an `effort` or a `budget` of tokens, or neither; `show`: tell of it.

    mode: ``off``: not at all; ``on``: yes; ``adaptive``: as it sees fit; "": not said.
    """

    effort: Effort | None = None
    budget: int | None = None
    mode: Literal["", "off", "on", "adaptive"] = ""
    show: bool | None = None


class Request(Struct):
    """A call of a chat model. What is None or empty was not said.

    system: the instructions before the talk. usage_wanted: the caller asked for usage in the stream (OpenAI's
    stream_options). user, metadata, service_tier, cache_key, store, verbosity: hints. extras: what the caller said that
    has no field here, by the name in its dialect, as JSON text: its writer drops what its dialect does not have. hints:
    the same of what changes nothing in what the model does; the pipeline names them where they are left out.
    """

    model: str
    messages: list[Message]
    system: list[Text] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)
    tool_choice: ToolChoice | None = None
    parallel_tools: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: list[str] = field(default_factory=list)
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    n: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    output: Output | None = None
    reasoning: Reasoning | None = None
    verbosity: str = ""
    stream: bool = False
    usage_wanted: bool = False
    user: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    service_tier: str = ""
    cache_key: str = ""
    store: bool | None = None
    extras: dict[str, str] = field(default_factory=dict)
    hints: dict[str, str] = field(default_factory=dict)


class Choice(Struct):
    """One answer of a model. logprobs: JSON text in OpenAI's chat form, "" for none."""

    parts: list[Part]
    stop: Stop = "end"
    stop_sequence: str = ""
    logprobs: str = ""
    index: int = 0


class Answer(Struct):
    """All that a model answered. id, created: as the provider says, made up by the writer where it does not."""

    model: str
    choices: list[Choice]
    id: str = ""
    created: int = 0
    usage: Usage | None = None
    service_tier: str = ""


class Started(Struct, gc=False):
    """The stream begins; comes once, first. usage: what is known already (Anthropic's input side), for display."""

    id: str = ""
    model: str = ""
    created: int = 0
    usage: Usage | None = None


class PartStarted(Struct, gc=False):
    """A part of choice `choice` begins. index: of the part in that choice, counted from 0 without gaps, in order.

    Parts of one choice come one after the other, except tool calls, several of which may be open. id, name: of a tool
    call; signature, family: of a tool call that is signed; redacted: of a thought that is opaque.
    """

    index: int
    kind: Literal["text", "thinking", "tool_call", "refusal"]
    id: str = ""
    name: str = ""
    custom: bool = False
    signature: str = ""
    family: str = ""
    redacted: str = ""
    choice: int = 0


class TextDelta(Struct, gc=False):
    """More words of part `index`. logprobs: JSON text as in `Choice`, for these words."""

    index: int
    text: str
    logprobs: str = ""
    choice: int = 0


class ThinkingDelta(Struct, gc=False):
    """More of a thought."""

    index: int
    text: str
    choice: int = 0


class SignatureDelta(Struct, gc=False):
    """The proof of a thought; comes after its text."""

    index: int
    signature: str
    family: str = ""
    choice: int = 0


class ArgumentsDelta(Struct, gc=False):
    """More text of a tool call's arguments; a call without any has ``{}``, which its writer supplies."""

    index: int
    text: str
    choice: int = 0


class RefusalDelta(Struct, gc=False):
    """More words of a refusal."""

    index: int
    text: str
    choice: int = 0


class PartEnded(Struct, gc=False):
    """Part `index` is whole; each part that started ends."""

    index: int
    choice: int = 0


class Stopped(Struct, gc=False):
    """Choice `choice` is whole; all of its parts have ended."""

    stop: Stop
    stop_sequence: str = ""
    choice: int = 0


class UsageCounted(Struct):
    """What the call used, final; comes at most once, after the last `Stopped`."""

    usage: Usage


class Fault(Struct, gc=False):
    """An error as a provider told it. status: of HTTP, as a caller should see it. kind, code: the provider's words.

    retry_after: seconds until asking again makes sense, -1.0 where not said.
    """

    status: int
    message: str
    kind: str = ""
    code: str = ""
    param: str = ""
    retry_after: float = -1.0


def fault_error(fault: Fault) -> GatewayError:
    """Return a provider's error as one for the caller, to be told in its dialect."""
    return _upstream_error(fault.status, "upstream_error", fault)


def _upstream_error(status: int, code: str, fault: Fault) -> GatewayError:
    message = fault.message or "The provider answered with an error."
    return GatewayError(status, code, "upstream", message, param=fault.param or None, retry_after=fault.retry_after)


class Failed(Struct):
    """The provider broke the stream off with an error; nothing comes after it."""

    fault: Fault


Event = (
    Started
    | PartStarted
    | TextDelta
    | ThinkingDelta
    | SignatureDelta
    | ArgumentsDelta
    | RefusalDelta
    | PartEnded
    | Stopped
    | UsageCounted
    | Failed
)


class Carry:
    """What of a request goes where: handed to `Dialect.write_request`.

    model: the provider's name of the model. budgets: effort -> tokens, for dialects that count thinking in tokens.
    max_tokens: what to ask for where the caller did not say and the dialect must. names: what could not be
    carried, as the caller calls it; refused: the first that the model's config does not let be dropped.
    tool_names: name sent -> name meant, of tools that had to be renamed; `read_answer` and `event_reader` undo it.
    """

    def __init__(
        self,
        model: str = "",
        *,
        drops: bool = False,
        budgets: dict[str, int] | None = None,
        max_tokens: int = 4096,
        options: object = None,
    ) -> None:
        self.model = model
        self.drops = drops
        self.budgets = budgets or {}
        self.max_tokens = max_tokens
        self.options = options
        self.names: list[str] = []
        self.tool_names: dict[str, str] = {}

    def hint(self, name: str) -> None:
        """Leave out what does not change what the model does; it is named in ``x-headgate-dropped``."""
        if name not in self.names:
            self.names.append(name)

    def drop(self, name: str) -> None:
        """Leave out what the caller meant; GatewayError 400 ``unsupported`` unless the model's config lets it go."""
        if not self.drops:
            raise GatewayError(
                400,
                "unsupported",
                "caller",
                f"The provider of this model has no '{name}'.",
                hint="Leave it out, or have the model's `unsupported: drop` set.",
                param=name,
            )
        self.hint(name)


SIGNED = "hg1."
"""Begins a signature that is another family's, wrapped so that it survives a caller's dialect."""
CALL = "__hg1__"
"""Separates a tool call's id from the signature packed behind it."""


def foreign_signature(family: str, signature: str) -> str:
    """Return a signature of `family` in a form that any dialect's signature field can hold; "" stays ""."""
    return f"{SIGNED}{family}.{signature}" if signature else ""


def own_signature(text: str, family: str) -> tuple[str, str]:
    """Return (family, signature) of what a caller sent back; others are `family`'s own."""
    if text.startswith(SIGNED):
        origin, _, signature = text[len(SIGNED) :].partition(".")
        return origin, signature
    return family, text


def pack_call_id(call_id: str, family: str, signature: str) -> str:
    """Return an id that brings a signed call's proof back, as all callers return ids unchanged; unsigned ids stay."""
    if not signature:
        return call_id
    packed = base64.urlsafe_b64encode(f"{family}.{signature}".encode()).rstrip(b"=").decode()
    return f"{call_id}{CALL}{packed}"


def unpack_call_id(packed: str) -> tuple[str, str, str]:
    """Return (id, family, signature) of what `pack_call_id` made; of any other id the id itself, unsigned."""
    call_id, found, text = packed.partition(CALL)
    if found:
        try:
            family, _, signature = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition(".")
        except (binascii.Error, UnicodeDecodeError):
            return packed, "", ""
        return call_id, family, signature
    return packed, "", ""
