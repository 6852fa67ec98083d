"""What Gemini's answers are made of, and the small facts that its requests, answers and streams share.

Wire format: the public reference of Gemini's API and of Vertex AI, and the types of Google's Python SDK.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

import msgspec
from msgspec import Raw, Struct, field

from core.errors import GatewayError
from plane.canonical import SIGNED, Fault, Stop, Thinking, foreign_signature, own_signature
from plane.usage import Usage

__all__ = [
    "FAMILY",
    "FINISH",
    "STOPS",
    "Candidate",
    "Content",
    "Counted",
    "FunctionCall",
    "Logprobs",
    "Part",
    "Response",
    "Token",
    "base64_text",
    "decode_response",
    "error_body",
    "fault_of",
    "generation",
    "read_proof",
    "read_thought",
    "rendered_usage",
    "usage_of",
    "write_proof",
    "write_thought",
]

FAMILY = "gemini"
"""Whose proofs Gemini's are, see `plane.canonical.Thinking`."""

STOPS: dict[str, Stop] = {
    "STOP": "end",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "ESCALATION": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "CONTINUATION": "pause",
}
"""Why a candidate ended; all that is not here (OTHER, MALFORMED_FUNCTION_CALL, ...) is an error."""

FINISH: dict[Stop, str] = {
    "end": "STOP",
    "stop_sequence": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "refusal": "SAFETY",
    "pause": "OTHER",
    "error": "OTHER",
}

STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNKNOWN": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}

WORDS = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    504: "DEADLINE_EXCEEDED",
}
"""Google's word for a status; other ones of the caller's are INVALID_ARGUMENT, other ones UNAVAILABLE."""

REDACTED = "/redacted"
"""Behind the family of a foreign proof that is a whole thought, see `plane.canonical.Thinking.redacted`."""

WRAPPED = base64.b64encode(SIGNED.encode()).decode().rstrip("=")[:5]
"""Begins the base64 of every text that begins with `SIGNED`; its next letter depends on what follows."""

VERSION = re.compile(r"gemini-(\d+)(?:\.(\d+))?")


class Blob(Struct, rename="camel"):
    """Bytes that stand in the message itself."""

    mime_type: str = ""
    data: str = ""


class FunctionCall(Struct, rename="camel"):
    """A wish to call a function. args: an object, empty for none; id: absent from older models and from Vertex AI."""

    name: str = ""
    args: Raw = Raw()
    id: str = ""


class Part(Struct, rename="camel"):
    """A piece of content. thought: the text is a summary of what the model thought."""

    text: str | None = None
    thought: bool = False
    thought_signature: str = ""
    function_call: FunctionCall | None = None
    inline_data: Blob | None = None


class Content(Struct, rename="camel"):
    """What one side said."""

    parts: list[Part] = field(default_factory=list)


class Token(Struct, rename="camel"):
    """A token and how likely it was."""

    token: str = ""
    log_probability: float = 0.0


class TopTokens(Struct, rename="camel"):
    """The tokens that were likeliest at one place."""

    candidates: list[Token] = field(default_factory=list)


class Logprobs(Struct, rename="camel"):
    """How likely the tokens were, place by place."""

    chosen_candidates: list[Token] = field(default_factory=list)
    top_candidates: list[TopTokens] = field(default_factory=list)


class Candidate(Struct, rename="camel"):
    """One answer, or a piece of it in a stream."""

    content: Content | None = None
    finish_reason: str | None = None
    index: int = 0
    logprobs_result: Logprobs | None = None


class PromptFeedback(Struct, rename="camel"):
    """Why nothing was answered."""

    block_reason: str | None = None


class ModalityCount(Struct, rename="camel"):
    """Tokens of one kind."""

    modality: str = ""
    token_count: int | None = None


class Counted(Struct, rename="camel"):
    """`usageMetadata`: in a stream all that was used so far. Vertex AI sends it without counts before the last chunk.

    What the model thought, and what its own tools read, is counted apart; what a cache held is part of the prompt.
    """

    prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    prompt_tokens_details: list[ModalityCount] | None = None
    candidates_tokens_details: list[ModalityCount] | None = None
    traffic_type: str | None = None


class Response(Struct, rename="camel"):
    """An answer whole, or one chunk of a stream; either may be an `error` instead, empty for none."""

    candidates: list[Candidate] | None = None
    prompt_feedback: PromptFeedback | None = None
    usage_metadata: Counted | None = None
    model_version: str = ""
    response_id: str = ""
    error: Raw = Raw()


class RetryInfo(Struct, rename="camel"):
    """An entry of an error's details; retry_delay: as in ``34s``, where it is google.rpc.RetryInfo."""

    retry_delay: str = ""


class Error(Struct):
    """google.rpc.Status."""

    code: int = 0
    message: str = ""
    status: str = ""
    details: list[Any] = field(default_factory=list)


_response = msgspec.json.Decoder(Response)
_error = msgspec.json.Decoder(Error)


def decode_response(body: bytes) -> Response:
    """Return an answer or a chunk; GatewayError 502 ``upstream_bad_answer`` where `body` is neither."""
    try:
        # A stream's error comes in a list of its own.
        if body[:1] == b"[":
            body = bytes(msgspec.json.decode(body, type=list[Raw])[0])
        return _response.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, IndexError):
        raise GatewayError(
            502, "upstream_bad_answer", "upstream", "The upstream sent what is no answer of Gemini's."
        ) from None


def bounded(count: int | None) -> int:
    """Return a count that can be added up: what is absent, negative or absurd counts as nothing."""
    return count if count is not None and 0 <= count < 1 << 40 else 0


