"""Whether a config hangs together: references, names used twice, counts that must agree.

The checks read plain data (maps, lists, scalars) and pass over anything of the wrong shape, so that `control.load` can
run them on a config that has other errors and report everything at once; `consistent` runs them on a whole `Config`.
"""

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from core.model import Config
from core.wildcards import STAR, Names, is_wildcard

__all__ = ["ANY", "Path", "Problem", "consistent", "nearest", "problems_of", "walk"]

Path = tuple[str | int, ...]
ANY = "*"

# section, where in an entry the name stands, and the section it must be in.
REFERENCES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("models", ("targets", ANY, "provider"), "providers"),
    ("models", ("mirror", "provider"), "providers"),
    ("consumers", ("models", ANY), "models"),
    ("routes", ("upstream",), "upstreams"),
)


class Problem(Struct, frozen=True):
    """Something wrong in the config.

    path: where, e.g. ``("models", "smart", "targets", 0, "provider")``.
    reason: one short sentence; quotes names, never a secret.
    other: the path of the second place where two places clash, or ``()``.
    """

    path: Path
    reason: str
    other: Path = ()


def consistent(config: Config) -> list[Problem]:
    """Return every dangling reference, clash and wrong count in `config`; an empty list if there is none."""
    return problems_of(msgspec.to_builtins(config))


def problems_of(data: Any, *, whole: bool = True) -> list[Problem]:
    """Return what `consistent` would, for a config that is still plain data and may be of wrong shape in places.

    whole: False if parts of it could not be read, so that a name which seems to be missing proves nothing.
    """
    dangling = _dangling(data) if whole else ()
    return [*dangling, *_stars(data), *_key_clashes(data), *_route_clashes(data), *_wrong_counts(data)]


def walk(data: Any, pattern: tuple[str, ...], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield each (path, value) that `pattern` leads to; ``*`` stands for every key of a map or item of a list."""
    if not pattern:
        yield path, data
    elif isinstance(data, Mapping):
        for key in data if pattern[0] == ANY else pattern[:1]:
            if key in data:
                yield from walk(data[key], pattern[1:], (*path, key))
    elif isinstance(data, list | tuple) and pattern[0] == ANY:
        for index, item in enumerate(data):
            yield from walk(item, pattern[1:], (*path, index))


def nearest(word: str, known: Collection[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the known word that looks most like `word`, or ``""``."""
    # The comparison costs microseconds for each known word: it is for words and keys, not for 10,000 names.
    found = difflib.get_close_matches(word, known, 1, 0.7) if len(known) <= 500 else []
    return f"; did you mean {found[0]!r}?" if found else ""


def _dangling(data: Any) -> Iterator[Problem]:
    for section, pattern, wanted in REFERENCES:
        names: Any = next((value for _, value in walk(data, (wanted,))), {})
        if not isinstance(names, Mapping):
            continue
        hints: dict[str, str] = {}
        known = Names(name for name in names if isinstance(name, str)) if section == "consumers" else None
        for path, name in walk(data, (section, ANY, *pattern)):
            if not isinstance(name, str) or name in names or (known is not None and known.reach(name)):
                continue
            if name not in hints:
                hints[name] = nearest(name, names) if len(hints) < 100 else ""
            said = "no model's name begins like" if is_wildcard(name) else f"no {wanted[:-1]} is named"
            yield Problem(path, f"{said} {name!r}{hints[name]}")


def _stars(data: Any) -> Iterator[Problem]:
    """Yield every target whose model has a ``*`` that nothing stands for, or more than one."""
    for place in (("targets", ANY), ("mirror",)):
        for path, model in walk(data, ("models", ANY, *place, "model")):
            if not isinstance(model, str) or STAR not in model:
                continue
            if model.count(STAR) > 1:
                yield Problem(path, f"{model!r} has more than one *")
            elif not is_wildcard(str(path[1])):
                yield Problem(path, f"the * stands for nothing, as the model {path[1]!r} does not end in one")


def _key_clashes(data: Any) -> Iterator[Problem]:
    seen: dict[str, Path] = {}
    for path, digest in walk(data, ("consumers", ANY, "keys", ANY, "sha256")):
        if not isinstance(digest, str):
            continue
        first = seen.setdefault(digest, path)
        if first != path:
            yield Problem(path, f"the same key belongs to consumer {first[1]!r}", first)


def _route_clashes(data: Any) -> Iterator[Problem]:
    seen: dict[tuple[str, str], list[tuple[Path, frozenset[str]]]] = {}
    for path, match in walk(data, ("routes", ANY, "match")):
        if not isinstance(match, Mapping) or not isinstance(match.get("path"), str):
            continue
        methods = match.get("methods", ())
        if not isinstance(methods, list | tuple) or not all(isinstance(method, str) for method in methods):
            continue
        shape = "/".join("{}" if part[:1] == "{" and part[-1:] == "}" else part for part in match["path"].split("/"))
        others = seen.setdefault((str(match.get("host")), shape), [])
        taken = frozenset(methods)
        for first, theirs in others:
            if taken & theirs or not taken or not theirs:
                yield Problem(path, f"matches the same requests as route {first[1]!r}", first)
                break
        others.append((path, taken))


def _wrong_counts(data: Any) -> Iterator[Problem]:
    for path, upstream in walk(data, ("upstreams", ANY)):
        if not isinstance(upstream, Mapping):
            continue
        weights, endpoints = upstream.get("weights"), upstream.get("endpoints")
        if not isinstance(weights, list | tuple) or not isinstance(endpoints, list | tuple) or not weights:
            continue
        if len(weights) != len(endpoints):
            reason = f"{len(weights)} weights for {len(endpoints)} endpoints: give one for each, in the same order"
            yield Problem((*path, "weights"), reason)
