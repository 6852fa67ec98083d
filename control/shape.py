"""Whether a file has the shape of a config: the findings of JSON Schema, in words a person can act on.

No reason quotes a value: what stands in a wrong place may be a secret.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jsonschema_rs

from core import model
from core.consistent import Path, nearest

__all__ = ["Misshape", "Shape"]

# An unknown key is quoted only if it looks like one; a secret written in the place of a key does not.
KEY = re.compile(r"[A-Za-z_-]{1,32}|\w{1,8}")
DIGITS = re.compile(r"\+?[0-9]{1,32}")


class Misshape(NamedTuple):
    """Something of the wrong shape.

    path: of the value at fault. shown: the path to print. on_key: whether the key is at fault, not its value; unknown:
    because no such key exists.
    """

    path: Path
    shown: Path
    reason: str
    on_key: bool = False
    unknown: bool = False


class Shape:
    """The shape of a whole ``headgate.yaml``."""

    def __init__(self) -> None:
        self._schema = model.schema()
        self._validator = jsonschema_rs.Draft202012Validator(self._schema)

    def check(self, data: Any) -> Iterator[Misshape]:
        """Yield everything in `data` (maps, lists and scalars) that has not the shape of a config."""
        for error in self._validator.iter_errors(data):
            path = _keys(error.instance_path, data)
            steps = error.schema_path
            kind = error.kind
            if isinstance(kind, jsonschema_rs.ValidationErrorKind.PropertyNames):
                name = str(kind.error.instance)
                yield Misshape((*path, name), path, f"a name must be {self._expected(steps[:-1])}", on_key=True)
            elif isinstance(kind, jsonschema_rs.ValidationErrorKind.Required):
                yield Misshape((*path, kind.property), path, f"key {kind.property!r} is missing")
            elif isinstance(kind, jsonschema_rs.ValidationErrorKind.AdditionalProperties):
                known = self._part(steps[:-1])["properties"]
                for name in kind.unexpected:
                    yield Misshape((*path, name), path, _unknown(name, list(known)), on_key=True, unknown=True)
            elif isinstance(kind, jsonschema_rs.ValidationErrorKind.MinItems):
                yield Misshape(path, path, "must not be an empty list")
            else:
                yield Misshape(path, path, f"must be {self._expected(steps[:-1])}")

    def _part(self, steps: list[Any]) -> dict[str, Any]:
        part: Any = self._schema
        for step in steps:
            part = part[step]
        return part  # type: ignore[no-any-return]

    def _expected(self, steps: list[Any]) -> str:
        part = self._part(steps)
        match part.get("type"), part:
            case _, {"enum": words}:
                return f"one of {', '.join(map(str, words))}"
            case "object", {"properties": _}:
                return "a map of keys"
            case "object", _:
                return "a map by name"
            case "array", _:
                return "a list"
            case "boolean", _:
                return "true or false"
            case "integer", {"minimum": least, "maximum": most}:
                return f"a whole number from {least} to {most}"
            case "string", {"minLength": least, "maxLength": most}:
                return f"text of {least} to {most} characters"
        return str(part["description"])


def _keys(steps: list[Any], data: Any) -> Path:
    """Return the path as it is in `data`: the validator hands back a key such as ``007`` as the number 7."""
    path: list[str | int] = []
    for step in steps:
        if isinstance(data, Mapping):
            if str(step) not in data:
                step = next((key for key in data if DIGITS.fullmatch(key) and int(key) == step), step)
            path.append(str(step))
            data = data.get(str(step))
        else:
            path.append(step)
            data = data[step] if isinstance(data, list) and step < len(data) else None
    return tuple(path)


def _unknown(name: str, known: list[str]) -> str:
    shown = name if KEY.fullmatch(name) else name[:4] + "..."
    return f"unknown key {shown!r}{nearest(name, known)}"
