"""Extension points: a folder for each kind, a file for each word of the config, two public names in the file."""

import importlib
import pkgutil
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple, TypeGuard

from msgspec import Struct

from core.errors import ConfigError

__all__ = ["Kind", "scan"]

_WORD = re.compile(r"[a-z][a-z0-9_]{0,31}")


class Kind(NamedTuple):
    """What a word of the config stands for: the options it takes, and what makes the object from them."""

    options: type[Struct]
    build: Callable[[Any], Any]


def scan(package: ModuleType) -> dict[str, Kind]:
    """Import every file of `package` and return what each offers, by its name; names with a leading ``_`` are helpers.

    Raises ConfigError with one line for each file that cannot be imported or does not keep to the form.
    """
    found: dict[str, Kind] = {}
    problems: list[str] = []
    for info in pkgutil.iter_modules(package.__path__):
        if info.name.startswith("_"):
            continue
        name = f"{package.__name__}.{info.name}"
        if not _WORD.fullmatch(info.name):
            problems.append(f"{name}: the file's name must be lower-case letters, digits and '_', 32 at most")
            continue
        try:
            module = importlib.import_module(name)
        except Exception as error:
            problems.append(f"{name}: cannot be imported: {type(error).__name__}: {error}")
            continue
        options, build = getattr(module, "Options", None), getattr(module, "build", None)
        if not _is_strict(options):
            problems.append(f"{name}: Options must be a msgspec Struct with frozen=True and forbid_unknown_fields=True")
        elif not callable(build):
            problems.append(f"{name}: build(options) is missing")
        else:
            found[info.name] = Kind(options, build)
    if problems:
        raise ConfigError(problems)
    return found


def _is_strict(options: Any) -> TypeGuard[type[Struct]]:
    if not isinstance(options, type) or not issubclass(options, Struct):
        return False
    return options.__struct_config__.frozen and options.__struct_config__.forbid_unknown_fields
