"""Prices out of the installed list, against what the list's own library makes of them."""

from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any

import genai_prices
import pytest
from genai_prices.data import providers as lists
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from control.prices import listed, price_lists, price_of, priced, rows_of, vendor_at
from core.model import Config, Mirror, Model, Price, Provider, Target
from core.money import Price as Compiled
from core.price_list import PriceList

TODAY = datetime(2026, 11, 23, 5, 30, tzinfo=UTC)
MODELS = [(provider.id, model.id) for provider in lists for model in provider.models]


@cache
def compiled(vendor: str, model: str) -> Compiled | None:
    price = price_of(vendor, model, TODAY)
    return None if price is None else Compiled(price)


def ours(vendor: str, model: str, used: dict[str, int], tier: str, moment: datetime) -> int | None:
    price = compiled(vendor, model)
    if price is None:
        return None
    minute = moment.hour * 60 + moment.minute
    return price.cost(
        tier,
        minute,
        *(used["input"], used["output"], used["read"], used["write_5m"], used["write_1h"], used["audio_in"]),
        *(used["audio_out"], used["image_in"], used["image_out"], used["reasoning"], used["milliseconds"]),
        *(used["units"], used["searches"]),
    )


def theirs(vendor: str, model: str, used: dict[str, int], tier: str, moment: datetime) -> Decimal:
    """Return billionths of a dollar, by `calc_price`."""
    seconds = Decimal(used["milliseconds"]) / 1000
    usage = genai_prices.Usage(
        input_tokens=used["input"],
        output_tokens=used["output"],
        cache_read_tokens=used["read"],
        cache_write_tokens=used["write_5m"] + used["write_1h"],
        cache_write_5m_tokens=used["write_5m"],
        cache_write_1h_tokens=used["write_1h"],
        input_audio_tokens=used["audio_in"],
        cache_audio_read_tokens=0,
        output_audio_tokens=used["audio_out"],
        input_image_tokens=used["image_in"],
        cache_image_read_tokens=0,
        output_image_tokens=used["image_out"],
        output_reasoning_tokens=used["reasoning"],
        audio_seconds=seconds,
        input_audio_seconds=seconds,
        rerank_searches=used["units"],
        input_characters=used["units"],
        input_document_pages=used["units"],
        web_searches=used["searches"],
    )
    context = {"service_tier": tier, "speed": tier} if tier else None
    found = genai_prices.calc_price(
        usage, model, provider_id=vendor, genai_request_timestamp=moment, price_context=context
    )
    return found.total_price * 10**9


@st.composite
def usages(draw: Any) -> dict[str, int]:
    """Draw counts whose parts fit into their totals, near the sizes at which prices change as well as anywhere."""
    size = st.integers(0, 1_000_000) | st.sampled_from([100_001, 128_000, 200_000, 200_001, 272_000, 272_001])
    used = {"input": draw(size), "output": draw(st.integers(0, 100_000))}
    for total, parts in (
        ("input", ("read", "write_5m", "write_1h", "audio_in", "image_in")),
        ("output", ("audio_out", "image_out", "reasoning")),
    ):
        left = used[total]
        for part in parts:
            used[part] = draw(st.integers(0, left)) if draw(st.booleans()) else 0
            left -= used[part]
    # Groq bills ten seconds at least, which no rate can say.
    used["milliseconds"] = draw(st.just(0) | st.integers(10_000, 3_600_000))
    used["units"] = draw(st.sampled_from([0, 0, 1, 7]))
    used["searches"] = draw(st.sampled_from([0, 0, 1, 20]))
    return used


