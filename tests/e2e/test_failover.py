"""A real gateway in front of two scripted providers: whatever the first does, the caller gets the right answer."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.conformance.answers import CHUNK, DONE, JSON, LAST_CHUNK, STREAM_HEAD, answer, chunk, failure, sized
from tests.e2e.harness import Gateway, chat_request, digest, eventually, free_port, gateway
from tests.providers.scripted import Step, Upstream, echo_kept, fin, reset, until_closed

KEY = "hg-failover-key"
ROLE = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
TOLD = b"data: " + failure("too busy", "overloaded_error", "overloaded") + b"\n\n"
WRONG = b"data: " + failure("too long", "invalid_request_error", "context_length_exceeded") + b"\n\n"


@dataclass(frozen=True)
class Row:
    """What the first provider does, and what becomes of the call.

    status: of the answer. second: the second provider was asked. reused: the first had an idle connection.
    """

    name: str
    steps: tuple[Step, ...]
    status: int = 200
    second: bool = True
    stream: bool = False
    reused: bool = False


def failing(status: str, *fields: str) -> bytes:
    """Return an error answer."""
    return sized(*fields, status=status, body=failure("no", "x", "y"))


ROWS = [
    Row("500", (failing("500 Internal Server Error"),)),
    Row("503", (failing("503 Service Unavailable", "retry-after: 1"),)),
    Row("529", (failing("529 Overloaded"),)),
    Row("408", (failing("408 Request Timeout"),)),
    Row("429", (failing("429 Too Many Requests", "retry-after: 30"),)),
    Row("400", (failing("400 Bad Request"),), 400, second=False),
    Row("404", (failing("404 Not Found"),), 404, second=False),
    Row("413", (failing("413 Content Too Large"),), 413, second=False),
    Row("422", (failing("422 Unprocessable Content"),), 422, second=False),
    Row("no answer in time", (until_closed,)),
    Row("a FIN instead of an answer", (fin,)),
    Row("a reset instead of an answer", (reset,)),
    Row("a reset of a reused connection", (reset,), reused=True),
    Row("half an answer", (answer(f"content-length: {len(JSON)}", body=JSON[:20]), fin)),
    Row("no HTTP", (b"what?\r\n\r\n", until_closed)),
    Row("a stream that breaks off at once", (STREAM_HEAD, reset), stream=True),
    Row("a stream that breaks off after its role", (STREAM_HEAD + chunk(ROLE), reset), stream=True),
    Row("a stream that tells of an error first", (STREAM_HEAD + chunk(ROLE + TOLD) + LAST_CHUNK,), stream=True),
    Row("a stream that falls silent after its role", (STREAM_HEAD + chunk(ROLE), until_closed), stream=True),
    Row(
        "a stream that finds the request wrong",
        (STREAM_HEAD + chunk(ROLE + WRONG) + LAST_CHUNK,),
        400,
        second=False,
        stream=True,
    ),
    Row(
        "a stream that breaks off after a word",
        (STREAM_HEAD + chunk(ROLE + CHUNK), until_closed),
        second=False,
        stream=True,
    ),
]


class Stage:
    """A gateway and the two providers behind it."""

    def __init__(self, served: Gateway, first: Upstream, second: Upstream) -> None:
        self.gateway = served
        self.first = first
        self.second = second


def config(first: int, second: int) -> str:
    """Return a config with a model for each row, so that what is remembered of one does not decide another."""
    shape = "retries: {max: 2, on: [connect, reset, timeout, credential, 429, 5xx], backoff: 10ms}"
    times = "timeouts: {connect: 1s, first_token: 1s, idle: 1s, total: 20s}"
    both = "targets: [{provider: first, model: scripted-small}, {provider: second, model: scripted-small}]"
    rows = "".join(f"  row-{number}: {{{both}, {shape}, {times}}}\n" for number in range(len(ROWS)))
    return f"""