def usage_of(counted: Counted | None) -> Usage | None:
    """Return what a call used; None where nothing was counted."""
    if counted is None or (counted.prompt_token_count is None and counted.candidates_token_count is None):
        return None
    prompt = bounded(counted.prompt_token_count)
    tools = bounded(counted.tool_use_prompt_token_count)
    thoughts = bounded(counted.thoughts_token_count)
    heard, seen = modalities(counted.prompt_tokens_details)
    said, drawn = modalities(counted.candidates_tokens_details)
    tier = counted.traffic_type or ""
    return Usage(
        prompt + tools,
        bounded(counted.candidates_token_count) + thoughts,
        min(bounded(counted.cached_content_token_count), prompt),
        thoughts,
        audio_in=heard,
        audio_out=said,
        image_in=seen,
        image_out=drawn,
        tool_use_prompt=tools,
        service_tier=tier.removeprefix("ON_DEMAND_").lower() if tier.startswith("ON_DEMAND_") else "",
    )


def modalities(details: list[ModalityCount] | None) -> tuple[int, int]:
    """Return how many tokens were sound and how many were pictures."""
    audio = image = 0
    for entry in details or ():
        if entry.modality == "AUDIO":
            audio += bounded(entry.token_count)
        elif entry.modality == "IMAGE":
            image += bounded(entry.token_count)
    return audio, image


def rendered_usage(usage: Usage) -> dict[str, int]:
    """Return `usageMetadata` for a caller."""
    counts = {
        "promptTokenCount": usage.input_total - usage.tool_use_prompt,
        "candidatesTokenCount": usage.output_total - usage.reasoning,
        "totalTokenCount": usage.input_total + usage.output_total,
    }
    if usage.cache_read:
        counts["cachedContentTokenCount"] = usage.cache_read
    if usage.reasoning:
        counts["thoughtsTokenCount"] = usage.reasoning
    if usage.tool_use_prompt:
        counts["toolUsePromptTokenCount"] = usage.tool_use_prompt
    return counts


def fault_of(status: int, body: bytes) -> Fault:
    """Return what an error says, bare, inside ``{"error": ...}`` or in a list of one such; of any other body its start.

    status: of the answer, 200 for an error amid a stream; then the error's own counts.
    """
    try:
        found = msgspec.json.decode(body)
        if isinstance(found, list) and found:
            found = found[0]
        if isinstance(found, dict):
            found = found.get("error", found)
        error = msgspec.convert(found, Error)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        text = body[:1000].decode("utf-8", "replace").strip()
        return Fault(status if status >= 400 else 502, text or "The provider failed and did not say why.")
    if status < 400:
        status = STATUS.get(error.status) or (error.code if 400 <= error.code <= 599 else 502)
    return Fault(status, error.message, error.status, error.status, retry_after=retry_delay(error.details))


def error_body(status: int, message: str, reason: str = "", retry_after: float = -1.0) -> bytes:
    """Return an error as Google tells it; reason: a stable word, "" for none; retry_after: seconds, -1.0 for none."""
    details: list[dict[str, Any]] = []
    if reason:
        details.append(
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason.upper(), "domain": "headgate"}
        )
    if retry_after >= 0:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{retry_after:.3f}s"})
    word = WORDS.get(status) or ("INVALID_ARGUMENT" if status < 500 else "UNAVAILABLE")
    error: dict[str, Any] = {"code": status, "message": message, "status": word}
    if details:
        error["details"] = details
    return msgspec.json.encode({"error": error})


def retry_delay(details: list[Any]) -> float:
    """Return the seconds of the google.rpc.RetryInfo among an error's details, -1.0 where there is none."""
    for entry in details:
        if isinstance(entry, dict) and isinstance(delay := entry.get("retryDelay"), str):
            try:
                seconds = float(delay.removesuffix("s"))
            except ValueError:
                continue
            if 0.0 <= seconds < 1e9:
                return seconds
    return -1.0


def generation(model: str) -> tuple[int, int]:
    """Return the version in a model's name; the newest there may be where it has none (``gemini-flash-latest``)."""
    found = VERSION.search(model)
    return (int(found[1]), int(found[2] or 0)) if found else (99, 0)


def base64_text(data: str) -> str:
    """Return base64 in the alphabet that all other dialects take; Google's SDK writes the one that is safe in URLs."""
    if "-" in data or "_" in data:
        data = data.replace("-", "+").replace("_", "/")
    return data + "=" * (-len(data) % 4)


def write_proof(family: str, proof: str) -> str:
    """Return a `thoughtSignature` for a caller. It must be base64, which another family's proof need not be."""
    if family == FAMILY or not proof:
        return proof
    return base64.b64encode(foreign_signature(family, proof).encode()).decode()


def read_proof(text: str) -> tuple[str, str]:
    """Return (family, proof) of a `thoughtSignature` that a caller sent back."""
    if text.startswith(WRAPPED):
        try:
            return own_signature(base64.b64decode(base64_text(text)).decode(), FAMILY)
        except (binascii.Error, UnicodeDecodeError):
            return FAMILY, text
    return FAMILY, text


def write_thought(thought: Thinking) -> dict[str, Any]:
    """Return a thought as a part for a caller."""
    if thought.redacted:
        proof = write_proof(thought.family + REDACTED, thought.redacted)
        return {"text": "", "thought": True, "thoughtSignature": proof}
    part: dict[str, Any] = {"text": thought.text, "thought": True}
    if thought.signature:
        part["thoughtSignature"] = write_proof(thought.family, thought.signature)
    return part


def read_thought(text: str, signature: str) -> Thinking:
    """Return the thought that a caller sent back."""
    family, proof = read_proof(signature)
    if family.endswith(REDACTED):
        return Thinking(redacted=proof, family=family.removesuffix(REDACTED))
    return Thinking(text, proof, family=family)
