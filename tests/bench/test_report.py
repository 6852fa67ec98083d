"""The arithmetic and the tables of the benchmark report, held to examples worked out by hand."""

from dataclasses import replace

import pytest

from bench import report
from bench.payload import CHAT, CHAT_ANSWER, EVENTS, STREAM_PAYLOAD
from bench.report import Cell, Figure
from bench.stream import chunk, dechunk


def cell(arm: str, block: int = 0, *, requests: int = 1000, worker_us: float = 40.0, **more: object) -> Cell:
    """Return a cell of one second in which each request cost the worker `worker_us`."""
    made = Cell("chat", arm, block, 64, 1.0, requests, 0, int(requests * worker_us * 1000), 0)
    return replace(made, **more)


def ratios(cells: list[Cell]) -> Figure | None:
    return report.figure(cells, report.cost_ratio("gateway", "nginx"), "gateway", "nginx")


def row(key: str) -> report.Row:
    return next(each for each in report.ROWS if each.key == key)


def test_cost_is_worker_time_over_requests_of_all_cells_together() -> None:
    slow, fast = cell("gateway", requests=1000, worker_us=50), cell("gateway", requests=3000, worker_us=30)
    assert report.cost([slow, fast]) == pytest.approx(35.0)


def test_the_cost_of_a_stream_is_counted_per_event() -> None:
    assert report.cost([cell("gateway", requests=10, worker_us=640, events=640)]) == pytest.approx(10.0)


def test_a_figure_is_the_median_over_blocks_and_its_spread_the_extremes() -> None:
    cells = []
    for block, own in enumerate((30.0, 44.0, 36.0)):
        cells += [cell("gateway", block, worker_us=own), cell("nginx", block, worker_us=20.0)]
    found = ratios(cells)
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((1.8, 1.5, 2.2))
    assert found.note == ""


def test_both_cells_of_an_arm_in_a_block_count_so_that_drift_cancels() -> None:
    # A machine that slows down steadily by the same amount per cell: A B B A.
    drifting = zip(("gateway", "nginx", "nginx", "gateway"), (40.0, 22.0, 24.0, 46.0), strict=True)
    found = ratios([cell(arm, worker_us=each) for arm, each in drifting])
    assert found is not None
    assert found.value == pytest.approx(43.0 / 23.0)


def test_a_block_without_both_arms_gives_no_figure() -> None:
    assert ratios([cell("gateway"), cell("nginx", 1)]) is None


def test_a_disturbed_block_is_left_out_of_figures() -> None:
    cells = [cell("gateway", 0, worker_us=90, foreign=0.4), cell("nginx", 0, worker_us=20)]
    cells += [cell("gateway", 1, worker_us=36), cell("nginx", 1, worker_us=20)]
    found = ratios(cells)
    assert found is not None
    assert found.value == found.high == pytest.approx(1.8)
    assert found.note == ""


def test_where_every_block_was_disturbed_the_figure_stands_and_says_so() -> None:
    found = ratios([cell("gateway", foreign=0.4), cell("nginx", worker_us=20)])
    assert found is not None
    assert found.value == pytest.approx(2.0)
    assert "disturbed" in found.note


def test_wrong_answers_void_a_figure_even_from_a_block_that_was_left_out() -> None:
    cells = [cell("gateway", 0, foreign=0.4, problem="errors {'status': 7}"), cell("nginx", 0)]
    cells += [cell("gateway", 1), cell("nginx", 1)]
    found = ratios(cells)
    assert found is not None
    assert report.verdict(row("chat_ratio"), found) == "void"
    assert "'status': 7" in found.note


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("chat_ratio", 2.2, "ok"),
        ("chat_ratio", 2.21, "over"),
        ("chat_rate", 20_000, "ok"),
        ("chat_rate", 19_999, "over"),
        ("pushes", 0, "ok"),
        ("pushes", 1, "over"),
    ],
)
def test_a_verdict_compares_with_the_bar_in_the_direction_that_is_better(key: str, value: float, expected: str) -> None:
    assert report.verdict(row(key), Figure(value, value, value)) == expected


def test_a_case_that_was_not_measured_is_not_yet() -> None:
    assert report.verdict(row("translated_chat"), None) == "not yet"


def test_a_generator_slower_than_twice_the_gateway_is_named() -> None:
    assert report.mock_bound(30_000, 60_000) == ""
    assert "1.5" in report.mock_bound(30_000, 45_000)


def test_the_table_shows_each_row_of_the_budget_with_its_bar_and_aim() -> None:
    table = report.lines({"chat_rate": Figure(24_512.4, 23_999.6, 25_100.0)})
    assert [line[0] for line in table] == [each.case for each in report.ROWS]
    by_case = {line[0]: line[1:] for line in table}
    assert by_case[row("chat_rate").case] == ["24,512 req/s (24,000..25,100)", "≥ 20,000 req/s", "28,000 req/s", "ok"]
    assert by_case[row("memory").case] == ["-", "≤ 70 MB", "-", "not yet"]


def test_columns_of_a_terminal_table_line_up() -> None:
    text = report.render(["case", "measured"], [["a long case", "1"], ["b", "22"]])
    assert text.splitlines() == ["case         measured", "-----------  --------", "a long case  1", "b            22"]


def test_a_markdown_table_has_a_rule_under_its_head() -> None:
    text = report.render(["case", "bar"], [["chat", "2"]], markdown=True)
    assert text.splitlines() == ["| case | bar |", "|---|---|", "| chat | 2 |"]


def test_details_keep_cases_connections_and_arms_apart() -> None:
    cells = [cell("gateway", p50_us=2000), cell("gateway", 1, p50_us=3000), cell("nginx"), cell("direct", worker_us=0)]
    table = report.latency_table([*cells, replace(cells[0], connections=1)])
    assert [line[:3] for line in table] == [
        ["chat", "64", "gateway"],
        ["chat", "64", "nginx"],
        ["chat", "64", "direct"],
        ["chat", "1", "gateway"],
    ]
    assert table[0][3:] == ["1,000", "40.0 (40.0..40.0)", "4%", "2,500", "0"]
    assert table[2][4] == "-"


def test_call_and_answer_are_one_kibibyte_each() -> None:
    assert len(CHAT) == len(CHAT_ANSWER) == 1024


def test_a_chunked_stream_reads_back_as_it_was_written() -> None:
    body = chunk(b"data: 1\n\n") + chunk(b"data: 2\n\n") + b"0\r\n\r\n"
    assert dechunk(body) == b"data: 1\n\ndata: 2\n\n"
    assert STREAM_PAYLOAD.count(b"data: ") == EVENTS + 1


@pytest.mark.parametrize("broken", [b"", b"5\r\nabc", b"x\r\nabc\r\n0\r\n\r\n", b"3\r\nabc\r\n"])
def test_a_stream_that_is_not_whole_is_an_error(broken: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        dechunk(broken)
