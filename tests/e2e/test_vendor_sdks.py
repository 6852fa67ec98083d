"""The official SDKs of Mistral, Cohere and Ollama, unmodified, and those of others over these vendors' dialects."""

from collections.abc import Iterator

import cohere
import httpx
import mistralai.client
import ollama
import openai
import pytest

from tests.e2e.harness import KEYS, Gateway, digest, gateway
from tests.providers import cohere as scripted_cohere
from tests.providers import mistral as scripted_mistral
from tests.providers import ollama as scripted_ollama
from tests.providers.scripted import Upstream

CONFIG = """
providers:
  mistral: {{dialect: mistral, base_url: "http://127.0.0.1:{mistral}/v1", credential: env:PROVIDER_KEY}}
  cohere: {{dialect: cohere, base_url: "http://127.0.0.1:{cohere}", credential: env:PROVIDER_KEY}}
  ollama: {{dialect: ollama, base_url: "http://127.0.0.1:{ollama}", options: {{num_ctx: 8192}}}}
models:
  on-mistral: {{targets: [{{provider: mistral, model: mistral-medium-latest}}]}}
  on-cohere: {{targets: [{{provider: cohere, model: command-a-03-2025}}]}}
  on-ollama: {{targets: [{{provider: ollama, model: qwen3}}]}}
consumers:
  alice: {{keys: [{{sha256: {alice}}}], models: ["*"]}}
"""
EACH = pytest.mark.parametrize("model", ["on-mistral", "on-cohere", "on-ollama"])
SCHEMA = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}
FUNCTION = {"name": "look_up", "description": "Look up what is asked for.", "parameters": SCHEMA}
TOOLS = [{"type": "function", "function": FUNCTION}]
HELLO = [{"role": "user", "content": "hello"}]
QUESTION = {"role": "user", "content": "please look_up the weather"}


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Gateway, dict[str, Upstream]]]:
    with (
        Upstream(default=(scripted_mistral.answers,)) as mistral_upstream,
        Upstream(default=(scripted_cohere.answers,)) as cohere_upstream,
        Upstream(default=(scripted_ollama.answers,)) as ollama_upstream,
    ):
        upstreams = {"mistral": mistral_upstream, "cohere": cohere_upstream, "ollama": ollama_upstream}
        ports = {name: upstream.port for name, upstream in upstreams.items()}
        with gateway(CONFIG.format(**ports, alice=digest(KEYS["alice"]))) as running:
            yield running, upstreams


@pytest.fixture
def world(shared: tuple[Gateway, dict[str, Upstream]]) -> Iterator[tuple[Gateway, dict[str, Upstream]]]:
    for upstream in shared[1].values():
        upstream.forget()
    yield shared
    assert [upstream.failures for upstream in shared[1].values()] == [[], [], []]


@pytest.fixture
def url(world: tuple[Gateway, dict[str, Upstream]]) -> str:
    return world[0].url


@pytest.fixture
def upstreams(world: tuple[Gateway, dict[str, Upstream]]) -> dict[str, Upstream]:
    return world[1]


# --- OpenAI's SDK


@pytest.fixture
def openai_client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key=KEYS["alice"], timeout=20, max_retries=0) as made:
        yield made


@EACH
def test_openai_embeds(openai_client: openai.OpenAI, model: str) -> None:
    answer = openai_client.embeddings.create(model=model, input=["four", "sevens!"])
    assert [one.embedding for one in answer.data] == [[4.0, 0.5], [7.0, 0.5]]
    assert [one.index for one in answer.data] == [0, 1]
    assert answer.usage.prompt_tokens == 4
    floats = openai_client.embeddings.create(model=model, input="four", encoding_format="float")
    assert floats.data[0].embedding == [4.0, 0.5]


@EACH
def test_openai_gets_thoughts(openai_client: openai.OpenAI, model: str) -> None:
    answer = openai_client.chat.completions.create(model=model, messages=HELLO, reasoning_effort="low")
    assert answer.choices[0].message.reasoning_content == "Let me see."


@EACH
def test_openai_gets_errors_of_its_own_kind(openai_client: openai.OpenAI, model: str) -> None:
    overloaded = [{"role": "user", "content": "overload"}]
    with pytest.raises(openai.InternalServerError if model == "on-ollama" else openai.RateLimitError) as caught:
        openai_client.chat.completions.create(model=model, messages=overloaded)
    assert caught.value.message


# --- Anthropic's SDK


# --- Mistral's SDK


@pytest.fixture
def mistral_client(url: str) -> Iterator[mistralai.client.Mistral]:
    with mistralai.client.Mistral(server_url=f"{url}/mistral", api_key=KEYS["alice"], timeout_ms=20_000) as made:
        yield made


