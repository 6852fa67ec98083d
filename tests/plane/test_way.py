"""plane.way and the config of providers: how each operation gets to a provider, and what a request to it always has."""

from __future__ import annotations

from typing import Any

import pytest

from plane.runtime import Target
from tests.plane.conftest import Starter
from tests.plane.rig import CallerEnd, consumer
from tests.plane.test_compile import compiled, problems

MESSAGES = b'{"model":"m","max_tokens":5,"messages":[],"unheard_of":1.10}'
CHAT = b'{"model":"m","messages":[],"unheard_of":1.10}'


def config(dialect: str, **more: Any) -> dict[str, Any]:
    """Return a config with a model at a provider that speaks `dialect`."""
    return {
        "providers": {"p": {"dialect": dialect, "base_url": "http://p.test:9001", "credential": "env:KEY", **more}},
        "models": {"m": {"targets": [{"provider": "p", "model": "real"}]}},
        "consumers": {"c": consumer()},
    }


def target(dialect: str, **more: Any) -> Target:
    (found,) = compiled(config(dialect, **more)).models["m"].targets
    return found


def sent(start: Starter, dialect: str, path: str, body: bytes, fields: bytes = b"", **more: Any) -> tuple[Any, bytes]:
    """Return the header lines and the body of the request that goes upstream."""
    gateway = start(config(dialect, **more))
    peer = gateway.upstreams[9001].connect()
    caller: CallerEnd = gateway.caller()
    caller.ask(path, body, fields=fields)
    head, _, found = peer.take().partition(b"\r\n\r\n")
    return head.split(b"\r\n")[1:], found


def test_bytes_pass_where_both_speak_the_same_and_calls_are_translated_elsewhere() -> None:
    ways = target("anthropic").ways
    assert not ways["messages"].translates
    assert ways["chat.completions"].translates
    assert ways["chat.completions"].name == "messages"
    assert "embeddings" not in ways
    assert "completions" not in ways


def test_a_provider_that_also_speaks_a_dialect_passes_its_bytes() -> None:
    assert target("openai").ways["responses"].translates
    assert not target("openai", also=["openai_responses"]).ways["responses"].translates


@pytest.mark.parametrize(
    ("dialect", "path", "body"), [("anthropic", "/v1/messages", MESSAGES), ("openai", "/v1/chat/completions", CHAT)]
)
def test_what_passes_is_the_caller_s_bytes_but_for_the_model(
    dialect: str, path: str, body: bytes, start: Starter
) -> None:
    assert sent(start, dialect, path, body)[1] == body.replace(b'"m"', b'"real"')


def test_a_field_that_the_provider_must_get_is_the_caller_s_own_where_it_sends_one(start: Starter) -> None:
    lines, _ = sent(start, "anthropic", "/v1/messages", MESSAGES)
    assert b"anthropic-version: 2023-06-01" in lines


def test_the_caller_s_own_version_is_kept_where_bytes_pass(start: Starter) -> None:
    fields = b"anthropic-version: 2024-01-01\r\nanthropic-beta: new\r\nopenai-beta: old\r\n"
    lines, _ = sent(start, "anthropic", "/v1/messages", MESSAGES, fields)
    assert [line for line in lines if b"version" in line or b"beta" in line] == [
        b"anthropic-version: 2024-01-01",
        b"anthropic-beta: new",
    ]


def test_the_caller_s_dialect_s_fields_do_not_go_to_another(start: Starter) -> None:
    lines, _ = sent(
        start, "anthropic", "/v1/chat/completions", CHAT.replace(b',"unheard_of":1.10', b""), b"openai-beta: x\r\n"
    )
    assert [line for line in lines if b"version" in line or b"beta" in line] == [b"anthropic-version: 2023-06-01"]


def test_the_headers_of_the_config_are_in_every_request(start: Starter) -> None:
    lines, _ = sent(start, "openai", "/v1/chat/completions", CHAT, headers={"x-team": "search, ads"})
    assert b"x-team: search, ads" in lines


def test_what_the_provider_has_nothing_for_is_refused(start: Starter) -> None:
    gateway = start(config("anthropic"))
    caller = gateway.caller()
    caller.ask("/v1/embeddings", b'{"model":"m","input":"x"}')
    raw = caller.take()
    assert raw.startswith(b"HTTP/1.1 400 ")
    assert b"x-headgate-error: unsupported_operation" in raw
    assert b"x-should-retry: false" in raw
    (event,) = gateway.events()
    assert (event.attempts, event.target) == (0, "")
    assert gateway.is_at_rest()


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"also": ["latin"]}, "providers.p.also[0]: unknown word 'latin'"),
        ({"also": ["openai"]}, "providers.p.also[0]: 'openai' stands there twice"),
        ({"options": {"region": "x"}}, "providers.p.options.region: the dialect 'openai' has no such option"),
        ({"options": {"strict": "x"}}, "providers.p.options: Expected `bool`, got `str` - at `$.strict`"),
        ({"headers": {"host": "x"}}, "providers.p.headers.host: the gateway writes this field itself"),
        ({"headers": {"connection": "x"}}, "providers.p.headers.connection: the gateway writes this field itself"),
    ],
)
def test_a_provider_that_cannot_be_asked_so_is_a_problem(more: dict[str, Any], problem: str) -> None:
    (found,) = problems(config("openai", **more))
    assert found.startswith(problem)
