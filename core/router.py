"""Which route a request belongs to: host, path and method.

A path is taken as it was sent or refused; it is never normalised, so that no two readers see different ones. Patterns
are compared segment by segment from the left: a static segment beats ``{name}``, which beats ``*``. The best pattern
that has the method serves the request.
"""

import re
from collections.abc import Iterable
from typing import Any

from core.errors import ConfigError, GatewayError

__all__ = ["Router", "params"]

# What may stand in a path as it is: not controls, space, " # ; < > ? \ and whatever is not ASCII.
_PLAIN = bytes(32 < char < 127 and chr(char) not in '"#;<>?\\' for char in range(256))
_HEX = bytes(chr(char) in "0123456789abcdefABCDEF" for char in range(256))
_PARAM = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_HOST = re.compile(r"[a-z0-9.-]+")

# What `_check` finds.
_CLEAN = 0
_SLASH = 1
_ODD = 2


class Entry:
    """One pattern of one route, and what a match gives. pattern: the bytes that the look-up has as its key, if any."""

    def __init__(self, value: Any, pattern: bytes, raw_path: bool) -> None:
        self.value = value
        self.pattern = pattern
        self.raw_path = raw_path


class Leaf:
    """The entries that share a pattern, by method; `every` serves the methods that have none of their own."""

    def __init__(self) -> None:
        self.methods: dict[str, Entry] | None = None
        self.every: Entry | None = None


class Node:
    """What can follow some first segments: more of them, the end of the path, or a rest of any length."""

    def __init__(self) -> None:
        self.static: dict[bytes, Node] | None = None
        self.param: Node | None = None
        self.leaf: Leaf | None = None
        self.wild: Leaf | None = None


class Site:
    """The patterns of one host; those without parameters are looked up whole."""

    def __init__(self) -> None:
        self.exact: dict[bytes, Leaf] = {}
        self.root = Node()


class Router:
    """Routes by host, path and method.

    entries: ``(host, path, methods, value, raw_path)`` each; host None is any host, methods ``()`` is all. A path is a
    ``/`` and segments between slashes, each static or ``{name}``; the last one may be ``*``, which takes the rest, also
    an empty one. With raw_path (only with ``*``) that rest may hold ``%2F``. GET serves HEAD, too.

    made: all that the look-up goes through, what holds before what is held. Whoever keeps this list when a router with
    10,000 routes dies can let go of it a little at a time.

    Raises ConfigError with every invalid pattern and every two entries that would take the same request.
    """

    def __init__(self, entries: Iterable[tuple[str | None, str, tuple[str, ...], Any, bool]] = ()) -> None:
        self.made: list[Any] = []
        self._any = _site(self.made)
        self._sites: dict[bytes, Site] = {}
        problems: list[str] = []
        for host, path, methods, value, raw_path in entries:
            problems += self.add(host, path, methods, value, raw_path)
        if problems:
            raise ConfigError(problems)

    def add(self, host: str | None, path: str, methods: tuple[str, ...], value: Any, raw_path: bool) -> list[str]:
        """Add one entry to a router that serves nobody yet; return why it cannot be, one line for each reason."""
        reasons = _pattern_problems(host, path, raw_path)
        if not reasons:
            site = self._any
            if host is not None:
                name = host.encode()
                if name not in self._sites:
                    self._sites[name] = _site(self.made)
                site = self._sites[name]
            pattern = path.encode()
            entry = Entry(value, pattern, raw_path)
            leaf = _place(self.made, site, pattern)
            self.made.append(entry)
            reasons = _add(leaf, tuple(dict.fromkeys(methods)), entry)
        return [f"{host or ''}{path}: {reason}" for reason in reasons]

    def match(self, method: str, host: bytes, path: bytes) -> Any:
        """Return the value of the entry that serves the request; a host's own entries come before those of any host.

        host: the Host field as sent; case and port do not count. path: as sent, without the query.
        Raises GatewayError: 400 ``bad_path``, 404 ``no_route``, 405 ``method_not_allowed`` with `allow`.
        """
        own = self._own(host) if self._sites else None
        if own is not None:
            entry = _exact(own, method, path)
            if entry is not None:
                return entry.value
        else:
            entry = _exact(self._any, method, path)
            if entry is not None:
                return entry.value
        kind = _check(path)
        if kind != _ODD:
            if own is not None:
                entry = _walk(own.root, method, path, 1)
                if entry is None:
                    entry = _exact(self._any, method, path)
            if entry is None:
                entry = _walk(self._any.root, method, path, 1)
        if kind != _CLEAN and (entry is None or not _takes_slashes(entry, path)):
            raise GatewayError(400, "bad_path", "caller", "The path is not in a form this gateway accepts.")
        if entry is None:
            raise self._refusal(own, path)
        return entry.value

    def pattern(self, method: str, host: bytes, path: bytes) -> str:
        """Return the pattern that `match` finds for a request which it lets through, "" if there is none."""
        for site in (self._own(host) if self._sites else None, self._any):
            if site is not None:
                entry = _exact(site, method, path) or _walk(site.root, method, path, 1)
                if entry is not None:
                    return entry.pattern.decode()
        return ""

    def _own(self, host: bytes) -> Site | None:
        site = self._sites.get(host)
        if site is None:
            name, colon, _ = host.lower().rpartition(b":")
            site = self._sites.get(name if colon else host.lower())
        return site

    def _refusal(self, own: Site | None, path: bytes) -> GatewayError:
        allowed: set[str] = set()
        for site in (own, self._any):
            if site is not None:
                leaves = [site.exact[path]] if path in site.exact else []
                _collect(site.root, path, 1, leaves)
                for leaf in leaves:
                    allowed.update(leaf.methods or ())
        if "GET" in allowed:
            allowed.add("HEAD")
        if not allowed:
            return GatewayError(404, "no_route", "caller", "Nothing is served at this path.")
        allow = ", ".join(sorted(allowed))
        return GatewayError(405, "method_not_allowed", "caller", f"This path only takes {allow}.", allow=allow)


