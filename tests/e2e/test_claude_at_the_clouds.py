"""Claude on Bedrock and on Vertex AI, for Anthropic's SDK: a cloud gets what the SDK's own client for it sends.

But for the version: since its own version 2 the SDK says ``2026-10-21``, which the models of `InvokeModel` do not know.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple
from urllib.parse import unquote

import anthropic
import pytest
from anthropic import Anthropic, AnthropicBedrock, AnthropicBedrockMantle, AnthropicVertex

from tests.e2e.harness import KEYS, PROVIDER_KEY, Gateway, digest, gateway
from tests.providers import claude_hosts
from tests.providers.anthropic import CALL, THOUGHT
from tests.providers.event_stream import exception
from tests.providers.scripted import Request, Upstream

PROFILE = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
DATED = "claude-sonnet-4-5@20250929"
NEW = "anthropic.claude-opus-4-8"
MODELS = {"bedrock": PROFILE, "vertex": DATED, "mantle": NEW}
SIGNING = "AKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
CONFIG = """
providers:
  bedrock: {{dialect: anthropic_bedrock, base_url: "http://127.0.0.1:{bedrock}", credential: env:PROVIDER_KEY}}
  signed:
    dialect: anthropic_bedrock
    base_url: http://127.0.0.1:{bedrock}
    credential: file:{secret}
    options: {{auth: sigv4, region: eu-central-1}}
  vertex:
    dialect: anthropic_vertex
    base_url: http://127.0.0.1:{vertex}
    credential: env:PROVIDER_KEY
    options: {{project: acme, location: eu}}
  mantle:
    dialect: anthropic
    base_url: http://127.0.0.1:{mantle}/anthropic
    credential: env:PROVIDER_KEY
    options: {{auth: bearer}}
models:
  on-mantle: {{targets: [{{provider: mantle, model: "{new}"}}]}}
  on-bedrock: {{targets: [{{provider: bedrock, model: "{profile}"}}]}}
  signed: {{targets: [{{provider: signed, model: "{profile}"}}]}}
  on-vertex: {{targets: [{{provider: vertex, model: "{dated}"}}]}}
consumers:
  alice: {{keys: [{{sha256: {alice}}}], models: ["*"]}}
"""
WEATHER: Any = {"role": "user", "content": "How is the weather?"}
SYSTEM: Any = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
ASKED: dict[str, Any] = {
    "max_tokens": 3000,
    "system": SYSTEM,
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "tools": [{"name": "get_weather", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}}],
    "extra_headers": {"anthropic-beta": "context-1m-2025-08-07"},
}
CLOUDS = pytest.mark.parametrize("cloud", ["bedrock", "vertex"])
STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


class Stage(NamedTuple):
    """A gateway before two clouds."""

    gateway: Gateway
    clouds: dict[str, Upstream]

    def own_client(self, cloud: str) -> Any:
        """Return the SDK's client for a cloud, which asks it without the gateway."""
        url = f"http://127.0.0.1:{self.clouds[cloud].port}"
        if cloud == "bedrock":
            return AnthropicBedrock(api_key=PROVIDER_KEY, aws_region="eu-central-1", base_url=url, max_retries=0)
        if cloud == "mantle":
            return AnthropicBedrockMantle(
                api_key=PROVIDER_KEY, aws_region="eu-central-1", base_url=f"{url}/anthropic", max_retries=0
            )
        return AnthropicVertex(
            access_token=PROVIDER_KEY, project_id="acme", region="eu", base_url=f"{url}/v1", max_retries=0
        )


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    secret = tmp_path_factory.mktemp("secrets") / "aws"
    secret.write_text(SIGNING)
    with ExitStack() as stack:
        answers = {name: getattr(claude_hosts, name) for name in MODELS}
        clouds = {name: stack.enter_context(Upstream(default=(step,))) for name, step in answers.items()}
        ports = {name: upstream.port for name, upstream in clouds.items()}
        text = CONFIG.format(**ports, secret=secret, profile=PROFILE, dated=DATED, new=NEW, alice=digest(KEYS["alice"]))
        yield Stage(stack.enter_context(gateway(text)), clouds)


@pytest.fixture
def stage(shared: Stage) -> Iterator[Stage]:
    for upstream in shared.clouds.values():
        upstream.forget()
    yield shared
    assert [upstream.failures for upstream in shared.clouds.values()] == [[], [], []]


