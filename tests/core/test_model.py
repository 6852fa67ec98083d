import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema_rs
import msgspec
import pytest

from core import model
from core.model import Config, Static

ROOT = Path(__file__).parents[2]
SCHEMA = model.schema()


def parts(part: object) -> Iterator[dict[str, object]]:
    if isinstance(part, dict):
        yield part
        for item in part.values():
            yield from parts(item)
    elif isinstance(part, list):
        for item in part:
            yield from parts(item)


def test_the_published_schema_is_the_one_the_structs_make() -> None:
    published = json.loads((ROOT / "docs" / "config.schema.json").read_text())
    assert published == SCHEMA, "run: python -m control.schema docs/config.schema.json"


def test_the_schema_is_valid_json_schema() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema_rs.meta.validate(SCHEMA)


def test_every_block_refuses_unknown_keys() -> None:
    for name, block in SCHEMA["$defs"].items():
        assert block["additionalProperties"] is False, name


def test_no_value_may_be_null() -> None:
    for part in parts(SCHEMA):
        assert part.get("type") != "null"
        assert {"type": "null"} not in part.get("anyOf", ())


def test_every_text_says_what_it_must_be() -> None:
    texts = [part for part in parts(SCHEMA) if part.get("type") == "string" or "pattern" in part]
    assert texts
    for text in texts:
        assert "description" in text or {"minLength", "maxLength"} <= set(text)


def test_every_number_has_both_bounds() -> None:
    numbers = [part for part in parts(SCHEMA) if part.get("type") == "integer"]
    assert numbers
    for number in numbers:
        assert {"minimum", "maximum"} <= set(number)


def test_a_config_with_every_default_is_valid_when_written_out() -> None:
    static, config = msgspec.to_builtins(Static()), msgspec.to_builtins(Config())
    assert msgspec.convert(static, Static) == Static()
    assert msgspec.convert(config, Config) == Config()
    assert (static, config) == ({}, {})


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (model.Name, ["a", "9", "gpt-4.1", "openai/o3:latest"], ["", "-a", "a b", "a" * 129, "é"]),
        (model.ModelName, ["*", "gpt-4.1", "gpt*", "openai/*"], ["**", "g*t", "/*", "gpt**", ""]),
        (model.Duration, ["250ms", "0s", "5m", "1h"], ["5", "5 s", "-5s", "1.5s", "5d", "9999999999s"]),
        (model.Size, ["1B", "10MiB"], ["10MB", "10", "1 KiB", "9999999999B"]),
        (model.Rate, ["1/s", "999999999/day"], ["0/s", "01/s", "1000000000/s", "1/sec", "1/ s", "/s"]),
        (model.Address, ["0.0.0.0:8080", "[::]:80", "localhost:1"], ["8080", ":8080", "::1:80", "a:", "a:123456"]),
        (
            model.Url,
            ["http://a", "https://a.b:1/v1/", "http://[::1]:80/x", "http://10.0.0.1/a%20b"],
            [
                "a",
                "ftp://a",
                "http://",
                "http://a b",
                "http://u@a",
                "http://a?x",
                "http://a/#x",
                "http://a/\n",
                "http://é",
            ],
        ),
        (
            model.Secret,
            ["env:A", "file:/run/key"],
            ["sk-1", "env:", "env:1A", "env:A B", "file:key", "file:", "file:/a\n"],
        ),
        (model.Digest, ["0a" * 32], ["0A" * 32, "0a" * 31, "0a" * 33, "g" * 64]),
        (model.Host, ["a.example.com", "10.0.0.1"], ["A", "a:80", "", "a b"]),
        (model.Path, ["/", "/a/{id}/*"], ["", "a", "/a b", "/\x7f", "/é"]),
    ],
)
def test_values_are_told_apart_by_their_patterns(kind: object, good: list[str], bad: list[str]) -> None:
    validator = jsonschema_rs.Draft202012Validator(msgspec.json.schema(kind))
    assert [text for text in good if not validator.is_valid(text)] == []
    assert [text for text in bad if validator.is_valid(text)] == []
    for text in good:
        assert msgspec.convert(text, kind) == text
