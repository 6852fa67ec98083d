"""The official SDK of Anthropic, unmodified, at a provider of its own dialect and at one of OpenAI's; and OpenAI's SDK
at Anthropic's. Only base URL and key are ours.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import anthropic
import openai
import pytest
import pytest_asyncio
from anthropic import Anthropic, AsyncAnthropic
from openai import OpenAI

from plane.canonical import foreign_signature
from tests.conformance.answers import sized
from tests.e2e.harness import KEYS, PROVIDER_KEY, Gateway, digest, gateway
from tests.providers import anthropic as scripted
from tests.providers.scripted import Upstream, fin

CONFIG = """
providers:
  claude: {{dialect: anthropic, base_url: http://127.0.0.1:{claude}, credential: env:PROVIDER_KEY}}
  other: {{dialect: openai, base_url: http://127.0.0.1:{other}/v1, credential: env:PROVIDER_KEY}}
models:
  native: {{targets: [{{provider: claude, model: claude-sonnet-4-5}}]}}
  crossed: {{targets: [{{provider: other, model: scripted-small}}]}}
  lenient: {{targets: [{{provider: other, model: scripted-small}}], unsupported: drop}}
consumers:
  alice: {{keys: [{{sha256: {alice}}}], models: ["*"]}}
"""
HELLO: Any = [{"role": "user", "content": "hello"}]
WEATHER: Any = [{"role": "user", "content": "How is the weather?"}]
TOOL: Any = {
    "name": "get_weather",
    "description": "Look up the weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
FUNCTION: Any = {"type": "function", "function": {"name": "get_weather", "parameters": TOOL["input_schema"]}}
THINKING: Any = {"type": "enabled", "budget_tokens": 1024}


@dataclass(frozen=True)
class House:
    """A gateway between callers and two providers."""

    gateway: Gateway
    claude: Upstream
    other: Upstream


@pytest.fixture(scope="module")
def built() -> Iterator[House]:
    with Upstream(default=(scripted.answers(PROVIDER_KEY),)) as claude, Upstream() as other:
        text = CONFIG.format(claude=claude.port, other=other.port, alice=digest(KEYS["alice"]))
        with gateway(text) as running:
            yield House(running, claude, other)


@pytest.fixture
def house(built: House) -> Iterator[House]:
    for upstream in (built.claude, built.other):
        upstream.forget()
    yield built
    assert (built.claude.failures, built.other.failures) == ([], [])


@pytest.fixture(params=["", "/anthropic"])
def client(house: House, request: pytest.FixtureRequest) -> Iterator[Anthropic]:
    with Anthropic(base_url=house.gateway.url + request.param, api_key=KEYS["alice"], timeout=20) as made:
        yield made


@pytest_asyncio.fixture
async def async_client(house: House) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(base_url=house.gateway.url, api_key=KEYS["alice"], timeout=20) as made:
        yield made


@pytest.fixture
def openai_client(house: House) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{house.gateway.url}/v1", api_key=KEYS["alice"], timeout=20) as made:
        yield made


def words(message: anthropic.types.Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


# --- the same dialect on both sides


def test_a_message_passes_through_byte_for_byte(client: Anthropic, house: House) -> None:
    system: Any = [{"type": "text", "text": "Be brief, \u00fc.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    raw = client.messages.with_raw_response.create(
        model="native", max_tokens=99, messages=HELLO, system=system, extra_body={"unknown": {"a": 1.50}}
    )
    message = raw.parse()
    assert (words(message), message.usage.cache_read_input_tokens) == ("You said: hello", 4)
    (asked,) = house.claude.requests
    sent = bytes(raw.http_request.read())
    assert asked.body == sent.replace(b'"native"', b'"claude-sonnet-4-5"')
    assert raw.http_response.content == json.dumps(scripted.said(asked.json())).encode()
    assert raw.headers["request-id"] == raw.headers["x-request-id"] == message._request_id
    assert KEYS["alice"].encode() not in asked.head


def test_betas_and_the_version_go_along(client: Anthropic, house: House) -> None:
    client.messages.create(
        model="native", max_tokens=9, messages=HELLO, extra_headers={"anthropic-beta": "a-2026-01-01,b-2026-02-02"}
    )
    headers = house.claude.requests[0].headers
    assert headers["anthropic-beta"] == "a-2026-01-01,b-2026-02-02"
    assert headers["anthropic-version"] == client.default_headers["anthropic-version"]


def test_a_streamed_message_passes_through_byte_for_byte(client: Anthropic, house: House) -> None:
    with client.messages.with_streaming_response.create(
        model="native", max_tokens=99, messages=HELLO, stream=True
    ) as raw:
        received = b"".join(raw.iter_bytes())
    assert received == scripted.stream(scripted.said(house.claude.requests[0].json()))
    with client.messages.stream(model="native", max_tokens=99, messages=HELLO) as stream:
        assert "".join(stream.text_stream) == "You said: hello"
        assert stream.get_final_message().usage.output_tokens == 7


@pytest.mark.parametrize("model", ["native", "crossed"])
def test_a_key_in_the_authorization_field_counts_as_well(house: House, model: str) -> None:
    with Anthropic(base_url=house.gateway.url, auth_token=KEYS["alice"], api_key=None) as made:
        assert words(made.messages.create(model=model, max_tokens=99, messages=HELLO)) == "You said: hello"


def test_a_loop_of_tools_keeps_its_thoughts(client: Anthropic, house: House) -> None:
    talk = list(WEATHER)
    first = client.messages.create(model="native", max_tokens=4096, messages=talk, tools=[TOOL], thinking=THINKING)
    assert [block.type for block in first.content] == ["thinking", "tool_use"]
    talk.append({"role": "assistant", "content": first.content})
    result = {"type": "tool_result", "tool_use_id": first.content[1].id, "content": "sunny"}
    talk.append({"role": "user", "content": [result]})
    second = client.messages.create(model="native", max_tokens=4096, messages=talk, tools=[TOOL], thinking=THINKING)
    assert words(second) == "The tool says: sunny"


def test_tokens_are_counted_by_a_provider_that_can(client: Anthropic, house: House) -> None:
    raw = client.messages.with_raw_response.count_tokens(model="native", messages=HELLO)
    assert raw.parse().input_tokens == scripted.COUNT
    assert "x-headgate-estimate" not in raw.headers


def test_tokens_are_estimated_where_the_provider_cannot_count(client: Anthropic, house: House) -> None:
    raw = client.messages.with_raw_response.count_tokens(
        model="crossed", messages=[{"role": "user", "content": "a" * 400}]
    )
    assert 90 < raw.parse().input_tokens < 130
    assert raw.headers["x-headgate-estimate"] == "true"
    assert (house.claude.requests, house.other.requests) == ([], [])


def test_models_are_listed_page_by_page(client: Anthropic) -> None:
    assert [model.id for model in client.models.list(limit=2)] == ["crossed", "lenient", "native"]
    assert client.models.retrieve("native").display_name == "native"
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("unknown")


# --- errors


@pytest.mark.parametrize("model", ["native", "crossed"])
def test_a_wrong_key_and_an_unknown_model_are_told_in_anthropics_shape(house: House, model: str) -> None:
    with (
        Anthropic(base_url=house.gateway.url, api_key="wrong", max_retries=0) as made,
        pytest.raises(anthropic.AuthenticationError) as caught,
    ):
        made.messages.create(model=model, max_tokens=9, messages=HELLO)
    body: Any = caught.value.body
    assert (body["type"], body["error"]["type"]) == ("error", "authentication_error")
    assert body["request_id"] == caught.value.request_id


def test_an_unknown_model_is_not_found(client: Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.messages.create(model="unknown", max_tokens=9, messages=HELLO)
    body: Any = caught.value.body
    assert body["error"]["type"] == "not_found_error"


def test_a_providers_own_error_comes_through_as_it_is(client: Anthropic, house: House) -> None:
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.create(model="native", max_tokens=9, messages=[*HELLO, *HELLO])
    assert "roles must alternate" in str(caught.value)


def test_an_overloaded_provider_is_asked_again_by_the_sdk(house: House) -> None:
    house.claude.script(scripted.error(529, "overloaded_error", "Overloaded"))
    with Anthropic(base_url=house.gateway.url, api_key=KEYS["alice"], max_retries=1) as made:
        assert words(made.messages.create(model="native", max_tokens=99, messages=HELLO)) == "You said: hello"
    assert len(house.claude.requests) == 2


def test_what_the_gateway_refuses_is_not_asked_again(client: Anthropic, house: House) -> None:
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.create(model="crossed", max_tokens=9, messages=HELLO, extra_body={"top_k": 5})
    assert "top_k" in str(caught.value)
    assert house.other.requests == []


def test_an_error_amid_a_stream_is_raised(client: Anthropic, house: House) -> None:
    whole = scripted.stream(scripted.message([{"type": "text", "text": "half"}], "end_turn"))
    cut = whole.index(b"event: content_block_stop")
    failed = scripted.event({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    house.claude.script(scripted.sized(200, whole[:cut] + failed, "text/event-stream"))
    with (
        pytest.raises(anthropic.APIStatusError, match="Overloaded"),
        client.messages.stream(model="native", max_tokens=9, messages=HELLO) as stream,
    ):
        list(stream)


def test_a_stream_that_breaks_off_ends_in_an_error_and_not_in_a_message(client: Anthropic, house: House) -> None:
    whole = scripted.stream(scripted.message([{"type": "text", "text": "half"}], "end_turn"))
    half = whole[: whole.index(b"event: content_block_stop")]
    house.claude.script(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99999\r\n\r\n" + half, fin
    )
    with (
        pytest.raises(anthropic.APIStatusError, match="api_error"),
        client.messages.stream(model="native", max_tokens=9, messages=HELLO) as stream,
    ):
        list(stream)


# --- an OpenAI provider behind Anthropic's SDK


def test_a_message_is_answered_by_an_openai_provider(client: Anthropic, house: House) -> None:
    message = client.messages.create(model="crossed", max_tokens=99, messages=HELLO, system="Be brief.")
    assert (words(message), message.stop_reason) == ("You said: hello", "end_turn")
    asked = house.other.requests[0].json()
    assert [turn["role"] for turn in asked["messages"]] == ["system", "user"]
    assert asked["model"] == "scripted-small"


def test_a_streamed_message_is_answered_by_an_openai_provider(client: Anthropic) -> None:
    with client.messages.stream(model="crossed", max_tokens=99, messages=HELLO) as stream:
        kinds = [event.type for event in stream]
        message = stream.get_final_message()
    assert (words(message), message.stop_reason) == ("You said: hello", "end_turn")
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
    assert message.usage.output_tokens > 0


def completion(message: dict[str, Any], finish: str) -> bytes:
    """Return an answer of an OpenAI provider."""
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "scripted-small",
        "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 5}},
    }
    return sized(body=json.dumps(body).encode())


def test_a_loop_of_tools_works_with_an_openai_provider(client: Anthropic, house: House) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'}}
    house.other.script(completion({"content": None, "tool_calls": [call]}, "tool_calls"))
    talk = list(WEATHER)
    first = client.messages.create(model="crossed", max_tokens=99, messages=talk, tools=[TOOL])
    assert first.stop_reason == "tool_use"
    assert first.content[0].input == {"city": "Paris"}
    assert (first.usage.input_tokens, first.usage.cache_read_input_tokens) == (4, 5)
    talk.append({"role": "assistant", "content": first.content})
    result = {"type": "tool_result", "tool_use_id": first.content[0].id, "content": "sunny"}
    talk.append({"role": "user", "content": [result]})
    house.other.script(completion({"content": "It is sunny."}, "stop"))
    second = client.messages.create(model="crossed", max_tokens=99, messages=talk, tools=[TOOL])
    assert words(second) == "It is sunny."
    sent = house.other.requests[1].json()["messages"]
    assert [turn["role"] for turn in sent] == ["user", "assistant", "tool"]
    assert (sent[2]["tool_call_id"], sent[2]["content"]) == ("call_1", "sunny")


def test_what_is_dropped_is_named(client: Anthropic) -> None:
    raw = client.messages.with_raw_response.create(
        model="lenient", max_tokens=99, messages=HELLO, extra_body={"top_k": 5}
    )
    assert words(raw.parse()) == "You said: hello"
    assert "top_k" in raw.headers["x-headgate-dropped"]


def test_an_openai_providers_error_is_told_in_anthropics_shape(house: House) -> None:
    error = {"error": {"message": "Slow down.", "type": "requests", "param": None, "code": "rate_limit_exceeded"}}
    house.other.script(sized("retry-after: 1", status="429 Too Many", body=json.dumps(error).encode()))
    with (
        Anthropic(base_url=house.gateway.url, api_key=KEYS["alice"], max_retries=0) as made,
        pytest.raises(anthropic.RateLimitError) as caught,
    ):
        made.messages.create(model="crossed", max_tokens=9, messages=HELLO)
    body: Any = caught.value.body
    assert (body["error"]["type"], "Slow down." in body["error"]["message"]) == ("rate_limit_error", True)
    assert caught.value.response.headers["retry-after"] == "1"


# --- without blocking


@pytest.mark.parametrize("model", ["native", "crossed"])
def test_many_calls_at_once_stay_apart(house: House, model: str) -> None:
    async def all_of_them() -> list[str]:
        async with AsyncAnthropic(base_url=house.gateway.url, api_key=KEYS["alice"]) as made:

            async def one(number: int) -> str:
                talk: Any = [{"role": "user", "content": f"call {number}"}]
                async with made.messages.stream(model=model, max_tokens=99, messages=talk) as stream:
                    return words(await stream.get_final_message())

            return list(await asyncio.gather(*(one(number) for number in range(20))))

    assert asyncio.run(all_of_them()) == [f"You said: call {number}" for number in range(20)]


@pytest.mark.asyncio
async def test_the_async_sdk_is_served_as_well(async_client: AsyncAnthropic) -> None:
    message = await async_client.messages.create(model="crossed", max_tokens=99, messages=HELLO)
    assert words(message) == "You said: hello"
    assert (await async_client.messages.count_tokens(model="native", messages=HELLO)).input_tokens == scripted.COUNT
    assert [model.id async for model in async_client.models.list()] == ["crossed", "lenient", "native"]


# --- an Anthropic provider behind OpenAI's SDK


def test_a_chat_is_answered_by_an_anthropic_provider(openai_client: OpenAI, house: House) -> None:
    talk: Any = [{"role": "system", "content": "Be brief."}, *HELLO]
    answer = openai_client.chat.completions.create(model="native", messages=talk)
    assert answer.choices[0].message.content == "You said: hello"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (15, 7)
    assert answer.usage.prompt_tokens_details.cached_tokens == 4
    asked = house.claude.requests[0].json()
    assert (asked["system"], asked["max_tokens"]) == ("Be brief.", 4096)


@pytest.mark.parametrize("streamed", [False, True])
def test_thoughts_live_on_through_a_loop_of_tools_of_a_caller_without_a_field_for_their_proof(
    openai_client: OpenAI, house: House, streamed: bool
) -> None:
    talk: list[Any] = list(WEATHER)
    options: Any = {"model": "native", "tools": [FUNCTION], "reasoning_effort": "low", "max_completion_tokens": 4096}
    talk.append(turn_of(openai_client, talk, options, streamed))
    signature = foreign_signature("anthropic", scripted.THOUGHT["signature"])
    assert talk[-1]["thinking_blocks"] == [{**scripted.THOUGHT, "signature": signature}]
    (call,) = talk[-1]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"city": "Paris"}
    talk.append({"role": "tool", "tool_call_id": call["id"], "content": "sunny"})
    assert turn_of(openai_client, talk, options, streamed)["content"] == "The tool says: sunny"
    sent = house.claude.requests[1].json()
    assert sent["messages"][1]["content"] == [scripted.THOUGHT, scripted.CALL]
    assert sent["thinking"] == {"type": "enabled", "budget_tokens": 1024}


def turn_of(client: OpenAI, talk: list[Any], options: Any, streamed: bool) -> dict[str, Any]:
    """Return the assistant's turn, as a caller keeps it that knows what LiteLLM's callers know."""
    if not streamed:
        answer = client.chat.completions.create(messages=talk, **options)
        return answer.choices[0].message.model_dump(exclude_none=True)
    turn: dict[str, Any] = {"role": "assistant", "content": "", "tool_calls": [], "thinking_blocks": []}
    for chunk in client.chat.completions.create(messages=talk, stream=True, **options):
        delta = chunk.choices[0].delta.model_dump(exclude_none=True) if chunk.choices else {}
        turn["content"] += delta.get("content", "")
        turn["thinking_blocks"] += delta.get("thinking_blocks", [])
        for call in delta.get("tool_calls", []):
            if call["index"] == len(turn["tool_calls"]):
                turn["tool_calls"].append({**call, "function": {"name": call["function"]["name"], "arguments": ""}})
            turn["tool_calls"][call.pop("index")]["function"]["arguments"] += call["function"].get("arguments", "")
    for call in turn["tool_calls"]:
        call.pop("index", None)
    whole = {block["signature"]: block for block in turn["thinking_blocks"] if block.get("signature")}
    turn["thinking_blocks"] = [
        {**block, "thinking": block["thinking"] or "".join(b.get("thinking", "") for b in turn["thinking_blocks"])}
        for block in whole.values()
    ]
    return turn


def test_a_loop_that_lost_its_thoughts_goes_on_without_and_says_so(openai_client: OpenAI, house: House) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    talk: Any = [
        *WEATHER,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ]
    raw = openai_client.chat.completions.with_raw_response.create(
        model="native", messages=talk, tools=[FUNCTION], reasoning_effort="low"
    )
    assert raw.parse().choices[0].message.content == "The tool says: sunny"
    assert "thinking" in raw.headers["x-headgate-dropped"]
    assert house.claude.requests[0].json()["thinking"] == {"type": "disabled"}


def test_a_refusal_is_told_to_an_openai_caller(openai_client: OpenAI) -> None:
    talk: Any = [{"role": "user", "content": "refuse this"}]
    answer = openai_client.chat.completions.create(model="native", messages=talk)
    assert answer.choices[0].message.refusal == "I will not."
    assert answer.choices[0].finish_reason in ("content_filter", "stop")


def test_an_anthropic_providers_error_is_told_in_openais_shape(house: House) -> None:
    house.claude.script(scripted.error(529, "overloaded_error", "Overloaded", "retry-after: 3"))
    with (
        OpenAI(base_url=f"{house.gateway.url}/v1", api_key=KEYS["alice"], max_retries=0) as made,
        pytest.raises(openai.InternalServerError) as caught,
    ):
        made.chat.completions.create(model="native", messages=HELLO)
    assert caught.value.status_code == 503
    assert "Overloaded" in str(caught.value)
