import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.consistent import Problem, consistent, nearest, problems_of
from core.errors import ConfigError
from core.model import Config
from core.router import Router

KEY = "9f" * 32
GOOD = {
    "providers": {"openai": {"dialect": "openai", "base_url": "https://api.openai.com/v1"}},
    "models": {"small": {"targets": [{"provider": "openai", "model": "gpt-4o-mini"}]}},
    "consumers": {"payments": {"keys": [{"sha256": KEY}], "models": ["small"]}, "ops": {"models": ["*"]}},
    "upstreams": {"orders": {"endpoints": ["http://10.0.0.5:8000", "http://10.0.0.6:8000"], "weights": [1, 2]}},
    "routes": {"orders": {"match": {"path": "/orders/*"}, "upstream": "orders"}},
}


def problems(changes: dict[str, object]) -> list[Problem]:
    return consistent(msgspec.convert(GOOD | changes, Config))


def test_a_config_that_hangs_together_has_no_problems() -> None:
    assert problems({}) == []


def test_an_empty_config_has_no_problems() -> None:
    assert consistent(Config()) == []


def test_a_target_of_an_unknown_provider_is_named_with_its_place_and_a_suggestion() -> None:
    models = {"small": {"targets": [GOOD["models"]["small"]["targets"][0], {"provider": "opanai", "model": "m"}]}}
    assert problems({"models": models}) == [
        Problem(
            ("models", "small", "targets", 1, "provider"),
            "no provider is named 'opanai'; did you mean 'openai'?",
        )
    ]


def test_a_consumer_of_an_unknown_model_is_named() -> None:
    found = problems({"consumers": {"payments": {"models": ["small", "zzz"]}}})
    assert found == [Problem(("consumers", "payments", "models", 1), "no model is named 'zzz'")]


def test_a_consumer_may_name_a_wildcard_a_part_of_one_and_what_begins_as_a_model_does() -> None:
    models = GOOD["models"] | {"openai/*": {"targets": [{"provider": "openai", "model": "*"}]}}
    named = ["openai/*", "openai/gpt-*", "openai/gpt-5", "sm*", "azure/*", "azure/gpt-5"]
    found = problems({"models": models, "consumers": {"payments": {"models": named}}})
    assert found == [
        Problem(("consumers", "payments", "models", 4), "no model's name begins like 'azure/*'"),
        Problem(("consumers", "payments", "models", 5), "no model is named 'azure/gpt-5'"),
    ]


def test_a_star_that_nothing_stands_for_is_named() -> None:
    targets = [{"provider": "openai", "model": model} for model in ("*", "a*b*", "plain")]
    models = GOOD["models"] | {
        "one": {"targets": targets, "mirror": {"provider": "openai", "model": "x-*"}},
        "many/*": {"targets": targets},
    }
    assert problems({"models": models}) == [
        Problem(
            ("models", "one", "targets", 0, "model"), "the * stands for nothing, as the model 'one' does not end in one"
        ),
        Problem(("models", "one", "targets", 1, "model"), "'a*b*' has more than one *"),
        Problem(("models", "many/*", "targets", 1, "model"), "'a*b*' has more than one *"),
        Problem(
            ("models", "one", "mirror", "model"), "the * stands for nothing, as the model 'one' does not end in one"
        ),
    ]


def test_a_route_to_an_unknown_upstream_is_named() -> None:
    found = problems({"routes": {"r": {"match": {"path": "/"}, "upstream": "zzz"}}})
    assert found == [Problem(("routes", "r", "upstream"), "no upstream is named 'zzz'")]


def test_only_a_consumer_may_say_star() -> None:
    found = problems({"models": {"small": {"targets": [{"provider": "openai", "model": "m"}]}}, "upstreams": {}})
    assert [problem.path for problem in found] == [("routes", "orders", "upstream")]


def test_a_key_of_two_consumers_names_both_places() -> None:
    found = problems({"consumers": {"a": {"keys": [{"sha256": KEY}]}, "b": {"keys": [{"sha256": KEY}]}}})
    here, there = ("consumers", "b", "keys", 0, "sha256"), ("consumers", "a", "keys", 0, "sha256")
    assert found == [Problem(here, "the same key belongs to consumer 'a'", there)]


