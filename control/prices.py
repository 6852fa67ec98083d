"""What vendors ask for: the list of genai-prices, as installed, turned into the prices of a config's targets.

Nothing is fetched. Dated prices are those of the day on which the config is loaded; what a price is by then stands in
the snapshot, so workers, the ledger and a later reader of it mean the same.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from typing import Any, NamedTuple

import msgspec

from core.model import Above, Config, Price, Provider, Target, Variant

__all__ = ["Listed", "listed", "price_of", "priced"]

MILLION = {
    "input_mtok": "input_usd_per_million",
    "output_mtok": "output_usd_per_million",
    "cache_read_mtok": "cache_read_usd_per_million",
    "cache_write_mtok": "cache_write_usd_per_million",
    "cache_write_1h_mtok": "cache_write_1h_usd_per_million",
    "input_audio_mtok": "audio_in_usd_per_million",
    "output_audio_mtok": "audio_out_usd_per_million",
    "input_image_mtok": "image_in_usd_per_million",
    "output_image_mtok": "image_out_usd_per_million",
    "output_reasoning_mtok": "reasoning_usd_per_million",
}
"""Key of the list -> key of the config, both in dollars for a million tokens."""
HOURS = ("audio_hours", "input_audio_hours")
THOUSAND = {
    "requests_kcount": "usd_per_request",
    "web_searches_kcount": "usd_per_server_tool",
    "rerank_searches_kcount": "usd_per_unit",
}
"""Key of the list, in dollars for a thousand -> key of the config, in dollars for one."""
CONTEXTS = (
    *({"service_tier": tier} for tier in ("default", "flex", "priority", "fast")),
    {"speed": "fast"},
)
"""What a list may price apart, and an answer tells."""
BILLIONTH = Decimal("0.000000001")


class Listed(NamedTuple):
    """One model in the list. vendor: the list's word for who sells it. context: tokens, None if it does not say."""

    vendor: str
    model: str
    name: str
    context: int | None
    deprecated: bool
    price: Price | None


def priced(config: Config, lists: Mapping[str, str], today: datetime) -> Config:
    """Return `config` with a price at each target that has none and whose vendor's price is known.

    lists: vendor word of `plane/providers.toml` -> the list's word for it; other providers are known by their address.
    """
    models = {}
    for name, model in config.models.items():
        targets = tuple(_with_price(target, config.providers, lists, today) for target in model.targets)
        models[name] = model if targets == model.targets else msgspec.structs.replace(model, targets=targets)
    return msgspec.structs.replace(config, models=models)


def _with_price(target: Target, providers: Mapping[str, Provider], lists: Mapping[str, str], today: datetime) -> Target:
    provider = providers.get(target.provider)
    if target.price is not None or provider is None or provider.base_url is None:
        return target
    vendor = lists.get(provider.vendor, "") if provider.vendor is not None else vendor_at(provider.base_url)
    price = price_of(vendor, target.model, today) if vendor else None
    return target if price is None else msgspec.structs.replace(target, price=price)


@cache
def _snapshot() -> Any:
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415 it takes 40 MB and 0.2 s, which not all need

    return get_snapshot()


@cache
def _source() -> str:
    return f"genai-prices {version('genai-prices')}"


def vendor_at(base_url: str) -> str:
    """Return the list's word for who answers at an address, "" if it knows none."""
    try:
        return str(_snapshot().find_provider(None, None, base_url).id)
    except LookupError:
        return ""


def price_of(vendor: str, model: str, today: datetime) -> Price | None:
    """Return what calls of a model cost on a day, by the list; None if it does not say."""
    snapshot = _snapshot()
    try:
        provider, found = snapshot.find_provider_model(model, None, vendor, None)
    except LookupError:
        return None
    return _price(found, f"{_source()} {provider.id}/{found.id}"[:128], today)


