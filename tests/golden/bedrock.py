"""``python -m tests.golden.bedrock`` writes the bytes of Converse for each named case, tests/golden/dialects/bedrock.

Its streams are binary, so what is in them stands here to be read, and the files are made of it. A request is what the
gateway writes for the hub's request; an answer and its stream are as the service sends them.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plane.canonical import (
    Carry,
    Document,
    Image,
    Message,
    Output,
    Reasoning,
    Request,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)
from plane.dialects._bedrock_requests import write_request
from tests.providers.bedrock import converse, converse_stream
from tests.providers.event_stream import event, exception

FOLDER = Path(__file__).parent / "dialects" / "bedrock"
MODEL = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQKJSVFT0YK"
SIGNATURE = "ErUBCkYIBxgCIkAxMjM0NTY3ODkwYWJjZGVmZ2hpamtsbW5vcA=="
SCHEMA = '{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}'
WEATHER = Tool("get_weather", "The weather of a city.", SCHEMA)
PARIS = ToolCall("tooluse_1aB", "get_weather", '{"city":"Paris"}')
ROME = ToolCall("tooluse_2cD", "get_weather", '{"city":"Rome"}')


@dataclass
class Case:
    """One call: what the hub asks, and the blocks that the service answers with."""

    request: Request
    blocks: list[dict[str, Any]]
    stop: str = "end_turn"
    usage: dict[str, Any] = field(default_factory=lambda: counts(12, 6))
    more: dict[str, Any] = field(default_factory=dict)


def counts(taken: int, given: int, read: int = 0, written: int = 0, **more: Any) -> dict[str, Any]:
    """Return a usage object."""
    total = taken + given + read + written
    said = {"inputTokens": taken, "outputTokens": given, "totalTokens": total}
    return {**said, "cacheReadInputTokens": read, "cacheWriteInputTokens": written, **more}


def asks(*parts: Any, **more: Any) -> Request:
    """Return a request with one user's turn."""
    return Request("caller-model", [Message("user", [Text(p) if isinstance(p, str) else p for p in parts])], **more)


def text(words: str) -> dict[str, Any]:
    """Return a block of text."""
    return {"text": words}


def use(call: ToolCall) -> dict[str, Any]:
    """Return a block that calls a tool."""
    return {"toolUse": {"toolUseId": call.id, "name": call.name, "input": json.loads(call.arguments)}}


def thought(words: str) -> dict[str, Any]:
    """Return a block of reasoning."""
    return {"reasoningContent": {"reasoningText": {"text": words, "signature": SIGNATURE}}}


HELLO = Case(asks("Say hello."), [text("Hello! How can I help?")])
THINKS = {"max_tokens": 4000, "reasoning": Reasoning(effort="medium")}
CASES = {
    "plain": HELLO,
    "system": Case(asks("Say hello.", system=[Text("Answer in French.")], max_tokens=100), [text("Bonjour !")]),
    "tools": Case(asks("How is the weather in Paris?", tools=[WEATHER]), [text("I'll look."), use(PARIS)], "tool_use"),
    "parallel_tools": Case(asks("Paris and Rome?", tools=[WEATHER]), [use(PARIS), use(ROME)], "tool_use"),
    "tool_result": Case(
        Request(
            "caller-model",
            [
                Message("user", [Text("Paris and Rome?")]),
                Message("assistant", [PARIS, ROME]),
                Message("user", [ToolResult("tooluse_1aB", [Text("18 degrees")])]),
                Message("user", [ToolResult("tooluse_2cD", [Text("no such place")], is_error=True)]),
            ],
            tools=[WEATHER],
        ),
        [text("Paris has 18 degrees; I could not look up Rome.")],
    ),
    "image": Case(asks("What is in this picture?", Image(media_type="image/png", data=PNG)), [text("A single dot.")]),
    "document": Case(
        asks(Document(media_type="application/pdf", data=PDF, name="report.v2.pdf"), "Summarise this."),
        [text("It is empty.")],
    ),
    "thinking": Case(
        asks("What is 27 * 43?", **THINKS), [thought("27 * 43 = 1161."), text("1161")], usage=counts(40, 60)
    ),
    "thinking_tools": Case(
        Request(
            "caller-model",
            [
                Message("user", [Text("How is the weather in Paris?")]),
                Message("assistant", [Thinking("I should look it up.", SIGNATURE, family="bedrock"), PARIS]),
                Message("user", [ToolResult("tooluse_1aB", [Text("18 degrees")])]),
            ],
            tools=[WEATHER],
            **THINKS,
        ),
        [{"reasoningContent": {"redactedContent": "b3BhcXVl"}}, text("It has 18 degrees.")],
    ),
    "schema": Case(
        asks("Which city is the capital of France?", output=Output("schema", "capital", SCHEMA, strict=True)),
        [text('{"city":"Paris"}')],
    ),
    "stop": Case(
        asks("Count to ten.", stop=["5"]),
        [text("1 2 3 4 ")],
        "stop_sequence",
        more={"additionalModelResponseFields": {"stop_sequence": "5"}},
    ),
    "length": Case(asks("Tell me a story.", max_tokens=5), [text("Once upon a time there")], "max_tokens"),
    "refusal": Case(asks("How do I pick a lock?"), [text("I cannot help with that.")], "guardrail_intervened"),
    "usage": Case(
        asks(Text("A long text.", cache="1h"), Text("And a question.", cache="5m")),
        [text("An answer.")],
        usage=counts(
            7, 5, 1000, 300, cacheDetails=[{"ttl": "1h", "inputTokens": 200}, {"ttl": "5m", "inputTokens": 100}]
        ),
        more={"serviceTier": {"type": "default"}},
    ),
}
ERROR = {"message": "Too many requests, please wait before trying again."}
BROKEN = (
    event("messageStart", {"role": "assistant"})
    + event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hel"}})
    + exception("throttlingException", ERROR)
)


def files() -> dict[str, bytes]:
    """Return the content of each file by its name."""
    made = {}
    for name, case in {**CASES, "error": HELLO}.items():
        body = write_request(case.request, Carry(MODEL), "")
        made[f"{name}.request.json"] = pretty(json.loads(body))
        made[f"{name}.answer.json"] = pretty(converse(case.blocks, case.stop, case.usage, **case.more))
        made[f"{name}.stream"] = converse_stream(case.blocks, case.stop, case.usage, **case.more)
    made["error.answer.json"] = pretty(ERROR)
    made["error.stream"] = BROKEN
    return made


def pretty(value: Any) -> bytes:
    """Return JSON to be read."""
    return json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n"


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file, content in files().items():
        (FOLDER / file).write_bytes(content)
