"""What vendors ask for: the list of genai-prices, as installed, turned into the prices of a config's targets.

A target that takes its model's name from the caller (a wildcard's) gets none; its provider's whole list goes along.

Nothing is fetched. Dated prices are those of the day on which the config is loaded; what a price is by then stands in
the snapshot, so workers, the ledger and a later reader of it mean the same.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from typing import Any, NamedTuple, TypeVar

import msgspec

from core.model import Above, Config, Mirror, Price, Provider, Target, Variant
from core.price_list import PriceRow
from core.wildcards import STAR

__all__ = ["Listed", "listed", "price_lists", "price_of", "priced", "rows_of"]

Some = TypeVar("Some", Target, Mirror)

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
PIECES = {
    "requests_kcount": ("usd_per_request", 1000),
    "web_searches_kcount": ("usd_per_server_tool", 1000),
    "rerank_searches_kcount": ("usd_per_unit", 1000),
    "input_document_kpages": ("usd_per_unit", 1000),
    "input_mchars": ("usd_per_unit", 1_000_000),
}
"""Key of the list -> key of the config, in dollars for one, and how many of these the list's price is for."""
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
        mirror = model.mirror and _with_price(model.mirror, config.providers, lists, today)
        if targets != model.targets or mirror != model.mirror:
            model = msgspec.structs.replace(model, targets=targets, mirror=mirror)
        models[name] = model
    return msgspec.structs.replace(config, models=models)


def price_lists(config: Config, lists: Mapping[str, str], today: datetime) -> dict[str, list[PriceRow]]:
    """Return the prices of all that a vendor sells, for each provider at which a target takes its model from a name.

    Providers of whom the list knows nothing are not in it. lists: as of `priced`.
    """
    asked: list[Target | Mirror] = []
    for model in config.models.values():
        asked += model.targets
        asked += [model.mirror] if model.mirror is not None else []
    found = {}
    for name in sorted({target.provider for target in asked if STAR in target.model and target.price is None}):
        provider = config.providers.get(name)
        rows = rows_of(_vendor(provider, lists), today) if provider is not None else []
        if rows:
            found[name] = rows
    return found


def _with_price(target: Some, providers: Mapping[str, Provider], lists: Mapping[str, str], today: datetime) -> Some:
    provider = providers.get(target.provider)
    if target.price is not None or provider is None or STAR in target.model:
        return target
    vendor = _vendor(provider, lists)
    price = price_of(vendor, target.model, today) if vendor else None
    return target if price is None else msgspec.structs.replace(target, price=price)


def _vendor(provider: Provider, lists: Mapping[str, str]) -> str:
    """Return the list's word for who a provider is, "" if it knows none."""
    if provider.vendor is not None:
        return lists.get(provider.vendor, "")
    return vendor_at(provider.base_url) if provider.base_url is not None else ""


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


def rows_of(vendor: str, today: datetime) -> list[PriceRow]:
    """Return the prices of all models of a vendor on a day, in the list's order; [] if it does not know the vendor.

    Models that the vendor resells under the names of others come last, as in the list.
    """
    providers = {str(provider.id): provider for provider in _snapshot().providers}
    own = providers.get(vendor)
    if own is None:
        return []
    sellers = [own, *(providers[word] for word in own.fallback_model_providers or () if word in providers)]
    return [_row(own, model, today) for seller in sellers for model in seller.models]


def _row(seller: Any, model: Any, today: datetime) -> PriceRow:
    asked = _asked(model)
    names: list[str] = [asked] if model.is_match(asked) else []
    like: list[str] = []
    clauses = getattr(model.match, "or_", [model.match])
    for clause in clauses:
        name = _name(clause)
        if not name:
            like.append(_pattern(clause))
        elif name not in names:
            names.append(name)
    return PriceRow(tuple(names), tuple(like), _price(model, f"{_source()} {seller.id}/{model.id}"[:128], today))


def _name(clause: Any) -> str:
    """Return what a clause of the list matches as a name, with a ``*`` for any text; "" where that cannot say it."""
    forms = {"equals": "{}", "starts_with": "{}*", "ends_with": "*{}", "contains": "*{}*"}
    return next((form.format(getattr(clause, kind)) for kind, form in forms.items() if hasattr(clause, kind)), "")


def _pattern(clause: Any) -> str:
    """Return what a clause of the list matches as a regular expression for names in small letters."""
    if hasattr(clause, "regex"):
        return str(clause.regex)
    if hasattr(clause, "and_"):
        return "^" + "".join(f"(?=.*?(?:{_pattern(part)}))" for part in clause.and_)
    if hasattr(clause, "or_"):
        return "|".join(f"(?:{_pattern(part)})" for part in clause.or_)
    return "^" + ".*".join(map(re.escape, _name(clause).lower().split("*"))) + "$"


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
    return PIECES.get(key, ("", 1))


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
