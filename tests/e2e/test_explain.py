"""`x-headgate-explain` and `headgate explain` on real processes: why a call went where it went, and what it cost."""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from tests.conformance.answers import CHUNK, DONE, LAST_CHUNK, STREAM_HEAD, chunk, failure, sized
from tests.e2e.harness import PROVIDER_KEY, Answer, Gateway, digest, eventually, gateway, headgate, post
from tests.providers import anthropic
from tests.providers.scripted import Upstream, reset

KEY, PLAIN_KEY = "hg-explained-key", "hg-plain-key"
FAILING = sized("retry-after: 7", status="503 Service Unavailable", body=failure("no", "x", "y"))
USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 900}}
GOOD = sized(body=json.dumps({"choices": [], "usage": USAGE}).encode())
USED = b"data: " + json.dumps({"choices": [], "usage": USAGE}).encode() + b"\n\n"
PRICE = '{input_usd_per_million: "3", cache_read_usd_per_million: "0.3", output_usd_per_million: "15"}'
ASKED = "x-headgate-explain: 1\r\n"


def config(first: int, second: int) -> str:
    """Return a config with a model for each claim, so that what is remembered of one does not decide another."""
    places = f"{{provider: first, model: small}}, {{provider: second, model: small, price: {PRICE}}}"
    both = f"targets: [{places}], retries: {{max: 2, on: [5xx, timeout, reset, connect]}}"
    return f"""
providers:
  first: {{dialect: openai, base_url: "http://127.0.0.1:{first}/v1", credential: env:PROVIDER_KEY}}
  second: {{dialect: openai, base_url: "http://127.0.0.1:{second}/v1", credential: env:PROVIDER_KEY}}
  claude: {{dialect: anthropic, base_url: "http://127.0.0.1:{second}", credential: env:PROVIDER_KEY}}
models:
  failing: {{{both}}}
  failing_stream: {{{both}}}
  broken: {{{both}, breaker: {{consecutive: 1, pause: 5m}}}}
  plain: {{targets: [{{provider: second, model: small, price: {PRICE}}}]}}
  translated: {{targets: [{{provider: claude, model: opus, price: {PRICE}}}], unsupported: drop}}
  gold:
    targets:
      - {{provider: first, model: small, when: {{headers: {{x-tier: [gold]}}}}}}
      - {{provider: second, model: small}}
consumers:
  explained:
    keys: [{{sha256: {digest(KEY)}}}]
    models: ["*"]
    limits: {{requests: 100/s, concurrent: 9}}
    explain: true
  plain: {{keys: [{{sha256: {digest(PLAIN_KEY)}}}], models: ["*"]}}
"""


