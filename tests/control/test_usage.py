import pytest

from control.usage import OTHER, UsageTable
from core.wire import UsageEvent


def event(
    seq: int, consumer: str = "payments", model: str = "m", boot: str = "b", status: int = 200, known: bool = True
) -> UsageEvent:
    return UsageEvent(0, boot, seq, 0, "", "", consumer, "", model, "", status, "", False, 1, 0, 0, 10, 4, 0, 0, known)


def test_calls_are_counted_by_consumer_and_model() -> None:
    table = UsageTable()
    table.add([event(1), event(2, model="n"), event(3), event(4, consumer="audit")])
    assert [(row.consumer, row.model, row.requests) for row in table.rows()] == [
        ("audit", "m", 1),
        ("payments", "m", 2),
        ("payments", "n", 1),
    ]


def test_tokens_count_only_where_usage_is_known() -> None:
    table = UsageTable()
    table.add([event(1), event(2, known=False)])
    (row,) = table.rows()
    assert (row.requests, row.input_tokens, row.output_tokens, row.unknown) == (2, 10, 4, 1)


@pytest.mark.parametrize(("status", "errors"), [(200, 0), (399, 0), (400, 1), (502, 1)])
def test_an_answer_of_400_or_more_is_an_error(status: int, errors: int) -> None:
    table = UsageTable()
    table.add([event(1, status=status)])
    assert table.rows()[0].errors == errors


def test_an_event_sent_twice_counts_once() -> None:
    table = UsageTable()
    table.add([event(1), event(2)])
    table.add([event(1), event(2), event(3)])
    assert table.rows()[0].requests == 3


def test_a_new_run_of_a_worker_starts_its_numbers_again() -> None:
    table = UsageTable()
    table.add([event(1, boot="before"), event(1, boot="after")])
    assert table.rows()[0].requests == 2


def test_more_pairs_than_the_table_holds_are_counted_together() -> None:
    table = UsageTable(rows=2)
    table.add([event(number, consumer=f"c{number}") for number in range(5)])
    rows = {row.consumer: row.requests for row in table.rows()}
    assert rows == {"c0": 1, "c1": 1, OTHER: 3}


def test_runs_are_forgotten_oldest_first() -> None:
    table = UsageTable(runs=2)
    table.add([event(1, boot=boot) for boot in ("a", "b", "c")])
    table.add([event(1, boot="c"), event(1, boot="b")])
    assert table.rows()[0].requests == 3
