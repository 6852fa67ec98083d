"""OpenAI's and Anthropic's SDKs, unmodified, against models of Bedrock, and Azure's client against models of Azure."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import anthropic
import openai
import pytest
from anthropic import Anthropic
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from openai import AzureOpenAI, OpenAI

from tests.e2e.harness import KEYS, PROVIDER_KEY, Gateway, digest, gateway
from tests.plane import converse
from tests.providers import azure, bedrock
from tests.providers.event_stream import event, exception
from tests.providers.scripted import Request, Upstream

CLAUDE = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
PROFILE = "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/a1b2c3"
SIGNING = ("ASIAEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "FwoGZXIvYXdzEJr//////////wEaDExample==")
CONFIG = """
providers:
  bedrock: {{dialect: bedrock, base_url: http://127.0.0.1:{bedrock}, credential: env:PROVIDER_KEY}}
  signed:
    dialect: bedrock
    base_url: http://127.0.0.1:{bedrock}
    credential: file:{secret}
    options: {{auth: sigv4, region: eu-central-1, maker: anthropic}}
  azure: {{dialect: azure, base_url: http://127.0.0.1:{azure}, credential: env:PROVIDER_KEY}}
  dated:
    dialect: azure
    base_url: http://127.0.0.1:{azure}
    credential: env:PROVIDER_KEY
    options: {{style: dated, api_version: "2024-10-21"}}
models:
  claude: {{targets: [{{provider: bedrock, model: "{model}"}}]}}
  lenient: {{targets: [{{provider: bedrock, model: "{model}"}}], unsupported: drop}}
  signed: {{targets: [{{provider: signed, model: "{profile}"}}]}}
  gpt: {{targets: [{{provider: azure, model: scripted-small}}]}}
  gpt-dated: {{targets: [{{provider: dated, model: scripted-small}}]}}
consumers:
  alice: {{keys: [{{sha256: {alice}}}], models: ["*"]}}
"""
HELLO: list[Any] = [{"role": "user", "content": "hello"}]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS: list[Any] = [{"type": "function", "function": {"name": "get.weather", "parameters": PARAMETERS}}]


@dataclass
class Stage:
    """A gateway with a scripted Bedrock and a scripted Azure behind it."""

    gateway: Gateway
    bedrock: Upstream
    azure: Upstream

    @property
    def asked(self) -> list[dict[str, Any]]:
        """Return the bodies that Bedrock got, each found to be one that botocore would send."""
        bodies = [request.json() for request in self.bedrock.requests]
        assert [converse.problems(body) for body in bodies] == [""] * len(bodies)
        return bodies


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    secret = tmp_path_factory.mktemp("secrets") / "aws"
    secret.write_text(":".join(SIGNING) + "\n")
    with Upstream(default=(bedrock.answer,)) as aws, Upstream(default=(azure.answer,)) as microsoft:
        ports = {"bedrock": aws.port, "azure": microsoft.port}
        text = CONFIG.format(**ports, secret=secret, model=CLAUDE, profile=PROFILE, alice=digest(KEYS["alice"]))
        with gateway(text) as running:
            yield Stage(running, aws, microsoft)


@pytest.fixture
def stage(shared: Stage) -> Iterator[Stage]:
    shared.bedrock.forget()
    shared.azure.forget()
    yield shared
    assert shared.bedrock.failures == shared.azure.failures == []


@pytest.fixture
def client(stage: Stage) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{stage.gateway.url}/v1", api_key=KEYS["alice"], timeout=20, max_retries=0) as made:
        yield made


@pytest.fixture
def claude(stage: Stage) -> Iterator[Anthropic]:
    with Anthropic(base_url=f"{stage.gateway.url}/anthropic", api_key=KEYS["alice"], timeout=20, max_retries=0) as made:
        yield made


@pytest.fixture
def azure_client(stage: Stage) -> Iterator[AzureOpenAI]:
    options = {"azure_endpoint": stage.gateway.url, "api_version": "2024-10-21", "api_key": KEYS["alice"]}
    with AzureOpenAI(**options, timeout=20, max_retries=0) as made:
        yield made


# --- OpenAI's SDK, and Bedrock


def test_a_chat_is_answered_by_bedrock(client: OpenAI, stage: Stage) -> None:
    answer = client.chat.completions.create(
        model="claude", messages=[{"role": "system", "content": "Be brief."}, *HELLO], max_tokens=50, temperature=0.5
    )
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("You said: hello", "stop")
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (11, 7)
    [request] = stage.bedrock.requests
    assert request.path == f"/model/{quote(CLAUDE, safe='')}/converse"
    assert request.headers["authorization"] == f"Bearer {PROVIDER_KEY}"
    assert stage.asked == [
        {
            "messages": [{"role": "user", "content": [{"text": "hello"}]}],
            "system": [{"text": "Be brief."}],
            "inferenceConfig": {"maxTokens": 50, "temperature": 0.5},
        }
    ]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_tool_is_called_by_its_own_name_and_its_result_is_answered(
    stream: bool, client: OpenAI, stage: Stage
) -> None:
    if stream:
        with client.chat.completions.stream(model="claude", messages=HELLO, tools=TOOLS) as made:
            message = made.get_final_completion().choices[0].message
    else:
        message = client.chat.completions.create(model="claude", messages=HELLO, tools=TOOLS).choices[0].message
    assert message.tool_calls
    [call] = message.tool_calls
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == ("get.weather", {"city": "Paris"})
    turn: Any = {
        "role": "assistant",
        "tool_calls": [
            {"id": call.id, "type": "function", "function": call.function.model_dump(include={"name", "arguments"})}
        ],
    }
    result = {"role": "tool", "tool_call_id": call.id, "content": "sun"}
    after = client.chat.completions.create(model="claude", messages=[*HELLO, turn, result], tools=TOOLS)
    assert after.choices[0].message.content == "The tool said: sun"
    first, second = stage.asked
    assert first["toolConfig"]["tools"][0]["toolSpec"]["name"] == "get_weather"
    assert [message["role"] for message in second["messages"]] == ["user", "assistant", "user"]
    assert second["messages"][1]["content"][0]["toolUse"]["toolUseId"] == bedrock.TOOL_ID


def test_thoughts_come_and_go_back_with_their_proof_through_a_loop_of_tools(client: OpenAI, stage: Stage) -> None:
    options: Any = {"model": "claude", "tools": TOOLS, "reasoning_effort": "low", "max_tokens": 3000}
    message = client.chat.completions.create(messages=HELLO, **options).choices[0].message
    assert message.model_extra
    assert message.model_extra["reasoning_content"] == "Let me see."
    assert message.tool_calls
    turn: Any = message.model_dump(exclude_none=True)
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "sun"}
    after = client.chat.completions.create(messages=[*HELLO, turn, result], **options)
    assert after.choices[0].message.content == "The tool said: sun"
    first, second = stage.asked
    assert first["additionalModelRequestFields"] == {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    assert second["additionalModelRequestFields"] == first["additionalModelRequestFields"]
    thought = {"reasoningText": {"text": "Let me see.", "signature": bedrock.SIGNATURE}}
    assert second["messages"][1]["content"][0] == {"reasoningContent": thought}


def test_what_bedrock_has_no_place_for_is_refused_or_dropped_and_named(client: OpenAI, stage: Stage) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="claude", messages=HELLO, seed=1)
    assert (caught.value.code, caught.value.param) == ("unsupported", "seed")
    assert stage.bedrock.requests == []
    raw = client.chat.completions.with_raw_response.create(model="lenient", messages=HELLO, seed=1, user="u")
    assert set(raw.headers["x-headgate-dropped"].split(",")) == {"seed", "user"}


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        ("429 Too Many Requests", "ThrottlingException", openai.RateLimitError),
        ("400 Bad Request", "ValidationException", openai.BadRequestError),
        ("424 Failed Dependency", "ModelErrorException", openai.InternalServerError),
        ("503 Service Unavailable", "ServiceUnavailableException", openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_bedrock_s_errors_are_the_sdk_s(
    status: str, kind: str, error: type[openai.APIStatusError], stream: bool, client: OpenAI, stage: Stage
) -> None:
    stage.bedrock.script(bedrock.failure(status, kind, "Bedrock says no."))
    with pytest.raises(error, match="Bedrock says no"):
        client.chat.completions.create(model="claude", messages=HELLO, stream=stream)


def test_an_exception_amid_a_stream_is_an_error_to_the_sdk(client: OpenAI, stage: Stage) -> None:
    begun = event("messageStart", {"role": "assistant"})
    begun += event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hel"}})
    stage.bedrock.script(bedrock.streamed(begun + exception("throttlingException", {"message": "Too fast."})))
    said = []
    with pytest.raises(openai.APIError, match="Too fast"):  # noqa: PT012 - the error comes while the stream is read.
        for chunk in client.chat.completions.create(model="claude", messages=HELLO, stream=True):
            said.append(chunk.choices[0].delta.content or "")
    assert "".join(said) == "Hel"


# --- Anthropic's SDK, and Bedrock


def test_anthropic_s_sdk_thinks_and_calls_tools_on_bedrock(claude: Anthropic, stage: Stage) -> None:
    tools: Any = [{"name": "get_weather", "input_schema": PARAMETERS}]
    options: Any = {
        "model": "claude",
        "max_tokens": 3000,
        "tools": tools,
        "thinking": {"type": "enabled", "budget_tokens": 2000},
    }
    with claude.messages.stream(messages=HELLO, **options) as stream:
        message = stream.get_final_message()
    thought, call = message.content
    assert (thought.type, call.type, message.stop_reason) == ("thinking", "tool_use", "tool_use")
    assert (message.usage.input_tokens, message.usage.output_tokens) == (11, 7)
    result: Any = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "sun"}]}
    turn: Any = {"role": "assistant", "content": [part.model_dump(exclude_none=True) for part in message.content]}
    after = claude.messages.create(messages=[*HELLO, turn, result], **options)
    assert after.content[-1].text == "The tool said: sun"
    said = stage.asked[1]["messages"][1]["content"][0]["reasoningContent"]["reasoningText"]
    assert said == {"text": "Let me see.", "signature": bedrock.SIGNATURE}
    assert stage.asked[1]["additionalModelRequestFields"]["thinking"]["budget_tokens"] == 2000


# --- signed calls


def signed_anew(request: Request) -> str:
    """Return the authorization that botocore computes for a request as it came."""
    headers = request.headers
    names = ("content-type", "host", "x-amz-date", "x-amz-security-token")
    made = AWSRequest("POST", f"http://{headers['host']}{request.path}", data=request.body)
    for name in names:
        made.headers[name] = headers[name]
    oracle = SigV4Auth(Credentials(*SIGNING), "bedrock", "eu-central-1")
    made.context["timestamp"] = headers["x-amz-date"]
    text = oracle.string_to_sign(made, oracle.canonical_request(made))
    oracle._inject_signature_to_request(made, oracle.signature(text, made))
    return str(made.headers["authorization"])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_call_is_signed_for_the_host_that_is_dialled_over_the_exact_bytes(
    stream: bool, client: OpenAI, stage: Stage
) -> None:
    answer = client.chat.completions.create(model="signed", messages=HELLO, stream=stream)
    if stream:
        assert "".join(chunk.choices[0].delta.content or "" for chunk in answer) == "You said: hello"
    [request] = stage.bedrock.requests
    assert request.path.startswith(f"/model/{quote(PROFILE, safe='')}/converse")
    assert request.headers["host"] == f"127.0.0.1:{stage.bedrock.port}"
    assert request.headers["x-amz-security-token"] == SIGNING[2]
    assert request.headers["authorization"] == signed_anew(request)


# --- Azure


def test_anthropic_s_sdk_is_answered_by_azure_whose_stream_begins_with_its_filters(claude: Anthropic) -> None:
    with claude.messages.stream(model="gpt", messages=HELLO, max_tokens=50) as stream:
        message = stream.get_final_message()
    assert [part.type for part in message.content] == ["text"]
    assert (message.content[0].text, message.stop_reason) == ("You said: hello", "end_turn")
    assert message.id
    assert (message.usage.input_tokens, message.usage.output_tokens) == (1, 3)
    with pytest.raises(anthropic.BadRequestError, match="content management policy"):
        claude.messages.create(model="gpt", messages=[{"role": "user", "content": "forbidden"}], max_tokens=50)


@pytest.mark.parametrize("model", ["gpt", "gpt-dated"])
def test_openai_s_sdk_is_answered_by_azure(model: str, client: OpenAI, stage: Stage) -> None:
    answer = client.chat.completions.create(model=model, messages=HELLO)
    assert answer.choices[0].message.content == "You said: hello"
    assert answer.model_extra
    assert answer.model_extra["prompt_filter_results"] == azure.PROMPT
    with client.chat.completions.create(model=model, messages=HELLO, stream=True) as stream:
        said = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert said == "You said: hello"
    assert len(client.embeddings.create(model=model, input="one").data[0].embedding) == 8
    paths = {request.path for request in stage.azure.requests}
    if model == "gpt":
        assert paths == {"/openai/v1/chat/completions", "/openai/v1/embeddings"}
    else:
        start = "/openai/deployments/scripted-small"
        assert paths == {f"{start}/{end}?api-version=2024-10-21" for end in ("chat/completions", "embeddings")}
    assert {request.headers["api-key"] for request in stage.azure.requests} == {PROVIDER_KEY}


def test_a_prompt_that_azure_filters_is_a_bad_request_with_its_reasons(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="gpt", messages=[{"role": "user", "content": "forbidden"}])
    assert caught.value.code == "content_filter"
    assert caught.value.body["innererror"] == azure.FILTERED["error"]["innererror"]  # type: ignore[index]


@pytest.mark.parametrize("model", ["gpt", "gpt-dated", "claude"])
def test_azure_s_client_calls_and_streams(model: str, azure_client: AzureOpenAI) -> None:
    answer = azure_client.chat.completions.create(model=model, messages=HELLO)
    assert answer.choices[0].message.content == "You said: hello"
    with azure_client.chat.completions.create(model=model, messages=HELLO, stream=True) as stream:
        said = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert said == "You said: hello"


def test_azure_s_client_of_a_deployment_gets_that_one(stage: Stage) -> None:
    made = AzureOpenAI(
        azure_endpoint=stage.gateway.url, azure_deployment="gpt-dated", api_version="2024-10-21", api_key=KEYS["alice"]
    )
    with made:
        assert made.chat.completions.create(model="whatever", messages=HELLO).choices[0].message.content
    assert stage.azure.requests[0].path.startswith("/openai/deployments/scripted-small/")


def test_the_v1_address_of_azure_is_ours_too(stage: Stage) -> None:
    with OpenAI(base_url=f"{stage.gateway.url}/openai/v1", api_key=KEYS["alice"], timeout=20) as made:
        assert made.chat.completions.create(model="gpt", messages=HELLO).choices[0].message.content
