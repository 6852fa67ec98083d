"""plane.dialects.azure: OpenAI's bytes at Azure's addresses, with its keys; callers who ask as they ask Azure."""

import json
from typing import Any

import pytest

from plane.dialect import Operation
from plane.dialects import azure, azure_responses
from plane.dialects._azure_urls import Options
from tests.plane.conftest import Starter
from tests.plane.rig import CallerEnd, Gateway, Peer, answer, body_of, one_model

BODY = b'{ "model":"m",\n"messages": [{"role":"user","content":"hi"}], "brand_new": [1.0] }'
SENT = BODY.replace(b'"m"', b'"my-dep"')
DATED = {"style": "dated", "api_version": "2024-10-21"}
ANSWER = (
    b'{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop",'
    b'"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}}}],"prompt_filter_results":[],'
    b'"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}'
)
FILTERED = (
    b'{"error":{"message":"The response was filtered.","type":null,"param":"prompt","code":"content_filter",'
    b'"status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":true}}}}}'
)
# As Azure streams: filters of the prompt first, in a chunk without choices, id or model.
FIRST = (
    b'data: {"choices":[],"created":0,"id":"","model":"","object":"",'
    b'"prompt_filter_results":[{"prompt_index":0,"content_filter_results":{}}]}\n\n'
)
CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}],"id":"c","model":"gpt","usage":null}\n\n'
COUNT = b'data: {"choices":[],"id":"c","usage":{"prompt_tokens":3,"completion_tokens":5}}\n\n'
DONE = b"data: [DONE]\n\n"


def config(options: dict[str, Any], *, base: str = "http://p.test:9001", **more: Any) -> dict[str, Any]:
    """Return a config whose model is a deployment on Azure."""
    made = one_model()
    made["providers"]["p"] = {"dialect": "azure", "base_url": base, "credential": "env:KEY", "options": options, **more}
    made["models"]["m"] = {"targets": [{"provider": "p", "model": "my-dep"}]}
    return made


def asked(gateway: Gateway, path: str, body: bytes) -> tuple[CallerEnd, Peer, bytes, bytes]:
    """Return the caller of one request, who is asked, and head and body that it got."""
    peer = gateway.upstreams[9001].connect()
    caller = gateway.caller()
    caller.ask(path, body)
    head, _, sent = peer.take().partition(b"\r\n\r\n")
    return caller, peer, head, sent


@pytest.mark.parametrize(
    ("options", "base", "line"),
    [
        ({}, "http://p.test:9001", b"POST /openai/v1/chat/completions HTTP/1.1"),
        (
            {"api_version": "preview"},
            "http://p.test:9001",
            b"POST /openai/v1/chat/completions?api-version=preview HTTP/1.1",
        ),
        (
            {},
            "http://p.test:9001/api/projects/mine",
            b"POST /api/projects/mine/openai/v1/chat/completions HTTP/1.1",
        ),
        (
            DATED,
            "http://p.test:9001",
            b"POST /openai/deployments/my-dep/chat/completions?api-version=2024-10-21 HTTP/1.1",
        ),
    ],
)
def test_a_call_goes_to_azure_s_address_byte_for_byte(
    options: dict[str, str], base: str, line: bytes, start: Starter
) -> None:
    gateway = start(config(options, base=base))
    caller, peer, head, sent = asked(gateway, "/v1/chat/completions", BODY)
    lines = head.split(b"\r\n")
    assert lines[0] == line
    assert b"api-key: sk-vendor" in lines
    assert not any(found.lower().startswith(b"authorization") for found in lines)
    assert sent == SENT
    peer.say(answer(ANSWER))
    assert body_of(caller.take()) == ANSWER
    [event] = gateway.events()
    assert (event.input_total, event.output_total) == (3, 5)


def test_a_token_of_entra_is_a_bearer_token(start: Starter) -> None:
    _, _, head, _ = asked(start(config({"auth": "bearer"})), "/v1/chat/completions", BODY)
    assert b"authorization: Bearer sk-vendor" in head.split(b"\r\n")
    assert b"api-key" not in head


def test_a_stream_passes_with_its_filters_and_without_the_usage_that_was_not_asked_for(start: Starter) -> None:
    gateway = start(config(DATED))
    caller, peer, _, sent = asked(gateway, "/v1/chat/completions", b'{"model":"m","messages":[],"stream":true}')
    assert json.loads(sent)["stream_options"] == {"include_usage": True}
    peer.say(answer(FIRST + CHUNK + COUNT + DONE, kind=b"text/event-stream"))
    assert body_of(caller.take()) == FIRST + CHUNK + DONE
    [event] = gateway.events()
    assert (event.input_total, event.output_total) == (3, 5)


def test_a_filtered_prompt_is_told_as_azure_tells_it(start: Starter) -> None:
    caller, peer, _, _ = asked(start(config({})), "/v1/chat/completions", BODY)
    peer.say(answer(FILTERED, status=b"400 Bad Request"))
    raw = caller.take()
    assert raw.startswith(b"HTTP/1.1 400 ")
    assert body_of(raw) == FILTERED


