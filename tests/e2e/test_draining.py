"""A gateway that is told to stop while calls are under way: what fits the time ends whole, the rest is cut openly."""

import contextlib
import json
import signal
from collections.abc import Iterator

from tests.conformance.answers import CHUNK, DONE, LAST_CHUNK, STREAM_HEAD, chunk
from tests.e2e.harness import KEYS, STOP_DEADLINE, Caller, Gateway, chat_request, digest, events_of, eventually, gateway
from tests.providers.scripted import Upstream, awaits, echo_kept, sets, until_closed

CONFIG = """
providers:
  scripted: {{dialect: openai, base_url: http://127.0.0.1:{port}/v1, credential: env:PROVIDER_KEY}}
models:
  good: {{targets: [{{provider: scripted, model: scripted-small}}]}}
consumers:
  alice: {{keys: [{{sha256: {alice}}}], models: ["*"]}}
"""


@contextlib.contextmanager
def serving(drain: str) -> Iterator[tuple[Gateway, Upstream]]:
    with Upstream(default=(echo_kept,)) as upstream:
        text = CONFIG.format(port=upstream.port, alice=digest(KEYS["alice"]))
        with gateway(text, listen=f", drain: {drain}") as running:
            yield running, upstream


def begun(running: Gateway, upstream: Upstream, name: str, *, stream: bool) -> Caller:
    """Return a caller whose call has come to the upstream."""
    caller = running.connect()
    caller.send(chat_request(name, stream=stream))
    assert upstream.event(name).wait(STOP_DEADLINE)
    return caller


def stop(running: Gateway) -> None:
    """Tell the gateway to stop, and wait until its worker takes no more callers."""
    running.process.send_signal(signal.SIGTERM)
    eventually(lambda: "event=draining" in running.log)


def test_a_stream_that_ends_within_the_time_ends_whole() -> None:
    with serving("30s") as (running, upstream):
        upstream.script(STREAM_HEAD + chunk(CHUNK), sets("long"), awaits("end"), chunk(DONE) + LAST_CHUNK)
        with begun(running, upstream, "long", stream=True) as caller:
            stop(running)
            upstream.event("end").set()
            assert caller.receive().body == CHUNK + DONE
        assert running.process.wait(STOP_DEADLINE) == 0
        assert "event=drain-ended" not in running.log


def test_a_stream_that_takes_longer_ends_with_an_error_and_no_mark_of_its_end_and_is_counted() -> None:
    with serving("200ms") as (running, upstream):
        upstream.script(STREAM_HEAD + chunk(CHUNK), sets("long"), until_closed)
        with begun(running, upstream, "long", stream=True) as caller:
            running.process.send_signal(signal.SIGTERM)
            first, last = events_of(caller.receive().body)
            assert caller.is_closed()
        assert first == events_of(CHUNK)[0]
        assert json.loads(last)["error"]["code"] == "draining"
        assert running.process.wait(STOP_DEADLINE) == 0
        assert "event=drain-ended deadline=0.2s cut=1" in running.log


def test_a_call_without_an_answer_yet_is_told_to_come_again() -> None:
    with serving("200ms") as (running, upstream):
        upstream.script(sets("silent"), until_closed)
        with begun(running, upstream, "silent", stream=False) as caller:
            running.process.send_signal(signal.SIGTERM)
            answer = caller.receive()
            assert caller.is_closed()
        assert (answer.status, answer.error["code"]) == (503, "draining")
        assert (answer.get("connection"), answer.get("x-should-retry")) == ("close", "true")
        assert running.process.wait(STOP_DEADLINE) == 0


def test_an_open_connection_has_its_next_call_answered_and_is_then_closed() -> None:
    with serving("30s") as (running, _):
        # The new one connects first, so it has been accepted when the other has its answer.
        with running.connect() as new, running.connect() as idle:
            idle.send(chat_request("before"))
            assert idle.receive().get("connection") == ""
            stop(running)
            for caller in (idle, new):
                caller.send(chat_request("during"))
                answer = caller.receive()
                assert (answer.status, answer.get("connection")) == (200, "close")
                assert caller.is_closed()
        assert running.process.wait(STOP_DEADLINE) == 0