@pytest.fixture
def client(stage: Stage) -> Iterator[Anthropic]:
    with Anthropic(base_url=stage.gateway.url, api_key=KEYS["alice"], timeout=20, max_retries=0) as made:
        yield made


def message_of(client: Any, model: str, talk: list[Any], streamed: bool, **extra: Any) -> Any:
    asked = {**ASKED, "extra_body": {"brand_new": [1.5], **extra}}
    if not streamed:
        return client.messages.create(model=model, messages=talk, **asked)
    with client.messages.stream(model=model, messages=talk, **asked) as stream:
        return stream.get_final_message()


def said(request: Request) -> tuple[str, Any, str]:
    """Return what a request says: where it goes, its body, and who asks."""
    return unquote(request.path), request.json(), request.headers["authorization"]


@STREAMED
@pytest.mark.parametrize("cloud", MODELS)
def test_a_cloud_is_asked_as_the_sdk_for_it_asks_and_the_answer_is_the_same(
    cloud: str, streamed: bool, client: Anthropic, stage: Stage
) -> None:
    version = {"anthropic_version": claude_hosts.VERSIONS[cloud]} if cloud in claude_hosts.VERSIONS else {}
    with stage.own_client(cloud) as own:
        direct = message_of(own, MODELS[cloud], [WEATHER], streamed, **version)
    ours = message_of(client, f"on-{cloud}", [WEATHER], streamed)
    first, second = stage.clouds[cloud].requests
    assert said(first) == said(second)
    assert ours.to_dict() == direct.to_dict()
    assert [block.type for block in ours.content] == ["thinking", "tool_use"]


@STREAMED
@CLOUDS
def test_thoughts_come_back_through_a_loop_of_tools(
    cloud: str, streamed: bool, client: Anthropic, stage: Stage
) -> None:
    first = message_of(client, f"on-{cloud}", [WEATHER], streamed)
    result = {"type": "tool_result", "tool_use_id": first.content[-1].id, "content": "sunny"}
    talk = [WEATHER, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    assert message_of(client, f"on-{cloud}", talk, streamed).content[0].text == "The tool says: sunny"
    assert stage.clouds[cloud].requests[1].json()["messages"][1]["content"] == [THOUGHT, CALL]


@CLOUDS
def test_tokens_are_counted_by_the_cloud(cloud: str, client: Anthropic, stage: Stage) -> None:
    raw = client.messages.with_raw_response.count_tokens(model=f"on-{cloud}", messages=[WEATHER])
    assert raw.parse().input_tokens == claude_hosts.COUNT
    assert "x-headgate-estimate" not in raw.headers
    if cloud == "vertex":
        version = {"anthropic_version": claude_hosts.VERSIONS[cloud]}
        with stage.own_client(cloud) as own:
            own.messages.count_tokens(model=DATED, messages=[WEATHER], extra_body=version)
        first, second = stage.clouds[cloud].requests
        assert said(first) == said(second)


@STREAMED
def test_a_call_may_be_signed(streamed: bool, client: Anthropic, stage: Stage) -> None:
    assert message_of(client, "signed", [WEATHER], streamed).stop_reason == "tool_use"
    (request,) = stage.clouds["bedrock"].requests
    assert request.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")


@CLOUDS
def test_what_a_cloud_refuses_is_an_error_of_the_sdk_s(cloud: str, client: Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.create(
            model=f"on-{cloud}", messages=[WEATHER], max_tokens=9, extra_body={"anthropic_version": "0"}
        )
    body: Any = caught.value.body
    assert body["error"] == {"type": "invalid_request_error", "message": "anthropic_version: Field required"}


def test_an_exception_amid_a_stream_is_raised(client: Anthropic, stage: Stage) -> None:
    begun = (
        b'data: {"type":"message_start","message":%b}\n\n'
        % json.dumps(
            {
                "id": "m",
                "type": "message",
                "role": "assistant",
                "content": [],
                "model": "c",
                "usage": {"input_tokens": 1},
            }
        ).encode()
    )
    begun += b'data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n'
    begun += b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hel"}}\n\n'
    failed = claude_hosts.chunks(begun) + exception("serviceUnavailableException", {"message": "Back soon."})
    stage.clouds["bedrock"].script(claude_hosts.streamed(failed))
    heard = []
    with (
        pytest.raises(anthropic.APIStatusError, match="Back soon"),
        client.messages.stream(model="on-bedrock", max_tokens=9, messages=[WEATHER]) as stream,
    ):
        heard += list(stream.text_stream)
    assert "Bedrock" not in "".join(heard)