def listed(today: datetime) -> Iterator[Listed]:
    """Yield every model in the list, with its price on a day."""
    for provider in sorted(_snapshot().providers, key=lambda provider: str(provider.id)):
        for model in sorted(provider.models, key=lambda model: str(model.id)):
            price = _price(model, f"{_source()} {provider.id}/{model.id}"[:128], today)
            yield Listed(
                provider.id, _asked(model), model.name or model.id, model.context_window, bool(model.deprecated), price
            )


def _asked(model: Any) -> str:
    """Return a name that a model can be asked for by: its id, unless the list matches it by other names alone."""
    if model.is_match(model.id):
        return str(model.id)
    clauses = getattr(model.match, "or_", [model.match])
    names = [getattr(clause, "equals", None) or getattr(clause, "starts_with", None) for clause in clauses]
    return next((name for name in names if name and model.is_match(name)), str(model.id))


def _price(model: Any, source: str, today: datetime) -> Price | None:
    """Return the price of a model of the list; None where the list names no rate that the gateway can count."""
    rates, above = _rates(model.get_prices(_day_of(model, today)))
    if not rates and model.id.endswith(":free"):
        rates = {"input_usd_per_million": "0", "output_usd_per_million": "0"}
    if not rates:
        return None
    variants: list[Variant] = []
    for context in CONTEXTS if model.price_variants else ():
        other, other_above = _rates(model.get_prices(_day_of(model, today), context))
        tier = next(iter(context.values()))
        if (other, other_above) != (rates, above) and all(variant.service_tier != tier for variant in variants):
            variants.append(Variant(**other, service_tier=tier, above=other_above))
    variants += _hours(model, rates, today)
    return Price(**rates, above=above, variants=tuple(variants), source=source)


def _rates(prices: Any) -> tuple[dict[str, str], tuple[Above, ...]]:
    """Return the rates of a price in the list, and those above each size of the input."""
    plain: dict[str, str] = {}
    steps: dict[int, dict[str, str]] = {}
    for key, value in prices.__dict__.items():
        name, share = _known(key)
        if not name or value is None:
            continue
        plain[name] = _text(getattr(value, "base", value) / share)
        for tier in getattr(value, "tiers", ()):
            steps.setdefault(tier.start, {})[name] = _text(tier.price / share)
    above = []
    so_far: dict[str, str] = {}
    for start in sorted(steps):
        so_far |= steps[start]
        above.append(Above(**so_far, input_tokens=start))
    return plain, tuple(above)


def _known(key: str) -> tuple[str, int]:
    """Return the config's key for one of the list, and how many of the config's units the list's has; "" for none."""
    if key in MILLION:
        return MILLION[key], 1
    if key in HOURS:
        return "audio_usd_per_hour", 1
    return THOUSAND.get(key, ""), 1000


def _text(amount: Decimal) -> str:
    """Return an amount as the config writes it; what stands behind nine decimals is noise of binary fractions."""
    text = format(amount.quantize(BILLIONTH), "f")
    return text.rstrip("0").rstrip(".")


def _hours(model: Any, rates: dict[str, str], today: datetime) -> Iterator[Variant]:
    """Yield the rates that hold for some hours of the day."""
    if not isinstance(model.prices, list):
        return
    for conditional in model.prices:
        hours = conditional.constraint
        if hasattr(hours, "start_time"):
            found, above = _rates(conditional.prices)
            span = f"{hours.start_time:%H:%M}-{hours.end_time:%H:%M}"
            if found != rates:
                yield Variant(**found, hours_utc=span, above=above)


def _day_of(model: Any, today: datetime) -> datetime:
    """Return a time on this day at which no price by the hour holds, if there is one."""
    if not isinstance(model.prices, list):
        return today
    hours = [item.constraint for item in model.prices if hasattr(item.constraint, "start_time")]
    for hour in range(24) if hours else ():
        moment = datetime.combine(date(today.year, today.month, today.day), datetime.min.time(), UTC)
        moment = moment.replace(hour=hour)
        if not any(constraint.active(moment) for constraint in hours):
            return moment
    return today
