"""OpenAI's official SDK and its Responses API: passed through, kept to who made what, and translated."""

import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI, OpenAI

from tests.e2e.harness import KEYS, Gateway, digest, eventually, gateway
from tests.providers.openai_responses import Keeper
from tests.providers.scripted import Upstream

CONFIG = """
providers:
  first:
    {{dialect: openai, also: [openai_responses], base_url: http://127.0.0.1:{first}/v1, credential: env:PROVIDER_KEY,
      files: true}}
  second: {{dialect: openai_responses, base_url: http://127.0.0.1:{second}/v1, credential: env:PROVIDER_KEY}}
models:
  smart: {{strategy: weighted, targets: [{{provider: first, model: one}}, {{provider: second, model: two}}]}}
  first: {{targets: [{{provider: first, model: one}}]}}
  second: {{targets: [{{provider: second, model: two}}]}}
consumers:
  alice: {{keys: [{{sha256: {alice}}}], models: ["*"]}}
  bob: {{keys: [{{sha256: {bob}}}], models: ["smart"]}}
"""
TOOLS: Any = [
    {
        "type": "function",
        "name": "get_weather",
        "description": "Weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        "strict": False,
    }
]


@dataclass
class Scene:
    """A gateway before two providers that keep what they make."""

    gateway: Gateway
    first: Upstream
    second: Upstream

    def client(self, consumer: str = "alice") -> OpenAI:
        return OpenAI(base_url=f"{self.gateway.url}/v1", api_key=KEYS[consumer], timeout=20, max_retries=0)

    @property
    def requests(self) -> list[tuple[str, str]]:
        """Return (provider, request line without the version) of all requests, each provider's in order."""
        return [
            (name, request.line.rpartition(" ")[0])
            for name, upstream in (("first", self.first), ("second", self.second))
            for request in upstream.requests
        ]


@pytest.fixture(scope="module")
def running() -> Iterator[Scene]:
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(Upstream(default=(Keeper(),)))
        second = stack.enter_context(Upstream(default=(Keeper(),)))
        text = CONFIG.format(first=first.port, second=second.port, alice=digest(KEYS["alice"]), bob=digest(KEYS["bob"]))
        # Two workers: what one of them wrapped the other has to unwrap.
        yield Scene(stack.enter_context(gateway(text, workers=2)), first, second)


@pytest.fixture
def scene(running: Scene) -> Iterator[Scene]:
    running.first.forget()
    running.second.forget()
    yield running
    assert running.first.failures == running.second.failures == []


@pytest.fixture
def client(scene: Scene) -> Iterator[OpenAI]:
    with scene.client() as made:
        yield made


@pytest_asyncio.fixture
async def async_client(scene: Scene) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{scene.gateway.url}/v1", api_key=KEYS["alice"], timeout=20) as made:
        yield made


def test_a_response_passes_through_with_what_nobody_knows(client: OpenAI, scene: Scene) -> None:
    answer = client.responses.create(model="first", input="hello", extra_body={"new_member": [1.50]})
    assert answer.output_text == "You said: hello"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 18
    assert answer.model_extra is not None
    assert answer.model_extra["from_the_future"] == [1.5, 1000.0]
    assert scene.first.requests[0].json() == {"model": "one", "input": "hello", "new_member": [1.5]}


def test_a_stored_response_of_megabytes_has_our_id_as_well(client: OpenAI) -> None:
    words = "long " * 700_000
    answer = client.responses.create(model="first", input=words)
    assert answer.output_text == f"You said: {words}"
    assert answer.id.startswith("resp_hgid_")


async def test_an_asynchronous_client_gets_a_response(async_client: AsyncOpenAI) -> None:
    answer = await async_client.responses.create(model="first", input="hello")
    assert answer.output_text == "You said: hello"


async def test_an_asynchronous_client_gets_a_stream(async_client: AsyncOpenAI) -> None:
    async with async_client.responses.stream(model="second", input="hello you") as stream:
        kinds = [event.type async for event in stream]
        answer = await stream.get_final_response()
    assert kinds.count("response.output_text.delta") == 4
    assert answer.output_text == "You said: hello you"


def test_a_stream_has_one_id_from_its_first_event_to_its_last(client: OpenAI) -> None:
    with client.responses.create(model="first", input="hello", stream=True) as stream:
        events = list(stream)
    ids = {event.response.id for event in events if hasattr(event, "response")}
    assert len(ids) == 1
    assert ids.pop().startswith("resp_hgid_")
    assert [event.sequence_number for event in events if hasattr(event, "sequence_number")] == list(range(len(events)))


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_not_stored_keeps_the_provider_s_id(client: OpenAI, stream: bool) -> None:
    answer: Any = client.responses.create(model="first", input="hello", store=False, stream=stream)
    if stream:
        answer = list(answer)[-1].response
    assert answer.id.startswith("resp_made")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("maker", ["first", "second"])