@EACH
def test_mistral_embeds(mistral_client: mistralai.client.Mistral, model: str) -> None:
    answer = mistral_client.embeddings.create(model=model, inputs=["four"])
    assert answer.data[0].embedding == [4.0, 0.5]


def test_mistrals_bytes_pass_to_mistral(
    mistral_client: mistralai.client.Mistral, upstreams: dict[str, Upstream]
) -> None:
    mistral_client.chat.complete(model="on-mistral", messages=HELLO, safe_prompt=True, random_seed=7)
    body = upstreams["mistral"].requests[0].json()
    assert (body["safe_prompt"], body["random_seed"], body["model"]) == (True, 7, "mistral-medium-latest")


# --- Cohere's SDK


@pytest.fixture
def cohere_client(url: str) -> Iterator[cohere.ClientV2]:
    with httpx.Client(timeout=20) as connections:
        yield cohere.ClientV2(api_key=KEYS["alice"], base_url=url, httpx_client=connections)


@EACH
def test_cohere_streams(cohere_client: cohere.ClientV2, model: str) -> None:
    events = list(cohere_client.chat_stream(model=model, messages=HELLO))
    texts = [event.delta.message.content.text for event in events if event.type == "content-delta"]
    assert "".join(texts) == "You said: hello"
    assert [events[0].type, events[-1].type] == ["message-start", "message-end"]
    assert events[-1].delta.finish_reason == "COMPLETE"
    assert events[-1].delta.usage.billed_units.input_tokens == 11


@EACH
def test_cohere_embeds(cohere_client: cohere.ClientV2, model: str) -> None:
    answer = cohere_client.embed(
        model=model, texts=["four"], input_type="search_query", embedding_types=["float"], output_dimension=2
    )
    assert answer.embeddings.float_ == [[4.0, 0.5]]


def test_cohere_reranks(cohere_client: cohere.ClientV2, world: tuple[Gateway, dict[str, Upstream]]) -> None:
    answer = cohere_client.rerank(model="on-cohere", query="?", documents=["ab", "abc", "a"], top_n=2)
    assert [one.index for one in answer.results] == [1, 0]
    assert answer.meta.billed_units.search_units == 1


def test_coheres_first_version_reranks_and_gets_its_documents_back(url: str) -> None:
    with httpx.Client(timeout=20) as connections:
        client = cohere.Client(api_key=KEYS["alice"], base_url=url, httpx_client=connections)
        answer = client.rerank(model="on-cohere", query="?", documents=["ab", "abc"], return_documents=True)
    assert [one.document.text for one in answer.results] == ["abc", "ab"]
    assert answer.meta.billed_units.search_units == 1


def test_cohere_is_told_what_is_wrong(cohere_client: cohere.ClientV2) -> None:
    with pytest.raises(cohere.errors.NotFoundError) as caught:
        cohere_client.chat(model="unknown", messages=HELLO)
    assert "may not use a model of that name" in caught.value.body["message"]


# --- Ollama's SDK


@pytest.fixture
def ollama_client(url: str) -> Iterator[ollama.Client]:
    key = {"authorization": f"Bearer {KEYS['alice']}"}
    with ollama.Client(host=f"{url}/ollama", headers=key, timeout=20) as made:
        yield made


@EACH
def test_ollama_chats(ollama_client: ollama.Client, model: str) -> None:
    answer = ollama_client.chat(model=model, messages=HELLO, options={"temperature": 0.5})
    assert answer.message.content == "You said: hello"
    assert (answer.done_reason, answer.prompt_eval_count, answer.eval_count) == ("stop", 11, 7)


@EACH
def test_ollama_streams(ollama_client: ollama.Client, model: str) -> None:
    lines = list(ollama_client.chat(model=model, messages=HELLO, stream=True, think=True))
    assert "".join(line.message.content or "" for line in lines) == "You said: hello"
    assert "".join(line.message.thinking or "" for line in lines) == "Let me see."
    assert [line.done for line in lines] == [False] * (len(lines) - 1) + [True]
    assert lines[-1].eval_count == 7


@EACH
def test_ollama_embeds(ollama_client: ollama.Client, model: str) -> None:
    assert ollama_client.embed(model=model, input="four").embeddings == [[4.0, 0.5]]


def test_ollama_is_told_what_is_wrong(ollama_client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError) as caught:
        ollama_client.chat(model="unknown", messages=HELLO)
    assert caught.value.status_code == 404


def test_a_call_that_passes_as_lines_is_counted(ollama_client: ollama.Client, upstreams: dict[str, Upstream]) -> None:
    lines = list(ollama_client.chat(model="on-ollama", messages=HELLO, stream=True))
    assert lines[-1].prompt_eval_count == 11
    assert upstreams["ollama"].requests[0].json() == {
        "model": "qwen3", "messages": HELLO, "stream": True, "tools": [],
    }  # fmt: skip
