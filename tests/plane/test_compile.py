"""plane.compile: a runtime from a snapshot, or every reason why there can be none."""

import copy
from typing import Any

import msgspec
import pytest

from core.errors import ConfigError, SnapshotError
from core.model import Config
from core.snapshot import build
from plane.compile import compile_snapshot
from plane.failure import BROKEN, CONNECT, CREDENTIAL, LIMITED, RESET, TIMEOUT
from plane.runtime import Runtime
from tests.plane.rig import hashed

SECRETS = {"env:KEY": "sk-vendor"}

GOOD: dict[str, Any] = {
    "providers": {"p": {"dialect": "openai", "base_url": "https://p.test/v1/", "credential": "env:KEY"}},
    "models": {
        "m": {"targets": [{"provider": "p", "model": "real"}], "timeouts": {"connect": "250ms"}, "max_body": "1MiB"}
    },
    "consumers": {"c": {"keys": [{"sha256": hashed()}], "models": ["m"]}},
    "upstreams": {"u": {"endpoints": ["http://[::1]:8000/base", "http://b.test"], "weights": [0, 2]}},
    "routes": {
        "one": {"match": {"path": "/one/*"}, "upstream": "u"},
        "two": {"match": {"path": "/two/*"}, "upstream": "u", "auth": "none"},
    },
}


def compiled(config: dict[str, Any], secrets: dict[str, str] | None = None) -> Runtime:
    return compile_snapshot(build(msgspec.convert(config, Config), 3), SECRETS if secrets is None else secrets)