def test_a_talk_goes_on_where_it_began(client: OpenAI, scene: Scene, maker: str, stream: bool) -> None:
    begun = client.responses.create(model=maker, input="hello")
    for _ in range(4):  # The model's strategy would ask both in turn.
        answer: Any = client.responses.create(model="smart", input="more", previous_response_id=begun.id, stream=stream)
        if stream:
            answer = list(answer)[-1].response
        assert answer.previous_response_id == begun.id
        assert answer.output_text == "You said: more"
    assert {name for name, _ in scene.requests} == {maker}


@pytest.mark.parametrize("maker", ["first", "second"])
def test_what_is_stored_can_be_had_again_cancelled_and_deleted(client: OpenAI, scene: Scene, maker: str) -> None:
    made = client.responses.create(model=maker, input="hello", metadata={"said": "hello"})
    assert client.responses.retrieve(made.id).id == made.id
    assert client.responses.retrieve(made.id).output_text == "You said: hello"
    items = client.responses.input_items.list(made.id, limit=1, order="asc")
    assert [item.id for item in items] == ["msg_in"]
    assert client.responses.cancel(made.id).status == "cancelled"
    client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)
    own = scene.requests[1][1].removeprefix("GET /v1/responses/")
    assert own.startswith("resp_made")
    assert [line for _, line in scene.requests[1:]] == [
        f"GET /v1/responses/{own}",
        f"GET /v1/responses/{own}",
        f"GET /v1/responses/{own}/input_items?limit=1&order=asc",
        f"POST /v1/responses/{own}/cancel",
        f"DELETE /v1/responses/{own}",
        f"GET /v1/responses/{own}",
    ]
    assert {name for name, _ in scene.requests} == {maker}


def test_a_stored_response_can_be_streamed_again(client: OpenAI) -> None:
    made = client.responses.create(model="second", input="hello")
    with client.responses.retrieve(made.id, stream=True) as stream:
        events = list(stream)
    assert {event.response.id for event in events if hasattr(event, "response")} == {made.id}
    assert events[-1].type == "response.completed"


def test_a_response_made_in_the_background_is_counted_once_whoever_tells_of_it(client: OpenAI, scene: Scene) -> None:
    def counted(name: str, **labels: str) -> float:
        return scene.gateway.metric(name, model="first", target="first/one", **labels)

    tokens, calls = counted("headgate_tokens_total", kind="input"), counted("headgate_requests_total")
    made = client.responses.create(model="first", input="hello you", background=True)
    assert made.status == "queued"
    seen = [client.responses.retrieve(made.id) for _ in range(6)]
    assert [one.status for one in seen] == ["in_progress", *["completed"] * 5]
    assert {one.id for one in seen} == {made.id}
    assert seen[-1].output_text == "You said: hello you"
    with client.responses.retrieve(made.id, stream=True, starting_after=1) as stream:
        assert list(stream)[-1].type == "response.completed"
    assert [item.id for item in client.responses.input_items.list(made.id)] == ["msg_in"]
    # The one that made it, and those that told its usage.
    eventually(lambda: counted("headgate_requests_total") == calls + 7)
    assert counted("headgate_tokens_total", kind="input") == tokens + 11


def test_a_response_made_in_the_background_is_cancelled(client: OpenAI, scene: Scene) -> None:
    made = client.responses.create(model="second", input="hello", background=True)
    assert client.responses.cancel(made.id).status == "cancelled"
    assert client.responses.retrieve(made.id).status == "cancelled"
    assert {name for name, _ in scene.requests} == {"second"}


def test_another_consumer_s_response_is_none(client: OpenAI, scene: Scene) -> None:
    made = client.responses.create(model="smart", input="hello")
    before = len(scene.requests)
    with scene.client("bob") as bob:
        for ask in (
            lambda: bob.responses.retrieve(made.id),
            lambda: bob.responses.delete(made.id),
            lambda: bob.responses.create(model="smart", input="more", previous_response_id=made.id),
        ):
            with pytest.raises(openai.NotFoundError) as caught:
                ask()
            assert caught.value.code == "id_not_found"
    assert len(scene.requests) == before


@pytest.mark.parametrize("given", ["resp_made1", "resp_hgid_AAAA", "x"])
def test_an_id_that_the_gateway_did_not_give_out_is_none(client: OpenAI, scene: Scene, given: str) -> None:
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(given)
    with pytest.raises(openai.NotFoundError) as caught:
        client.responses.create(model="first", input="more", previous_response_id=given)
    assert caught.value.param == "previous_response_id"
    assert scene.requests == []


