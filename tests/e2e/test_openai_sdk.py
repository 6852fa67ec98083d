"""The official SDK, unmodified: only its base URL and its key are ours."""

import json
from collections.abc import AsyncIterator, Iterator

import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI, OpenAI

from tests.conformance.answers import CHUNK, LAST_CHUNK, STREAM_HEAD, chunk, failure, sized
from tests.e2e.conftest import Stage
from tests.e2e.harness import KEYS
from tests.providers.scripted import fin, reset

HELLO = [{"role": "user", "content": "hello"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "look_up",
            "parameters": {"type": "object", "properties": {"query": {"type": "string"}}},
        },
    }
]


@pytest.fixture
def client(stage: Stage) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{stage.gateway.url}/v1", api_key=KEYS["alice"], timeout=20) as made:
        yield made


@pytest_asyncio.fixture
async def async_client(stage: Stage) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{stage.gateway.url}/v1", api_key=KEYS["alice"], timeout=20) as made:
        yield made


def test_chat(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="good", messages=HELLO)
    assert answer.choices[0].message.content == "You said: hello"
    assert answer.usage.prompt_tokens == 1
    assert answer.usage.completion_tokens == 3
    assert answer._request_id


def test_streamed_chat_without_usage_has_no_usage_chunk(client: OpenAI, stage: Stage) -> None:
    with client.chat.completions.create(model="good", messages=HELLO, stream=True) as stream:
        chunks = list(stream)
    assert "".join(item.choices[0].delta.content or "" for item in chunks) == "You said: hello"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert stage.upstream.requests[0].json()["stream_options"]["include_usage"] is True


def test_streamed_chat_with_usage_ends_in_a_usage_chunk(client: OpenAI) -> None:
    options = {"include_usage": True}
    with client.chat.completions.create(model="good", messages=HELLO, stream=True, stream_options=options) as stream:
        *chunks, last = list(stream)
    assert all(item.usage is None for item in chunks)
    assert last.choices == []
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (1, 3)


def test_the_stream_helper_gathers_the_answer(client: OpenAI) -> None:
    with client.chat.completions.stream(model="good", messages=HELLO) as stream:
        stream.until_done()
        assert stream.get_final_completion().choices[0].message.content == "You said: hello"


def test_a_tool_is_called_and_its_result_is_answered(client: OpenAI) -> None:
    question = [{"role": "user", "content": "please look_up the weather"}]
    answer = client.chat.completions.create(model="good", messages=question, tools=TOOLS)
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls[0].function.name == "look_up"
    assert json.loads(message.tool_calls[0].function.arguments) == {"query": "please look_up the weather"}
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "sun"}
    follow_up = [*question, message.to_dict(), result, {"role": "user", "content": "thanks"}]
    assert client.chat.completions.create(model="good", messages=follow_up).choices[0].message.content


def test_a_streamed_tool_call_is_put_together_from_its_pieces(client: OpenAI) -> None:
    question = [{"role": "user", "content": "please look_up the weather"}]
    with client.chat.completions.create(model="good", messages=question, tools=TOOLS, stream=True) as stream:
        deltas = [item.choices[0].delta.tool_calls[0] for item in stream if item.choices[0].delta.tool_calls]
    assert [delta.function.name for delta in deltas if delta.function.name] == ["look_up"]
    arguments = "".join(delta.function.arguments for delta in deltas)
    assert json.loads(arguments) == {"query": "please look_up the weather"}


def test_completions_streamed_and_not(client: OpenAI) -> None:
    assert client.completions.create(model="good", prompt="hello").choices[0].text == "You said: hello"
    with client.completions.create(model="good", prompt="hello", stream=True) as stream:
        assert "".join(item.choices[0].text for item in stream) == "You said: hello"


