"""What the models on Bedrock want said in different ways, by who made them: Converse itself knows little of thinking.

An id tells its maker (``us.anthropic.claude-opus-4-8``), unless it is the ARN of an inference profile of one's own or
of an imported model. Sources: AWS's user guide of Bedrock, "Inference request parameters" and the pages of Anthropic's,
Amazon's and OpenAI's models; Anthropic's pages on extended and on adaptive thinking.
"""

from __future__ import annotations

import re
from typing import Any

from plane.canonical import Carry, Effort, Reasoning, Request

__all__ = ["maker_of", "put_top_k", "think"]

MAKER = re.compile(r"(?:^|[./])(anthropic|amazon|cohere|mistral|openai)\.")
CLAUDE = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:-(\d{1,2}))?(?!\d)")
LATEST = (99, 0)
"""The version of a Claude model whose id does not tell."""

FIRST_THINKING = (3, 7)
FIRST_ADAPTIVE = (4, 6)
LAST_BUDGET = (4, 6)
"""Versions of Claude: before the first of these none thinks; the last two bound those that know both ways."""
LEAST_BUDGET = 1024
LEAST_TOP_P = 0.95
"""While a Claude model thinks."""
BUDGETS: dict[Effort, int] = {
    "minimal": 1024,
    "low": 1024,
    "medium": 2048,
    "high": 4096,
    "xhigh": 8192,
    "max": 16384,
}
"""Tokens of thinking for an effort, where the model's config does not say."""
LEVELS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
"""The efforts of Amazon's and OpenAI's models."""

TOP_K = {"anthropic": ("top_k",), "amazon": ("inferenceConfig", "topK"), "cohere": ("k",), "mistral": ("top_k",)}


def maker_of(model: str) -> str:
    """Return who made a model as its id tells, "" where it does not."""
    found = MAKER.search(model)
    return found[1] if found else ""


def claude_version(model: str) -> tuple[int, int]:
    """Return the version of a Claude model."""
    found = CLAUDE.search(model)
    return (int(found[1]), int(found[2] or 0)) if found else LATEST


def put_top_k(top_k: int, maker: str, fields: dict[str, Any], carry: Carry) -> None:
    """Say `top_k` where the maker's models look for it in `fields`, the additionalModelRequestFields."""
    if maker not in TOP_K:
        carry.drop("top_k")
        return
    *folders, name = TOP_K[maker]
    for folder in folders:
        fields = fields.setdefault(folder, {})
    fields[name] = top_k


def think(request: Request, maker: str, unthought: bool, body: dict[str, Any], carry: Carry) -> None:
    """Say in `body` how much the model shall think.

    unthought: results of tools come back for a turn whose thoughts are lost, which Claude's manual thinking refuses.
    """
    wanted = request.reasoning
    if wanted is None or wanted == Reasoning(show=wanted.show):
        return
    off = wanted.mode == "off" or wanted.effort == "none" or wanted.budget == 0
    if maker == "anthropic":
        version = claude_version(carry.model)
        if off:
            effort = wanted.effort
            if version >= FIRST_ADAPTIVE and effort is not None and effort != "none":  # It is not of thoughts alone.
                body.setdefault("outputConfig", {})["effort"] = LEVELS[effort]
            if version > LAST_BUDGET:  # Some of these cannot be kept from thinking and refuse to be told; say nothing.
                carry.hint("reasoning_effort")
        elif version < FIRST_THINKING:
            carry.drop("reasoning_effort")
        elif request.tool_choice is not None and request.tool_choice.mode in ("required", "tool"):
            carry.drop("reasoning_effort")  # Claude does not think where it must call a tool.
        else:
            claude_thinks(request, wanted, version, unthought, body, carry)
    elif maker == "amazon":
        level = {"type": "enabled", "maxReasoningEffort": LEVELS[effort_of(wanted, carry)]}
        fields_of(body)["reasoningConfig"] = {"type": "disabled"} if off else level
    elif maker == "openai" and not off:
        fields_of(body)["reasoning_effort"] = LEVELS[effort_of(wanted, carry)]
    elif not off:
        carry.drop("reasoning_effort")


def claude_thinks(
    request: Request,
    wanted: Reasoning,
    version: tuple[int, int],
    unthought: bool,
    body: dict[str, Any],
    carry: Carry,
) -> None:
    """Have a Claude model think: newer ones as they see fit, within an effort; older ones within a budget of tokens."""
    told = {} if wanted.show is None else {"display": "summarized" if wanted.show else "omitted"}
    if version > LAST_BUDGET or (version >= FIRST_ADAPTIVE and wanted.budget is None):
        fields_of(body)["thinking"] = {"type": "adaptive", **told}
        if wanted.effort is not None or wanted.budget is not None:
            effort = effort_of(wanted, carry)
            body.setdefault("outputConfig", {})["effort"] = "low" if effort == "minimal" else effort
    elif unthought:
        carry.hint("thinking")
        return
    else:
        budget = max(LEAST_BUDGET, wanted.budget or budget_of(effort_of(wanted, carry), carry))
        fields_of(body)["thinking"] = {"type": "enabled", "budget_tokens": budget}
        inference = body.setdefault("inferenceConfig", {})
        tokens = inference.get("maxTokens", carry.max_tokens)
        inference["maxTokens"] = tokens if tokens > budget else tokens + budget
    inference = body.get("inferenceConfig", {})
    if inference.get("temperature", 1) != 1:
        carry.drop("temperature")
        del inference["temperature"]
    if inference.get("topP", 1) < LEAST_TOP_P:
        carry.drop("top_p")
        del inference["topP"]
    if "top_k" in fields_of(body):
        carry.drop("top_k")
        del fields_of(body)["top_k"]


def fields_of(body: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that only some models know, to be added to."""
    fields: dict[str, Any] = body.setdefault("additionalModelRequestFields", {})
    return fields


def budget_of(effort: Effort, carry: Carry) -> int:
    """Return the tokens of thinking that stand for an effort."""
    return carry.budgets.get(effort) or BUDGETS[effort]


def effort_of(wanted: Reasoning, carry: Carry) -> Effort:
    """Return the effort that was asked for; for a budget the least that has as much, and medium where neither was said.

    Never ``none``: whether the model thinks at all is another question.
    """
    if wanted.effort is not None and wanted.effort != "none":
        return wanted.effort
    if wanted.budget is None:
        return "medium"
    return next((effort for effort in BUDGETS if budget_of(effort, carry) >= wanted.budget), "max")
