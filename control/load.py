"""A config as people write it, made into one that can be pushed; or every reason why not, each with its place."""

import errno
import gc
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from control.check import Words, unusable
from control.shape import Shape
from control.vendors import unplaced, with_vendors
from control.yaml_marks import MAX_BYTES, Document, parse
from core import consistent
from core.errors import ConfigError
from core.model import Config, Static

__all__ = ["Loaded", "load"]

STATIC = frozenset(item.name for item in msgspec.structs.fields(Static))
SECTIONS = frozenset(item.name for item in msgspec.structs.fields(Config))
BARE = re.compile(r"[A-Za-z0-9_-]+")


class Loaded(NamedTuple):
    """A config that is whole, and where it came from.

    static: what is read once at start. config: what a snapshot carries, with what its vendors tell. sources: the files
    read.
    """

    static: Static
    config: Config
    sources: tuple[Path, ...]


class _Line(NamedTuple):
    """One line to print; sorts by file, then place."""

    file: str
    line: int
    column: int
    path: consistent.Path
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {_shown(self.path)}: {self.reason}"


class _File(NamedTuple):
    """One file, parsed."""

    name: str
    document: Document


def load(path: Path, words: Words = MappingProxyType({})) -> Loaded:
    """Read the config at `path`: one file, or a directory whose ``*.yaml`` are read as one.

    words: the extensions there are, by kind (``dialect``, ``strategy``, ``balance``); a kind left out is not checked.
    ConfigError holds every problem, each as ``file:line:col: path: reason``, sorted by file and line.
    """
    with _no_collector():
        return _load(path, words)


@contextmanager
def _no_collector() -> Iterator[None]:
    """Keep the garbage collector off: it would walk the growing tree of nodes again and again, for 3/4 of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _load(path: Path, words: Words) -> Loaded:
    lines: list[_Line] = []
    sources = _sources(path)
    files = list(_parsed(sources, lines))
    merged, origin = _merge(files, lines)
    wrong = _misshapes(files, lines)

    def place(at: consistent.Path) -> tuple[str, int, int]:
        file = origin[at[:2]] if at[:2] in origin else origin[at[:1]]
        return file.name, *file.document.locate(at)

    whole = len(files) == len(sources) and all(_is_known(file.document.data) for file in files)
    for problem in [*consistent.problems_of(merged, whole=whole), *unusable(merged, words), *unplaced(merged)]:
        if problem.path not in wrong:
            other = ", at {}:{}:{}".format(*place(problem.other)) if problem.other else ""
            lines.append(_Line(*place(problem.path), problem.path, problem.reason + other))
    if not merged and not lines:
        lines.append(_Line(str(path), 1, 1, (), "there is no config in it"))
    if lines:
        raise ConfigError([str(line) for line in sorted(lines, key=lambda line: line[:3])])
    static = msgspec.convert({key: value for key, value in merged.items() if key in STATIC}, Static)
    config = msgspec.convert({key: value for key, value in merged.items() if key in SECTIONS}, Config)
    return Loaded(static, with_vendors(config), tuple(sources))


def _sources(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    # Hidden files are other programs': an editor's, a CI system's.
    found = sorted(file for file in path.glob("*.yaml") if file.is_file() and not file.name.startswith("."))
    if not found:
        raise ConfigError([str(_Line(str(path), 1, 1, (), "there is no *.yaml file in this directory"))])
    return found


def _parsed(sources: Iterable[Path], lines: list[_Line]) -> Iterator[_File]:
    for source in sources:
        name = str(source)
        try:
            if source.exists() and not source.is_file():
                raise OSError(errno.EINVAL, "Not a regular file")
            with source.open("rb") as file:
                raw = file.read(MAX_BYTES + 1)
        except OSError as error:
            lines.append(_Line(name, 1, 1, (), (error.strerror or "cannot be read").lower()))
            continue
        found = parse(raw)
        if isinstance(found, Document):
            yield _File(name, found)
        else:
            lines.append(_Line(name, found.line, found.column, found.path, found.reason))


def _merge(files: Iterable[_File], lines: list[_Line]) -> tuple[dict[str, Any], dict[consistent.Path, _File]]:
    """Return the files as one config of plain data, and the file of each named entry and of each static key."""
    merged: dict[str, Any] = {}
    origin: dict[consistent.Path, _File] = {}

    def put(where: dict[str, Any], path: consistent.Path, value: Any, file: _File) -> None:
        first = origin.setdefault(path, file)
        if first is file:
            where[str(path[-1])] = value
            return
        line, column = first.document.locate(path, key=True)
        reason = f"given twice; first at {first.name}:{line}:{column}"
        lines.append(_Line(file.name, *file.document.locate(path, key=True), path, reason))

    for file in files:
        data = file.document.data
        for key, value in data.items() if isinstance(data, Mapping) else ():
            if key in STATIC:
                put(merged, (key,), value, file)
            elif key in SECTIONS and not isinstance(value, Mapping):
                merged[key] = None
            elif key in SECTIONS:
                section = merged.setdefault(key, {})
                for name, entry in value.items() if section is not None else ():
                    put(section, (key, name), entry, file)
    return merged, origin


def _is_known(data: Any) -> bool:
    """Return whether nothing in a file was left out of the merged config for being no known section."""
    return isinstance(data, Mapping) and data.keys() <= STATIC | SECTIONS


def _misshapes(files: Iterable[_File], lines: list[_Line]) -> set[consistent.Path]:
    """Add a line for everything of the wrong shape; return the paths that lead to such a place."""
    shape = Shape()
    places: set[consistent.Path] = set()
    for file in files:
        document = file.document
        flawed = {flaw.path for flaw in document.flaws}
        hidden: set[consistent.Path] = set()
        found = list(shape.check(document.data))
        for item in found:
            places.add(item.path)
            if item.unknown:
                hidden.add(item.path)
            elif item.path in flawed:
                # The flaw says better what is wrong: that a value is empty, not that it is no text.
                continue
            lines.append(_Line(file.name, *document.locate(item.path, key=item.on_key), item.shown, item.reason))
        values = {item.path for item in found if not item.on_key}
        for flaw in document.flaws:
            places.add(flaw.path)
            # What is below a misshape is not worth a line, and its path could be a secret's.
            above = {flaw.path[:length] for length in range(len(flaw.path))}
            if flaw.path in hidden or above & (hidden | values):
                continue
            first = "; first at {}:{}:{}".format(file.name, *flaw.first) if flaw.first else ""
            lines.append(_Line(file.name, flaw.line, flaw.column, flaw.path, flaw.reason + first))
    return {path[:length] for path in places for length in range(len(path) + 1)}


def _shown(path: consistent.Path) -> str:
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif BARE.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{msgspec.json.encode(step).decode()}]"
    return text or "config"