def problems(config: dict[str, Any], secrets: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        compiled(config, secrets)
    return caught.value.problems


def with_part(path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    """Return `GOOD` with another value at `path`."""
    config: Any = copy.deepcopy(GOOD)
    part = config
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return config  # type: ignore[no-any-return]


def test_a_runtime_holds_what_a_request_looks_up() -> None:
    runtime = compiled(GOOD)
    (target,) = runtime.models["m"].targets
    assert (target.name, target.host, target.base_path) == ("p/real", b"p.test", b"/v1")
    assert (target.origin.scheme, target.origin.host, target.origin.port) == ("https", "p.test", 443)
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: p.test\r\nauthorization: Bearer sk-vendor\r\n"
        b"content-type: application/json\r\naccept-encoding: identity\r\n"
    )
    assert target.heads["chat.completions"] == (head, head)
    model = runtime.models["m"]
    assert (model.timeouts.connect, model.timeouts.idle, model.max_body) == (250_000_000, 60 * 10**9, 1 << 20)
    assert runtime.version == 3
    assert runtime.mark == b"x-headgate-config: %b\r\n" % runtime.digest[:12].encode()


def test_a_proof_needs_no_secrets() -> None:
    assert compile_snapshot(build(msgspec.convert(GOOD, Config), 1), None).models


def test_a_provider_without_credential_gets_none() -> None:
    config = copy.deepcopy(GOOD)
    del config["providers"]["p"]["credential"]
    (target,) = compiled(config, {}).models["m"].targets
    assert b"authorization" not in target.heads["chat.completions"][0]


def test_the_routes_of_one_upstream_share_its_endpoints_and_its_balancer() -> None:
    runtime = compiled(GOOD)
    one = runtime.router.match("GET", b"gateway", b"/one/x")
    two = runtime.router.match("GET", b"gateway", b"/two/x")
    assert one.endpoints is two.endpoints
    assert one.balancer is two.balancer
    assert [(end.host, end.base_path, end.weight) for end in one.endpoints] == [
        (b"[::1]:8000", b"/base", 0),
        (b"b.test", b"", 2),
    ]
    assert [end.origin.host for end in one.endpoints] == ["::1", "b.test"]
    assert (one.needs_key, two.needs_key) == (True, False)


@pytest.mark.parametrize(
    ("words", "failures"),
    [
        ([], 0),
        (["connect"], CONNECT),
        (["reset"], RESET),
        (["timeout"], TIMEOUT),
        (["credential"], CREDENTIAL),
        ([429], LIMITED),
        (["5xx"], BROKEN),
        (["reset", "connect", "reset"], CONNECT | RESET),
    ],
)
def test_each_word_of_retries_stands_for_itself(words: list[object], failures: int) -> None:
    config = with_part(("models", "m", "retries"), {"on": words, "max": 7, "backoff": "1s", "wait": "9s", "budget": 3})
    rule = compiled(config).models["m"].retries
    assert (rule.on, rule.max, rule.backoff, rule.wait, rule.budget.percent) == (failures, 7, 10**9, 9 * 10**9, 3)


def test_without_a_word_only_what_was_not_acted_upon_is_tried_again() -> None:
    alone = compiled(GOOD)
    assert alone.models["m"].retries.on == CONNECT
    assert alone.router.match("GET", b"gateway", b"/one/x").retries.on == CONNECT
    several = with_part(("models", "m", "targets"), [{"provider": "p", "model": name} for name in "ab"])
    assert compiled(several).models["m"].retries.on == CONNECT | CREDENTIAL | LIMITED | BROKEN


def test_every_problem_is_told_at_once() -> None:
    config = {
        "providers": {
            "p": {"dialect": "latin", "base_url": "http://p.test:0", "credential": "env:A"},
            "q": {"dialect": "latin", "base_url": "http://p.test:70000", "credential": "env:B"},
            "unused": {"dialect": "openai", "base_url": "http://[12345::::]"},
        },
        "models": {
            "m": {"targets": [{"provider": "p", "model": "a"}, {"provider": "none", "model": "b"}], "strategy": "luck"},
            "n": {"targets": [{"provider": "p", "model": "c"}], "timeouts": {"total": "999999999h"}},
        },
        "consumers": {
            "c": {
                "models": ["m", "gone"],
                "limits": {"requests": "1/day", "burst": 999_999_999},
            }
        },
        "upstreams": {
            "u": {"endpoints": ["http://a..b"], "balance": "by_feel"},
            "v": {"endpoints": ["http://a.test"], "weights": [1, 2]},
            "w": {"endpoints": ["http://a.test", "http://b.test", "http://a.test"]},
        },
        "routes": {
            "r": {"match": {"path": "/a//b"}, "upstream": "u"},
            "s": {"match": {"path": "/s"}, "upstream": "nowhere"},
        },
    }
    found = problems(config, {"env:A": "two\r\nlines"})
    wanted = [
        "providers.p.dialect: unknown word 'latin'",
        "providers.p.credential: the value of env:A cannot stand in a header",
        "providers.p.base_url: the port",
        "providers.q.dialect: unknown word 'latin'",
        "providers.q.credential: no value for env:B",
        "providers.q.base_url: the port",
        "providers.unused.base_url: the host",
        "models.m.targets[1].provider: no provider is named 'none'",
        "models.m.strategy: unknown word 'luck'",
        "models.n.timeouts.total:",
        "upstreams.u.endpoints[0]: the host",
        "upstreams.u.balance: unknown word 'by_feel'",
        "upstreams.v.weights: 2 weights for 1 endpoints",
        "upstreams.w.endpoints[2]: http://a.test stands there twice",
        "/a//b:",
        "routes.s.upstream: no upstream is named 'nowhere'",
        "consumers.c.limits.requests:",
        "consumers.c.models[1]: no model is named 'gone'",
    ]
    assert [next((text for text in wanted if one.startswith(text)), one) for one in found] == wanted


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nb", "tab\there", "caf\u00e9", "\x7f", "nul\0"])
def test_a_credential_that_would_break_its_header_is_refused_and_not_quoted(value: str) -> None:
    (problem,) = problems(GOOD, {"env:KEY": value})
    assert problem == "providers.p.credential: the value of env:KEY cannot stand in a header"


def test_an_empty_credential_is_none() -> None:
    assert problems(GOOD, {"env:KEY": ""}) == ["providers.p.credential: no value for env:KEY"]


@pytest.mark.parametrize("url", ["http://p.test/v1\r\nx: y", "http://p.test/a b", "http://p.t\u00ebst"])
def test_a_base_url_that_no_config_file_could_have_is_refused(url: str) -> None:
    config = msgspec.convert(GOOD, Config)
    provider = msgspec.structs.replace(config.providers["p"], base_url=url)
    with pytest.raises(SnapshotError, match="providers:"):
        compile_snapshot(build(msgspec.structs.replace(config, providers={"p": provider}), 1), SECRETS)


def test_a_base_url_that_would_break_the_request_line_is_refused() -> None:
    config = with_part(("providers", "p", "base_url"), "http://p.test/v1\n")
    assert problems(config) == ["providers.p.base_url: holds what cannot stand in a request line"]


@pytest.mark.parametrize("name", ["a\r\nset-cookie: b", "mod\u00e8le", "100%", 'say "hi"\n'])
def test_a_model_of_any_name_is_asked_for_and_shown_without_breaking_a_line(name: str) -> None:
    (target,) = compiled(with_part(("models", "m", "targets", 0, "model"), name)).models["m"].targets
    assert msgspec.json.decode(target.model_json) == name
    assert target.name == f"p/{name}"
    line = target.field
    assert line.startswith(b"x-headgate-target: p/")
    assert line.endswith(b"\r\n")
    assert line[:-2].isascii()
    assert line[:-2].decode().isprintable()


def test_a_plain_model_name_is_shown_as_it_is() -> None:
    name = "org/model-4.5:free@2026-01-01+x"
    (target,) = compiled(with_part(("models", "m", "targets", 0, "model"), name)).models["m"].targets
    assert target.field == b"x-headgate-target: p/%b\r\n" % name.encode()


def test_a_body_for_no_model_at_all_is_still_read_to_say_so() -> None:
    runtime = compiled({"consumers": {"c": {"keys": [{"sha256": hashed()}]}}})
    assert runtime.router.match("POST", b"gateway", b"/v1/chat/completions").max_body > 0


def test_compiling_is_pure(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("opened something")

    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr("socket.socket", refuse)
    monkeypatch.setattr("ssl.create_default_context", refuse)
    config = with_part(("providers", "p", "ca"), "/nowhere/ca.pem")
    assert compiled(config).models
