import pytest

from control.usage import OTHER, UsageTable
from core.usage import UsageEvent
from tests import usage_events


def event(
    number: int, consumer: str = "payments", model: str = "m", status: int = 200, known: bool = True
) -> UsageEvent:
    return usage_events.event(
        number, consumer=consumer, model=model, status=status, usage_known=known, input_total=10, output_total=4
    )


def table_of(*events: UsageEvent, rows: int = 10) -> UsageTable:
    table = UsageTable(rows)
    for one in events:
        table.add(one)
    return table


def test_calls_are_counted_by_consumer_and_model() -> None:
    table = table_of(event(1), event(2, model="n"), event(3), event(4, consumer="audit"))
    assert [(row.consumer, row.model, row.requests) for row in table.rows()] == [
        ("audit", "m", 1),
        ("payments", "m", 2),
        ("payments", "n", 1),
    ]


def test_tokens_count_only_where_usage_is_known() -> None:
    (row,) = table_of(event(1), event(2, known=False)).rows()
    assert (row.requests, row.input_tokens, row.output_tokens, row.unknown) == (2, 10, 4, 1)


@pytest.mark.parametrize(("status", "errors"), [(200, 0), (399, 0), (400, 1), (502, 1)])
def test_an_answer_of_400_or_more_is_an_error(status: int, errors: int) -> None:
    assert table_of(event(1, status=status)).rows()[0].errors == errors


def test_more_pairs_than_the_table_holds_are_counted_together() -> None:
    table = table_of(*(event(number, consumer=f"c{number}") for number in range(5)), rows=2)
    assert {row.consumer: row.requests for row in table.rows()} == {"c0": 1, "c1": 1, OTHER: 3}


def test_totals_go_on_from_where_they_were() -> None:
    table = UsageTable()
    table.resume(table_of(event(1)).rows())
    table.add(event(2))
    assert table.rows()[0].requests == 2