providers:
  first: {{dialect: openai, base_url: "http://127.0.0.1:{first}/v1", credential: env:PROVIDER_KEY}}
  second: {{dialect: openai, base_url: "http://127.0.0.1:{second}/v1", credential: env:PROVIDER_KEY}}
  refused: {{dialect: openai, base_url: "http://127.0.0.1:{free_port()}/v1"}}
  unpaid: {{dialect: openai, base_url: "http://localhost:{first}/v1", credential: env:PROVIDER_KEY}}
  pool:
    dialect: openai
    base_url: "http://127.0.0.1:{first}/v1"
    credentials: [env:PROVIDER_KEY, env:SECOND_KEY]
models:
{rows}
  refused: {{targets: [{{provider: refused, model: scripted-small}}, {{provider: second, model: scripted-small}}]}}
  unpaid: {{targets: [{{provider: unpaid, model: scripted-small}}, {{provider: second, model: scripted-small}}]}}
  again: {{targets: [{{provider: first, model: scripted-small}}], retries: {{max: 2, on: [5xx], backoff: 50ms}}}}
  broken: {{{both}, breaker: {{consecutive: 3}}}}
  limited: {{{both}, retries: {{max: 0}}}}
  capped: {{{both}, retries: {{max: 4, on: [5xx], backoff: 1ms}}, breaker: {{enabled: false}}}}
  pool: {{targets: [{{provider: pool, model: scripted-small}}], retries: {{max: 2}}}}
consumers:
  tests: {{keys: [{{sha256: {digest(KEY)}}}], models: ["*"]}}
