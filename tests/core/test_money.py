"""core.money: what a call costs, in integers; `calc_price` of genai-prices, in decimals, is the oracle of its test."""

from typing import Any

import pytest

from core.model import Above, Price, Variant
from core.money import Price as Compiled
from core.money import usd

PLAIN = {"input_usd_per_million": "3", "output_usd_per_million": "15"}
COUNTS = (
    *("input_total", "output_total", "cache_read", "cache_write_5m", "cache_write_1h", "audio_in", "audio_out"),
    *("image_in", "image_out", "reasoning", "milliseconds", "units", "server_tools"),
)


def cost(price: dict[str, Any], tier: str = "", minute: int = 0, **counts: int) -> int | None:
    return Compiled(Price(**price)).cost(tier, minute, *(counts.get(name, 0) for name in COUNTS))


@pytest.mark.parametrize(
    ("rates", "counts", "nano"),
    [
        ({}, {"input_total": 1000, "output_total": 100}, 4_500_000),
        ({"cache_read_usd_per_million": "0.3"}, {"input_total": 1000, "cache_read": 900}, 570_000),
        ({"cache_write_usd_per_million": "3.75"}, {"input_total": 1000, "cache_write_5m": 400}, 3_300_000),
        ({"cache_write_usd_per_million": "3.75"}, {"input_total": 1000, "cache_write_1h": 400}, 3_300_000),
        ({"cache_write_1h_usd_per_million": "6"}, {"input_total": 1000, "cache_write_1h": 400}, 4_200_000),
        ({}, {"input_total": 1000, "cache_read": 500, "cache_write_5m": 300}, 3_000_000),
        ({"audio_in_usd_per_million": "40"}, {"input_total": 100, "audio_in": 60}, 2_520_000),
        ({"audio_out_usd_per_million": "80"}, {"output_total": 100, "audio_out": 60}, 5_400_000),
        ({"image_in_usd_per_million": "8"}, {"input_total": 100, "image_in": 60}, 600_000),
        ({"image_out_usd_per_million": "32"}, {"output_total": 100, "image_out": 100}, 3_200_000),
        ({"reasoning_usd_per_million": "3"}, {"output_total": 100, "reasoning": 40}, 1_020_000),
        ({"audio_usd_per_hour": "0.36"}, {"milliseconds": 60_000}, 6_000_000),
        ({"usd_per_unit": "0.04"}, {"units": 3}, 120_000_000),
        ({"usd_per_server_tool": "0.01"}, {"input_total": 10, "server_tools": 2}, 20_030_000),
        ({"usd_per_request": "0.005"}, {"input_total": 10}, 5_030_000),
    ],
)
def test_each_kind_of_unit_has_its_rate(rates: dict[str, str], counts: dict[str, int], nano: int) -> None:
    assert cost(PLAIN | rates, **counts) == nano


def test_a_larger_input_has_other_rates_for_all_of_it() -> None:
    price = PLAIN | {"above": (Above(input_usd_per_million="6", input_tokens=200_000),)}
    assert cost(price, input_total=200_000) == 600_000_000
    assert cost(price, input_total=200_001) == 1_200_006_000
    assert cost(price, input_total=200_001, output_total=1) == 1_200_006_000 + 15_000


def test_sizes_may_stand_in_any_order() -> None:
    above = (Above(input_usd_per_million="9", input_tokens=20), Above(input_usd_per_million="6", input_tokens=10))
    assert [cost(PLAIN | {"above": above}, input_total=count) for count in (10, 11, 21)] == [30_000, 66_000, 189_000]


def test_a_service_tier_has_its_rates_and_an_unknown_one_the_plain_ones() -> None:
    price = PLAIN | {"variants": (Variant(input_usd_per_million="1.5", service_tier="flex"),)}
    found = [cost(price, tier, input_total=1000, output_total=10) for tier in ("", "default", "flex")]
    assert found == [3_150_000, 3_150_000, 1_650_000]


@pytest.mark.parametrize(
    ("hours", "minute", "is_special"),
    [
        ("01:00-04:00", 59, False),
        ("01:00-04:00", 60, True),
        ("01:00-04:00", 239, True),
        ("01:00-04:00", 240, False),
        ("22:30-01:00", 1350, True),
        ("22:30-01:00", 0, True),
        ("22:30-01:00", 60, False),
        ("22:30-01:00", 1349, False),
    ],
)
def test_hours_of_the_day_have_their_rates(hours: str, minute: int, is_special: bool) -> None:
    price = PLAIN | {"variants": (Variant(input_usd_per_million="1", hours_utc=hours),)}
    assert cost(price, minute=minute, input_total=1_000_000) == (10**9 if is_special else 3 * 10**9)


def test_what_no_rate_is_for_is_unpriced_unless_tokens_tell_it() -> None:
    assert cost(PLAIN, milliseconds=1000) is None
    assert cost(PLAIN, units=1) is None
    assert cost(PLAIN, units=1, input_total=1000) == 3_000_000
    assert cost({}, input_total=5) is None
    assert cost({"usd_per_request": "0.01"}, input_total=5, units=1) == 10_000_000
    assert cost({"usd_per_unit": "0"}, input_total=5, units=1) == 0
    assert cost({"input_usd_per_million": "0"}, input_total=5) == 0


def test_what_was_read_from_a_cache_is_billed_so_whatever_it_was() -> None:
    price = PLAIN | {
        "cache_read_usd_per_million": "0.3",
        "image_in_usd_per_million": "1",
        "audio_in_usd_per_million": "40",
    }
    assert cost(price, input_total=100, cache_read=100, image_in=100) == 30_000
    assert cost(price, input_total=100, cache_read=60, image_in=50, audio_in=30) == 60 * 300 + 10 * 1000 + 30 * 40_000
    assert cost(price, input_total=100, cache_read=90, image_in=20, audio_in=30) == 90 * 300 + 10 * 40_000


def test_half_a_billionth_is_rounded_up_and_less_is_not() -> None:
    assert [cost({"input_usd_per_million": "0.0005"}, input_total=count) for count in (1, 2, 3)] == [1, 1, 2]
    assert cost({"input_usd_per_million": "0.000499999"}, input_total=1) == 0


def test_costs_are_exact_up_to_63_bits_and_an_error_above() -> None:
    assert cost({"input_usd_per_million": "99999.999999999"}, input_total=90_000_000_000) == 8_999_999_999_999_910_000
    assert cost({"usd_per_unit": "99999"}, units=90_000) == 8_999_910_000_000_000_000
    with pytest.raises(OverflowError):
        cost({"input_usd_per_million": "99999"}, input_total=100_000_000_000)
    with pytest.raises(OverflowError):
        cost({"usd_per_unit": "99999"}, units=2**62)


@pytest.mark.parametrize("text", ["100000", "0.0000000001", "-1"])
def test_a_rate_that_would_be_rounded_or_is_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="at most nine decimals"):
        Compiled(Price(input_usd_per_million=text))


def test_money_is_written_with_nine_decimals() -> None:
    assert [usd(amount) for amount in (0, 1, 1_500_000_000)] == ["0.000000000", "0.000000001", "1.500000000"]
