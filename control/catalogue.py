"""The models that the known vendors sell, as the installed price list has them: what `headgate models` shows."""

from datetime import datetime
from typing import Any

from control.prices import listed
from control.vendors import vendors
from core.consistent import nearest
from core.errors import ConfigError
from core.model import Price

__all__ = ["COLUMNS", "catalogue"]

COLUMNS = ("vendor", "model", "input", "cache_read", "output", "context", "capabilities")


def catalogue(today: datetime, vendor: str | None = None) -> list[dict[str, Any]]:
    """Return a row for each model of each known vendor that the list has, or of the one named `vendor`.

    Prices are dollars for a million tokens, as text, ``""`` where the list says none. ConfigError: there is no such
    vendor, or the list has nothing of it.
    """
    words: dict[str, list[str]] = {}
    for word, row in vendors().items():
        if row.prices and vendor in (None, word):
            words.setdefault(row.prices, []).append(word)
    if not words:
        known = sorted(word for word, row in vendors().items() if row.prices)
        hint = nearest(vendor or "", known) or f"; there is {', '.join(known)}"
        raise ConfigError([f"the price list has no vendor {vendor!r}{hint}"])
    return [
        {
            "vendor": word,
            "model": model.model,
            "input": rate(model.price, "input_usd_per_million"),
            "cache_read": rate(model.price, "cache_read_usd_per_million"),
            "output": rate(model.price, "output_usd_per_million"),
            "context": model.context or "",
            "capabilities": ", ".join(capabilities(model.price)),
            "deprecated": model.deprecated,
        }
        for model in listed(today)
        for word in words.get(model.vendor, ())
    ]


def rate(price: Price | None, name: str) -> str:
    """Return a rate of a price, "" if it has none."""
    return (getattr(price, name) or "") if price is not None else ""


def capabilities(price: Price | None) -> list[str]:
    """Return what a model can do, as far as its price tells: what has a rate can be asked for."""
    if price is None:
        return []
    has = {
        "cache": price.cache_read_usd_per_million,
        "audio in": price.audio_in_usd_per_million or price.audio_usd_per_hour,
        "audio out": price.audio_out_usd_per_million,
        "images in": price.image_in_usd_per_million,
        "images out": price.image_out_usd_per_million,
        "search": price.usd_per_server_tool,
    }
    tiers = [variant.service_tier for variant in price.variants if variant.service_tier]
    return [name for name, value in has.items() if value] + tiers
