"""Google's official SDK, unmodified: only its base URL and its key are ours."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from anthropic import Anthropic
from google import genai
from google.genai import errors, types
from openai import OpenAI, RateLimitError

from tests.e2e.harness import KEYS, PROVIDER_KEY, Gateway, digest, gateway, post
from tests.providers import anthropic, gemini
from tests.providers.scripted import Upstream

CONFIG = """
providers:
  google: {{dialect: gemini, base_url: "http://127.0.0.1:{google}", credential: env:PROVIDER_KEY}}
  openai: {{dialect: openai, base_url: "http://127.0.0.1:{openai}/v1", credential: env:PROVIDER_KEY}}
  claude: {{dialect: anthropic, base_url: "http://127.0.0.1:{claude}", credential: env:PROVIDER_KEY}}
models:
  native: {{targets: [{{provider: google, model: gemini-3-flash}}]}}
  crossed: {{targets: [{{provider: openai, model: scripted-small}}]}}
  thinker: {{targets: [{{provider: claude, model: claude-haiku-4-5}}]}}
consumers:
  alice: {{keys: [{{sha256: {alice}}}], models: ["*"]}}
  bob: {{keys: [{{sha256: {bob}}}], models: ["native"]}}
"""
BOTH = pytest.mark.parametrize("model", ["native", "crossed"])


def look_up(query: str) -> str:
    """Look up what is asked for."""
    return f"found {query}"


@dataclass(frozen=True)
class World:
    """A gateway with a scripted Gemini and a scripted OpenAI behind it."""

    gateway: Gateway
    google: Upstream
    openai: Upstream
    claude: Upstream


@pytest.fixture(scope="module")
def shared_world() -> Iterator[World]:
    claude_answers = (anthropic.answers(PROVIDER_KEY),)
    with (
        Upstream(default=(gemini.answers,)) as google,
        Upstream() as openai,
        Upstream(default=claude_answers) as claude,
    ):
        keys = {name: digest(KEYS[name]) for name in ("alice", "bob")}
        ports = {"google": google.port, "openai": openai.port, "claude": claude.port}
        with gateway(CONFIG.format(**ports, **keys)) as running:
            yield World(running, google, openai, claude)


@pytest.fixture
def world(shared_world: World) -> Iterator[World]:
    upstreams = (shared_world.google, shared_world.openai, shared_world.claude)
    for upstream in upstreams:
        upstream.forget()
    yield shared_world
    assert [upstream.failures for upstream in upstreams] == [[], [], []]


def options(world: World, prefix: str = "") -> types.HttpOptions:
    return types.HttpOptions(base_url=world.gateway.url + prefix, timeout=20_000)


@pytest.fixture
def client(world: World) -> Iterator[genai.Client]:
    with genai.Client(api_key=KEYS["alice"], http_options=options(world)) as made:
        yield made


# The SDK's own client inherits from aiohttp's, which warns of that.
@pytest_asyncio.fixture
async def async_client(world: World) -> AsyncIterator[genai.Client]:
    made = genai.Client(api_key=KEYS["alice"], http_options=options(world))
    async with made.aio:
        yield made


@BOTH
def test_a_question_is_answered(client: genai.Client, model: str) -> None:
    answer = client.models.generate_content(model=model, contents="hello")
    assert answer.text == "You said: hello"
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert answer.usage_metadata.prompt_token_count == 1
    counted = answer.usage_metadata
    parts = (counted.prompt_token_count, counted.candidates_token_count, counted.thoughts_token_count or 0)
    assert counted.total_token_count == sum(parts)
    assert answer.response_id


@BOTH
def test_a_stream_says_the_same(client: genai.Client, model: str) -> None:
    chunks = list(client.models.generate_content_stream(model=model, contents="hello there"))
    assert "".join(chunk.text or "" for chunk in chunks) == "You said: hello there"
    assert len(chunks) > 1
    assert [chunk.candidates[0].finish_reason for chunk in chunks][-1] == types.FinishReason.STOP
    assert chunks[-1].usage_metadata.total_token_count > 0
    assert len({chunk.response_id for chunk in chunks}) == 1


@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
@BOTH
async def test_the_async_client_is_served_too(async_client: genai.Client, model: str) -> None:
    answer = await async_client.aio.models.generate_content(model=model, contents="hello")
    assert answer.text == "You said: hello"
    stream = await async_client.aio.models.generate_content_stream(model=model, contents="hello")
    assert "".join([chunk.text or "" async for chunk in stream]) == "You said: hello"


@BOTH
def test_a_function_is_called_and_its_result_is_answered(client: genai.Client, world: World, model: str) -> None:
    calling = types.AutomaticFunctionCallingConfig(maximum_remote_calls=2)
    config = types.GenerateContentConfig(tools=[look_up], automatic_function_calling=calling)
    answer = client.models.generate_content(model=model, contents="please look_up the weather", config=config)
    if model == "native":  # The scripted Gemini has looked at the signature of its call.
        assert answer.text == 'The tools said: {"result": "found Paris"}'
        call = world.google.requests[1].json()["contents"][1]["parts"][1]
        assert gemini.standard(call["thoughtSignature"]) == gemini.SIGNATURE
    else:
        _, called, result = world.openai.requests[1].json()["messages"]
        assert result["tool_call_id"] == called["tool_calls"][0]["id"]
        assert result["content"] == "found please look_up the weather"


@BOTH
def test_a_chat_that_streams_keeps_its_history(client: genai.Client, world: World, model: str) -> None:
    chat = client.chats.create(model=model)
    assert "".join(chunk.text or "" for chunk in chat.send_message_stream("one")) == "You said: one"
    assert "".join(chunk.text or "" for chunk in chat.send_message_stream("two")).endswith("two")
    last = (world.google if model == "native" else world.openai).requests[-1].json()
    if model == "crossed":
        assert [message["role"] for message in last["messages"]] == ["user", "assistant", "user"]
        assert last["messages"][1]["content"] == "You said: one"
    else:
        assert [content["role"] for content in last["contents"]] == ["user", "model", "model", "user"]


def test_instructions_and_settings_reach_another_vendor(client: genai.Client, world: World) -> None:
    config = types.GenerateContentConfig(
        system_instruction="Be short.",
        temperature=0.5,
        max_output_tokens=50,
        stop_sequences=["END"],
        response_mime_type="application/json",
        response_schema=types.Schema(type="OBJECT", properties={"a": types.Schema(type="STRING")}),
    )
    client.models.generate_content(model="crossed", contents="hello", config=config)
    body = world.openai.requests[0].json()
    assert body["messages"][0]["content"] == "Be short."
    assert (body["temperature"], body["stop"]) == (0.5, ["END"])
    schema = body["response_format"]["json_schema"]["schema"]
    assert schema == {"type": "object", "properties": {"a": {"type": "string"}}}


def test_what_another_vendor_has_no_place_for_is_refused_by_name(client: genai.Client, world: World) -> None:
    setting = types.SafetySetting(category="HARM_CATEGORY_HARASSMENT", threshold="BLOCK_NONE")
    config = types.GenerateContentConfig(safety_settings=[setting])
    with pytest.raises(errors.ClientError) as raised:
        client.models.generate_content(model="crossed", contents="hello", config=config)
    assert (raised.value.code, raised.value.status) == (400, "INVALID_ARGUMENT")
    assert "safetySettings" in raised.value.message
    assert world.openai.requests == []


@BOTH
def test_tokens_are_counted(client: genai.Client, model: str) -> None:
    counted = client.models.count_tokens(model=model, contents="one two three")
    assert counted.total_tokens == 3 if model == "native" else counted.total_tokens > 0


def test_texts_are_embedded(client: genai.Client) -> None:
    config = types.EmbedContentConfig(output_dimensionality=2, task_type="RETRIEVAL_QUERY")
    answer = client.models.embed_content(model="native", contents=["a", "bcd"], config=config)
    assert [embedding.values for embedding in answer.embeddings] == [[1.0, 0.5], [3.0, 0.5]]


def test_texts_are_embedded_by_another_vendor(client: genai.Client) -> None:
    answer = client.models.embed_content(model="crossed", contents=["a", "bcd"])
    assert len(answer.embeddings) == 2
    assert all(embedding.values for embedding in answer.embeddings)


def test_models_are_listed_for_the_key(client: genai.Client, world: World) -> None:
    assert [model.name for model in client.models.list()] == ["models/crossed", "models/native", "models/thinker"]
    assert client.models.get(model="native").display_name == "native"
    with genai.Client(api_key=KEYS["bob"], http_options=options(world, "/genai")) as bob:
        assert [model.name for model in bob.models.list()] == ["models/native"]
        with pytest.raises(errors.ClientError) as raised:
            bob.models.get(model="crossed")
    assert raised.value.status == "NOT_FOUND"


def test_errors_have_the_shape_the_sdk_knows(client: genai.Client, world: World) -> None:
    with genai.Client(api_key="wrong", http_options=options(world)) as stranger:
        with pytest.raises(errors.ClientError) as raised:
            stranger.models.generate_content(model="native", contents="hello")
        assert (raised.value.code, raised.value.status) == (401, "UNAUTHENTICATED")
    with pytest.raises(errors.ClientError) as raised:
        client.models.generate_content(model="nobody", contents="hello")
    assert (raised.value.code, raised.value.status) == (404, "NOT_FOUND")
    with pytest.raises(errors.ClientError) as raised:
        client.models.generate_content(model="native", contents="quota")
    assert (raised.value.code, raised.value.status) == (429, "RESOURCE_EXHAUSTED")
    assert raised.value.details["error"]["details"][0]["retryDelay"] == "2s"


def test_an_error_amid_a_stream_is_raised(client: genai.Client, world: World) -> None:
    chunk = gemini.response([{"text": "Well"}], None, {"contents": []})
    broken = {"error": {"code": 503, "message": "Overloaded.", "status": "UNAVAILABLE"}}
    world.google.script(gemini.stream_answer([chunk, broken]))
    stream = client.models.generate_content_stream(model="native", contents="hello")
    assert next(stream).text == "Well"
    with pytest.raises((errors.ServerError, errors.UnknownApiResponseError)) as raised:
        next(stream)
    assert "Overloaded" in str(raised.value)


def test_vertex_style_paths_are_served(world: World) -> None:
    body = json.dumps({"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}).encode()
    for start in ("/v1beta1/publishers/google", "/v1/projects/p/locations/global/publishers/google"):
        answer = world.gateway.call(post(f"{start}/models/native:generateContent", body))
        assert (answer.status, world.google.requests[-1].body) == (200, body)


def test_a_key_in_the_query_is_taken_and_goes_nowhere(world: World) -> None:
    key = KEYS["alice"]
    body = b'{"contents":[{"parts":[{"text":"hello"}]}]}'
    path = f"/v1beta/models/native:generateContent?key={key}"
    request = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
    assert world.gateway.call(request).status == 200
    (asked,) = world.google.requests
    assert asked.body == body
    assert key.encode() not in asked.head
    assert asked.headers["x-goog-api-key"] == PROVIDER_KEY
    assert key not in world.gateway.log
    assert not any(key.encode() in path.read_bytes() for path in world.gateway.data.rglob("*") if path.is_file())


@BOTH
def test_without_alt_sse_a_stream_is_one_json_array(world: World, model: str) -> None:
    body = b'{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}'
    answer = world.gateway.call(post(f"/v1beta/models/{model}:streamGenerateContent", body))
    assert answer.get("content-type") == "application/json"
    chunks = json.loads(answer.body)
    texts = [part["text"] for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"]]
    assert "".join(texts) == "You said: hello"
    assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"


def get_weather(city: str) -> str:
    """Look up the weather of a city."""
    return f"sunny in {city}"


@pytest.mark.parametrize("streams", [False, True])
def test_claudes_signed_thoughts_survive_a_tool_loop_of_googles_sdk(
    client: genai.Client, world: World, streams: bool
) -> None:
    thinking = types.ThinkingConfig(thinking_budget=2048, include_thoughts=True)
    config = types.GenerateContentConfig(tools=[get_weather], thinking_config=thinking, max_output_tokens=4096)
    chat = client.chats.create(model="thinker", config=config)
    if streams:
        text = "".join(chunk.text or "" for chunk in chat.send_message_stream("the weather in Paris?"))
    else:
        text = chat.send_message("the weather in Paris?").text
    assert "sunny in Paris" in text
    asked = world.claude.requests[1].json()
    assert asked["thinking"]["type"] == "enabled"
    assert asked["messages"][1]["content"] == [anthropic.THOUGHT, anthropic.CALL]


# --- callers of another dialect, before Gemini


@pytest.fixture
def openai_client(world: World) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{world.gateway.url}/v1", api_key=KEYS["alice"], timeout=20, max_retries=0) as made:
        yield made


TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("look_up", "ask_time")
]
QUESTION = {"role": "user", "content": "please look_up and ask_time"}


def test_openais_callers_are_answered_and_told_the_sum_of_what_google_counts_apart(openai_client: OpenAI) -> None:
    answer = openai_client.chat.completions.create(model="native", messages=[{"role": "user", "content": "hello"}])
    assert answer.choices[0].message.content == "You said: hello"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (1, 7, 8)
    assert answer.usage.completion_tokens_details.reasoning_tokens == 3


@pytest.mark.parametrize("streams", [False, True])
def test_signatures_survive_a_tool_loop_of_openais_callers(openai_client: OpenAI, world: World, streams: bool) -> None:
    if streams:
        with openai_client.chat.completions.stream(model="native", messages=[QUESTION], tools=TOOLS) as stream:
            stream.until_done()
            choice = stream.get_final_completion().choices[0]
    else:
        choice = openai_client.chat.completions.create(model="native", messages=[QUESTION], tools=TOOLS).choices[0]
    assert choice.finish_reason == "tool_calls"
    calls = choice.message.tool_calls
    assert [call.function.name for call in calls] == ["look_up", "ask_time"]
    results = [{"role": "tool", "tool_call_id": call.id, "content": call.function.name} for call in reversed(calls)]
    # Only what every client keeps: the ids, names and arguments of the calls.
    said = [
        {"id": call.id, "type": "function", "function": {"name": call.function.name, "arguments": "{}"}}
        for call in calls
    ]
    talk = [QUESTION, {"role": "assistant", "content": None, "tool_calls": said}, *results]
    answer = openai_client.chat.completions.create(model="native", messages=talk, tools=TOOLS)
    assert answer.choices[0].message.content == 'The tools said: {"output": "look_up"}, {"output": "ask_time"}'
    parts = world.google.requests[1].json()["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == [gemini.SIGNATURE, None]
    assert [part["functionCall"]["id"] for part in parts] == [f"{gemini.ID}-0", f"{gemini.ID}-1"]


def test_googles_errors_and_its_delay_reach_openais_callers(openai_client: OpenAI) -> None:
    with pytest.raises(RateLimitError) as raised:
        openai_client.chat.completions.create(model="native", messages=[{"role": "user", "content": "quota"}])
    assert "quota" in raised.value.message
    assert raised.value.response.headers["retry-after"] == "2"


def test_openais_callers_embed_with_gemini(openai_client: OpenAI) -> None:
    answer = openai_client.embeddings.create(model="native", input=["a", "bcd"])
    assert [entry.embedding for entry in answer.data] == [[1.0, 0.5], [3.0, 0.5]]


@pytest.mark.parametrize("streams", [False, True])
def test_signatures_survive_a_tool_loop_of_anthropics_callers(world: World, streams: bool) -> None:
    tools: list[Any] = [{"name": "look_up", "input_schema": {"type": "object", "properties": {}}}]
    question: Any = {"role": "user", "content": "please look_up"}
    asked: dict[str, Any] = {"model": "native", "max_tokens": 500, "tools": tools}
    with Anthropic(base_url=world.gateway.url, api_key=KEYS["alice"], timeout=20, max_retries=0) as claude:
        if streams:
            with claude.messages.stream(messages=[question], **asked) as stream:
                said = stream.get_final_message()
        else:
            said = claude.messages.create(messages=[question], **asked)
        assert said.stop_reason == "tool_use"
        call = said.content[-1]
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "done"}
        talk = [question, {"role": "assistant", "content": said.content}, {"role": "user", "content": [result]}]
        answer = claude.messages.create(messages=talk, **asked)
    assert "".join(block.text for block in answer.content) == 'The tools said: {"output": "done"}'
    (called,) = [part for part in world.google.requests[1].json()["contents"][1]["parts"] if "functionCall" in part]
    assert called["thoughtSignature"] == gemini.SIGNATURE