"""


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with pytest.MonkeyPatch.context() as patch, Upstream() as first, Upstream() as second:
        patch.setenv("SECOND_KEY", "sk-second")
        with gateway(config(first.port, second.port)) as served:
            yield Stage(served, first, second)
        assert [*first.failures, *second.failures] == []


@pytest.fixture(autouse=True)
def forget(stage: Stage) -> None:
    stage.first.forget()
    stage.second.forget()


def call(stage: Stage, model: str, **members: object) -> tuple[int, str, bytes]:
    """Make a call; return its status, the target that answered, and the body."""
    got = stage.gateway.call(chat_request("Hello?", key=KEY, model=model, **members))
    return got.status, got.get("x-headgate-target"), got.body


@pytest.mark.parametrize("number", range(len(ROWS)), ids=[row.name for row in ROWS])
def test_whatever_the_first_provider_does_the_caller_gets_the_right_answer(number: int, stage: Stage) -> None:
    row = ROWS[number]
    model = f"row-{number}"
    if row.reused:
        stage.first.script(echo_kept)
        assert call(stage, model)[1] == "first/scripted-small"
    stage.first.script(*row.steps)
    if row.stream:
        stage.second.script(STREAM_HEAD + chunk(ROLE + CHUNK + DONE) + LAST_CHUNK)
    status, target, body = call(stage, model, stream=True) if row.stream else call(stage, model)
    assert status == row.status
    assert bool(stage.second.requests) is row.second
    if row.second:
        assert target == "second/scripted-small"
        assert body == ROLE + CHUNK + DONE if row.stream else b"Hello?" in body
    elif row.stream and status == 200:
        assert body.startswith(ROLE + CHUNK)
        assert b"upstream_timeout" in body
        assert b"[DONE]" not in body


def test_a_provider_that_cannot_be_reached_is_passed_over(stage: Stage) -> None:
    assert call(stage, "refused")[:2] == (200, "second/scripted-small")


def test_a_refused_credential_is_not_used_again(stage: Stage) -> None:
    stage.first.script(failing("401 Unauthorized"))
    assert [call(stage, "unpaid")[:2] for _ in range(3)] == [(200, "second/scripted-small")] * 3
    assert len(stage.first.requests) == 1


def test_a_single_target_is_asked_again_after_a_pause(stage: Stage) -> None:
    stage.first.script(failing("500 Internal Server Error"))
    stage.first.script(failing("503 Service Unavailable"))
    assert call(stage, "again")[:2] == (200, "first/scripted-small")
    assert len(stage.first.requests) == 3


def test_a_target_that_fails_again_and_again_is_left_alone(stage: Stage) -> None:
    for _ in range(3):
        stage.first.script(failing("500 Internal Server Error"))
    labels = {"target": "first/scripted-small"}
    before = stage.gateway.metric("headgate_target_ejections_total", **labels)
    assert [call(stage, "broken")[:2] for _ in range(6)] == [(200, "second/scripted-small")] * 6
    assert len(stage.first.requests) == 3
    eventually(lambda: stage.gateway.metric("headgate_target_ejections_total", **labels) == before + 1)
    assert stage.gateway.metric("headgate_target_failures_total", failure="5xx", **labels) >= 3
    assert stage.gateway.metric("headgate_target_places", state="open", **labels) >= 1


def test_attempts_are_capped_and_no_place_is_asked_twice_before_all_were(stage: Stage) -> None:
    for _ in range(5):
        stage.first.script(failing("500 Internal Server Error"))
        stage.second.script(failing("502 Bad Gateway"))
    assert call(stage, "capped")[:2] == (500, "first/scripted-small")
    assert (len(stage.first.requests), len(stage.second.requests)) == (3, 2)


def test_a_credential_that_asked_for_a_pause_is_left_alone_and_the_other_serves(stage: Stage) -> None:
    stage.first.script(failing("429 Too Many Requests", "retry-after: 40"))
    assert [call(stage, "pool")[0] for _ in range(4)] == [200] * 4
    keys = [request.headers["authorization"] for request in stage.first.requests]
    assert len(keys) == 5
    assert keys[0] not in keys[1:]
    stage.first.script(failing("429 Too Many Requests", "retry-after: 20"))
    got = stage.gateway.call(chat_request("Hello?", key=KEY, model="pool"))
    assert (got.status, len(stage.first.requests)) == (429, 6)


def test_where_nothing_is_in_service_the_answer_says_when_to_come_back(stage: Stage) -> None:
    stage.first.script(failing("429 Too Many Requests", "retry-after: 40"))
    stage.second.script(failing("429 Too Many Requests", "retry-after: 20"))
    assert [call(stage, "limited")[0] for _ in range(2)] == [429, 429]
    got = stage.gateway.call(chat_request("Hello?", key=KEY, model="limited"))
    assert (got.status, got.get("x-headgate-error"), got.get("x-should-retry")) == (503, "no_candidate", "true")
    assert 1 <= int(got.get("retry-after")) <= 20
    assert (len(stage.first.requests), len(stage.second.requests)) == (1, 1)


def test_a_caller_s_own_timeout_ends_the_call(stage: Stage) -> None:
    stage.first.script(until_closed)
    head, _, body = chat_request("Hello?", key=KEY, model="again").partition(b"\r\n\r\n")
    got = stage.gateway.call(head + b"\r\nx-headgate-timeout-ms: 300\r\n\r\n" + body)
    assert (got.status, got.get("x-headgate-error")) == (504, "upstream_timeout")


def test_a_provider_whose_probes_fail_is_not_asked() -> None:
    with Upstream() as sick, Upstream() as well:
        targets = "[{provider: sick, model: scripted-small}, {provider: well, model: scripted-small}]"
        text = f"""
providers:
  sick:
    dialect: openai
    base_url: "http://127.0.0.1:{sick.port}/v1"
    health: {{path: /nowhere, interval: 100ms, failures: 1}}
  well:
    dialect: openai
    base_url: "http://127.0.0.1:{well.port}/v1"
    credential: env:PROVIDER_KEY
    health: {{path: /models, interval: 100ms, failures: 1}}
models:
  m: {{targets: {targets}}}
consumers:
  tests: {{keys: [{{sha256: {digest(KEY)}}}], models: ["*"]}}
"""
        with gateway(text) as served:
            eventually(lambda: served.metric("headgate_places", state="down") == 1)
            eventually(lambda: served.metric("headgate_probes_total", result="passed") > 0)
            got = served.call(chat_request("Hello?", key=KEY, model="m"))
            assert (got.status, got.get("x-headgate-target")) == (200, "well/scripted-small")
        assert {request.path for request in sick.requests} == {"/v1/nowhere"}
        assert {request.path for request in well.requests} == {"/v1/models", "/v1/chat/completions"}
