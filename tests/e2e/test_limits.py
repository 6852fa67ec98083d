import threading
from collections.abc import Iterator

import pytest

from tests.conformance.answers import CHUNK, DONE, LAST_CHUNK, STREAM_HEAD, chunk
from tests.e2e.harness import Answer, Caller, Gateway, chat_request, digest, gateway
from tests.providers.scripted import Upstream, awaits, sets, until_closed

LIMITS = {
    "rate": "requests: 20/day",
    "burst": "requests: 1000/day, burst: 3",
    "at_once": "concurrent: 2",
    "leaving": "concurrent: 2",
    "both": "requests: 5/day, concurrent: 1",
    "used_up": "requests: 1/day",
    "other": "requests: 1/day",
    "connected": "requests: 1000/day, burst: 3",
}
CONFIG = """
providers:
  scripted: {{dialect: openai, base_url: http://127.0.0.1:{port}/v1, credential: env:PROVIDER_KEY}}
models:
  good: {{targets: [{{provider: scripted, model: scripted-small}}]}}
consumers:
"""
CONSUMER = '  {name}: {{keys: [{{sha256: {sha256}}}], models: ["*"], limits: {{{limits}}}}}\n'
DEADLINE = 20.0


@pytest.fixture(scope="module")
def listening() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(listening: Upstream) -> Iterator[Upstream]:
    listening.forget()
    yield listening
    assert listening.failures == []


@pytest.fixture(scope="module")
def text(listening: Upstream) -> str:
    consumers = (CONSUMER.format(name=name, sha256=digest(name), limits=limits) for name, limits in LIMITS.items())
    return CONFIG.format(port=listening.port) + "".join(consumers)


@pytest.fixture(scope="module")
def limited(text: str) -> Iterator[Gateway]:
    """A gateway of two workers; each test has a consumer of its own, whose key is its name."""
    with gateway(text, workers=2) as running:
        yield running


def refused(answer: Answer) -> bool:
    """Tell whether the answer is a refusal by a limit, and check all that a caller needs to know then."""
    if answer.status == 200:
        return False
    assert answer.status == 429
    assert answer.error["type"] in ("rate_limit_error", "requests", "rate_limit_exceeded")
    assert answer.error["code"] == answer.get("x-headgate-error")
    return True


def test_a_rate_is_exact_over_workers_callers_and_pushes(limited: Gateway, upstream: Upstream, text: str) -> None:
    barrier = threading.Barrier(8)
    answers: list[Answer] = []

    def call() -> None:
        barrier.wait()
        for _ in range(5):
            answers.append(limited.call(chat_request("hello", key="rate")))

    callers = [threading.Thread(target=call) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()

    outcomes = [refused(answer) for answer in answers]
    assert outcomes.count(False) == 20
    assert {answer.get("x-ratelimit-limit-requests") for answer in answers} == {"20"}
    remaining = sorted(
        int(a.get("x-ratelimit-remaining-requests")) for a, no in zip(answers, outcomes, strict=True) if not no
    )
    assert remaining == list(range(20))
    late = next(answer for answer, no in zip(answers, outcomes, strict=True) if no)
    assert late.get("x-ratelimit-remaining-requests") == "0"
    # 20 a day is one in 4320 s, and the first of them has only just been used.
    assert 0 < int(late.get("retry-after")) <= 4320
    assert 0 < float(late.get("retry-after-ms")) <= 4320_000
    assert late.get("x-ratelimit-reset-requests")

    limited.push(text + "  erin: {models: []}\n")
    assert refused(limited.call(chat_request("hello", key="rate")))


def test_a_burst_is_what_the_config_says(limited: Gateway, upstream: Upstream) -> None:
    outcomes = [refused(limited.call(chat_request("hello", key="burst"))) for _ in range(4)]
    assert outcomes == [False, False, False, True]


def test_at_most_so_many_calls_run_at_once_and_each_end_frees_a_place(limited: Gateway, upstream: Upstream) -> None:
    stream = chat_request("hello", key="at_once", stream=True)
    for number in range(2):
        upstream.script(STREAM_HEAD + chunk(CHUNK), sets(f"runs {number}"), awaits("end"), chunk(DONE) + LAST_CHUNK)
    callers = [limited.connect() for _ in range(2)]
    for number, caller in enumerate(callers):
        caller.send(stream)
        assert upstream.event(f"runs {number}").wait(DEADLINE)
    for _ in range(4):  # Whichever worker takes it.
        assert refused(limited.call(chat_request("hello", key="at_once")))
    upstream.event("end").set()
    for caller in callers:
        assert caller.receive().body == CHUNK + DONE
        caller.leave()
    for _ in range(4):
        assert not refused(limited.call(chat_request("hello", key="at_once")))


def test_a_caller_that_leaves_frees_its_place(limited: Gateway, upstream: Upstream) -> None:
    for number in range(2):
        upstream.script(sets(f"runs {number}"), until_closed, sets(f"closed {number}"))
    callers = [limited.connect() for _ in range(2)]
    for number, caller in enumerate(callers):
        caller.send(chat_request("hello", key="leaving"))
        assert upstream.event(f"runs {number}").wait(DEADLINE)
    assert refused(limited.call(chat_request("hello", key="leaving")))
    for caller in callers:
        caller.leave()
    for number in range(2):
        assert upstream.event(f"closed {number}").wait(DEADLINE)
    assert not refused(limited.call(chat_request("hello", key="leaving")))


def test_what_one_limit_refuses_the_other_gets_back(limited: Gateway, upstream: Upstream) -> None:
    upstream.script(sets("runs"), awaits("end"), b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
    with limited.connect() as holder:
        holder.send(chat_request("hello", key="both"))
        assert upstream.event("runs").wait(DEADLINE)
        for _ in range(6):  # More than the rate has left.
            assert refused(limited.call(chat_request("hello", key="both")))
        upstream.event("end").set()
        assert holder.receive().status == 200
    outcomes = [refused(limited.call(chat_request("hello", key="both"))) for _ in range(5)]
    assert outcomes == [False, False, False, False, True]


def test_one_consumer_s_limit_is_not_another_s(limited: Gateway, upstream: Upstream) -> None:
    outcomes = [refused(limited.call(chat_request("hello", key=key))) for key in ("used_up", "used_up", "other")]
    assert outcomes == [False, True, False]


def test_a_connection_lives_on_after_a_refusal(limited: Gateway, upstream: Upstream) -> None:
    with limited.connect() as caller:
        assert [status(caller) for _ in range(5)] == [200, 200, 200, 429, 429]


def status(caller: Caller) -> int:
    caller.send(chat_request("hello", key="connected"))
    return caller.receive().status