def test_a_talk_cannot_go_on_at_a_provider_that_did_not_begin_it(client: OpenAI) -> None:
    made = client.responses.create(model="first", input="hello")
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="second", input="more", previous_response_id=made.id)
    assert caught.value.code == "kept_elsewhere"


def test_a_provider_s_error_comes_through(client: OpenAI) -> None:
    made = client.responses.create(model="first", input="hello")
    client.responses.delete(made.id)
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="first", input="more", previous_response_id=made.id)
    assert "not found" in caught.value.message


def test_a_loop_of_tools_and_thoughts_passes_through(client: OpenAI, scene: Scene) -> None:
    asked: Any = [{"role": "user", "content": "Weather in Paris?"}]
    options: Any = {"tools": TOOLS, "reasoning": {"effort": "low"}, "store": False}
    first = client.responses.create(model="first", input=asked, **options)
    call = first.output[1]
    assert call.type == "function_call"
    asked += first.output
    asked.append({"type": "function_call_output", "call_id": call.call_id, "output": "sunny"})
    second = client.responses.create(model="first", input=asked, **options)
    assert second.output_text == "The tool said: sunny"
    sent = scene.first.requests[1].json()["input"]
    assert sent[1]["encrypted_content"] == "gAAAAsecret"


def test_tokens_are_counted_and_contexts_compacted_by_model(client: OpenAI, scene: Scene) -> None:
    assert client.responses.input_tokens.count(model="second", input="hello").input_tokens == 11
    assert client.responses.compact(model="second", input="hello").object == "response.compaction"
    assert [request.json()["model"] for request in scene.second.requests] == ["two", "two"]


def test_a_conversation_stays_where_it_was_made(client: OpenAI, scene: Scene) -> None:
    made = client.conversations.create()
    for _ in range(3):
        answer = client.responses.create(model="smart", input="hello", conversation=made.id)
        assert answer.conversation is not None
        assert answer.conversation.id == made.id
    assert client.conversations.retrieve(made.id).id == made.id
    assert {name for name, _ in scene.requests} == {"first"}


def test_files_and_batches_stay_where_they_were_made(client: OpenAI, scene: Scene) -> None:
    line = json.dumps({"custom_id": "1", "method": "POST", "url": "/v1/responses", "body": {}}).encode()
    made = client.files.create(file=("calls.jsonl", line), purpose="batch")
    assert made.id.startswith("file-hgid_")
    assert client.files.retrieve(made.id).id == made.id
    assert client.files.content(made.id).content == line
    batch = client.batches.create(input_file_id=made.id, endpoint="/v1/responses", completion_window="24h")
    assert batch.input_file_id == made.id
    batch = client.batches.retrieve(batch.id)
    assert batch.output_file_id is not None
    assert client.files.content(batch.output_file_id).content == b'{"custom_id":"1"}\n'
    assert client.batches.cancel(batch.id).status == "cancelled"
    content: Any = [{"role": "user", "content": [{"type": "input_file", "file_id": made.id}]}]
    client.responses.create(model="smart", input=content)
    assert scene.first.requests[-1].json()["input"][0]["content"][0]["file_id"].startswith("file-made")
    assert client.files.delete(made.id).deleted
    assert {name for name, _ in scene.requests} == {"first"}


def test_a_file_is_uploaded_in_parts(client: OpenAI, scene: Scene) -> None:
    data = bytes(range(256)) * 500
    done = client.uploads.upload_file_chunked(
        file=data, filename="a.bin", bytes=len(data), mime_type="text/plain", purpose="user_data", part_size=50_000
    )
    assert done.file is not None
    assert done.file.id.startswith("file-hgid_")
    assert client.files.content(done.file.id).content == data
    begun = client.uploads.create(filename="a", purpose="user_data", bytes=1, mime_type="text/plain")
    part = client.uploads.parts.create(begun.id, data=b"x")
    assert part.upload_id == begun.id
    assert client.uploads.cancel(begun.id).status == "cancelled"
    assert {name for name, _ in scene.requests} == {"first"}


def test_a_key_that_may_not_use_all_models_sends_no_batch(scene: Scene) -> None:
    with scene.client("bob") as bob:
        made = bob.files.create(file=("calls.jsonl", b"{}"), purpose="batch")
        with pytest.raises(openai.PermissionDeniedError) as caught:
            bob.batches.create(input_file_id=made.id, endpoint="/v1/responses", completion_window="24h")
    assert caught.value.code == "batches_not_allowed"


def test_files_of_others_are_not_listed(client: OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.files.list()
    assert caught.value.status_code == 405