def _exact(site: Site, method: str, path: bytes) -> Entry | None:
    leaf = site.exact.get(path)
    return None if leaf is None else _serving(leaf, method)


def _serving(leaf: Leaf, method: str) -> Entry | None:
    if leaf.methods is None:
        return leaf.every
    entry = leaf.methods.get(method)
    return leaf.methods.get("GET") if entry is None and method == "HEAD" else entry


def _walk(node: Node, method: str, path: bytes, at: int) -> Entry | None:
    """Return the best entry for the rest of `path` from `at` on, which is the start of a segment."""
    end = _segment_end(path, at)
    last = end == len(path)
    entry = None
    if node.static is not None:
        child = node.static.get(path[at:end])
        if child is not None:
            entry = _served(child, method) if last else _walk(child, method, path, end + 1)
            if entry is not None:
                return entry
    if node.param is not None and end > at:
        entry = _served(node.param, method) if last else _walk(node.param, method, path, end + 1)
        if entry is not None:
            return entry
    return None if node.wild is None else _serving(node.wild, method)


def _served(node: Node, method: str) -> Entry | None:
    return None if node.leaf is None else _serving(node.leaf, method)


def _collect(node: Node, path: bytes, at: int, leaves: list[Leaf]) -> None:
    """Add every leaf whose pattern takes the rest of `path` from `at` on, whatever the method."""
    end = _segment_end(path, at)
    children = [node.static.get(path[at:end]) if node.static else None, node.param if end > at else None]
    for child in children:
        if child is not None and end < len(path):
            _collect(child, path, end + 1, leaves)
        elif child is not None and child.leaf is not None:
            leaves.append(child.leaf)
    if node.wild is not None:
        leaves.append(node.wild)


def _segment_end(path: bytes, at: int) -> int:
    text = path
    size = len(path)
    while at < size and text[at] != ord("/"):
        at += 1
    return at


def _check(path: bytes) -> int:
    """Return whether `path` is clean, is clean but for ``%2F``, or is odd and refused."""
    text, plain = path, _PLAIN
    size = len(path)
    if size == 0 or text[0] != ord("/"):
        return _ODD
    kind = _CLEAN
    segment = 1
    at = 1
    while at < size:
        char = text[at]
        if char == ord("/"):
            if _is_dots(text, segment, at):
                return _ODD
            segment = at + 1
        elif char == ord("%"):
            if at + 2 >= size:
                return _ODD
            kind = kind | _escape(text[at + 1], text[at + 2])
            if kind >= _ODD:
                return _ODD
            at += 2
        elif not plain[char]:
            return _ODD
        at += 1
    # An empty last segment is no double slash but a trailing one.
    return _ODD if segment < size and _is_dots(text, segment, size) else kind


def _is_dots(text: bytes, start: int, end: int) -> bool:
    """Return whether a segment is empty, ``.`` or ``..``."""
    if start == end:
        return True
    return end - start <= 2 and text[start] == ord(".") and text[end - 1] == ord(".")


