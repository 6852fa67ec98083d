"""JSON Schema, written as the schemas that Gemini's older models take."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import GatewayError
from plane.dialects._gemini_schema import from_schema, to_schema


@pytest.mark.parametrize(
    ("schema", "wanted"),
    [
        ({"type": "string", "title": "T", "default": "x", "$schema": "s"}, {"type": "string"}),
        ({"type": ["string", "null"]}, {"type": "string", "nullable": True}),
        ({"type": ["string", "integer"]}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        ({"const": "x"}, {"type": "string", "enum": ["x"]}),
        ({"enum": ["a", None]}, {"type": "string", "enum": ["a"], "nullable": True}),
        ({"type": "integer", "enum": [1, 2]}, {"type": "integer"}),
        ({"type": "array"}, {"type": "array", "items": {"type": "string"}}),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, {"type": "integer", "nullable": True}),
        (
            {"oneOf": [{"type": "integer"}, {"type": "string"}]},
            {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        ),
        ({"type": "string", "format": "email"}, {"type": "string"}),
        ({"format": [], "required": [[], 1], "allOf": 5, "type": 7, "enum": {}, "properties": []}, {}),
        ({"type": "string", "format": "date-time"}, {"type": "string", "format": "date-time"}),
        (
            {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a", "b"]},
            {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
        ),
        ({"type": "object", "required": ["b"], "additionalProperties": False}, {"type": "object"}),
        (
            {
                "allOf": [
                    {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
                    {"properties": {"b": {"type": "integer", "minimum": 1}}},
                ]
            },
            {
                "type": "object",
                "properties": {"a": {"type": "string"}, "b": {"type": "integer", "minimum": 1}},
                "required": ["a"],
            },
        ),
    ],
)
def test_what_older_models_refuse_is_said_otherwise_or_left_out(schema: Any, wanted: Any) -> None:
    assert to_schema(schema) == wanted


def test_references_are_put_in_place_and_a_schema_within_itself_is_any_object() -> None:
    schema = {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {"next": {"$ref": "#/$defs/node"}, "tag": {"$ref": "#/$defs/a~1b", "description": "d"}},
            },
            "a/b": {"type": "string"},
        },
    }
    assert to_schema(schema) == {
        "type": "object",
        "properties": {"next": {"type": "object"}, "tag": {"type": "string", "description": "d"}},
    }
    assert to_schema({"$ref": "https://elsewhere.example/schema"}) == {"type": "object"}
    assert to_schema({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}) == {"type": "object"}


def test_references_that_multiply_without_end_are_refused() -> None:
    doubling: dict[str, Any] = {
        f"d{level}": {"properties": {side: {"$ref": f"#/$defs/d{level + 1}"} for side in "ab"}} for level in range(64)
    }
    with pytest.raises(GatewayError) as raised:
        to_schema({"$ref": "#/$defs/d0", "$defs": {**doubling, "d64": {}}})
    assert raised.value.status == 400
    chain: dict[str, Any] = {f"d{level}": {"$ref": f"#/$defs/d{level + 1}"} for level in range(5000)}
    with pytest.raises(GatewayError) as raised:
        to_schema({"$ref": "#/$defs/d0", "$defs": chain})
    assert raised.value.status == 400


def test_what_is_no_schema_is_none() -> None:
    assert to_schema(True) == {}
    assert from_schema(True) is True


def test_a_schema_of_googles_kind_may_hold_references_in_either_spelling() -> None:
    assert from_schema({"any_of": [{"ref": "#/$defs/a"}], "defs": {"a": {"type": "STRING"}}}) == {
        "anyOf": [{"$ref": "#/$defs/a"}],
        "$defs": {"a": {"type": "string"}},
    }
    assert from_schema({"type": "STRING", "enum": ["a"], "nullable": True}) == {
        "type": ["string", "null"],
        "enum": ["a", None],
    }
