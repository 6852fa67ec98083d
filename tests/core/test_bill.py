"""core.bill: the lines of a bill are what `Price.cost` adds up."""

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from core.bill import Counts, bill_of
from core.model import Above, Price, Variant
from core.money import NANO, usd
from core.money import Price as Compiled

PLAIN = {"input_usd_per_million": "3", "output_usd_per_million": "15"}
NIGHT = PLAIN | {"variants": (Variant(input_usd_per_million="1", hours_utc="01:00-02:00"),)}
RATES = [name for name in Price.__struct_fields__ if "usd" in name]
rates = st.dictionaries(
    st.sampled_from(RATES), st.integers(0, 10**12).map(usd), min_size=len(RATES) // 2, max_size=len(RATES)
)
amounts = st.integers(0, 10**7)


def billed(price: dict[str, Any], minute: int = 0, charged: int | None = None, **counts: int) -> Any:
    compiled = Compiled(Price(**price))
    used = Counts(**counts)
    cost = compiled.cost("", minute if charged is None else charged, *used)
    assert cost is not None
    return bill_of(compiled, "", minute, used, cost)


@given(rates, st.tuples(*[amounts] * len(Counts._fields)))
def test_the_lines_add_up_to_what_is_charged(made: dict[str, str], numbers: tuple[int, ...]) -> None:
    # With a price for each call none is unpriced.
    compiled = Compiled(Price(**({"usd_per_request": "0.000000001"} | made)))  # type: ignore[arg-type]
    # Of the counts that are part of others, as much as there can be.
    counts = Counts(*numbers)
    share = counts.input_total // 5
    counts = counts._replace(
        **{name: min(getattr(counts, name), share) for name in Counts._fields[2:6]},
        image_in=min(counts.image_in, share),
        **{
            name: min(getattr(counts, name), counts.output_total // 3)
            for name in ("audio_out", "image_out", "reasoning")
        },
    )
    cost = compiled.cost("", 0, *counts)
    assert cost is not None
    bill = bill_of(compiled, "", 0, counts, cost)
    assert bill is not None
    assert Decimal(bill.cost) * NANO == cost
    # An hour does not divide by a millisecond: such a line may be off by half of its last decimal.
    total = sum((Decimal(line.usd) for line in bill.lines), Decimal(0))
    assert abs(total - Decimal(bill.sum)) <= Decimal("1e-15")
    assert abs(total - Decimal(bill.cost)) <= Decimal("0.5e-9") + Decimal("1e-15")


def test_a_line_is_a_count_times_its_rate() -> None:
    bill = billed(PLAIN | {"cache_read_usd_per_million": "0.3"}, input_total=1001, cache_read=900, output_total=7)
    assert [(one.kind, one.count, one.unit, one.rate, one.per, one.usd) for one in bill.lines] == [
        ("input", 101, "tokens", "3", "million", "0.000303000"),
        ("cache_read", 900, "tokens", "0.3", "million", "0.000270000"),
        ("output", 7, "tokens", "15", "million", "0.000105000"),
    ]
    assert (bill.sum, bill.cost, bill.price) == ("0.000678000", "0.000678000", "config")


def test_sound_and_pieces_are_lines_of_their_own() -> None:
    price = {"audio_usd_per_hour": "0.36", "usd_per_unit": "0.04", "usd_per_request": "0.001"}
    bill = billed(price, milliseconds=60_000, units=2)
    assert [(one.kind, one.count, one.unit, one.rate, one.per, one.usd) for one in bill.lines] == [
        ("audio", 60_000, "ms", "0.36", "hour", "0.006000000"),
        ("unit", 2, "pieces", "0.04", "piece", "0.080000000"),
        ("request", 1, "pieces", "0.001", "piece", "0.001000000"),
    ]


def test_what_is_less_than_a_billionth_is_told_and_rounded_once() -> None:
    bill = billed({"input_usd_per_million": "0.0000125", "output_usd_per_million": "0"}, input_total=101)
    assert (bill.sum, bill.cost) == ("0.0000000012625", "0.000000001")


def test_a_larger_input_is_billed_by_its_own_rates() -> None:
    price = PLAIN | {"above": (Above(input_usd_per_million="6", input_tokens=10),)}
    assert [line.rate for line in billed(price, input_total=11).lines] == ["6"]


def test_images_read_from_a_cache_are_billed_once() -> None:
    bill = billed(
        PLAIN | {"cache_read_usd_per_million": "1", "image_in_usd_per_million": "8"},
        input_total=100,
        cache_read=100,
        image_in=100,
    )
    assert [(line.kind, line.count) for line in bill.lines] == [("cache_read", 100)]


def test_a_call_charged_just_before_the_hour_changed_is_billed_by_the_rates_of_then() -> None:
    assert [line.rate for line in billed(NIGHT, minute=120, charged=119, input_total=1000).lines] == ["1"]


def test_a_price_that_does_not_give_the_cost_gives_no_bill() -> None:
    assert bill_of(Compiled(Price(**PLAIN)), "", 0, Counts(input_total=1000), 1) is None  # type: ignore[arg-type]
