import threading
from dataclasses import dataclass, field

from tests.conformance.answers import CHUNK, DONE, LAST_CHUNK, STREAM_HEAD, chunk
from tests.e2e.harness import KEYS, Gateway, chat_request, digest, events_of, gateway, nonce
from tests.providers.scripted import Upstream, awaits, echo_kept, sets
from tests.soak.counts import count

CALLERS = 16
PUSHES = count(1200, 20)
CONFIG = """
providers:
  scripted: {{dialect: openai, base_url: http://127.0.0.1:{port}/v1, credential: env:PROVIDER_KEY}}
models:
  good: {{targets: [{{provider: scripted, model: scripted-small}}]}}
consumers:
  alice: {{keys: [{{sha256: {alice}}}], models: ["*"], limits: {{requests: 1000000/s, concurrent: 1000}}}}
"""


@dataclass
class Tally:
    """What the callers saw."""

    calls: int = 0
    digests: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)


def keep_busy(running: Gateway, tally: Tally) -> None:
    """Call over one connection until told to stop, each second call streamed; note every answer that is not ours."""
    try:
        with running.connect() as caller:
            for number in range(1_000_000):
                if tally.stop.is_set():
                    return
                word = nonce()
                caller.send(chat_request(word, stream=bool(number % 2)))
                answer = caller.receive()
                whole = events_of(answer.body)[-1] == b"[DONE]" if number % 2 else answer.text == f"You said: {word}"
                if answer.status != 200 or not whole or word.encode() not in answer.body:
                    tally.failures.append(f"{answer.status} {answer.body[:200]!r}")
                tally.digests.add(answer.get("x-headgate-config"))
                tally.calls += 1
    except Exception as error:
        tally.failures.append(repr(error))


def test_pushes_fail_no_request_of_sixteen_busy_connections() -> None:
    with Upstream(default=(echo_kept,)) as upstream:
        text = CONFIG.format(port=upstream.port, alice=digest(KEYS["alice"]))
        with gateway(text, workers=2) as running:
            tally = Tally()
            callers = [threading.Thread(target=keep_busy, args=(running, tally)) for _ in range(CALLERS)]
            for caller in callers:
                caller.start()
            pushed = []
            try:
                for number in range(PUSHES):
                    # Every push changes what is live: another model appears, and the one in use gets other timeouts.
                    more = f"  extra-{number}: {{targets: [{{provider: scripted, model: m}}]}}\nconsumers:"
                    pushed.append(running.push(text.replace("consumers:", more))["digest"][:12])
                    calls = tally.calls
                    while tally.calls < calls + CALLERS and not tally.failures:
                        tally.stop.wait(0.01)
            finally:
                tally.stop.set()
                for caller in callers:
                    caller.join()
    print(f"{PUSHES} pushes, {tally.calls} calls, {len(tally.failures)} failed")  # noqa: T201 what a soak run reports
    assert tally.failures == []
    assert len(set(pushed)) == PUSHES
    assert tally.digests >= set(pushed)
    assert upstream.failures == []


def test_a_refused_config_leaves_the_old_one_serving() -> None:
    with Upstream() as upstream:
        text = CONFIG.format(port=upstream.port, alice=digest(KEYS["alice"]))
        with gateway(text) as running:
            before = running.call(chat_request("hello")).get("x-headgate-config")
            applied = running.apply(text.replace("provider: scripted", "provider: absent"))
            assert applied.returncode == 1
            assert "absent" in applied.stderr
            assert running.call(chat_request("hello")).get("x-headgate-config") == before
            applied = running.apply(text + "  bob: {models: []}\n")
            assert applied.returncode == 0, applied.stderr
            assert running.call(chat_request("hello")).get("x-headgate-config") != before


def test_a_call_under_way_ends_on_the_config_it_began_with() -> None:
    with Upstream() as upstream:
        text = CONFIG.format(port=upstream.port, alice=digest(KEYS["alice"]))
        with gateway(text) as running, running.connect() as caller:
            upstream.script(STREAM_HEAD + chunk(CHUNK), sets("runs"), awaits("end"), chunk(DONE) + LAST_CHUNK)
            caller.send(chat_request("hello", stream=True))
            assert upstream.event("runs").wait(20)
            running.push(text.replace("  good:", "  other:"))
            assert running.call(chat_request("hello")).status == 404
            upstream.event("end").set()
            assert caller.receive().body == CHUNK + DONE
            caller.send(chat_request("hello"))
            assert caller.receive().status == 404
