"""Every official SDK, unmodified, before a provider of every dialect: what it hears is what was said.

`docs/vendors.md` says so; the last test sees to it that neither an SDK nor a dialect is left out.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest

import plane.dialects
from core.registry import scan
from tests.e2e.harness import KEYS, PROVIDER_KEY, Gateway, digest, gateway
from tests.e2e.sdks import SDKS, TOOL, Call, Sdk
from tests.providers import anthropic, azure, bedrock, claude_hosts, cohere, gemini, mistral, ollama
from tests.providers.openai_responses import Keeper
from tests.providers.scripted import Step, Upstream, echo_kept

NO_SDK = {"azure"}
"""Dialects of callers without one of their own: Azure's client is OpenAI's (`test_bedrock_and_azure`)."""
QUESTION = f"please call {TOOL} for the weather in Paris"


class Provider(NamedTuple):
    """A scripted provider. more: of its config, beside address and key. calls: the arguments it calls the tool with."""

    dialect: str
    answer: Step
    model: str
    calls: dict[str, Any] = {"query": QUESTION}  # noqa: RUF012 - nobody changes it.
    path: str = ""
    more: str = ""


PROVIDERS = {
    "openai": Provider("openai", echo_kept, "scripted-small", path="/v1"),
    "openai_responses": Provider("openai_responses", Keeper(), "gpt-5", {"city": "Paris"}, "/v1"),
    "anthropic": Provider("anthropic", anthropic.answers(PROVIDER_KEY), "claude-sonnet-4-5", {"city": "Paris"}),
    "gemini": Provider("gemini", gemini.answers, "gemini-3-flash", {"query": "Paris"}),
    "vertex": Provider(
        "gemini", gemini.answers, "gemini-3-flash", {"query": "Paris"}, more="options: {project: acme, location: eu}"
    ),
    "bedrock": Provider("bedrock", bedrock.answer, "eu.anthropic.claude-sonnet-4-5-20250929-v1:0", {"city": "Paris"}),
    "azure": Provider("azure", azure.answer, "scripted-small"),
    "azure_responses": Provider("azure_responses", Keeper("/openai"), "gpt-5", {"city": "Paris"}),
    "anthropic_bedrock": Provider(
        "anthropic_bedrock", claude_hosts.bedrock, "eu.anthropic.claude-sonnet-4-5-20250929-v1:0", {"city": "Paris"}
    ),
    "anthropic_vertex": Provider(
        "anthropic_vertex",
        claude_hosts.vertex,
        "claude-sonnet-4-5@20250929",
        {"city": "Paris"},
        more="options: {project: acme, location: eu}",
    ),
    "cohere": Provider("cohere", cohere.answers, "command-a-03-2025"),
    "ollama": Provider("ollama", ollama.answers, "qwen3"),
    "mistral": Provider("mistral", mistral.answers, "mistral-medium-latest", path="/v1"),
}
EACH = pytest.mark.parametrize("provider", PROVIDERS)
STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


class Stage(NamedTuple):
    """A gateway before all the providers."""

    gateway: Gateway
    upstreams: dict[str, Upstream]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with ExitStack() as stack:
        config = ["providers:"]
        upstreams = {}
        for name, made in PROVIDERS.items():
            upstreams[name] = stack.enter_context(Upstream(default=(made.answer,)))
            url = f"http://127.0.0.1:{upstreams[name].port}{made.path}"
            more = f", {made.more}" if made.more else ""
            config.append(
                f'  {name}: {{dialect: {made.dialect}, base_url: "{url}", credential: env:PROVIDER_KEY{more}}}'
            )
        config.append("models:")
        for name, made in PROVIDERS.items():
            config.append(f'  on-{name}: {{targets: [{{provider: {name}, model: "{made.model}"}}]}}')
        config.append(f'consumers: {{alice: {{keys: [{{sha256: {digest(KEYS["alice"])}}}], models: ["*"]}}}}\n')
        yield Stage(stack.enter_context(gateway("\n".join(config))), upstreams)


@pytest.fixture(scope="module", params=SDKS)
def sdk(request: pytest.FixtureRequest, stage: Stage) -> Iterator[Sdk]:
    with ExitStack() as stack:
        yield SDKS[request.param](stage.gateway.url, KEYS["alice"], stack)


@pytest.fixture(autouse=True)
def unharmed(stage: Stage) -> Iterator[None]:
    for upstream in stage.upstreams.values():
        upstream.forget()
    yield
    assert [failure for upstream in stage.upstreams.values() for failure in upstream.failures] == []


@STREAMED
@EACH
def test_an_sdk_is_answered(sdk: Sdk, provider: str, streamed: bool, stage: Stage) -> None:
    heard = sdk.ask(f"on-{provider}", [sdk.user("hello")], False, streamed)
    assert heard.text == "You said: hello"
    assert (heard.calls, heard.stop) == ([], sdk.stops[0])
    assert heard.used > 0
    assert len(stage.upstreams[provider].requests) == 1


@STREAMED
@EACH
def test_an_sdk_calls_a_tool_and_tells_its_result(sdk: Sdk, provider: str, streamed: bool, stage: Stage) -> None:
    talk = [sdk.user(QUESTION)]
    heard = sdk.ask(f"on-{provider}", talk, True, streamed)
    assert heard.calls == [Call(heard.calls[0].id, TOOL, PROVIDERS[provider].calls)]
    assert heard.stop == sdk.stops[1]
    talk += [*heard.turns, sdk.result(heard.calls[0], "sunny")]
    after = sdk.ask(f"on-{provider}", talk, True, streamed)
    assert "sunny" in after.text
    assert (after.calls, after.stop) == ([], sdk.stops[0])
    assert len(stage.upstreams[provider].requests) == 2


def test_no_dialect_is_left_out() -> None:
    made = {name: kind.build(kind.options()) for name, kind in scan(plane.dialects).items()}
    chats = {name: dialect for name, dialect in made.items() if "chat" in dialect.translators}
    assert {provider.dialect for provider in PROVIDERS.values()} == set(chats)
    asked = {name for name, dialect in chats.items() if dialect.prefixes}
    assert set(SDKS) == asked - NO_SDK
