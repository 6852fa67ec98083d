"""bench.translated: each row of the budget has a figure for each provider that is translated."""

import pytest

from bench import translated
from bench.gate.translated import PROVIDERS
from bench.report import ROWS


def test_each_row_has_a_figure_for_each_dialect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translated, "TURNS", 2)
    monkeypatch.setattr(translated, "ROUNDS", 1)
    found = translated.measure(1)
    assert found.keys() == {row.key for row in ROWS if row.key.startswith("translated_")}
    for figures in found.values():
        assert figures.keys() == {each.dialect for each in PROVIDERS}
        assert all(figure.low <= figure.value <= figure.high for figure in figures.values())
