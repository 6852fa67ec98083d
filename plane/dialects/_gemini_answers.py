"""Gemini's answers, from and to the hub: candidates, their parts, how likely their tokens were."""

from __future__ import annotations

import math
import secrets
from typing import Any

import msgspec
from msgspec import Raw

from core.errors import GatewayError
from plane.canonical import (
    Answer,
    Audio,
    Carry,
    Choice,
    Document,
    Image,
    Part,
    Refusal,
    Request,
    Stop,
    Text,
    Thinking,
    ToolCall,
    fault_error,
)
from plane.dialects._gemini_wire import (
    FAMILY,
    FINISH,
    STOPS,
    Candidate,
    FunctionCall,
    Logprobs,
    Token,
    decode_response,
    fault_of,
    rendered_usage,
    usage_of,
    write_proof,
    write_thought,
)
from plane.dialects._gemini_wire import Part as WirePart
from plane.dialects._json import one_line

__all__ = [
    "arguments",
    "arguments_of",
    "call_id",
    "finish_of",
    "from_logprobs",
    "inline",
    "made_id",
    "read_answer",
    "shows",
    "stop_of",
    "to_logprobs",
    "write_answer",
    "write_call",
]

_object = msgspec.json.Decoder(dict[str, Raw])
_tokens = msgspec.json.Decoder(dict[str, Any])


def read_answer(body: bytes, carry: Carry) -> Answer:
    """Return what a provider answered; GatewayError 502 where that is no answer."""
    response = decode_response(body)
    if error := bytes(response.error):
        raise fault_error(fault_of(200, error))
    answer = Answer(
        response.model_version or carry.model, [], id=response.response_id, usage=usage_of(response.usage_metadata)
    )
    for candidate in response.candidates or ():
        answer.choices.append(read_candidate(candidate, response.response_id, carry))
    if not answer.choices:
        if response.prompt_feedback is None or not response.prompt_feedback.block_reason:
            raise GatewayError(502, "upstream_bad_answer", "upstream", "The upstream's answer has no candidates.")
        answer.choices.append(Choice([], "content_filter"))
    return answer


def read_candidate(candidate: Candidate, response_id: str, carry: Carry) -> Choice:
    """Return one answer. A missing reason is none: an answer that is not a stream is whole."""
    choice = Choice([], index=candidate.index)
    calls = 0
    for part in candidate.content.parts if candidate.content is not None else ():
        if part.function_call is not None:
            call = part.function_call
            choice.parts.append(
                ToolCall(
                    call_id(call, response_id, candidate.index, calls),
                    carry.tool_names.get(call.name, call.name),
                    arguments_of(call),
                    part.thought_signature,
                    FAMILY if part.thought_signature else "",
                )
            )
            calls += 1
        else:
            choice.parts += read_part(part)
    choice.stop = stop_of(candidate.finish_reason or "STOP", calls > 0)
    if candidate.logprobs_result is not None:
        choice.logprobs = from_logprobs(candidate.logprobs_result)
    return choice


def read_part(part: WirePart) -> list[Part]:
    """Return what a part says that is no call. The signature of a text is a thought of its own, without words."""
    if part.thought:
        return [Thinking(part.text or "", part.thought_signature, family=FAMILY)]
    found: list[Part] = []
    if part.text:
        found.append(Text(part.text))
    if part.inline_data is not None:
        found.append(Image(media_type=part.inline_data.mime_type, data=part.inline_data.data))
    if part.thought_signature:
        found.append(Thinking(signature=part.thought_signature, family=FAMILY))
    return found


def arguments_of(call: FunctionCall) -> str:
    """Return a call's arguments, as they stand in the answer."""
    text = bytes(call.args)
    return text.decode() if text.startswith(b"{") else "{}"


def call_id(call: FunctionCall, response_id: str, candidate: int, place: int) -> str:
    """Return a call's id; where it has none one that no other call of the conversation has."""
    return call.id or f"call_{response_id or made_id()}_{candidate}_{place}"


def made_id() -> str:
    """Return an id for an answer that has none."""
    return secrets.token_urlsafe(12)


def stop_of(reason: str, has_calls: bool) -> Stop:
    """Return why a candidate ended: calls of functions are no reason of their own to Gemini."""
    stop = STOPS.get(reason, "error")
    return "tool_calls" if has_calls and stop == "end" else stop


