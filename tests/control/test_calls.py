"""control.calls and control.account: a call is found by its request id, and told to a person."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from control.account import account_of
from control.calls import Call, Calls, call_of, find
from control.log import Log
from control.segments import Segments, segments_in
from core.explanation import Attempt, Candidate, Explanation, Limit, Passage, PassedOver
from core.model import Config, Price
from core.price_list import PriceRow
from core.snapshot import Snapshot, build
from core.usage import Detail, UsageEvent
from tests.ledgers import records_of
from tests.usage_events import event

RATES = {"input_usd_per_million": "3", "cache_read_usd_per_million": "0.3", "output_usd_per_million": "15"}
USED: dict[str, Any] = {
    "model": "m",
    "target": "p/real",
    "input_total": 1000,
    "cache_read": 900,
    "output_total": 100,
    "usage_known": True,
    "cost_nano": 2_070_000,
    "price": "config",
}
TOLD = Explanation(
    "chat.completions",
    matched="POST /v1/chat/completions",
    consumer="c",
    limits=[Limit("requests", "10/s", 9, 100.0)],
    asked="m",
    model="m",
    strategy="fastest",
    candidates=[Candidate("p/real", 1, {"first_byte_ms": 12.5}), Candidate("q/real", 2)],
    passed_over=[PassedOver("r/real", "its breaker is open", 2)],
    attempts=[
        Attempt("p/real", 4.0, 429, "upstream_error", 30_000.0, 500.0),
        Attempt("q/real", 1500.0, 200, credential=1),
    ],
    passage=Passage("openai", "anthropic", "messages", True, ["seed", "user"]),
)


def snapshot(price: dict[str, str] | None = None) -> Snapshot:
    """Return an active config whose model ``m`` has this price."""
    target = {"provider": "p", "model": "real"} | ({"price": price} if price else {})
    providers = {"p": {"dialect": "openai", "base_url": "http://p.test/v1"}}
    return build(msgspec.convert({"providers": providers, "models": {"m": {"targets": [target]}}}, Config), 1)


def opened(folder: Path) -> Segments:
    return Segments(folder, bytes(16), Log("test"))


def told(call: Call) -> list[str]:
    """Return the lines of an account as the command line makes it of the API's answer."""
    (again,) = msgspec.convert(msgspec.to_builtins(Calls([call])), Calls).calls
    return account_of(again).split("\n")


def test_a_call_is_found_by_all_of_its_id_whichever_segment_it_is_in(tmp_path: Path) -> None:
    kept = opened(tmp_path / "usage")
    kept.append(records_of(event(1, request_id="r-1"), event(2, request_id="r-11")))
    kept.roll()
    kept.append(records_of(event(3, request_id="r-2", path="/r-1")))
    assert [one.id for one in find(tmp_path / "usage", "r-1")] == [1]
    assert [one.id for one in find(tmp_path / "usage", "r-11")] == [2]
    assert [one.id for one in find(tmp_path / "usage", "r-2")] == [3]
    assert find(tmp_path / "usage", "r-3") == []


def test_calls_that_share_an_id_are_all_told_in_their_order(tmp_path: Path) -> None:
    kept = opened(tmp_path / "usage")
    kept.append(records_of(*(event(number, request_id="mine") for number in range(1, 31))))
    assert [one.id for one in find(tmp_path / "usage", "mine")] == list(range(11, 31))


def test_a_call_is_found_wherever_its_id_stands_in_a_large_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control.calls.READ", 7)
    kept = opened(tmp_path / "usage")
    kept.append(records_of(*(event(number, request_id=f"request-{number:03}") for number in range(1, 101))))
    found = [find(tmp_path / "usage", f"request-{number:03}")[0].id for number in range(1, 101)]
    assert found == list(range(1, 101))


def test_files_that_are_no_segments_are_passed_over(tmp_path: Path) -> None:
    kept = opened(tmp_path / "usage")
    kept.append(records_of(event(1, request_id="r-1")))
    (tmp_path / "usage" / f"{9:020}.seg").write_bytes(b"r-1, but no segment, and more bytes than a header has")
    assert len(segments_in(tmp_path / "usage")) == 2
    assert [one.id for one in find(tmp_path / "usage", "r-1")] == [1]