@settings(max_examples=1500, deadline=None)
@given(
    st.sampled_from(MODELS),
    usages(),
    st.sampled_from(["", "default", "flex", "priority", "fast"]),
    st.integers(0, 1439),
)
def test_a_call_costs_what_the_list_s_own_library_says_to_the_billionth(
    model: tuple[str, str], used: dict[str, int], tier: str, minute: int
) -> None:
    moment = TODAY.replace(hour=minute // 60, minute=minute % 60)
    cost = ours(*model, used, tier, moment)
    assume(cost is not None)
    assert cost is not None
    assert abs(cost - theirs(*model, used, tier, moment)) < 1


PLAIN = dict.fromkeys(
    ("audio_in", "audio_out", "image_in", "image_out", "milliseconds", "units", "searches", "write_1h"), 0
) | {"input": 300_000, "output": 5_000, "read": 120_000, "write_5m": 3_000, "reasoning": 1_000}


def test_every_model_of_the_list_costs_the_same_as_there_and_an_unpriced_one_has_no_rate_there() -> None:
    unpriced = 0
    for model in MODELS:
        cost = ours(*model, PLAIN, "", TODAY)
        try:
            found = theirs(*model, PLAIN, "", TODAY)
        except LookupError:  # Some cannot be asked for by the name they are listed under.
            assert cost is None, model
            continue
        if cost is None:
            unpriced += 1
            assert found == 0, model
        else:
            assert abs(cost - found) < 1, model
    assert 0 < unpriced < len(MODELS) / 20


def test_a_price_names_the_list_and_its_version() -> None:
    price = price_of("openai", "gpt-4o-mini", TODAY)
    assert price is not None
    assert price.source == f"genai-prices {genai_prices.__version__} openai/gpt-4o-mini"


def test_a_dated_name_has_the_price_of_its_model() -> None:
    found = price_of("openai", "gpt-4o-mini-2024-07-18", TODAY)
    assert found is not None
    assert found.input_usd_per_million == "0.15"


@pytest.mark.parametrize(
    ("model", "nano"),
    [
        (("openai", "tts-1"), 15_000 * 40),
        (("groq", "canopylabs/orpheus-v1-english"), 22_000 * 40),
        (("mistral", "mistral-ocr-2505"), 1_000_000 * 40),
    ],
)
def test_characters_spoken_and_pages_read_have_the_list_s_price(model: tuple[str, str], nano: int) -> None:
    used = {**dict.fromkeys(PLAIN, 0), "units": 40}
    assert ours(*model, used, "", TODAY) == theirs(*model, used, "", TODAY) == nano


def test_what_the_list_does_not_know_has_no_price_and_what_is_free_has_the_price_0() -> None:
    assert price_of("openai", "no-such-model", TODAY) is None
    assert price_of("no-such-vendor", "gpt-4o", TODAY) is None
    free = price_of("openrouter", "openai/gpt-oss-20b:free", TODAY)
    assert free is not None
    assert free.input_usd_per_million == free.output_usd_per_million == "0"


def test_a_dated_price_is_that_of_the_day() -> None:
    (dated,) = {
        (provider.id, model.id)
        for provider in lists
        for model in provider.models
        if (provider.id, model.id) == ("deepseek", "deepseek-v4-pro")
    }
    early = price_of(*dated, datetime(2026, 8, 1, tzinfo=UTC))
    late = price_of(*dated, datetime(2026, 9, 1, tzinfo=UTC))
    assert early is not None
    assert late is not None
    assert (early.input_usd_per_million, late.input_usd_per_million) == ("0.435", "0.66")


def config(provider: Provider, *targets: Target) -> Config:
    return Config(providers={"p": provider}, models={"m": Model(targets=targets)})


def test_targets_of_a_known_address_or_vendor_are_priced_and_written_prices_stay() -> None:
    here = Provider(dialect="openai", base_url="https://api.openai.com/v1")
    own = Price(input_usd_per_million="9")
    loaded = config(here, Target("p", "gpt-4o-mini"), Target("p", "gpt-4o-mini", price=own), Target("p", "mine"))
    first, second, third = priced(loaded, {}, TODAY).models["m"].targets
    assert first.price == price_of("openai", "gpt-4o-mini", TODAY)
    assert (second.price, third.price) == (own, None)


def test_a_vendor_s_prices_hold_at_any_address_and_others_do_not_there() -> None:
    near = Provider(vendor="openai", dialect="openai", base_url="http://127.0.0.1:1/v1")
    (target,) = priced(config(near, Target("p", "gpt-4o-mini")), {"openai": "openai"}, TODAY).models["m"].targets
    assert target.price == price_of("openai", "gpt-4o-mini", TODAY)
    strange = Provider(dialect="openai", base_url="http://127.0.0.1:1/v1")
    loaded = config(strange, Target("p", "gpt-4o-mini"))
    assert priced(loaded, {}, TODAY).models["m"] is loaded.models["m"]


@pytest.mark.parametrize(
    ("url", "vendor"),
    [("https://api.anthropic.com", "anthropic"), ("https://api.groq.com/openai/v1", "groq"), ("http://a.test", "")],
)
def test_a_vendor_is_known_by_its_address(url: str, vendor: str) -> None:
    assert vendor_at(url) == vendor


def test_the_whole_list_can_be_shown() -> None:
    rows = list(listed(TODAY))
    assert len(rows) == len(MODELS)
    assert sum(row.price is not None for row in rows) > 2000


@pytest.mark.parametrize("vendor", sorted({vendor for vendor, _ in MODELS}))
def test_a_name_costs_the_same_whether_it_is_written_or_found_in_the_vendor_s_whole_list(vendor: str) -> None:
    rows = PriceList(rows_of(vendor, TODAY))
    names = {model for known, model in MODELS if known == vendor} | set(rows.models())
    for name in (*names, *(f"{name}-2024-05-13" for name in names), *(f"{name}-20240513" for name in names)):
        assert rows.price(name) == price_of(vendor, name, TODAY), name


def test_a_vendor_s_list_has_what_it_resells_and_a_strange_vendor_none() -> None:
    azure = PriceList(rows_of("azure", TODAY))
    assert azure.price("gpt-4o-mini") == price_of("azure", "gpt-4o-mini", TODAY)
    assert azure.price("claude-sonnet-5") == price_of("azure", "claude-sonnet-5", TODAY) is not None
    assert rows_of("nobody", TODAY) == []


def test_the_list_of_a_provider_goes_along_only_where_a_target_takes_its_model_from_the_name() -> None:
    here = Provider(dialect="openai", base_url="https://api.openai.com/v1")
    rows = rows_of("openai", TODAY)
    own = Price(input_usd_per_million="9")
    assert price_lists(config(here, Target("p", "gpt-4o")), {}, TODAY) == {}
    assert price_lists(config(here, Target("p", "*", price=own)), {}, TODAY) == {}
    assert price_lists(config(here, Target("p", "ft:*")), {}, TODAY) == {"p": rows}
    assert priced(config(here, Target("p", "*")), {}, TODAY) == config(here, Target("p", "*"))
    strange = Provider(dialect="openai", base_url="http://127.0.0.1:1/v1")
    assert price_lists(config(strange, Target("p", "*")), {}, TODAY) == {}


def test_copies_are_priced_as_calls_are() -> None:
    here = Provider(dialect="openai", base_url="https://api.openai.com/v1")
    loaded = Config(providers={"p": here}, models={"m": Model((Target("p", "mine"),), mirror=Mirror("p", "gpt-4o"))})
    shadow = priced(loaded, {}, TODAY).models["m"].mirror
    assert shadow is not None
    assert shadow.price == price_of("openai", "gpt-4o", TODAY)
    loaded = Config(providers={"p": here}, models={"m/*": Model((Target("p", "mine"),), mirror=Mirror("p", "*"))})
    assert price_lists(loaded, {}, TODAY) == {"p": rows_of("openai", TODAY)}