def _escape(high: int, low: int) -> int:
    """Judge a percent escape: dots, backslashes and NUL are as odd escaped as malformed escapes are."""
    hex_digits = _HEX
    if not hex_digits[high] or not hex_digits[low]:
        return _ODD
    lower = low | 32
    if high == ord("2") and lower == ord("f"):
        return _SLASH
    if high == ord("2") and lower == ord("e"):
        return _ODD
    if high == ord("5") and lower == ord("c"):
        return _ODD
    return _ODD if high == ord("0") and low == ord("0") else _CLEAN


def _takes_slashes(entry: Entry, path: bytes) -> bool:
    """Return whether all of the escaped slashes in `path` stand where the entry's ``*`` is."""
    before = path.split(b"/", entry.pattern.count(b"/"))[:-1]
    return entry.raw_path and b"%2f" not in b"/".join(before).lower()


def _pattern_problems(host: str | None, path: str, raw_path: bool) -> list[str]:
    problems = []
    if host is not None and not _HOST.fullmatch(host):
        problems.append("the host must be a name in lower case, without a port")
    segments = path.split("/")[1:]
    rest = segments[-1:] == ["*"]
    names = []
    plain = []
    for segment in segments[:-1] if rest else segments:
        name = _PARAM.fullmatch(segment)
        if name:
            names.append(name[1])
        elif "*" in segment:
            problems.append("'*' must be the whole last segment")
        elif "{" in segment or "}" in segment:
            problems.append(f"{segment!r} must be a whole segment '{{name}}'")
        else:
            plain.append(segment)
            continue
        plain.append("x")
    if len(names) != len(set(names)):
        problems.append("a parameter's name stands in it twice")
    if _check("/".join(["", *plain, "x"] if rest else ["", *plain]).encode()) != _CLEAN or path[:1] != "/":
        problems.append("no request that is accepted can have such a path")
    if raw_path and not rest:
        problems.append("raw_path needs a path that ends in '/*'")
    return problems


def _site(made: list[Any]) -> Site:
    site = Site()
    made += [site, site.root]
    return site


def _place(made: list[Any], site: Site, pattern: bytes) -> Leaf:
    """Return the leaf for a pattern, made if need be."""
    segments = pattern[1:].split(b"/")
    rest = segments[-1] == b"*"
    if not rest and b"{" not in pattern:
        leaf = site.exact.get(pattern)
        if leaf is None:
            leaf = site.exact[pattern] = _leaf(made)
        return leaf
    node = site.root
    for segment in segments[:-1] if rest else segments:
        if segment.startswith(b"{"):
            if node.param is None:
                node.param = _node(made)
            node = node.param
        else:
            if node.static is None:
                node.static = {}
            child = node.static.get(segment)
            if child is None:
                child = node.static[segment] = _node(made)
            node = child
    if rest:
        if node.wild is None:
            node.wild = _leaf(made)
        return node.wild
    if node.leaf is None:
        node.leaf = _leaf(made)
    return node.leaf


def _node(made: list[Any]) -> Node:
    node = Node()
    made.append(node)
    return node


def _leaf(made: list[Any]) -> Leaf:
    leaf = Leaf()
    made.append(leaf)
    return leaf


def _add(leaf: Leaf, methods: tuple[str, ...], entry: Entry) -> list[str]:
    """Add an entry to its leaf; return why it cannot be, if another one takes the same requests."""
    if leaf.every is not None:
        return [f"{leaf.every.pattern.decode()} takes every method of this path already"]
    if not methods:
        if leaf.methods is not None:
            return [f"{', '.join(sorted(leaf.methods))} of this path are taken already"]
        leaf.every = entry
        return []
    if leaf.methods is None:
        leaf.methods = {}
    taken = [
        f"{method} is taken by {leaf.methods[method].pattern.decode()} already"
        for method in methods
        if method in leaf.methods
    ]
    for method in methods:
        leaf.methods.setdefault(method, entry)
    return taken


def params(pattern: str, path: bytes) -> dict[str, str]:
    """Return what the parameters of an entry's pattern took from `path`, which it matched; ``*`` is the rest."""
    parts = path.decode("ascii")[1:].split("/")
    found = {}
    for index, segment in enumerate(pattern[1:].split("/")):
        if segment.startswith("{"):
            found[segment[1:-1]] = parts[index]
        elif segment == "*":
            found["*"] = "/".join(parts[index:])
    return found
