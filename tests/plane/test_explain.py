"""plane.explain: a call whose caller may ask is told why it went as it did, in its answer's head and in its event."""

import json
from decimal import Decimal
from typing import Any

import pytest

from core.explanation import Candidate, Explanation
from core.usage import UsageEvent, decode_event, encode_event
from plane.explain import LARGEST, line_of
from tests.plane.conftest import Starter
from tests.plane.rig import SECOND, CallerEnd, Gateway, answer, consumer
from tests.plane.scenes import DONE, HEAD, OK, ROLE, SECRETS, WORD, Scene, chunk, config, failed

ASKED = b"x-headgate-explain: 1\r\n"
CHAT = "/v1/chat/completions"
USED = answer(b'{"usage":{"prompt_tokens":1000,"completion_tokens":100,"prompt_tokens_details":{"cached_tokens":900}}}')
PRICE = {"input_usd_per_million": "3", "cache_read_usd_per_million": "0.3", "output_usd_per_million": "15"}


def explaining(made: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a config whose consumer may have its calls explained."""
    return {**made, "consumers": {"c": consumer(explain=True, **more)}}


def ask(caller: CallerEnd, fields: bytes = ASKED, path: str = CHAT, **members: Any) -> None:
    caller.ask(path, json.dumps({"model": "m", "messages": [], **members}).encode(), fields=fields)


def lines(caller: CallerEnd) -> list[bytes]:
    """Return the values of the header field in the answer that has come so far."""
    head = caller.take().partition(b"\r\n\r\n")[0].split(b"\r\n")
    return [line.partition(b": ")[2] for line in head if line.startswith(b"x-headgate-explain: ")]


def told(caller: CallerEnd) -> Any:
    """Return what the head of the answer explains."""
    (line,) = lines(caller)
    return json.loads(line)


def kept(gateway: Gateway) -> Explanation:
    """Return what the one event explains, as control reads it."""
    (event,) = gateway.events()
    detail = decode_event(encode_event(event)).detail
    assert detail is not None
    assert detail.explanation is not None
    return detail.explanation


def test_a_call_is_told_its_route_limits_model_and_attempt(scene: Any) -> None:
    played: Scene = scene(explaining(config("p"), limits={"requests": "10/s", "concurrent": 3}))
    caller = played.gateway.caller()
    ask(caller)
    played.peer("p").say(OK)
    said = told(caller)
    assert (said["route"], said["matched"]) == ("chat.completions", f"POST {CHAT}")
    assert (said["consumer"], said["asked"], said["model"], said["strategy"]) == ("c", "m", "m", "priority")
    requests, concurrent = said["limits"]
    assert (requests["name"], requests["limit"], requests["remaining"]) == ("requests", "10/s", 9)
    assert (concurrent["name"], concurrent["limit"], concurrent["remaining"]) == ("concurrent", "3", 2)
    assert said["candidates"] == [{"target": "p/x", "weight": 1}]
    ((attempt),) = said["attempts"]
    assert (attempt["target"], attempt["status"]) == ("p/x", 200)
    assert said["passage"] == {"caller": "openai", "provider": "openai", "operation": "chat.completions"}
    assert "bill" not in said


@pytest.mark.parametrize("fields", [b"", b"x-headgate-explain: 0\r\n", b"x-headgate-explain: true\r\n"])
def test_what_is_not_asked_for_is_not_told(fields: bytes, scene: Any) -> None:
    played: Scene = scene(explaining(config("p")))
    caller = played.gateway.caller()
    ask(caller, fields)
    played.peer("p").say(OK)
    assert lines(caller) == []
    assert [event.detail for event in played.gateway.events()] == [None]


def test_a_consumer_without_the_right_is_answered_as_if_it_had_not_asked(scene: Any) -> None:
    played: Scene = scene(config("p", "q"))
    caller = played.gateway.caller()
    ask(caller)
    played.peer("p").say(failed(500))
    played.peer("q").say(OK)
    assert lines(caller) == []
    assert [event.detail for event in played.gateway.events()] == [None]


def test_each_attempt_is_told_with_how_it_failed_and_what_was_asked_for(scene: Any) -> None:
    played: Scene = scene(explaining(config(max=2)))
    caller = played.gateway.caller()
    ask(caller)
    played.peer("p").say(failed(429, b"retry-after: 30\r\n"))
    (dial,) = played.gateway.upstreams[9002].dials
    dial.fail()
    played.peer("r").say(OK)
    said = told(caller)
    attempts = [(one["target"], one.get("status"), one.get("error")) for one in said["attempts"]]
    assert attempts == [("p/x", 429, "upstream_error"), ("q/x", None, "upstream_unreachable"), ("r/x", 200, None)]
    assert said["attempts"][0]["asked_ms"] == 30_000
    assert "ended" not in said
    assert [one.target for one in kept(played.gateway).attempts] == ["p/x", "q/x", "r/x"]


def test_an_error_answer_says_why_nothing_else_was_tried(scene: Any) -> None:
    for status, reason in ((400, "the request would be as wrong elsewhere"), (500, "retries.on does not have this")):
        played: Scene = scene(explaining(config("p", "q", on=["connect"])))
        caller = played.gateway.caller()
        ask(caller)
        played.peer("p").say(failed(status))
        said = told(caller)
        assert said["ended"].startswith(reason)
        assert [(one["target"], one["status"]) for one in said["attempts"]] == [("p/x", status)]


def test_what_is_tried_elsewhere_for_the_request_s_sake_is_told_by_its_word(scene: Any) -> None:
    played: Scene = scene(explaining(config("p", "q", on=["context_length"])))
    caller = played.gateway.caller()
    ask(caller)
    played.peer("p").say(failed(400, body=b'{"error":{"message":"no","type":"x","code":"context_length_exceeded"}}'))
    played.peer("q").say(OK)
    attempts = [(one["target"], one["status"], one.get("error")) for one in told(caller)["attempts"]]
    assert attempts == [("p/x", 400, "context_length"), ("q/x", 200, None)]


def test_a_pause_before_the_next_attempt_is_told(scene: Any) -> None:
    played: Scene = scene(explaining(config("p", on=["5xx"], backoff="1s", max=1)))
    caller = played.gateway.caller()
    ask(caller)
    played.peer("p").say(failed(500))
    played.gateway.rest()
    played.peer("p").say(OK)
    first, second = told(caller)["attempts"]
    assert 800 <= first["pause_ms"] <= 1200
    assert "pause_ms" not in second


def test_a_place_that_is_not_in_service_is_passed_over_with_its_reason(scene: Any) -> None:
    shape = {"breaker": {"consecutive": 1, "pause": "5m"}}
    played: Scene = scene(explaining(config("p", "q", on=["5xx"], model=shape)))
    for fields in (b"", ASKED):
        caller = played.gateway.caller()
        ask(caller, fields)
        if not fields:
            played.peer("p").say(failed(500))
        played.peer("q").say(OK)
    said = told(caller)
    assert said["passed_over"] == [{"target": "p/x", "reason": "its breaker is open"}]
    assert [one["target"] for one in said["candidates"]] == ["p/x", "q/x"]
    assert [one["target"] for one in said["attempts"]] == ["q/x"]


def test_a_refused_credential_is_told_by_its_number_in_the_pool_alone(scene: Any) -> None:
    played: Scene = scene(explaining(config("p", keys=2, on=["credential"])))
    caller = played.gateway.caller()
    ask(caller)
    played.peer("p").say(failed(401, body=b'{"error":{"message":"bad key sk-P0"}}'))
    played.peer("p").say(OK)
    (line,) = lines(caller)
    assert [one["credential"] for one in json.loads(line)["attempts"]] == [1, 2]
    assert not any(secret.encode() in line for secret in SECRETS.values())


def test_of_a_condition_that_is_not_met_its_field_is_told_and_no_value(scene: Any) -> None:
    made = config("p", "q", "r")
    when = ({"headers": {"x-tier": ["gold-of-another"]}}, {"metadata": {"team": ["search"]}}, {})
    for target, condition in zip(made["models"]["m"]["targets"], when, strict=True):
        target["when"] = condition
    played: Scene = scene(explaining(made))
    caller = played.gateway.caller()
    ask(caller, ASKED + b"x-tier: silver\r\n", metadata={"team": "ads"})
    played.peer("r").say(OK)
    (line,) = lines(caller)
    assert json.loads(line)["passed_over"] == [
        {"target": "p/x", "reason": "its condition on the field x-tier is not met"},
        {"target": "q/x", "reason": "its condition on metadata.team is not met"},
    ]
    assert b"gold-of-another" not in line


def test_a_call_that_no_target_takes_is_told_which_conditions_it_did_not_meet(scene: Any) -> None:
    made = config("p")
    made["models"]["m"]["targets"][0]["when"] = {"headers": {"x-tier": ["gold"]}}
    played: Scene = scene(explaining(made))
    caller = played.gateway.caller()
    ask(caller)
    said = told(caller)
    assert said["passed_over"] == [{"target": "p/x", "reason": "its condition on the field x-tier is not met"}]
    assert "attempts" not in said
    assert kept(played.gateway).passed_over[0].target == "p/x"


def test_a_target_that_cannot_be_asked_for_the_operation_is_passed_over(scene: Any) -> None:
    made = config("p", "q")
    made["providers"]["p"] |= {"dialect": "anthropic"}
    played: Scene = scene(explaining(made))
    caller = played.gateway.caller()
    caller.ask("/v1/embeddings", b'{"model":"m","input":"x"}', fields=ASKED)
    played.peer("q").say(OK)
    said = told(caller)
    assert said["passed_over"] == [{"target": "p/x", "reason": "its provider has nothing for this path"}]
    assert [one["target"] for one in said["candidates"]] == ["q/x"]


def test_a_name_of_a_wildcard_is_told_by_the_model_that_it_became(scene: Any) -> None:
    made = config("p")
    made["models"] = {"all/*": {"targets": [{"provider": "p", "model": "big-*"}]}}
    played: Scene = scene(explaining(made))
    caller = played.gateway.caller()
    ask(caller, model="all/7b")
    played.peer("p").say(OK)
    said = told(caller)
    assert (said["asked"], said["model"]) == ("all/7b", "all/*")
    assert [one["target"] for one in (*said["candidates"], *said["attempts"])] == ["p/big-7b", "p/big-7b"]


def test_a_drained_target_is_passed_over(scene: Any) -> None:
    made = config("p", "q")
    made["models"]["m"]["targets"][0]["weight"] = 0
    played: Scene = scene(explaining(made))
    caller = played.gateway.caller()
    ask(caller)
    played.peer("q").say(OK)
    assert told(caller)["passed_over"] == [{"target": "p/x", "reason": "its weight is 0"}]


def test_a_strategy_tells_the_figures_that_it_went_by(scene: Any) -> None:
    made = config("p", "q", model={"strategy": "cheapest"})
    made["models"]["m"]["targets"][1]["price"] = PRICE
    played: Scene = scene(explaining(made))
    caller = played.gateway.caller()
    ask(caller, max_tokens=100)
    played.peer("q").say(OK)
    cheap, unpriced = told(caller)["candidates"]
    assert (cheap["target"], unpriced) == (
        "q/x",
        {"target": "p/x", "weight": 1, "figures": {"estimated_usd": "unpriced"}},
    )
    assert Decimal(cheap["figures"]["estimated_usd"]) > Decimal("0.0015")


def test_the_fastest_target_is_told_with_how_fast_it_was(scene: Any) -> None:
    played: Scene = scene(explaining(config("p", "q", model={"strategy": "fastest"})))
    target = played.gateway.runtime.models["m"].targets[0]
    target.latency.observe(SECOND // 4, played.gateway.runtime.models["m"].targets[0].latency.at + 1)
    caller = played.gateway.caller()
    ask(caller)
    played.peer("q").say(OK)
    figures = {one["target"]: one["figures"] for one in told(caller)["candidates"]}
    assert figures["q/x"] == {"first_byte_ms": 0, "in_flight": 0}
    assert set(figures["p/x"]) == {"first_byte_ms", "in_flight"}


def test_what_keeps_a_call_on_its_target_is_told_and_not_by_which_value(scene: Any) -> None:
    played: Scene = scene(explaining(config("p", model={"strategy": "weighted", "sticky": "header:x-team"})))
    made = config("p", "q", model={"strategy": "weighted", "sticky": "header:x-team"})
    made["models"]["m"]["targets"][1]["weight"] = 0
    played.gateway.apply(explaining(made), SECRETS)
    caller = played.gateway.caller()
    ask(caller, ASKED + b"x-team: red-herring\r\n")
    played.peer("p").say(OK)
    (line,) = lines(caller)
    assert json.loads(line)["sticky"] == "header:x-team"
    assert b"red-herring" not in line


def test_the_lines_of_a_bill_add_up_to_the_cost(scene: Any) -> None:
    made = config("p")
    made["models"]["m"]["targets"][0]["price"] = PRICE
    played: Scene = scene(explaining(made))
    caller = played.gateway.caller()
    ask(caller)
    played.peer("p").say(USED)
    bill = told(caller)["bill"]
    products = [(line["kind"], line["count"], line["rate"], line["usd"]) for line in bill["lines"]]
    assert products == [
        ("input", 100, "3", "0.000300000"),
        ("cache_read", 900, "0.3", "0.000270000"),
        ("output", 100, "15", "0.001500000"),
    ]
    assert (bill["sum"], bill["cost"], bill["price"]) == ("0.002070000", "0.002070000", "config")
    (event,) = played.gateway.events()
    assert event.cost_nano == 2_070_000


def test_a_stream_is_told_at_its_head_and_billed_in_its_event(scene: Any) -> None:
    made = config("p", "q", on=["5xx"])
    made["models"]["m"]["targets"][1]["price"] = PRICE
    played: Scene = scene(explaining(made))
    caller = played.gateway.caller()
    ask(caller, stream=True)
    played.peer("p").say(failed(500))
    peer = played.peer("q")
    peer.say(HEAD + chunk(ROLE + WORD))
    said = told(caller)
    assert [(one["target"], one["status"]) for one in said["attempts"]] == [("p/x", 500), ("q/x", 200)]
    assert "bill" not in said
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":2}}\n\n'
    peer.say(chunk(usage + DONE) + b"0\r\n\r\n")
    explanation = kept(played.gateway)
    assert explanation.bill is not None
    assert [(line.kind, line.count) for line in explanation.bill.lines] == [("input", 10), ("output", 2)]
    assert explanation.bill.cost == "0.000060000"
    assert lines(caller) == []


def test_a_translated_call_is_told_the_way_and_what_was_dropped(start: Starter) -> None:
    gateway = start(
        explaining(
            {
                "providers": {
                    "claude": {"dialect": "anthropic", "base_url": "http://a.test:9001", "credential": "env:KEY"}
                },
                "models": {"m": {"targets": [{"provider": "claude", "model": "x"}], "unsupported": "drop"}},
            }
        )
    )
    peer = gateway.upstreams[9001].connect()
    caller = gateway.caller()
    ask(caller, messages=[{"role": "user", "content": "Hi"}], seed=7)
    peer.say(
        answer(
            b'{"id":"msg_1","type":"message","role":"assistant","model":"x","content":[{"type":"text","text":"Hi"}],'
            b'"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":1}}'
        )
    )
    assert told(caller)["passage"] == {
        "caller": "openai",
        "provider": "anthropic",
        "operation": "messages",
        "translated": True,
        "dropped": ["seed"],
    }


def test_a_call_that_a_limit_refuses_is_told_which(scene: Any) -> None:
    played: Scene = scene(explaining(config("p"), limits={"requests": "1/day"}))
    caller = played.gateway.caller()
    ask(caller, b"")
    played.peer("p").say(OK)
    caller.take()
    ask(caller)
    said = told(caller)
    assert [(one["name"], one["limit"], one["remaining"]) for one in said["limits"]] == [("requests", "1/day", 0)]
    assert "candidates" not in said


def test_an_endpoint_is_told_without_its_path(start: Starter) -> None:
    made = {
        "upstreams": {"orders": {"endpoints": ["http://a.test:9001/hooks/hidden", "http://b.test:9002/hooks/hidden"]}},
        "routes": {"orders": {"match": {"path": "/orders/*"}, "upstream": "orders"}},
    }
    gateway = start(explaining(made))
    peer = gateway.upstreams[9001].connect()
    caller = gateway.caller()
    caller.ask("/orders/7", fields=ASKED)
    peer.say(answer(b"{}"))
    (line,) = lines(caller)
    said = json.loads(line)
    assert (said["route"], said["matched"]) == ("orders", "POST /orders/*")
    assert [one["target"] for one in said["candidates"]] == ["orders/a.test:9001", "orders/b.test:9002"]
    assert [one["target"] for one in said["attempts"]] == ["orders/a.test:9001"]
    assert b"hidden" not in line


def test_the_header_is_bounded_and_printable_and_says_where_it_is_cut() -> None:
    names = [f"{'é' * 100}\x7f{number}" for number in range(64)]
    line = line_of(Explanation("route", candidates=[Candidate(name, 1) for name in names]))
    value = line.removeprefix(b"x-headgate-explain: ").removesuffix(b"\r\n")
    assert len(value) <= LARGEST
    assert all(32 <= byte < 127 for byte in value)
    said = json.loads(value)
    assert said["cut"]
    assert [one["target"] for one in said["candidates"]] == names[: len(said["candidates"])]
    assert said["candidates"]


def test_a_model_that_is_not_known_is_told_as_it_was_asked_for(scene: Any) -> None:
    played: Scene = scene(explaining(config("p")))
    caller = played.gateway.caller()
    ask(caller, model="no such one")
    said = told(caller)
    assert (said["asked"], said.get("model"), said["route"]) == ("no such one", None, "chat.completions")


def test_what_cannot_be_explained_is_answered_all_the_same(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    played: Scene = scene(explaining(config("p")))
    monkeypatch.setattr("plane.explain.matched", None)
    caller = played.gateway.caller()
    ask(caller)
    played.peer("p").say(OK)
    assert caller.transport.written.startswith(b"HTTP/1.1 200 ")
    events: list[UsageEvent] = played.gateway.events()
    assert [(event.status, event.detail) for event in events] == [(200, None)]
