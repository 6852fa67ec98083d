"""plane.fault_words: what vendors' errors mean, whatever status they give them; each as its vendor writes it."""

import json
from typing import Any

import pytest

from plane.dialects import anthropic, bedrock, cohere, gemini, mistral, ollama, openai, openai_responses
from plane.failure import BROKEN, CONTEXT_LENGTH, CREDENTIAL, LIMITED, REFUSAL, failure_of_answer
from plane.fault_words import LARGEST, Said, said_in
from tests.plane.scenes import HEAD, OK, STREAM, chunk, config, counted, failed, said

DIALECTS: dict[str, Any] = {
    module.__name__.rpartition(".")[2]: module.build(module.Options())
    for module in (anthropic, bedrock, cohere, gemini, mistral, ollama, openai, openai_responses)
}


def openai_said(kind: str | None, code: str | int | None, message: str = "No.") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def anthropic_said(kind: str, message: str = "No.") -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


def google_said(status: str, *details: dict[str, Any], code: int = 400) -> dict[str, Any]:
    return {"error": {"code": code, "message": "No.", "status": status, "details": list(details)}}


BROKE = "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade."
LONG = "prompt is too long: 210000 tokens > 200000 maximum"
LONGER = "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"
BLOCKED = "Output blocked by content filtering policy"
COUNTED = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
MISTRAL = "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length"
VLLM = "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens."
WINDOW = "Your input exceeds the context window of this model. Please adjust your input and try again."
POLICY = "ResponsibleAIPolicyViolation"
REASON = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}
FLAGGED = {"reasons": ["violence"], "flagged_input": "...", "provider_name": "OpenAI", "model_slug": "x"}
SOURCE = {"limit_source": "openrouter_in_flight_budget"}


@pytest.mark.parametrize(
    ("dialect", "status", "name", "body", "failure"),
    [
        ("openai", 429, "", openai_said("insufficient_quota", "insufficient_quota"), CREDENTIAL),
        ("openai", 429, "", openai_said("billing_not_active", None), CREDENTIAL),
        ("openai", 400, "", openai_said("invalid_request_error", "billing_hard_limit_reached"), CREDENTIAL),
        ("openai_responses", 429, "", openai_said("insufficient_quota", "insufficient_quota"), CREDENTIAL),
        ("openai", 429, "", openai_said("exceeded_current_quota_error", None), CREDENTIAL),
        ("openai", 402, "", openai_said(None, 402, "Insufficient credits"), CREDENTIAL),
        ("openai", 402, "", {"error": {"code": 402, "message": "No.", "metadata": SOURCE}}, LIMITED),
        ("openai", 403, "", {"error": {"code": 403, "message": "No.", "metadata": FLAGGED}}, REFUSAL),
        ("openai", 403, "", openai_said("permission_error", None), CREDENTIAL),
        ("openai", 429, "", openai_said("requests", "rate_limit_exceeded"), LIMITED),
        ("openai", 500, "", openai_said("server_error", None), BROKEN),
        ("openai", 400, "", openai_said("invalid_request_error", "context_length_exceeded"), CONTEXT_LENGTH),
        ("openai", 400, "", openai_said("BadRequestError", 400, VLLM), CONTEXT_LENGTH),
        ("openai", 400, "", openai_said("invalid_request_error", None, "Unknown parameter: 'x'."), 0),
        ("openai", 400, "", openai_said(None, "content_filter"), REFUSAL),
        ("openai", 400, "", {"error": {"message": "No.", "innererror": {"code": POLICY}}}, REFUSAL),
        ("openai_responses", 400, "", openai_said("invalid_request_error", "invalid_prompt"), REFUSAL),
        ("openai_responses", 400, "", openai_said("invalid_request_error", None, WINDOW), CONTEXT_LENGTH),
        ("anthropic", 529, "", anthropic_said("overloaded_error"), BROKEN),
        ("anthropic", 500, "", anthropic_said("api_error"), BROKEN),
        ("anthropic", 429, "", anthropic_said("rate_limit_error"), LIMITED),
        ("anthropic", 402, "", anthropic_said("billing_error"), CREDENTIAL),
        ("anthropic", 400, "", anthropic_said("invalid_request_error", BROKE), CREDENTIAL),
        ("anthropic", 413, "", anthropic_said("request_too_large"), 0),
        ("anthropic", 400, "", anthropic_said("invalid_request_error", LONG), CONTEXT_LENGTH),
        ("anthropic", 400, "", anthropic_said("invalid_request_error", LONGER), CONTEXT_LENGTH),
        ("anthropic", 400, "", anthropic_said("invalid_request_error", BLOCKED), REFUSAL),
        ("gemini", 400, "", {"error": {"code": 400, "message": COUNTED, "status": "INVALID_ARGUMENT"}}, CONTEXT_LENGTH),
        ("bedrock", 400, "ValidationException", {"message": "Input is too long for requested model."}, CONTEXT_LENGTH),
        ("cohere", 400, "", {"message": "too many tokens: the prompt cannot exceed 4081"}, CONTEXT_LENGTH),
        ("mistral", 400, "", {"object": "error", "message": MISTRAL, "type": "invalid_request_prompt"}, CONTEXT_LENGTH),
        ("bedrock", 429, "ThrottlingException", {"message": "Too many tokens, please wait."}, LIMITED),
        ("gemini", 429, "", google_said("RESOURCE_EXHAUSTED", code=429), LIMITED),
        ("gemini", 503, "", google_said("UNAVAILABLE", code=503), BROKEN),
        ("gemini", 400, "", google_said("INVALID_ARGUMENT", REASON), CREDENTIAL),
        ("gemini", 400, "", [google_said("INVALID_ARGUMENT", REASON)], CREDENTIAL),
        ("gemini", 400, "", google_said("INVALID_ARGUMENT"), 0),
        ("bedrock", 429, "ThrottlingException", {"message": "No."}, LIMITED),
        ("bedrock", 400, "ServiceQuotaExceededException", {"message": "No."}, LIMITED),
        ("bedrock", 424, "ModelErrorException", {"message": "No."}, BROKEN),
        ("bedrock", 408, "ModelTimeoutException", {"message": "No."}, BROKEN),
        ("bedrock", 403, "AccessDeniedException", {"Message": "No."}, CREDENTIAL),
        ("bedrock", 400, "ValidationException", {"message": "No."}, 0),
        ("cohere", 498, "", {"message": "invalid api token"}, CREDENTIAL),
        ("mistral", 429, "", {"object": "error", "message": "No.", "type": "rate_limited", "code": "1300"}, LIMITED),
        ("mistral", 422, "", {"object": "error", "message": {"detail": [{"msg": "No.", "loc": ["body"]}]}}, 0),
        ("ollama", 503, "", {"error": "server busy, please try again"}, BROKEN),
    ],
)
def test_what_a_vendor_s_error_means(dialect: str, status: int, name: str, body: Any, failure: int) -> None:
    headers = [(b"x-amzn-ErrorType", name.encode())] if name else []
    assert failure_of_answer(DIALECTS[dialect], status, headers, json.dumps(body).encode()) == failure