def finish_of(stop: Stop) -> str:
    """Return a candidate's finishReason for a caller."""
    return FINISH[stop]


def write_answer(answer: Answer, request: Request) -> bytes:
    """Return the body for a caller."""
    thoughts = shows(request)
    candidates = []
    for choice in answer.choices:
        parts = [part for part in (write_part(part, thoughts) for part in choice.parts) if part is not None]
        candidate: dict[str, Any] = {}
        if parts:
            candidate["content"] = {"parts": parts, "role": "model"}
        candidate["finishReason"] = FINISH[choice.stop]
        candidate["index"] = choice.index
        if choice.logprobs:
            candidate["logprobsResult"] = to_logprobs(choice.logprobs)
        candidates.append(candidate)
    body: dict[str, Any] = {"candidates": candidates}
    if answer.usage is not None:
        body["usageMetadata"] = rendered_usage(answer.usage)
    body["modelVersion"] = answer.model
    body["responseId"] = answer.id or made_id()
    return msgspec.json.encode(body)


def write_part(part: Part, thoughts: bool) -> dict[str, Any] | None:
    """Return a part for a caller, None for what it is not told."""
    if isinstance(part, ToolCall):
        return write_call(part)
    if isinstance(part, Thinking):
        return write_thought(part) if thoughts or part.signature or part.redacted else None
    if isinstance(part, Text | Refusal):
        return {"text": part.text}
    if isinstance(part, Image | Document) and part.data:
        return inline(part.media_type, part.data)
    if isinstance(part, Audio):
        return inline("audio/mpeg" if part.format == "mp3" else f"audio/{part.format}", part.data)
    return None


def write_call(call: ToolCall) -> dict[str, Any]:
    """Return a call of a function for a caller."""
    part: dict[str, Any] = {"functionCall": {"id": call.id, "name": call.name, "args": arguments(call)}}
    if call.signature:
        part["thoughtSignature"] = write_proof(call.family, call.signature)
    return part


def shows(request: Request) -> bool:
    """Tell whether a caller gets to see thoughts that nobody signed; signed ones it has to send back."""
    return request.reasoning is not None and request.reasoning.show is True


def inline(media_type: str, data: str) -> dict[str, Any]:
    """Return bytes within a message. Vertex AI wants the type first."""
    return {"inlineData": {"mimeType": media_type, "data": data}}


def arguments(call: ToolCall) -> Raw:
    """Return a call's arguments, which must be an object, on one line; other text becomes the member `input` of one."""
    if not call.custom:
        try:
            _object.decode(call.arguments)
            return Raw(one_line(call.arguments.encode()))
        except (msgspec.MsgspecError, RecursionError):
            pass
    return Raw(msgspec.json.encode({"input": call.arguments}))


def from_logprobs(result: Logprobs) -> str:
    """Return how likely an answer's tokens were, in OpenAI's chat form."""
    content = []
    for place, chosen in enumerate(result.chosen_candidates):
        top = result.top_candidates[place].candidates if place < len(result.top_candidates) else []
        content.append({**openai_token(chosen), "top_logprobs": [openai_token(token) for token in top]})
    return msgspec.json.encode({"content": content, "refusal": None}).decode()


def openai_token(token: Token) -> dict[str, Any]:
    """Return one token in OpenAI's form."""
    return {"token": token.token, "logprob": token.log_probability, "bytes": list(token.token.encode())}


def to_logprobs(text: str) -> dict[str, Any]:
    """Return OpenAI's chat form of how likely tokens were as `logprobsResult`."""
    content = _tokens.decode(text).get("content") or []
    chosen = [own_token(entry) for entry in content]
    result: dict[str, Any] = {"chosenCandidates": chosen}
    if any(entry.get("top_logprobs") for entry in content):
        result["topCandidates"] = [
            {"candidates": [own_token(token) for token in entry.get("top_logprobs") or ()]} for entry in content
        ]
    result["logProbabilitySum"] = math.fsum(token["logProbability"] for token in chosen)
    return result


def own_token(entry: dict[str, Any]) -> dict[str, Any]:
    """Return one token of OpenAI's in Gemini's form."""
    return {"token": entry.get("token", ""), "logProbability": entry.get("logprob", 0.0)}
