"""YAML files as plain data with the line and column of every value.

The parser is libyaml, through PyYAML's `compose`; what plain words mean is ours (YAML 1.2's core schema, so ``on``,
``NO`` and ``yes`` stay text). Nothing is executed, and what a config never needs is refused: tags, empty values, keys
that are not text, a key twice, a second document, endless nesting or aliases.
"""

import math
import re
from typing import Any, NamedTuple

from yaml import MappingNode, Node, ScalarNode, SequenceNode, YAMLError
from yaml.cyaml import CParser  # type: ignore[attr-defined]  # its stub names no exports
from yaml.error import Mark, MarkedYAMLError
from yaml.reader import ReaderError

from core.consistent import Path

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_VALUES", "Document", "Flaw", "parse"]

MAX_BYTES = 32 * 1024 * 1024
MAX_DEPTH = 32
# Of one file, with what its aliases stand for. Each costs about 0.6 KB while the file is read.
MAX_VALUES = 2_000_000
MAX_NUMBER = 10**18

TEXT = "tag:yaml.org,2002:str"
# A tag of no YAML file: the parser asks `resolve` only for values without a tag of their own.
PLAIN = "plain"
CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
NUMBER = re.compile(
    r"(?P<decimal>[-+]?[0-9]+)|0o(?P<octal>[0-7]+)|0x(?P<hex>[0-9a-fA-F]+)"
    r"|(?P<float>[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?)"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)


class Flaw(NamedTuple):
    """Something wrong at a line and column (from 1).

    path: of the value in the document. first: line and column of the first of two, where it was given twice.
    """

    line: int
    column: int
    path: Path
    reason: str
    first: tuple[int, int] | None = None