@dataclass
class Stage:
    """A gateway and the two providers behind it."""

    gateway: Gateway
    first: Upstream
    second: Upstream

    def call(self, model: str, *, key: str = KEY, fields: str = ASKED, **members: object) -> Answer:
        """Make a call."""
        body = {"model": model, "messages": [{"role": "user", "content": "Hello?"}], **members}
        return self.gateway.call(post("/v1/chat/completions", json.dumps(body).encode(), key=key, fields=fields))

    def told(self, request_id: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Run `headgate explain` until the call has come to control."""
        done: list[subprocess.CompletedProcess[str]] = []

        def is_there() -> bool:
            done.append(headgate("explain", request_id, "--data", str(self.gateway.data), *options))
            return done[-1].returncode == 0

        eventually(is_there)
        return done[-1]

    def found(self, answer: Answer) -> Any:
        """Return the one call of an answer as programs get it."""
        (call,) = json.loads(self.told(answer.get("x-request-id"), "--output", "json").stdout)["calls"]
        return call


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Upstream() as first, Upstream() as second, gateway(config(first.port, second.port)) as served:
        yield Stage(served, first, second)
        assert [*first.failures, *second.failures] == []
        assert PROVIDER_KEY not in served.log


@pytest.fixture(autouse=True)
def forget(stage: Stage) -> None:
    stage.first.forget()
    stage.second.forget()


def total(bill: Any) -> Decimal:
    """Return what the lines of a bill add up to."""
    return sum((Decimal(line["usd"]) for line in bill["lines"]), Decimal(0))


def test_a_call_that_failed_over_is_explained_in_its_head_and_by_the_command(stage: Stage) -> None:
    stage.first.script(FAILING)
    stage.second.script(GOOD)
    answer = stage.call("failing")
    assert answer.status == 200
    said = json.loads(answer.get("x-headgate-explain"))
    assert (said["route"], said["matched"]) == ("chat.completions", "POST /v1/chat/completions")
    assert (said["consumer"], said["model"], said["strategy"]) == ("explained", "failing", "priority")
    assert [limit["limit"] for limit in said["limits"]] == ["100/s", "9"]
    assert [one["target"] for one in said["candidates"]] == ["first/small", "second/small"]
    attempts = [(one["target"], one["status"], one.get("asked_ms")) for one in said["attempts"]]
    assert attempts == [("first/small", 503, 7000.0), ("second/small", 200, None)]
    assert total(said["bill"]) == Decimal(said["bill"]["cost"]) == Decimal(answer.get("x-headgate-cost-usd"))
    text = stage.told(answer.get("x-request-id")).stdout
    assert re.search(r"1\. first/small: 503 upstream_error after [\d.]+ ms, asked for a pause of 7 s", text)
    assert re.search(r"2\. second/small: 200 after", text)
    assert f"cost        {answer.get('x-headgate-cost-usd')} USD" in text
    call = stage.found(answer)
    assert call["explanation"] == said
    assert Decimal(call["bill"]["cost"]) * 10**9 == call["event"]["cost_nano"]


def test_a_stream_is_explained_in_its_head_and_billed_afterwards(stage: Stage) -> None:
    stage.first.script(reset)
    stage.second.script(STREAM_HEAD + chunk(CHUNK + USED + DONE) + LAST_CHUNK)
    answer = stage.call("failing_stream", stream=True)
    assert answer.body == CHUNK + DONE
    said = json.loads(answer.get("x-headgate-explain"))
    assert [(one["target"], one.get("status")) for one in said["attempts"]] == [
        ("first/small", None),
        ("second/small", 200),
    ]
    assert "bill" not in said
    call = stage.found(answer)
    assert total(call["bill"]) == Decimal(call["bill"]["cost"]) == Decimal("0.00207")
    assert call["explanation"]["bill"] == call["bill"]


def test_a_target_whose_breaker_is_open_is_passed_over_for_that_reason(stage: Stage) -> None:
    stage.first.script(reset)
    stage.second.script(GOOD)
    assert stage.call("broken").status == 200
    stage.second.script(GOOD)
    answer = stage.call("broken")
    said = json.loads(answer.get("x-headgate-explain"))
    assert said["passed_over"] == [{"target": "first/small", "reason": "its breaker is open"}]
    assert [one["target"] for one in said["attempts"]] == ["second/small"]
    assert "passed over first/small: its breaker is open" in stage.told(answer.get("x-request-id")).stdout


def test_a_condition_that_is_not_met_is_named(stage: Stage) -> None:
    stage.second.script(GOOD)
    answer = stage.call("gold", fields=ASKED + "x-tier: silver\r\n")
    said = json.loads(answer.get("x-headgate-explain"))
    reason = "its condition on the field x-tier is not met"
    assert said["passed_over"] == [{"target": "first/small", "reason": reason}]
    assert "unpriced" in stage.told(answer.get("x-request-id")).stdout


def test_a_translated_call_is_explained_with_what_was_dropped(stage: Stage) -> None:
    said = anthropic.message([{"type": "text", "text": "Hi"}], "end_turn")
    stage.second.script(anthropic.sized(200, json.dumps(said).encode(), "application/json"))
    answer = stage.call("translated", seed=7)
    assert answer.status == 200
    told = json.loads(answer.get("x-headgate-explain"))
    assert (told["passage"]["caller"], told["passage"]["provider"]) == ("openai", "anthropic")
    assert (told["passage"]["translated"], told["passage"]["dropped"]) == (True, ["seed"])
    assert total(told["bill"]) == Decimal(told["bill"]["cost"]) == Decimal(answer.get("x-headgate-cost-usd"))
    text = stage.told(answer.get("x-request-id")).stdout
    assert "translated from openai to messages of anthropic; dropped: seed" in text


def test_a_consumer_that_may_not_ask_is_answered_as_if_it_had_not(stage: Stage) -> None:
    stage.second.script(GOOD)
    answer = stage.call("plain", key=PLAIN_KEY)
    assert (answer.status, answer.get("x-headgate-explain")) == (200, "")
    assert stage.found(answer)["explanation"] is None


def test_the_command_tells_what_is_known_of_a_call_that_did_not_ask(stage: Stage) -> None:
    stage.second.script(GOOD)
    answer = stage.call("plain", fields="")
    assert answer.get("x-headgate-explain") == ""
    text = stage.told(answer.get("x-request-id")).stdout
    assert "second/small" in text
    assert re.search(r"input +100 tokens +x 3 per million += 0\.000300000", text)
    assert f"cost        {answer.get('x-headgate-cost-usd')} USD" in text
    bill = stage.found(answer)["bill"]
    assert total(bill) == Decimal(bill["cost"])


def test_nothing_told_holds_a_credential(stage: Stage) -> None:
    stage.second.script(sized(status="401 Unauthorized", body=failure(f"bad key {PROVIDER_KEY}", "x", "y")))
    answer = stage.call("plain")
    assert (answer.status, json.loads(answer.get("x-headgate-explain"))["attempts"][0]["status"]) == (502, 401)
    shown = stage.told(answer.get("x-request-id")).stdout + json.dumps(stage.found(answer))
    for secret in (PROVIDER_KEY, KEY, PLAIN_KEY, f":{stage.second.port}"):
        assert secret not in shown
        assert secret not in answer.get("x-headgate-explain")


def test_an_id_that_nobody_knows_is_an_error_that_says_where_it_looked(stage: Stage) -> None:
    done = headgate("explain", "never-seen", "--data", str(stage.gateway.data))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"No call with the request id 'never-seen' is in {stage.gateway.data}/usage." in done.stderr
