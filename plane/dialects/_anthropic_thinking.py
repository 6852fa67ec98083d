"""How Anthropic's models are told to think, and when they cannot be.

Models up to version 4.5, and other vendors' behind this dialect, count thinking in a budget of tokens; later ones think
as they see fit and take an effort. With a budget, a turn in the middle of a loop of tools must have its thought in
front, no tool can be forced and nothing but the plain sampling is taken (Anthropic's pages on thinking).
"""

from __future__ import annotations

import re
from typing import Any, Literal

from plane.canonical import Carry, Part, Reasoning, Request, Thinking, ToolCall, ToolResult
from plane.dialects._anthropic_wire import FAMILY
from plane.dialects._carrying import effort_for

__all__ = ["Thinks", "thinks_of", "write_thinking"]

Thinks = Literal["adaptive", "budget"]

MIN_BUDGET = 1024
EFFORTS = {"minimal": "low"}
"""Efforts that Anthropic has another word for."""
OLD = re.compile(r"claude-(?:[12]|3|instant|(?:opus|sonnet|haiku)-(?:4|4-[0-5])(?:-\d{8}|@\d{8}|-latest|$))")


def thinks_of(model: str, said: str) -> Thinks:
    """Return how a model is told to think, by its name unless the options of the provider say so."""
    if said == "adaptive":
        return "adaptive"
    if said == "budget" or "claude" not in model or OLD.search(model):
        return "budget"
    return "adaptive"


def write_thinking(request: Request, body: dict[str, Any], carry: Carry, thinks: Thinks) -> None:
    """Write `thinking`, `output_config.effort`, `max_tokens` and the sampling, which depend on each other."""
    most = request.max_tokens if request.max_tokens is not None else carry.max_tokens
    reasoning = request.reasoning
    think: dict[str, Any] | None = None
    if reasoning is not None:
        if reasoning.mode == "off" or reasoning.effort == "none":
            think = {"type": "disabled"}
        elif thinks == "adaptive":
            think = adaptive(reasoning, body, carry)
        else:
            think = budgeted(request, reasoning, carry)
            budget = think.get("budget_tokens", 0)
            # What the caller wants of the answer comes on top, where the budget would leave nothing of it.
            if budget and (request.max_tokens is None or most <= budget):
                most += budget
        if reasoning.show is not None and think["type"] != "disabled":
            think["display"] = "summarized" if reasoning.show else "omitted"
        body["thinking"] = think
    body["max_tokens"] = most
    write_sampling(request, body, carry, bound=think is not None and think["type"] == "enabled")


def adaptive(reasoning: Reasoning, body: dict[str, Any], carry: Carry) -> dict[str, Any]:
    """Return the wish to think as the model sees fit; a budget becomes the least effort that allows for it."""
    effort: str | None = reasoning.effort
    if effort is None and reasoning.budget is not None and carry.budgets:
        effort = effort_for(max(reasoning.budget, 1), carry.budgets, "max")
    if effort is not None:
        body.setdefault("output_config", {})["effort"] = EFFORTS.get(effort, effort)
    return {"type": "adaptive"}


def budgeted(request: Request, reasoning: Reasoning, carry: Carry) -> dict[str, Any]:
    """Return the wish to think for so many tokens; none where the talk does not allow it."""
    if lost_its_thought(request):
        carry.hint("thinking")
        return {"type": "disabled"}
    choice = request.tool_choice
    if request.tools and choice is not None and choice.mode in ("required", "tool"):
        carry.drop("reasoning")
        return {"type": "disabled"}
    budget = reasoning.budget
    if budget is None:
        budget = carry.budgets.get(reasoning.effort or "medium", MIN_BUDGET)
    return {"type": "enabled", "budget_tokens": max(MIN_BUDGET, budget)}


def lost_its_thought(request: Request) -> bool:
    """Tell whether the talk ends in a result of a tool whose call has no thought of Anthropic's before it."""
    turn: list[Part] = []
    answered = False
    for message in reversed(request.messages):
        if message.role == "assistant":
            turn = [*message.parts, *turn]
        elif turn:
            break
        else:
            answered = answered or any(isinstance(part, ToolResult) for part in message.parts)
    if not answered:
        return False
    return any(isinstance(part, ToolCall) for part in turn) and not starts_with_thought(turn)


def write_sampling(request: Request, body: dict[str, Any], carry: Carry, *, bound: bool) -> None:
    """Write the sampling; bound: the model thinks for a budget, and takes no other than the plain one."""
    if request.temperature is not None:
        if request.temperature > 1 or (bound and request.temperature != 1):
            carry.drop("temperature")
        elif not bound:
            body["temperature"] = request.temperature
    if request.top_p is not None:
        if bound and request.top_p < 0.95:
            carry.drop("top_p")
        else:
            body["top_p"] = request.top_p
    if request.top_k is not None:
        if bound:
            carry.drop("top_k")
        else:
            body["top_k"] = request.top_k


def starts_with_thought(turn: list[Part]) -> bool:
    """Tell whether the first thing in a turn that Anthropic would get is a thought that it knows."""
    for part in turn:
        if isinstance(part, Thinking):
            if part.family == FAMILY and (part.signature or part.redacted):
                return True
        else:
            return False
    return False