def test_embeddings_come_as_base64_and_as_numbers(client: OpenAI, stage: Stage) -> None:
    packed = client.embeddings.create(model="good", input=["one", "two"])
    plain = client.embeddings.create(model="good", input=["one", "two"], encoding_format="float")
    assert [len(item.embedding) for item in packed.data] == [8, 8]
    for one, other in zip(packed.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
    assert stage.upstream.requests[0].json()["encoding_format"] == "base64"


def test_models_are_listed_as_far_as_the_key_reaches(client: OpenAI) -> None:
    assert "refused" in {model.id for model in client.models.list()}
    with client.with_options(api_key=KEYS["bob"]) as bob:
        assert {model.id for model in bob.models.list()} == {"good", "large"}
        assert bob.models.retrieve("good").id == "good"
        with pytest.raises(openai.NotFoundError):
            bob.models.retrieve("refused")


async def test_the_async_client_calls_and_streams(async_client: AsyncOpenAI) -> None:
    answer = await async_client.chat.completions.create(model="good", messages=HELLO)
    assert answer.choices[0].message.content == "You said: hello"
    async with await async_client.chat.completions.create(model="good", messages=HELLO, stream=True) as stream:
        pieces = [item.choices[0].delta.content or "" async for item in stream]
    assert "".join(pieces) == "You said: hello"
    assert {model.id async for model in async_client.models.list()} >= {"good", "large"}


async def test_the_async_client_raises_the_same_errors(async_client: AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await async_client.chat.completions.create(model="absent", messages=HELLO)
    assert caught.value.code == "model_not_found"


def test_a_wrong_key_is_an_authentication_error(client: OpenAI) -> None:
    with client.with_options(api_key="wrong") as stranger, pytest.raises(openai.AuthenticationError):
        stranger.models.list()


def test_an_unknown_model_is_a_not_found_error_that_names_what_there_is(client: OpenAI) -> None:
    with client.with_options(api_key=KEYS["bob"]) as bob, pytest.raises(openai.NotFoundError, match="good") as caught:
        bob.chat.completions.create(model="refused", messages=HELLO)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_our_own_refusal_is_not_retried(client: OpenAI, stage: Stage) -> None:
    sent = []
    client._client.event_hooks["request"].append(sent.append)
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="absent", messages=HELLO)
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert len(sent) == 1
    assert stage.upstream.requests == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("400 Bad Request", openai.BadRequestError),
        ("404 Not Found", openai.NotFoundError),
        ("422 Unprocessable Entity", openai.UnprocessableEntityError),
        ("429 Too Many Requests", openai.RateLimitError),
        ("500 Internal Server Error", openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_provider_s_error_is_the_sdk_s(
    status: str, kind: type[openai.APIStatusError], stream: bool, client: OpenAI, stage: Stage
) -> None:
    stage.upstream.script(sized(status=status, body=failure("The provider says no.", "some_error", "some_code")))
    with pytest.raises(kind) as caught:
        client.with_options(max_retries=0).chat.completions.create(model="good", messages=HELLO, stream=stream)
    assert (caught.value.code, caught.value.type) == ("some_code", "some_error")
    assert "The provider says no." in caught.value.message


def test_the_sdk_s_own_retry_gets_through_to_a_provider_that_recovers(client: OpenAI, stage: Stage) -> None:
    busy = failure("Busy.", "server_error", "overloaded")
    stage.upstream.script(sized("retry-after-ms: 1", status="503 Service Unavailable", body=busy))
    answer = client.chat.completions.create(model="good", messages=HELLO)
    assert answer.choices[0].message.content == "You said: hello"
    assert len(stage.upstream.requests) == 2


def test_a_provider_that_cannot_be_reached_is_an_internal_server_error(client: OpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        client.with_options(max_retries=0).chat.completions.create(model="refused", messages=HELLO)
    assert caught.value.status_code == 502
    assert caught.value.code == "upstream_unreachable"


@pytest.mark.parametrize("end", [fin, reset], ids=["FIN", "reset"])
def test_a_stream_that_breaks_raises_an_api_error(end, client: OpenAI, stage: Stage) -> None:
    stage.upstream.script(STREAM_HEAD + chunk(CHUNK), end)
    received = []
    with (
        pytest.raises(openai.APIError) as caught,
        client.chat.completions.create(model="good", messages=HELLO, stream=True) as stream,
    ):
        received.extend(stream)
    assert [item.choices[0].delta.content for item in received] == ["scripted"]
    assert "upstream" in caught.value.message


def test_an_error_event_of_the_provider_raises_an_api_error(client: OpenAI, stage: Stage) -> None:
    event = b"data: " + failure("Overloaded.", "server_error", "overloaded") + b"\n\n"
    stage.upstream.script(STREAM_HEAD + chunk(CHUNK) + chunk(event) + LAST_CHUNK)
    with (
        pytest.raises(openai.APIError, match="Overloaded"),
        client.chat.completions.create(model="good", messages=HELLO, stream=True) as stream,
    ):
        list(stream)


def test_raw_answers_show_the_gateway_s_fields(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="good", messages=HELLO)
    assert raw.headers["x-request-id"]
    assert len(raw.headers["x-headgate-config"]) == 12
    assert raw.parse().choices[0].message.content == "You said: hello"