def test_how_long_to_wait_is_relayed_in_both_units(start: Starter) -> None:
    caller, peer, _, _ = asked(start(config({})), "/v1/chat/completions", BODY)
    waits = b"retry-after: 7\r\nretry-after-ms: 6543\r\n"
    peer.say(answer(b'{"error":{"code":"429"}}', status=b"429 Too Many Requests", fields=waits))
    head = caller.take()
    assert b"retry-after: 7\r\n" in head
    assert b"retry-after-ms: 6543\r\n" in head


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({}, b"POST /openai/v1/responses HTTP/1.1"),
        (DATED, b"POST /openai/responses?api-version=2024-10-21 HTTP/1.1"),
    ],
)
def test_responses_pass_where_the_provider_also_speaks_them(
    options: dict[str, str], line: bytes, start: Starter
) -> None:
    gateway = start(config(options, also=["azure_responses"]))
    caller, peer, head, sent = asked(gateway, "/v1/responses", b'{"model":"m","input":"hi","store":false}')
    assert head.split(b"\r\n")[0] == line
    assert b"api-key: sk-vendor" in head.split(b"\r\n")
    assert sent == b'{"model":"my-dep","input":"hi","store":false}'
    said = b'{"id":"resp_1","object":"response","output":[],"usage":{"input_tokens":3,"output_tokens":5}}'
    peer.say(answer(said))
    assert body_of(caller.take()) == said
    [event] = gateway.events()
    assert (event.input_total, event.output_total) == (3, 5)


def test_operations_without_a_model_in_their_path_stand_beside_the_deployments() -> None:
    made = azure_responses.build(Options(style="dated", api_version="2024-10-21"))
    operation = Operation("responses", "/responses", streams=True, kind="chat")
    assert made.path(operation, "a/b", True) == "/openai/responses?api-version=2024-10-21"
    chat = azure.build(Options(style="dated", api_version="a&b"))
    [embeddings] = [one for one in chat.operations if one.name == "embeddings"]
    assert chat.path(embeddings, "a/b", False) == "/openai/deployments/a%2Fb/embeddings?api-version=a%26b"


@pytest.mark.parametrize("dialect", [azure, azure_responses])
def test_the_dated_style_needs_a_version(dialect: Any) -> None:
    with pytest.raises(ValueError, match="api_version"):
        dialect.build(Options(style="dated"))


# --- callers who ask as they ask Azure


@pytest.mark.parametrize(
    "path",
    [
        "/openai/deployments/m/chat/completions?api-version=2024-10-21",
        "/openai/v1/chat/completions",
        "/openai/chat/completions",
    ],
)
def test_callers_may_ask_at_azure_s_paths(path: str, start: Starter) -> None:
    gateway = start(one_model())
    caller, peer, head, sent = asked(gateway, path, BODY)
    assert head.split(b"\r\n")[0] == b"POST /v1/chat/completions HTTP/1.1"
    assert sent == BODY.replace(b'"m"', b'"real"')
    peer.say(answer(ANSWER))
    assert body_of(caller.take()) == ANSWER


@pytest.mark.parametrize("body", [b'{"messages":[]}', b"{}", b'{"model":"another","messages":[]}'])
def test_the_deployment_in_the_path_is_the_model_whatever_the_body_says(body: bytes, start: Starter) -> None:
    gateway = start(one_model())
    _, _, _, sent = asked(gateway, "/openai/deployments/m/chat/completions", body)
    assert json.loads(sent) == {**json.loads(body), "model": "real"}
    [target] = gateway.runtime.models["m"].targets
    assert target.in_flight == 1


def test_a_deployment_may_have_any_name_that_a_model_has(start: Starter) -> None:
    made = one_model()
    made["models"]["o/m:1"] = made["models"].pop("m")
    _, _, _, sent = asked(start(made), "/openai/deployments/o/m:1/chat/completions", b'{"messages":[]}')
    assert json.loads(sent)["model"] == "real"


def test_a_deployment_that_there_is_not_is_an_error_of_openai_s(start: Starter) -> None:
    gateway = start(one_model())
    for path, status in [
        ("/openai/deployments/absent/chat/completions", 404),
        ("/openai/deployments/m/nothing", 404),
    ]:
        caller = gateway.caller()
        caller.ask(path, b'{"messages":[]}')
        raw = caller.take()
        assert raw.startswith(b"HTTP/1.1 %d " % status)
        assert "message" in json.loads(body_of(raw))["error"]
    caller = gateway.caller()
    caller.ask("/openai/deployments/m/chat/completions", b'{"messages":')
    assert json.loads(body_of(caller.take()))["error"]["code"] == "invalid_json"


def test_a_stream_asked_for_at_a_deployment_is_one(start: Starter) -> None:
    gateway = start(config(DATED))
    path = "/openai/deployments/m/chat/completions?api-version=2024-10-21"
    caller, peer, head, _ = asked(gateway, path, b'{"messages":[],"stream":true}')
    assert b"/openai/deployments/my-dep/" in head
    peer.say(answer(FIRST + CHUNK + COUNT + DONE, kind=b"text/event-stream"))
    assert body_of(caller.take()) == FIRST + CHUNK + DONE
