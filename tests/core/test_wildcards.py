"""core.wildcards: which names a wildcard stands for, and which entries of a consumer's list mean any model."""

import pytest

from core.wildcards import Names, filled, is_wildcard, star_of


@pytest.mark.parametrize(
    ("wildcard", "name", "star"),
    [
        ("openai/*", "openai/gpt-4o", "gpt-4o"),
        ("*", "meta-llama/Llama-3:free", "meta-llama/Llama-3:free"),
        ("openai/*", "openai/", ""),
        ("openai/*", "azure/gpt-4o", ""),
        ("openai/*", "openai", ""),
        ("openai/*", "openai/*", ""),
        ("*", "a b", ""),
        ("*", "a\r\nx: y", ""),
        ("*", "ü", ""),
        ("*", "a?b=c", ""),
        ("*", "x" * 128, "x" * 128),
        ("*", "x" * 129, ""),
    ],
)
def test_a_name_is_a_wildcard_s_if_it_goes_on_as_names_may(wildcard: str, name: str, star: str) -> None:
    assert star_of(wildcard, name) == star


def test_the_star_stands_in_the_provider_s_name() -> None:
    assert filled("meta/*:free", "llama") == "meta/llama:free"
    assert filled("fixed", "llama") == "fixed"
    assert is_wildcard("a/*")
    assert not is_wildcard("a")


@pytest.mark.parametrize(
    ("allowed", "reached"),
    [
        ("small", True),
        ("openai/gpt-4o", True),
        ("openai/*", True),
        ("openai/gpt-*", True),
        ("open*", True),
        ("sm*", True),
        ("*", True),
        ("openai/", False),
        ("azure/gpt-4o", False),
        ("azure/*", False),
        ("smaller*", False),
    ],
)
def test_what_a_consumer_may_use_is_a_model_s_name_or_part_of_a_wildcard(allowed: str, reached: bool) -> None:
    assert Names(["small", "openai/*"]).reach(allowed) is reached


def test_where_every_name_is_a_model_s_every_entry_means_one() -> None:
    assert Names(["*"]).reach("azure/gpt-*")
    assert not Names([]).reach("azure/gpt-*")
