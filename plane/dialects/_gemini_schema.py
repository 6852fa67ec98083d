"""JSON Schema to and from the schemas of Gemini's own kind (`Schema`, a subset of OpenAPI 3.0).

Models since 2.5 take JSON Schema as it is (`parametersJsonSchema`, `responseJsonSchema`), and are sent nothing else.
Older ones know only `Schema`: for them references are put in place, ``allOf`` is merged and what they refuse is left
out, so that what they answer may be freer than the caller asked, never stricter. Callers may send either kind.
"""

from __future__ import annotations

from typing import Any

from core.errors import GatewayError

__all__ = ["from_schema", "to_schema"]

KEPT = frozenset(
    {
        "description",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "nullable",
        "pattern",
        "propertyOrdering",
    }
)
"""Members of `Schema` that mean the same in both kinds, and need no look at their value."""

FORMATS = frozenset({"date-time", "enum", "double", "float", "int32", "int64"})
COUNTS = frozenset({"maxItems", "maxLength", "maxProperties", "minItems", "minLength", "minProperties"})
"""64-bit integers, which Google's JSON writes as strings."""

NOT_JSON_SCHEMA = frozenset({"example", "nullable", "propertyOrdering"})
MAX_SCHEMAS = 10_000
"""Of how many schemas one may consist once its references are put in place."""
ANYTHING = {"type": "object"}
"""What stands for a schema that contains itself, or that cannot be found."""


def to_schema(schema: Any) -> dict[str, Any]:
    """Return a JSON Schema as `Schema`; GatewayError 400 where its references make it too large."""
    if not isinstance(schema, dict):
        return {}
    try:
        return Rewriting(schema).written(schema, ())
    except RecursionError:
        raise too_large() from None


class Rewriting:
    """One schema on its way to `Schema`. left: how many more schemas may come of it, as references can multiply."""

    def __init__(self, root: dict[str, Any]) -> None:
        self.root = root
        self.left = MAX_SCHEMAS

    def written(self, schema: dict[str, Any], open_refs: tuple[str, ...]) -> dict[str, Any]:
        """Return a part of the root; open_refs: the references that led to it."""
        self.left -= 1
        if self.left < 0:
            raise too_large()
        reference = schema.get("$ref")
        if isinstance(reference, str):
            target = None if reference in open_refs else found(self.root, reference)
            if not isinstance(target, dict):
                return dict(ANYTHING)
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            return self.written({**target, **rest}, (*open_refs, reference))
        out: dict[str, Any] = {key: value for key, value in schema.items() if key in KEPT}
        named = schema.get("format")
        if isinstance(named, str) and named in FORMATS:
            out["format"] = named
        write_type(schema, out)
        for key in ("anyOf", "oneOf"):
            choices = schema.get(key)
            if isinstance(choices, list):
                self.write_choices([choice for choice in choices if isinstance(choice, dict)], out, open_refs)
        properties = schema.get("properties")
        if isinstance(properties, dict) and properties:
            out["properties"] = {
                name: self.written(value, open_refs) for name, value in properties.items() if isinstance(value, dict)
            }
        items = schema.get("items")
        if isinstance(items, dict):
            out["items"] = self.written(items, open_refs)
        if isinstance(schema.get("required"), list):
            out["required"] = [name for name in schema["required"] if isinstance(name, str)]
        parts = schema.get("allOf")
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict):
                merge(out, self.written(part, open_refs))
        if out.get("type") == "array":
            out.setdefault("items", {"type": "string"})
        if "required" in out:
            known = out.get("properties", {})
            out["required"] = [name for name in out["required"] if name in known]
            if not out["required"]:
                del out["required"]
        return out

    def write_choices(self, choices: list[dict[str, Any]], out: dict[str, Any], open_refs: tuple[str, ...]) -> None:
        """Put alternatives into `out`; the one that is null is a member of its own in `Schema`."""
        written = [self.written(choice, open_refs) for choice in choices if choice.get("type") != "null"]
        if len(written) < len(choices):
            out["nullable"] = True
        if len(written) == 1:
            merge(out, written[0])
        elif written:
            out["anyOf"] = out.get("anyOf", []) + written


def write_type(schema: dict[str, Any], out: dict[str, Any]) -> None:
    """Put the type and the values that are allowed into `out`; only strings may be counted up."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kinds = [one for one in kind if one != "null"]
        if len(kinds) < len(kind):
            out["nullable"] = True
        if len(kinds) == 1:
            out["type"] = kinds[0]
        elif kinds:
            items = {"items": {"type": "string"}}
            out["anyOf"] = [{"type": one, **(items if one == "array" else {})} for one in kinds]
    elif isinstance(kind, str):
        out["type"] = kind
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(values, list):
        words = [value for value in values if value is not None]
        if len(words) < len(values):
            out["nullable"] = True
        if words and all(isinstance(word, str) for word in words):
            out["type"] = "string"
            out["enum"] = words


def merge(out: dict[str, Any], more: dict[str, Any]) -> None:
    """Add to `out` what holds as well; what it says itself stays."""
    for key, value in more.items():
        if key == "properties":
            out["properties"] = {**value, **out.get("properties", {})}
        elif key == "required":
            out["required"] = list(dict.fromkeys([*out.get("required", []), *value]))
        else:
            out.setdefault(key, value)


def found(root: dict[str, Any], reference: str) -> Any:
    """Return what a reference within the document means, None where it leads nowhere."""
    if not reference.startswith("#"):
        return None
    at: Any = root
    for step in reference[1:].split("/")[1:]:
        at = at.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(at, dict) else None
    return at


def too_large() -> GatewayError:
    """Return the error of a schema that grows without end when its references are put in place."""
    return GatewayError(
        400,
        "invalid_request",
        "caller",
        "A JSON Schema of the request is too large for this model, which takes no references.",
        param="tools",
    )


def from_schema(schema: Any) -> Any:
    """Return a `Schema` as JSON Schema."""
    if not isinstance(schema, dict):
        return schema
    out: dict[str, Any] = {}
    for name, value in schema.items():
        key = CAMEL.get(name) or name
        if key in NOT_JSON_SCHEMA:
            continue
        if key == "type" and isinstance(value, str):
            out[key] = value.lower()
        elif key in COUNTS and isinstance(value, str) and value.isdecimal():
            out[key] = int(value)
        elif key in ("properties", "$defs", "defs") and isinstance(value, dict):
            parts = {own: from_schema(part) for own, part in value.items()}
            out["properties" if key == "properties" else "$defs"] = parts
        elif key == "ref":
            out["$ref"] = value
        elif key in ("anyOf", "oneOf", "prefixItems") and isinstance(value, list):
            out[key] = [from_schema(part) for part in value]
        elif key in ("items", "additionalProperties"):
            out[key] = from_schema(value)
        else:
            out[key] = value
    if schema.get("nullable") is True:
        kind = out.get("type")
        if isinstance(kind, str):
            out["type"] = [kind, "null"]
            if isinstance(out.get("enum"), list):
                out["enum"] = [*out["enum"], None]
        elif "anyOf" in out:
            out["anyOf"] = [*out["anyOf"], {"type": "null"}]
    return out


CAMEL = {
    "additional_properties": "additionalProperties",
    "any_of": "anyOf",
    "max_items": "maxItems",
    "max_length": "maxLength",
    "max_properties": "maxProperties",
    "min_items": "minItems",
    "min_length": "minLength",
    "min_properties": "minProperties",
    "one_of": "oneOf",
    "prefix_items": "prefixItems",
    "property_ordering": "propertyOrdering",
}
"""The members' names as Python callers may write them."""
