import random
import select
import threading
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Stage
from tests.e2e.harness import KEYS, Caller, Gateway, chat_request, digest, events_of, eventually, gateway, nonce
from tests.providers.scripted import Upstream, awaits, echo_kept, sets

CALLERS = 8
CALLS = 60
CONFIG = """
providers:
  narrow: {{dialect: openai, base_url: http://127.0.0.1:{port}/v1, credential: env:PROVIDER_KEY, max_connections: 4}}
  wide: {{dialect: openai, base_url: http://127.0.0.1:{port}/v1, credential: env:PROVIDER_KEY}}
models:
  good: {{targets: [{{provider: narrow, model: scripted-small}}]}}
  wide: {{targets: [{{provider: wide, model: scripted-small}}]}}
consumers:
  alice: {{keys: [{{sha256: {alice}}}], models: ["*"], limits: {{concurrent: {callers}}}}}
"""


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Upstream(default=(echo_kept,)) as upstream:
        text = CONFIG.format(port=upstream.port, alice=digest(KEYS["alice"]), callers=CALLERS)
        with gateway(text) as started:
            yield Stage(started, upstream)
        assert upstream.failures == []


def call_and_leave(running: Gateway, seed: int, failures: list[str]) -> None:
    """Make calls and leave one in five of them at a random byte of its answer; note each answer that is not its own."""
    chance = random.Random(seed)
    try:
        caller = running.connect()
        for number in range(CALLS):
            word = nonce()
            caller.send(chat_request(word, stream=bool(number % 2)))
            if chance.random() < 0.2:
                if chance.random() < 0.5:
                    caller.socket.recv(chance.randrange(1, 2000))
                caller.leave()
                caller = running.connect()
                continue
            answer = caller.receive()
            # A caller that left may hold its place for a moment longer; the limit then says so, and nothing else may.
            if answer.status == 429:
                continue
            whole = events_of(answer.body)[-1] == b"[DONE]" if number % 2 else answer.text == f"You said: {word}"
            if answer.status != 200 or not whole or word.encode() not in answer.body:
                failures.append(f"{answer.status} {answer.body[:300]!r}")
        caller.leave()
    except Exception as error:
        failures.append(repr(error))


def test_calls_that_are_left_harm_no_other_and_hold_nothing(stage: Stage) -> None:
    failures: list[str] = []
    callers = [threading.Thread(target=call_and_leave, args=(stage.gateway, seed, failures)) for seed in range(CALLERS)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert failures == []

    held: list[Caller] = []
    for number in range(CALLERS):
        stage.upstream.script(sets(f"held {number}"), awaits("end"), echo_kept)
    # A place that was never given back would refuse one of them for ever.
    eventually(lambda: holds_one_more(stage, held))
    stage.upstream.event("end").set()
    assert [caller.receive().status for caller in held] == [200] * CALLERS
    for caller in held:
        caller.leave()


def holds_one_more(stage: Stage, held: list[Caller]) -> bool:
    """Begin another call that waits at the upstream, if the limit lets it in; tell whether all places are held."""
    caller = stage.gateway.connect()
    caller.send(chat_request("hello", model="wide"))
    arrived = stage.upstream.event(f"held {len(held)}")
    eventually(lambda: arrived.is_set() or bool(select.select([caller.socket], [], [], 0)[0]))
    if arrived.is_set():
        held.append(caller)
    else:
        caller.leave()
    return len(held) == CALLERS
