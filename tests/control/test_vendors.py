"""Vendors by their words in a config, the page that lists them, and the models that they sell."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from control.catalogue import catalogue
from control.cli import headgate
from control.load import load
from control.prove import prove
from control.vendors import vendors
from control.vendors_page import text
from core.errors import ConfigError
from core.model import Config
from core.snapshot import entries_of

ROOT = Path(__file__).parents[2]
TODAY = datetime(2026, 11, 23, tzinfo=UTC)


def loaded(tmp_path: Path, source: str) -> Config:
    path = tmp_path / "headgate.yaml"
    path.write_text(source)
    return load(path).config


def test_a_vendor_s_word_is_all_that_a_provider_needs(tmp_path: Path) -> None:
    provider = loaded(tmp_path, "providers: {p: {vendor: groq}}").providers["p"]
    assert (provider.dialect, provider.base_url) == ("openai", "https://api.groq.com/openai/v1")
    assert provider.credential == "env:GROQ_API_KEY"


def test_what_is_written_goes_before_what_the_vendor_tells(tmp_path: Path) -> None:
    source = "providers: {p: {vendor: openai, base_url: 'http://127.0.0.1:1/v1', credential: env:OTHER}}"
    provider = loaded(tmp_path, source).providers["p"]
    assert (provider.base_url, provider.credential) == ("http://127.0.0.1:1/v1", "env:OTHER")
    assert provider.also == ("openai_responses",)


def test_a_vendor_asked_in_another_dialect_keeps_nothing_of_its_own(tmp_path: Path) -> None:
    source = "providers: {p: {vendor: openai, dialect: anthropic}}"
    assert loaded(tmp_path, source).providers["p"].also == ()


def test_a_vendor_without_a_key_gets_none(tmp_path: Path) -> None:
    assert loaded(tmp_path, "providers: {p: {vendor: lmstudio}}").providers["p"].credential is None


@pytest.mark.parametrize(
    ("provider", "problem"),
    [
        ("{vendor: grok}", "providers.p.vendor: no vendor is named 'grok'; did you mean 'groq'?"),
        ("{vendor: zzzzzz}", "providers.p.vendor: no vendor is named 'zzzzzz'; docs/vendors.md lists them"),
        ("{dialect: openai}", "providers.p: key 'base_url' is missing; give it, or a vendor"),
        ("{base_url: 'http://a.test'}", "providers.p: key 'dialect' is missing; give it, or a vendor"),
    ],
)
def test_a_provider_that_nobody_knows_is_a_problem_of_the_config(tmp_path: Path, provider: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, f"providers: {{p: {provider}}}")
    (line,) = caught.value.problems
    assert problem in line


def test_the_page_of_the_docs_is_made_of_the_data() -> None:
    made = "run: python -m control.vendors_page docs/vendors.md"
    assert (ROOT / "docs" / "vendors.md").read_text() == text(), made


def test_more_than_a_hundred_models_of_vendors_resolve_to_a_target_with_a_price(tmp_path: Path) -> None:
    sold = [row for row in catalogue(TODAY) if row["input"]]
    words = sorted({row["vendor"] for row in sold})
    models = {f"{row['vendor']}/{index}": row for index, row in enumerate(sold) if index % 4 == 0}
    source: dict[str, Any] = {
        "providers": {word: {"vendor": word} for word in words},
        "models": {
            name: {"targets": [{"provider": row["vendor"], "model": row["model"]}]} for name, row in models.items()
        },
    }
    path = tmp_path / "headgate.yaml"
    path.write_text(json.dumps(source))
    found = dict(entries_of(prove(path).snapshot, "models"))
    assert len(found) == len(models) > 100
    assert len(words) >= 10
    assert [name for name, model in found.items() if model.targets[0].price is None] == []


def test_the_catalogue_has_more_than_a_thousand_models_and_only_those_asked_for() -> None:
    assert len(catalogue(TODAY)) > 1000
    assert {row["vendor"] for row in catalogue(TODAY, "groq")} == {"groq"}
    (mini,) = [row for row in catalogue(TODAY, "openai") if row["model"] == "gpt-4o-mini"]
    assert (mini["input"], mini["cache_read"], mini["output"]) == ("0.15", "0.075", "0.6")
    assert mini["context"] == 128_000


def test_a_vendor_that_the_list_does_not_have_is_told_with_those_it_has() -> None:
    with pytest.raises(ConfigError, match="did you mean 'openai'"):
        catalogue(TODAY, "opnai")


def test_the_command_prints_the_catalogue_as_a_table_and_as_json() -> None:
    table = CliRunner().invoke(headgate, ["models", "--provider", "deepseek"], standalone_mode=False)
    assert table.output.splitlines()[0].split() == [
        *("VENDOR", "MODEL", "INPUT", "CACHE_READ", "OUTPUT", "CONTEXT", "CAPABILITIES")
    ]
    printed = CliRunner().invoke(headgate, ["models", "--output", "json"], standalone_mode=False)
    assert len(json.loads(printed.output)) > 1000


def test_every_list_that_a_vendor_names_is_there() -> None:
    lists = {row["vendor"] for row in catalogue(TODAY)}
    assert lists == {word for word, row in vendors().items() if row.prices}
