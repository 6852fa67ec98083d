"""How much a model shall think, between Claude that thinks as it sees fit and the words that others have for it."""

import json
from typing import Any

import pytest

from plane.canonical import Carry
from plane.dialects._carrying import effort_for
from tests.golden.pairs import BUDGETS, KNOWN

EFFORTS = ("low", "medium", "high", "xhigh", "max")
OLD = "claude-sonnet-4-5"
NEW = "claude-opus-4-8"


def asked(caller: str, provider: str, model: str, said: dict[str, Any]) -> dict[str, Any]:
    """Return what a provider is asked for a caller that says this beside its talk."""
    dialect, options = KNOWN[provider]
    talk: dict[str, Any] = {"max_tokens": 5000, "messages": [{"role": "user", "content": "hi"}]}
    body = {"model": "m", **({"input": "hi"} if caller == "openai_responses" else talk), **said}
    request = KNOWN[caller][0].translators["chat"].read_request(json.dumps(body).encode(), "m", False)
    carry = Carry(model, budgets=BUDGETS, max_tokens=4096, options=options)
    sent: dict[str, Any] = json.loads(dialect.translators["chat"].write_request(request, carry))
    return sent


def adaptive(effort: str | None) -> dict[str, Any]:
    """Return what a caller of Anthropic's says."""
    return {"thinking": {"type": "adaptive"}, **({"output_config": {"effort": effort}} if effort else {})}


@pytest.mark.parametrize("effort", [*EFFORTS, None])
def test_claude_s_effort_reaches_everybody(effort: str | None) -> None:
    meant = effort or "high"
    said = adaptive(effort)
    assert asked("anthropic", "openai", "gpt-5.4", said)["reasoning_effort"] == meant
    assert asked("anthropic", "openai_responses", "gpt-5.4", said)["reasoning"]["effort"] == meant
    assert asked("anthropic", "mistral", "magistral", said)["reasoning_effort"] == meant
    level = {"low": "low", "medium": "medium"}.get(meant, "high")
    config = asked("anthropic", "gemini", "gemini-3-pro", said)["generationConfig"]
    assert config["thinkingConfig"]["thinkingLevel"] == level.upper()
    bedrock = asked("anthropic", "bedrock", f"anthropic.{NEW}", said)
    assert bedrock["additionalModelRequestFields"]["thinking"] == {"type": "adaptive"}
    assert bedrock["outputConfig"]["effort"] == meant
    tokens = BUDGETS[meant]
    older = asked("anthropic", "bedrock", f"anthropic.{OLD}", said)
    assert older["additionalModelRequestFields"]["thinking"] == {"type": "enabled", "budget_tokens": tokens}
    config = asked("anthropic", "gemini", "gemini-2.5-pro", said)["generationConfig"]
    assert config["thinkingConfig"]["thinkingBudget"] == tokens
    assert asked("anthropic", "cohere", "command-a-reasoning", said)["thinking"]["token_budget"] == tokens


@pytest.mark.parametrize("effort", ["low", "medium", "high"])
def test_ollama_is_told_as_far_as_it_has_words(effort: str) -> None:
    assert asked("anthropic", "ollama", "gpt-oss", adaptive(effort))["think"] == effort


@pytest.mark.parametrize("caller", ["openai", "openai_responses"])
@pytest.mark.parametrize("effort", ["minimal", *EFFORTS])
def test_an_effort_reaches_claude(caller: str, effort: str) -> None:
    said = {"reasoning": {"effort": effort}} if caller == "openai_responses" else {"reasoning_effort": effort}
    meant = "low" if effort == "minimal" else effort
    for provider, model in (("anthropic", NEW), ("bedrock", f"anthropic.{NEW}")):
        sent = asked(caller, provider, model, said)
        thinking = sent["additionalModelRequestFields"] if provider == "bedrock" else sent
        assert thinking["thinking"]["type"] == "adaptive"
        assert sent["outputConfig" if provider == "bedrock" else "output_config"]["effort"] == meant


def test_clients_of_openai_s_may_ask_claude_to_think_as_it_sees_fit() -> None:
    sent = asked("openai", "anthropic", NEW, {"thinking": {"type": "adaptive"}})
    assert (sent["thinking"]["type"], sent["output_config"]["effort"]) == ("adaptive", "high")
    sent = asked("openai", "anthropic", NEW, {"thinking": {"type": "adaptive"}, "reasoning_effort": "low"})
    assert sent["output_config"]["effort"] == "low"


def test_an_effort_without_thinking_reaches_claude_as_far_as_it_may() -> None:
    said = {"thinking": {"type": "disabled"}, "output_config": {"effort": "max"}}
    sent = asked("anthropic", "bedrock", "anthropic.claude-opus-4-6-v1:0", said)
    assert sent["outputConfig"] == {"effort": "high"}
    assert "additionalModelRequestFields" not in sent or "thinking" not in sent["additionalModelRequestFields"]
    assert asked("anthropic", "openai", "gpt-5.4", said)["reasoning_effort"] == "none"


@pytest.mark.parametrize(
    ("budget", "most", "effort"),
    [
        (0, "max", "none"),
        (1, "max", "low"),
        (1024, "max", "low"),
        (1025, "max", "medium"),
        (3000, "max", "high"),
        (5000, "high", "high"),
        (5000, "max", "xhigh"),
        (16385, "max", "max"),
    ],
)
def test_a_number_of_tokens_is_the_least_effort_that_allows_for_it(budget: int, most: Any, effort: str) -> None:
    assert effort_for(budget, BUDGETS, most) == effort


@pytest.mark.parametrize("budget", [0, -1, -5])
@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gemini-3-flash"])
def test_a_budget_of_nothing_or_less_keeps_gemini_from_thinking_as_far_as_it_can(model: str, budget: int) -> None:
    said = {"thinking": {"type": "enabled", "budget_tokens": budget}}
    config = asked("anthropic", "gemini", model, said)["generationConfig"]
    wanted = {"thinkingBudget": 0} if model == "gemini-2.5-flash" else {"thinkingLevel": "MINIMAL"}
    assert {name: config["thinkingConfig"].get(name) for name in wanted} == wanted
