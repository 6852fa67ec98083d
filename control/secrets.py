"""The values that a config's references to secrets stand for: looked up here, pushed to workers, shown nowhere."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from core.errors import ConfigError
from core.model import Config

__all__ = ["MAX_LENGTH", "Secrets", "look_up", "references", "resolve"]

MAX_LENGTH = 8192
# What a header field can carry: no line break could smuggle in another one.
USABLE = re.compile(r"[!-~]([ -~]*[!-~])?")


class Secrets(Mapping[str, str]):
    """The values of secrets by their references; printed as ``***``, wherever it stands."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def __getitem__(self, reference: str) -> str:
        return self._values[reference]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return "***"


def references(config: Config) -> dict[str, str]:
    """Return each reference in `config` once, with the path of the key that holds it first."""
    found: dict[str, str] = {}
    for name, provider in config.providers.items():
        if provider.credential is not None:
            found.setdefault(provider.credential, f"providers.{name}.credential")
        for place, reference in enumerate(provider.credentials):
            found.setdefault(reference, f"providers.{name}.credentials[{place}]")
    return found


def resolve(config: Config, environment: Mapping[str, str] = os.environ) -> Secrets:
    """Return the value of every reference in `config`: of an environment variable or a file, without a last line end.

    ConfigError names every one that is missing, unreadable, empty, or no text a header field can carry.
    """
    return look_up(references(config), environment)


def look_up(wanted: Mapping[str, str], environment: Mapping[str, str] = os.environ) -> Secrets:
    """Return the value of every reference in `wanted`, where each has the place it stands in; ConfigError as above."""
    values: dict[str, str] = {}
    problems: list[str] = []
    for reference, place in wanted.items():
        try:
            values[reference] = _value(reference, environment)
        except _UnusableError as error:
            problems.append(f"{place}: {reference} {error}")
    if problems:
        raise ConfigError(problems)
    return Secrets(values)


class _UnusableError(Exception):
    """Why a reference leads to no secret; its text never quotes what was found."""


def _value(reference: str, environment: Mapping[str, str]) -> str:
    kind, _, name = reference.partition(":")
    value = environment.get(name) if kind == "env" else _read(Path(name))
    if value is None:
        raise _UnusableError("is not set in the environment")
    value = value.removesuffix("\n").removesuffix("\r")
    if not value:
        raise _UnusableError("is empty")
    if len(value) > MAX_LENGTH:
        raise _UnusableError(f"is longer than {MAX_LENGTH} characters")
    if not USABLE.fullmatch(value):
        raise _UnusableError(
            "holds what no credential has: a line break, a space at an end, or a character not in ASCII"
        )
    return value


def _read(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():
            raise _UnusableError("is not a file")
        with path.open("rb") as file:
            # Latin-1 takes any byte; what is not ASCII is refused with the rest.
            return file.read(MAX_LENGTH + 3).decode("latin-1")
    except OSError as error:
        raise _UnusableError(f"cannot be read: {(error.strerror or 'unknown error').lower()}") from None