def test_a_key_given_twice_to_one_consumer_is_a_clash() -> None:
    found = problems({"consumers": {"a": {"keys": [{"sha256": KEY}, {"sha256": KEY}]}}})
    assert [problem.path for problem in found] == [("consumers", "a", "keys", 1, "sha256")]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"path": "/a"}, {"path": "/a"}),
        ({"path": "/a/{id}/b"}, {"path": "/a/{name}/b"}),
        ({"path": "/a", "host": "x.test"}, {"path": "/a", "host": "x.test"}),
        ({"path": "/a", "methods": ["GET", "PUT"]}, {"path": "/a", "methods": ["GET"]}),
        ({"path": "/a", "methods": ["GET"]}, {"path": "/a"}),
        ({"path": "/a"}, {"path": "/a", "methods": ["GET"]}),
    ],
)
def test_routes_that_match_the_same_requests_clash(first: dict[str, object], second: dict[str, object]) -> None:
    routes = {"one": {"match": first, "upstream": "orders"}, "two": {"match": second, "upstream": "orders"}}
    found = problems({"routes": routes})
    reason = "matches the same requests as route 'one'"
    assert found == [Problem(("routes", "two", "match"), reason, ("routes", "one", "match"))]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"path": "/a"}, {"path": "/a/"}),
        ({"path": "/a/{id}"}, {"path": "/a/id"}),
        ({"path": "/a", "host": "x.test"}, {"path": "/a"}),
        ({"path": "/a", "methods": ["GET"]}, {"path": "/a", "methods": ["POST"]}),
    ],
)
def test_routes_that_differ_do_not_clash(first: dict[str, object], second: dict[str, object]) -> None:
    routes = {"one": {"match": first, "upstream": "orders"}, "two": {"match": second, "upstream": "orders"}}
    assert problems({"routes": routes}) == []


def test_weights_must_be_as_many_as_endpoints() -> None:
    found = problems({"upstreams": {"orders": {"endpoints": ["http://a:1", "http://b:2"], "weights": [1]}}})
    assert [(problem.path, problem.reason[:25]) for problem in found] == [
        (("upstreams", "orders", "weights"), "1 weights for 2 endpoints")
    ]


SEGMENTS = st.lists(st.sampled_from(["a", "b", "{x}", "{y}"]), min_size=1, max_size=2, unique=True)
PATHS = st.builds(lambda parts, rest: "/" + "/".join(parts + rest), SEGMENTS, st.sampled_from([[], ["*"]]))
MATCHES = st.builds(
    lambda path, host, methods: {"path": path, "methods": methods} | ({"host": host} if host else {}),
    PATHS,
    st.sampled_from([None, "a.test", "b.test"]),
    st.lists(st.sampled_from(["GET", "PUT", "HEAD"]), max_size=2, unique=True),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(MATCHES, min_size=2, max_size=4))
def test_routes_clash_here_exactly_if_the_router_refuses_them(matches: list[dict[str, object]]) -> None:
    clashes = problems_of({"routes": {f"r{index}": {"match": match} for index, match in enumerate(matches)}})
    entries = [(match.get("host"), match["path"], tuple(match["methods"]), None, False) for match in matches]
    try:
        Router(entries)
    except ConfigError:
        assert clashes
    else:
        assert clashes == []


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "text",
        {"models": None, "consumers": 3, "routes": []},
        {"models": {"m": {"targets": {"provider": "x"}}}, "routes": {"r": {"match": "x", "upstream": 3}}},
        {"consumers": {"c": {"keys": [None, {"sha256": []}], "models": [{}, None]}}},
        {"routes": {"r": {"match": {"path": "/", "methods": [[]]}}, "s": {"match": {"path": 3}}}},
        {"upstreams": {"u": {"weights": 1, "endpoints": 2}, "v": None}},
    ],
)
def test_data_of_the_wrong_shape_is_passed_over(data: object) -> None:
    assert problems_of(data) == []


def test_a_reference_is_reported_even_beside_parts_of_the_wrong_shape() -> None:
    found = problems_of({"routes": {"r": {"match": 5, "upstream": "zzz"}}})
    assert found == [Problem(("routes", "r", "upstream"), "no upstream is named 'zzz'")]


@pytest.mark.parametrize(("section", "whole"), [([], True), (None, True), ({}, False)])
def test_what_could_not_be_read_is_not_called_missing(section: object, whole: bool) -> None:
    assert problems_of({"routes": {"r": {"upstream": "zzz"}}, "upstreams": section}, whole=whole) == []


def test_no_suggestion_is_sought_among_very_many_names() -> None:
    assert nearest("abc1", ["abc2"]) == "; did you mean 'abc2'?"
    assert nearest("abc1", [f"abc{index}" for index in range(501)]) == ""
