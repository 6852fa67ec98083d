"""The vendors of models that are known by name: the rows of `plane/providers.toml`, and what they fill in."""

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Literal

import msgspec
from msgspec import Struct

from core.consistent import ANY, Problem, nearest, walk
from core.model import Config, HeaderName, HeaderValue, OptionValue, Provider, Url, Word

__all__ = ["Vendor", "unplaced", "vendors", "with_vendors"]


class Vendor(Struct, frozen=True, forbid_unknown_fields=True):
    """One vendor; the head of `plane/providers.toml` tells what each field means."""

    name: str
    dialect: Word
    base_url: Url
    key: str
    docs: str
    basis: Literal["documented", "assumed"]
    also: tuple[Word, ...] = ()
    options: dict[Word, OptionValue] = msgspec.field(default_factory=dict)
    headers: dict[HeaderName, HeaderValue] = msgspec.field(default_factory=dict)
    prices: str = ""
    quirk: str = ""
    client: str = ""


@cache
def vendors() -> Mapping[str, Vendor]:
    """Return every vendor by its word."""
    text = files("plane").joinpath("providers.toml").read_text(encoding="utf-8")
    return MappingProxyType(msgspec.convert(tomllib.loads(text), dict[Word, Vendor]))


def unplaced(data: Any) -> Iterator[Problem]:
    """Yield every provider in `data` of which nobody says what it speaks, or where; unknown vendors, too."""
    known = vendors()
    for path, provider in walk(data, ("providers", ANY)):
        if not isinstance(provider, Mapping):
            continue
        word = provider.get("vendor")
        if word is None:
            for key in ("dialect", "base_url"):
                if key not in provider:
                    yield Problem(path, f"key {key!r} is missing; give it, or a vendor")
        elif isinstance(word, str) and word not in known:
            hint = nearest(word, known) or "; docs/vendors.md lists them; any other needs a dialect and a base_url"
            yield Problem((*path, "vendor"), f"no vendor is named {word!r}{hint}")


def with_vendors(config: Config) -> Config:
    """Return `config` with all that its vendors tell in place of what is not written."""
    providers = {name: _filled(provider) for name, provider in config.providers.items()}
    return msgspec.structs.replace(config, providers=providers)


def _filled(provider: Provider) -> Provider:
    if provider.vendor is None:
        return provider
    row = vendors()[provider.vendor]
    own = provider.dialect is None or provider.dialect == row.dialect
    return msgspec.structs.replace(
        provider,
        dialect=provider.dialect or row.dialect,
        base_url=provider.base_url or row.base_url,
        also=provider.also or (row.also if own else ()),
        options={**(row.options if own else {}), **provider.options},
        headers={**row.headers, **provider.headers},
        credential=provider.credential or (f"env:{row.key}" if row.key and not provider.credentials else None),
    )
