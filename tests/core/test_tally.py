"""What usage events add up to."""

from typing import Any

import msgspec
import pytest

from core.metrics import BOUNDS
from core.tally import OTHER, Tally
from core.usage import Detail, UsageEvent

EVENT = msgspec.convert(
    [1, 0, "", "", "alice", "chat", "m", "p/m", 200, "", False, 1, 0, 0, 0, 0, 0, 0, False], UsageEvent
)
KEY = ("chat", "m", "p/m")


def tally_of(*events: dict[str, Any], **bounds: int) -> Tally:
    """Return a tally of a call for each of `events`: what it has that a plain successful call has not."""
    tally = Tally(**bounds)
    for event in events:
        tally.add(msgspec.structs.replace(EVENT, **event))
    return tally


def test_calls_are_kept_apart_by_route_model_and_target() -> None:
    tally = tally_of({}, {}, {"target": "p/n"}, {"model": "n"}, {"route": "api", "model": "", "target": ""})
    assert {key: row.statuses for key, row in tally.calls.items()} == {
        KEY: {200: 2},
        ("chat", "m", "p/n"): {200: 1},
        ("chat", "n", "p/m"): {200: 1},
        ("api", "", ""): {200: 1},
    }
    assert tally.events == 5


def test_statuses_attempts_and_bytes_are_counted() -> None:
    row = tally_of(
        {"status": 503, "error": "upstream_busy", "attempts": 3}, {"attempts": 2, "bytes_in": 9}, {"bytes_out": 5}
    ).calls[KEY]
    assert row.statuses == {503: 1, 200: 2}
    assert (row.attempts, row.bytes_in, row.bytes_out) == (6, 9, 5)


def test_latencies_fall_into_buckets_and_add_up() -> None:
    row = tally_of(*({"latency_us": value} for value in (0, BOUNDS[0], BOUNDS[0] + 1, BOUNDS[-1] + 1))).calls[KEY]
    assert (row.latency[0], row.latency[1], row.latency[-1], sum(row.latency)) == (2, 1, 1, 4)
    assert row.latency_sum == 2 * BOUNDS[0] + 1 + BOUNDS[-1] + 1


def test_the_first_token_is_that_of_streams() -> None:
    row = tally_of({"first_us": 60}, {"first_us": 60, "stream": True}, {"first_us": 0, "stream": True}).calls[KEY]
    assert (row.first[1], sum(row.first), row.first_sum) == (1, 1, 60)


def test_tokens_count_where_they_are_known_and_are_missed_where_they_should_be() -> None:
    known = {"usage_known": True, "input_total": 10, "output_total": 5, "cache_read": 4, "reasoning": 3}
    failed = {"status": 500, "error": "upstream_error"}
    tally = tally_of(known, known, {}, failed, {"model": "", "route": "api"})
    row = tally.calls[KEY]
    assert (row.input, row.output, row.cache_read, row.reasoning, row.unknown) == (20, 10, 8, 6, 1)
    consumer = tally.consumers["alice"]
    assert (consumer.requests, consumer.failed, consumer.input, consumer.output) == (5, 1, 20, 10)


@pytest.mark.parametrize(
    ("code", "limited"),
    [
        ("rate_limit_exceeded", {"requests": 1, "concurrent": 0}),
        ("concurrency_limit_exceeded", {"requests": 0, "concurrent": 1}),
        ("upstream_error", {"requests": 0, "concurrent": 0}),
    ],
)
def test_errors_are_counted_by_code_and_by_limit(code: str, limited: dict[str, int]) -> None:
    tally = tally_of({"status": 429, "error": code})
    assert tally.errors == {code: 1}
    assert tally.limited == limited
    assert tally.consumers["alice"].failed == 1


def test_names_beyond_the_bound_are_counted_together() -> None:
    events = [{"model": f"m{number}", "consumer": f"c{number}"} for number in range(10)]
    tally = tally_of(*events, *events, call_rows=3, consumer_rows=4)
    assert len(tally.calls) == 4
    assert tally.calls[OTHER, OTHER, OTHER].statuses == {200: 14}
    assert len(tally.consumers) == 5
    assert tally.consumers[OTHER].requests == 12
    assert sum(row.requests for row in tally.consumers.values()) == 20


def test_sums_beyond_32_bits_do_not_wrap() -> None:
    row = tally_of(*[{"latency_us": 1 << 40, "usage_known": True, "input_total": 1 << 40}] * 3).calls[KEY]
    assert (row.latency_sum, row.input) == (3 << 40, 3 << 40)


def test_costs_add_up_and_unpriced_calls_are_counted_apart() -> None:
    known = {"usage_known": True, "input_total": 1}
    tally = tally_of(known | {"cost_nano": 2**40}, known | {"cost_nano": 0}, known, {})
    row = tally.calls[KEY]
    assert (row.cost_nano, row.unpriced, row.unknown) == (2**40, 1, 1)
    assert tally.consumers["alice"].cost_nano == 2**40


def test_what_few_calls_have_is_counted() -> None:
    detail = Detail(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, estimated=True)
    row = tally_of(*[{"usage_known": True, "detail": detail}] * 2).calls[KEY]
    assert (row.cache_write, row.audio_in, row.audio_out, row.image_in, row.image_out) == (6, 6, 8, 10, 12)
    assert (row.server_tools, row.units, row.milliseconds, row.estimated) == (16, 18, 20, 2)
