"""control.once: a usage that several events tell of is counted with the first of them."""

from pathlib import Path

import pytest

from control.intake import Intake
from control.log import Log
from control.once import Once
from core.usage import Detail, UsageEvent, make_id
from tests import usage_events
from tests.ledgers import records_of


def told(number: int, once: str, *, worker: int = 0) -> UsageEvent:
    return usage_events.event(
        make_id(worker, 1, number),
        consumer="c",
        model="m",
        input_total=10,
        output_total=5,
        usage_known=True,
        cost_nano=7,
        price="config",
        detail=Detail(service_tier="flex", once=once),
    )


def opened(folder: Path) -> Intake:
    return Intake(folder / "usage", bytes(16), Log("test"))


def totals(intake: Intake) -> list[tuple[int, int, int, int, int, int]]:
    """Return requests, input, output, cost, and the calls whose usage or price is not known."""
    return [
        (row.requests, row.input_tokens, row.output_tokens, row.cost_nano, row.unknown, row.unpriced)
        for row in intake.table.rows()
    ]


def test_the_first_event_is_counted_whichever_worker_it_is_of_and_the_others_are_calls_alone(tmp_path: Path) -> None:
    intake = opened(tmp_path)
    intake.take(0, records_of(told(1, "p/resp_1"), told(2, "p/resp_1")))
    intake.take(1, records_of(told(1, "p/resp_1", worker=1), told(2, "p/resp_2", worker=1)))
    assert totals(intake) == [(4, 20, 10, 14, 0, 0)]
    (row,) = intake.tally.calls.values()
    assert (row.input, row.output, row.cost_nano, row.unpriced, row.unknown) == (20, 10, 14, 0, 0)
    assert sum(row.statuses.values()) == 4


def test_events_without_the_word_are_all_counted(tmp_path: Path) -> None:
    intake = opened(tmp_path)
    intake.take(0, records_of(told(1, ""), told(2, "")))
    assert totals(intake) == [(2, 20, 10, 14, 0, 0)]


@pytest.mark.parametrize("end", ["closed", "killed"])
def test_what_was_counted_is_known_after_a_restart(end: str, tmp_path: Path) -> None:
    first = opened(tmp_path)
    first.take(0, records_of(told(1, "p/resp_1")))
    if end == "closed":
        first.close()
    else:
        first.segments.close()
    second = opened(tmp_path)
    second.take(0, records_of(told(2, "p/resp_1"), told(3, "p/resp_2")))
    assert totals(second) == [(3, 20, 10, 14, 0, 0)]
    second.close()
    assert totals(opened(tmp_path)) == [(3, 20, 10, 14, 0, 0)]


def test_only_the_newest_are_remembered() -> None:
    once = Once(2)
    first, second, third = (told(number, f"p/{number}") for number in (1, 2, 3))
    for event in (first, second, third):
        assert once.counted(event) is event
    again = Once(2)
    again.resume(once.saved())
    assert again.saved() == once.saved()
    assert again.counted(third).input_total == again.counted(second).input_total == 0
    assert again.counted(first) is first
