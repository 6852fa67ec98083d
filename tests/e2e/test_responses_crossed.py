"""OpenAI's SDK and its Responses API at providers that speak Anthropic's dialect and chat completions."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from tests.conformance.answers import STREAM_HEAD, chunk, failure, sized
from tests.e2e.harness import KEYS, PROVIDER_KEY, Gateway, digest, gateway
from tests.providers import anthropic as claude
from tests.providers.scripted import Upstream, fin

CONFIG = """
providers:
  claude: {{dialect: anthropic, base_url: http://127.0.0.1:{claude}, credential: env:PROVIDER_KEY}}
  chat: {{dialect: openai, base_url: http://127.0.0.1:{chat}/v1, credential: env:PROVIDER_KEY}}
models:
  claude: {{targets: [{{provider: claude, model: claude-sonnet-4-5}}]}}
  chat: {{targets: [{{provider: chat, model: scripted-small}}]}}
  lenient: {{targets: [{{provider: chat, model: scripted-small}}], unsupported: drop}}
consumers:
  alice: {{keys: [{{sha256: {alice}}}], models: ["*"]}}
"""
TOOLS: Any = [
    {
        "type": "function",
        "name": "get_weather",
        "description": "Look up the weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        "strict": False,
    }
]
CALL = (
    b'data: {"id":"c1","object":"chat.completion.chunk","created":5,"model":"scripted-small","choices":[{"index":0,'
    b'"delta":{"role":"assistant","tool_calls":[{"index":0,"id":"call_1","type":"function","function":'
    b'{"name":"get_weather","arguments":"{\\"city\\":"}}]},"finish_reason":null}]}\n\n',
    b'data: {"id":"c1","object":"chat.completion.chunk","created":5,"model":"scripted-small","choices":[{"index":0,'
    b'"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\\"Paris\\"}"}}]},"finish_reason":null}]}\n\n',
    b'data: {"id":"c1","object":"chat.completion.chunk","created":5,"model":"scripted-small","choices":[{"index":0,'
    b'"delta":{},"finish_reason":"tool_calls"}]}\n\n',
    b'data: {"id":"c1","object":"chat.completion.chunk","created":5,"model":"scripted-small","choices":[],'
    b'"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}}\n\n',
    b"data: [DONE]\n\n",
)


class Weather(BaseModel):
    city: str


@dataclass(frozen=True)
class House:
    """A gateway between callers and two providers."""

    gateway: Gateway
    claude: Upstream
    chat: Upstream


@pytest.fixture(scope="module")
def built() -> Iterator[House]:
    with Upstream(default=(claude.answers(PROVIDER_KEY),)) as first, Upstream() as second:
        text = CONFIG.format(claude=first.port, chat=second.port, alice=digest(KEYS["alice"]))
        with gateway(text) as running:
            yield House(running, first, second)


@pytest.fixture
def house(built: House) -> Iterator[House]:
    built.claude.forget()
    built.chat.forget()
    yield built
    assert built.claude.failures == built.chat.failures == []


@pytest.fixture
def client(house: House) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{house.gateway.url}/v1", api_key=KEYS["alice"], timeout=20, max_retries=0) as made:
        yield made


@pytest_asyncio.fixture
async def async_client(house: House) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{house.gateway.url}/v1", api_key=KEYS["alice"], timeout=20) as made:
        yield made


@pytest.mark.parametrize("model", ["claude", "chat"])
def test_a_response_is_translated_with_its_usage(client: OpenAI, model: str) -> None:
    answer = client.responses.create(model=model, input="hello", instructions="Be brief.")
    assert "hello" in answer.output_text
    assert answer.status == "completed"
    assert answer.id.startswith("resp_")
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens > 0


@pytest.mark.parametrize("model", ["claude", "chat"])
def test_the_sdk_builds_the_response_from_the_translated_stream(client: OpenAI, model: str) -> None:
    with client.responses.stream(model=model, input="hello") as stream:
        kinds = [event.type for event in stream]
        answer = stream.get_final_response()
    assert "hello" in answer.output_text
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert answer.usage is not None


@pytest.mark.parametrize("model", ["claude", "chat"])
async def test_an_asynchronous_client_gets_the_same(async_client: AsyncOpenAI, model: str) -> None:
    async with async_client.responses.stream(model=model, input="hello") as stream:
        async for _ in stream:
            pass
        answer = await stream.get_final_response()
    assert "hello" in answer.output_text


@pytest.mark.parametrize("streamed", [False, True])
def test_thoughts_and_their_proof_survive_a_loop_of_tools(client: OpenAI, house: House, streamed: bool) -> None:
    asked: Any = [{"role": "user", "content": "How is the weather?"}]
    options: Any = {"tools": TOOLS, "reasoning": {"effort": "high", "summary": "auto"}, "model": "claude"}
    if streamed:
        with client.responses.stream(input=asked, **options) as stream:
            stream.until_done()
            first: Any = stream.get_final_response()
    else:
        first = client.responses.create(input=asked, **options)
    assert first.output[0].type == "reasoning"
    call = first.output[-1]
    assert (call.type, call.name) == ("function_call", "get_weather")
    asked += [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in first.output]
    asked.append({"type": "function_call_output", "call_id": call.call_id, "output": "sunny"})
    second = client.responses.create(input=asked, **options)
    assert second.output_text
    turns = house.claude.requests[-1].json()["messages"]
    thought = turns[1]["content"][0]
    assert thought["type"] == "thinking"
    assert thought["signature"]
    assert not thought["signature"].startswith("hg1.")
    assert turns[2]["content"][0]["type"] == "tool_result"


def test_a_call_that_a_chat_provider_streams_is_parsed_by_the_sdk(client: OpenAI, house: House) -> None:
    house.chat.script(STREAM_HEAD, *(chunk(piece) for piece in CALL), b"0\r\n\r\n", fin)
    tool: Any = openai.pydantic_function_tool(Weather, name="get_weather")["function"]
    flat: Any = {"type": "function", **tool}
    with client.responses.stream(model="chat", input="Weather?", tools=[flat]) as stream:
        stream.until_done()
        answer = stream.get_final_response()
    call: Any = answer.output[0]
    assert (call.name, call.call_id, call.arguments) == ("get_weather", "call_1", '{"city":"Paris"}')
    assert answer.usage is not None
    assert answer.usage.total_tokens == 13
    sent = house.chat.requests[0].json()
    assert sent["tools"][0]["function"]["name"] == "get_weather"


@pytest.mark.parametrize(
    "stateful", [{"previous_response_id": "resp_x"}, {"conversation": "conv_x"}, {"background": True}]
)
def test_what_only_a_provider_of_this_api_can_keep_is_refused(client: OpenAI, house: House, stateful: Any) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.responses.create(model="chat", input="hello", **stateful)
    assert caught.value.status_code in (400, 404)
    assert caught.value.body is not None
    assert house.chat.requests == []


def test_a_built_in_tool_is_refused_or_dropped_by_name(client: OpenAI) -> None:
    tools: Any = [{"type": "web_search"}]
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="chat", input="hello", tools=tools)
    assert caught.value.param == "tools.web_search"
    raw = client.responses.with_raw_response.create(model="lenient", input="hello", tools=tools)
    assert raw.headers["x-headgate-dropped"] == "tools.web_search"
    assert raw.parse().output_text == "You said: hello"


def test_a_provider_s_error_is_told_in_openai_s_words(client: OpenAI, house: House) -> None:
    house.chat.script(sized(status="429 Slow", body=failure("Slow down.", "rate_limit_error", "rate")), fin)
    with pytest.raises(openai.RateLimitError) as caught:
        client.responses.create(model="chat", input="hello")
    assert "Slow down." in caught.value.message


def test_a_translated_stream_that_breaks_off_ends_in_a_failed_response(client: OpenAI, house: House) -> None:
    house.chat.script(STREAM_HEAD, chunk(CALL[0]), fin)
    with client.responses.create(model="chat", input="hello", tools=TOOLS, stream=True) as stream:
        events = list(stream)
    assert events[-1].type == "response.failed"
    assert [event.sequence_number for event in events] == list(range(len(events)))