@pytest.mark.parametrize(
    "message",
    ["Invalid value: 'insufficient_quota'.", 'You said: {"code":"insufficient_quota"}', f"You said: {BROKE}"],
)
def test_words_that_a_message_quotes_mean_nothing(message: str) -> None:
    body = json.dumps(openai_said("invalid_request_error", None, message)).encode()
    assert failure_of_answer(DIALECTS["openai"], 400, [], body) == 0


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"null", b"3", b'{"error":[]}', b'{"details":[1]}', b"\xff", b"[" * 9000]
)
def test_a_body_that_is_no_error_says_nothing(body: bytes) -> None:
    assert said_in(body).words == frozenset()


def test_only_so_much_of_an_error_is_looked_into() -> None:
    body = json.dumps(openai_said("insufficient_quota", None)).encode()
    assert said_in(body.ljust(LARGEST)) == Said(frozenset(["insufficient_quota"]), "No.")
    assert said_in(body.ljust(LARGEST + 1)).words == frozenset()


UNPAID = json.dumps(openai_said("insufficient_quota", "insufficient_quota")).encode()


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_a_caller_is_told_not_to_come_back_where_the_money_is_gone(dialect: str, scene: Any) -> None:
    made = config("p")
    made["providers"]["p"]["dialect"] = dialect
    body = UNPAID if dialect == "openai" else json.dumps(anthropic_said("billing_error")).encode()
    played = scene(made)
    caller = played.gateway.caller()
    caller.ask("/v1/chat/completions", b'{"model":"m","messages":[{"role":"user","content":"Hi"}]}')
    played.peer("p").say(failed(429, b"retry-after: 1\r\n", body))
    raw = caller.take()
    assert raw.startswith(b"HTTP/1.1 429 ")
    assert raw.count(b"x-should-retry: false\r\n") == 1
    assert b"x-should-retry: true" not in raw
    assert counted(played, "headgate_cooldowns_total") == 0


def test_a_key_that_google_refuses_with_400_is_left_alone_and_no_caller_s_fault(scene: Any) -> None:
    body = json.dumps(google_said("INVALID_ARGUMENT", REASON)).encode()
    played = scene(config("p", keys=2))
    caller = played.gateway.caller()
    caller.chat()
    played.peer("p").say(failed(400, body=body))
    played.peer("p").say(failed(400, body=body))
    assert said(caller)[:2] == (502, "upstream_credential")
    assert counted(played, "headgate_quarantines_total") == 2


def test_what_is_found_unfit_is_the_caller_s_and_costs_the_credential_nothing(scene: Any) -> None:
    body = json.dumps({"error": {"code": 403, "message": "flagged", "metadata": FLAGGED}}).encode()
    played = scene(config("p", "q"))
    caller = played.gateway.caller()
    caller.chat()
    played.peer("p").say(failed(403, body=body))
    assert said(caller) == (403, "upstream_error", body)
    assert counted(played, "headgate_quarantines_total") == 0


def test_money_that_is_gone_is_seen_in_a_stream_as_well(scene: Any) -> None:
    event = b"data: " + UNPAID + b"\n\n"
    played = scene(config("p", "q"))
    caller = played.gateway.caller()
    caller.chat(STREAM)
    played.peer("p").say(HEAD + chunk(event))
    played.peer("q").say(OK)
    assert said(caller)[0] == 200
    assert counted(played, "headgate_quarantines_total") == 1
