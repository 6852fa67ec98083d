"""core.price_list: prices of names that no config lists."""

import pytest

from core.model import Price
from core.price_list import PriceList, PriceRow

ONE, TWO = Price(input_usd_per_million="1"), Price(input_usd_per_million="2")


@pytest.mark.parametrize(
    ("known", "name", "fits"),
    [
        ("gpt-4o", "gpt-4o", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("GPT-4o", "gpt-4o", True),
        ("gpt-4o*", "gpt-4o-mini", True),
        ("gpt-4o*", "gpt-4o", True),
        ("*-mini", "gpt-4o-mini", True),
        ("*-mini", "gpt-4o-mini-2", False),
        ("*4o*", "gpt-4o-mini", True),
        ("*4o*", "gpt-4", False),
        ("a*b*c", "a1b2c", True),
        ("a*b*c", "abc", True),
        ("a*b*c", "acb", False),
        ("ab*ba", "aba", False),
        ("*", "", True),
    ],
)
def test_a_star_stands_for_any_text(known: str, name: str, fits: bool) -> None:
    assert PriceRow((known,)).fits(name) is fits


def test_the_first_row_that_fits_says_the_price_even_if_it_says_none() -> None:
    rows = PriceList([PriceRow(("free-*",)), PriceRow(("*",), price=ONE)])
    assert rows.price("free-1") is None
    assert rows.price("Other") == ONE
    assert PriceList().price("x") is None


def test_a_date_without_hyphens_is_one_with_them_where_that_name_is_not_known() -> None:
    rows = PriceList([PriceRow((), (r"^m-\d{4}-\d{2}-\d{2}$",), ONE), PriceRow(("n-20251211",), price=TWO)])
    assert rows.price("m-20251211") == ONE
    assert rows.price("n-20251211") == TWO
    assert rows.price("m-20251311") is None


def test_only_names_that_are_written_out_are_listed() -> None:
    assert list(PriceList([PriceRow(("a", "a-*"), ("^b$",)), PriceRow(("C",))]).models()) == ["a", "C"]