class Document:
    """One parsed file.

    data: maps, lists, text, numbers, booleans, and None for whatever was refused. flaws: what was refused and why.
    """

    def __init__(self, root: Node | None) -> None:
        self.flaws: list[Flaw] = []
        self._root = root
        self._maps: dict[int, dict[str, tuple[Node, Node]]] = {}
        self._made: dict[int, tuple[Any, int]] = {}
        self._open: set[int] = set()
        self._values = 0
        self.data: Any = {} if root is None else self._value(root, ())

    def locate(self, path: Path, *, key: bool = False) -> tuple[int, int]:
        """Return line and column (from 1) of what `path` leads to, or of the innermost part of it that is there.

        A scalar is found at its own first character, a map or a list at its key; with `key` all are found at theirs.
        """
        node, mark = self._root, None if self._root is None else self._root.start_mark
        for step in path:
            if isinstance(node, MappingNode):
                pair = self._pairs(node).get(str(step))
                if pair is None:
                    break
                name, node = pair
                mark = (node if isinstance(node, ScalarNode) and not key else name).start_mark
            elif isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                mark = node.start_mark
            else:
                break
        return (1, 1) if mark is None else _place(mark)

    def _pairs(self, node: MappingNode) -> dict[str, tuple[Node, Node]]:
        pairs = self._maps.get(id(node))
        if pairs is None:
            pairs = self._maps[id(node)] = {}
            for key, value in node.value:
                if isinstance(key, ScalarNode):
                    pairs.setdefault(key.value, (key, value))
        return pairs

    def _flaw(self, node: Node, path: Path, reason: str) -> None:
        self.flaws.append(Flaw(*_place(node.start_mark), path, reason))

    def _count(self, node: Node, values: int) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            raise _RefusedError(node.start_mark, f"more than {MAX_VALUES} values, with what aliases stand for")

    def _value(self, node: Node, path: Path) -> Any:
        if isinstance(node, ScalarNode):
            self._count(node, 1)
            return self._scalar(node, path)
        made = self._made.get(id(node))
        if made is not None:
            self._count(node, made[1])
            return made[0]
        if id(node) in self._open:
            raise _RefusedError(node.start_mark, "an alias stands inside what it is an alias of")
        if node.tag != PLAIN:
            self._flaw(node, path, "tags (!...) are not supported")
        self._open.add(id(node))
        before = self._values
        data: Any
        if isinstance(node, MappingNode):
            data = self._map(node, path)
        else:
            data = [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
        self._count(node, 1)
        self._open.discard(id(node))
        self._made[id(node)] = data, self._values - before
        return data

    def _map(self, node: MappingNode, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        seen: dict[str, Node] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self._flaw(key, path, "a key must be text, not a map or a list")
                continue
            name = key.value
            if not name:
                self._flaw(key, path, "a key must not be empty")
                continue
            here = (*path, name)
            if name in seen:
                self.flaws.append(Flaw(*_place(key.start_mark), here, "given twice", _place(seen[name].start_mark)))
                continue
            seen[name] = key
            if key.tag == PLAIN and name == "<<":
                self._flaw(key, path, "merge keys (<<) are not part of YAML 1.2: give an alias as a whole value")
                continue
            if key.tag not in (PLAIN, TEXT):
                self._flaw(key, path, "tags (!...) are not supported")
            elif key.tag == PLAIN and not isinstance(_resolved(name), str):
                self._flaw(key, here, "a key must be text: write it in quotes")
            data[name] = self._value(value, here)
        return data

    def _scalar(self, node: ScalarNode, path: Path) -> Any:
        if node.tag not in (PLAIN, TEXT):
            self._flaw(node, path, "tags (!...) are not supported")
            return None
        value = _resolved(node.value) if node.tag == PLAIN else node.value
        if value is None:
            self._flaw(node, path, "is empty: give it a value, or leave it out")
        elif isinstance(value, int | float) and not -MAX_NUMBER < value < MAX_NUMBER:
            self._flaw(node, path, "is not a number of any use here")
            return None
        return value


class _RefusedError(MarkedYAMLError):
    def __init__(self, mark: Mark, reason: str) -> None:
        super().__init__(problem=reason, problem_mark=mark)


class _Parser(CParser):
    """libyaml's parser. It calls `resolve` for the tag of a value without one, the other two around every value."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._values = 0

    def resolve(self, kind: type[Node], value: str | None, implicit: Any) -> str:
        return TEXT if kind is ScalarNode and not implicit[0] else PLAIN

    def descend_resolver(self, parent: Node | None, index: object) -> None:
        # libyaml composes by recursion in C: without this, deep nesting would overflow the stack.
        self._depth += 1
        self._values += 1
        if parent is not None and self._depth > MAX_DEPTH:
            raise _RefusedError(parent.start_mark, f"nested more than {MAX_DEPTH} deep")
        if parent is not None and self._values > MAX_VALUES:
            raise _RefusedError(parent.start_mark, f"more than {MAX_VALUES} values")

    def ascend_resolver(self) -> None:
        self._depth -= 1


def parse(raw: bytes) -> Document | Flaw:
    """Return the one document in `raw`, or the flaw that kept it from being read."""
    if len(raw) > MAX_BYTES:
        return Flaw(1, 1, (), f"the file is over the limit of {MAX_BYTES} bytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return _at(raw[: error.start].decode("utf-8"), "is not UTF-8")
    try:
        return Document(_Parser(text).get_single_node())
    except ReaderError as error:
        return _at(text[: error.position], "holds a control character")
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (1, 1) if mark is None else _place(mark)
        return Flaw(line, column, (), _reason(error.problem or "cannot be read"))
    except YAMLError:
        return Flaw(1, 1, (), "cannot be read")


def _at(before: str, reason: str) -> Flaw:
    return Flaw(before.count("\n") + 1, len(before) - before.rfind("\n"), (), reason)


def _reason(problem: str) -> str:
    """Return libyaml's words, made clearer where they puzzle people; they never quote the file."""
    if "another document" in problem:
        return "a second document (---): write one document in each file"
    if problem == "second occurrence":
        return "an anchor (&name) given twice"
    if problem == "found character that cannot start any token":
        return "this character cannot start a value: indent with spaces, and put such values in quotes"
    return problem


def _place(mark: Mark) -> tuple[int, int]:
    return mark.line + 1, mark.column + 1


def _resolved(text: str) -> str | int | float | bool | None:
    """Return what a plain word means in YAML 1.2's core schema."""
    if text in CONSTANTS:
        return CONSTANTS[text]
    found = NUMBER.fullmatch(text)
    if found is None:
        return text
    if found["float"] is not None:
        number = float(text)
        # So that 2.0 and 1e3 are good where a whole number is asked for, as JSON Schema has it.
        return int(number) if number.is_integer() else number
    if found.lastgroup is None or len(text) > 64:
        return math.inf
    if found["decimal"] is not None:
        return int(text)
    return int(found["octal"], 8) if found["octal"] is not None else int(found["hex"], 16)
