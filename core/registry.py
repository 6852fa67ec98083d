"""Extension points: a folder per kind, a file per word; each file has `Options` and `build`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

__all__ = ["Kind", "scan"]


class Kind(NamedTuple):
    """What a word of the config stands for: its options and what makes it."""

    options: type[Any]
    build: Callable[[Any], Any]


def scan(package: ModuleType) -> dict[str, Kind]:
    """Return every file of `package` by its name."""
    found = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        found[info.name] = Kind(module.Options, module.build)
    return found