def test_the_cost_of_a_plain_event_is_told_by_the_prices_of_the_active_config() -> None:
    call = call_of(event(1, **USED), snapshot(RATES))
    assert call.bill is not None
    assert [(line.kind, line.count, line.usd) for line in call.bill.lines] == [
        ("input", 100, "0.000300000"),
        ("cache_read", 900, "0.000270000"),
        ("output", 100, "0.001500000"),
    ]
    assert (call.bill.cost, call.unbilled) == ("0.002070000", "")


def test_the_cost_of_a_name_of_a_wildcard_is_told_by_the_list_of_its_provider() -> None:
    providers = {"p": {"dialect": "openai", "base_url": "http://p.test/v1"}}
    models = {"p/*": {"targets": [{"provider": "p", "model": "*"}]}}
    config = msgspec.convert({"providers": providers, "models": models}, Config)
    rows = [PriceRow(("real",), price=Price(**RATES, source="list"))]  # type: ignore[arg-type]
    used = USED | {"model": "p/*", "target": "p/*", "price": "list"}
    call = call_of(event(1, **used, detail=Detail(requested="p/real")), build(config, 1, {"p": rows}))
    assert call.bill is not None
    assert (call.bill.cost, call.bill.price) == ("0.002070000", "list")
    assert "  model       p/*, asked for as p/real" in told(call)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "the config it was served under (0123456789ab) had another price, config"),
        ({"cost_nano": None}, "unpriced: there is no price for what it used"),
        ({"cost_nano": None, "usage_known": False}, "its usage is not known"),
    ],
)
def test_a_cost_that_cannot_be_reckoned_again_says_why(fields: dict[str, Any], reason: str) -> None:
    made: UsageEvent = event(1, snapshot="0123456789abcdef", **(USED | fields))
    for active in (snapshot(), snapshot({"input_usd_per_million": "4", "output_usd_per_million": "4"})):
        call = call_of(made, active)
        assert (call.bill, call.unbilled) == (None, reason)
    assert any(reason in line for line in told(call))


def test_an_account_tells_all_that_was_kept() -> None:
    made = event(
        1,
        **USED,
        request_id="r-1",
        time_ms=1_700_000_000_123,
        consumer="c",
        route="chat.completions",
        method="POST",
        path="/v1/chat/completions",
        peer="127.0.0.1",
        latency_us=1_504_000,
        first_us=1_200_000,
        stream=True,
        snapshot="0123456789abcdef",
        detail=Detail(service_tier="flex", explanation=TOLD),
    )
    assert told(call_of(made, snapshot(RATES))) == [
        "request r-1",
        "  ended       2023-11-14 22:13:20.123 UTC after 1504.0 ms",
        "  caller      c (127.0.0.1, http): POST /v1/chat/completions",
        "  route       chat.completions, by POST /v1/chat/completions",
        "  model       m, by fastest",
        "  limits      requests 10/s: 9 left, all again in 100.0 ms",
        "  candidates  1. p/real, weight 1, first_byte_ms 12.5",
        "              2. q/real, weight 2",
        "  passed over r/real (credential 2): its breaker is open",
        "  attempts    1. p/real: 429 upstream_error after 4.0 ms, asked for a pause of 30 s, then a pause of 500.0 ms",
        "              2. q/real (credential 1): 200 after 1.5 s",
        "  way         translated from openai to messages of anthropic; dropped: seed, user",
        "  answer      200 by p/real as a stream, first byte after 1200.0 ms",
        "  usage       1000 tokens in, 100 out; 900 from a cache; tier flex",
        "  price       config",
        "              input       100 tokens  x 3 per million    = 0.000300000",
        "              cache_read  900 tokens  x 0.3 per million  = 0.000270000",
        "              output      100 tokens  x 15 per million   = 0.001500000",
        "  cost        0.002070000 USD",
        "  config      0123456789ab",
    ]


def test_an_account_of_a_plain_event_says_what_it_knows_and_how_to_know_more() -> None:
    lines = told(call_of(event(1, **USED, request_id="r-1", attempts=2), snapshot(RATES)))
    assert "  attempts    2" in lines
    assert any("x-headgate-explain" in line for line in lines)
    assert not any(line.startswith("  candidates") for line in lines)


def test_nothing_that_a_terminal_would_obey_is_printed() -> None:
    made = event(
        1, request_id="r-1", path="/\x1b[2J", detail=Detail(explanation=Explanation("r", asked="\x1b]0;x\x07"))
    )
    assert "\x1b" not in account_of(call_of(made, snapshot()))
