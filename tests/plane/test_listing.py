"""The list of models, in the shape that the caller's SDK reads."""

import json
from typing import Any

import pytest
from anthropic.types import ModelInfo

from tests.plane.conftest import Starter
from tests.plane.rig import Gateway, body_of, consumer, one_model

NAMES = [f"m{number:02}" for number in range(25)]
VERSION = b"anthropic-version: 2023-06-01\r\n"


@pytest.fixture
def gateway(start: Starter) -> Gateway:
    """Return a gateway with models of which its consumer may not use the last."""
    target = {"targets": [{"provider": "p", "model": "real"}]}
    models = dict.fromkeys([*NAMES, "theirs"], target)
    return start(one_model() | {"models": models, "consumers": {"c": consumer(models=NAMES)}})


def got(gateway: Gateway, path: str, fields: bytes = VERSION) -> tuple[bytes, Any]:
    """Return head and JSON body of an answer."""
    caller = gateway.caller()
    caller.ask(path, method="GET", fields=fields)
    raw = caller.take()
    return raw.partition(b"\r\n\r\n")[0], json.loads(body_of(raw))


def test_a_caller_that_sends_anthropics_version_gets_anthropics_shape(gateway: Gateway) -> None:
    head, body = got(gateway, "/v1/models?limit=100")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nrequest-id: hg-" in head
    assert [ModelInfo.model_validate(model).id for model in body["data"]] == NAMES
    assert (body["has_more"], body["first_id"], body["last_id"]) == (False, NAMES[0], NAMES[-1])


def test_every_other_caller_gets_openais(gateway: Gateway) -> None:
    head, body = got(gateway, "/v1/models", b"")
    assert (body["object"], len(body["data"])) == ("list", 25)
    assert b"\r\nrequest-id:" not in head


def test_a_caller_that_sends_its_key_as_googles_do_gets_geminis_shape(gateway: Gateway) -> None:
    _, body = got(gateway, "/v1/models?pageSize=24", b"x-goog-api-key: another\r\n")
    assert body["models"][0] == {"name": "models/m00", "displayName": "m00"}
    assert (len(body["models"]), body["nextPageToken"]) == (24, "m23")
    _, body = got(gateway, "/v1beta/models?pageToken=m23", b"")
    assert body == {"models": [{"name": "models/m24", "displayName": "m24"}]}
    assert got(gateway, "/genai/v1beta/models/m00", b"")[1]["displayName"] == "m00"


@pytest.mark.parametrize(
    ("path", "fields", "error"),
    [
        ("/v1/models", b"", "openai"),
        ("/v1/models", b"authorization: Bearer nobody\r\n", "openai"),
        ("/v1/models/m00", b"api-key: nobody\r\n", "openai"),
        ("/models", b"", "openai"),
        ("/v1/models", VERSION, "anthropic"),
        ("/v1/models/m00", b"x-api-key: nobody\r\n", "anthropic"),
        ("/anthropic/v1/models", b"", "anthropic"),
        ("/v1/models", b"x-goog-api-key: nobody\r\n", "gemini"),
        ("/v1beta/models", b"", "gemini"),
        ("/genai/v1beta/models/m00", b"", "gemini"),
        ("/v1beta/models?key=nobody", b"", "gemini"),
    ],
)
def test_a_key_that_is_missing_or_unknown_is_refused_in_the_caller_s_words(
    path: str, fields: bytes, error: str, gateway: Gateway
) -> None:
    caller = gateway.caller()
    caller.say(b"GET %b HTTP/1.1\r\nHost: gateway\r\n%b\r\n" % (path.encode(), fields))
    raw = caller.take()
    assert raw.startswith(b"HTTP/1.1 401 ")
    body = json.loads(body_of(raw))
    if error == "anthropic":
        assert (body["type"], body["error"]["type"]) == ("error", "authentication_error")
        assert b"request-id: " + body["request_id"].encode() in raw
    elif error == "gemini":
        assert (body["error"]["code"], body["error"]["status"]) == (401, "UNAUTHENTICATED")
    else:
        assert set(body["error"]) == {"message", "type", "param", "code"}
        assert body["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("query", ["?pageSize=0", "?pageSize=x", "?pageToken=theirs"])
def test_a_page_that_is_not_there_is_refused_as_gemini_refuses(gateway: Gateway, query: str) -> None:
    head, body = got(gateway, f"/v1beta/models{query}", b"")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert body["error"]["status"] == "INVALID_ARGUMENT"


def test_the_path_of_anthropics_prefix_needs_no_version(gateway: Gateway) -> None:
    assert got(gateway, "/anthropic/v1/models", b"")[1]["data"][0]["type"] == "model"


@pytest.mark.parametrize(
    ("query", "names", "more"),
    [
        ("", NAMES[:20], True),
        ("?limit=2", NAMES[:2], True),
        ("?limit=25", NAMES, False),
        ("?after_id=m19", NAMES[20:], False),
        ("?after_id=m01&limit=2", ["m02", "m03"], True),
        ("?after_id=m24", [], False),
        ("?before_id=m02", ["m00", "m01"], False),
        ("?before_id=m10&limit=3", ["m07", "m08", "m09"], True),
        ("?before_id=m00", [], False),
    ],
)
def test_pages_go_forward_and_backward(gateway: Gateway, query: str, names: list[str], more: bool) -> None:
    _, body = got(gateway, f"/v1/models{query}")
    assert ([model["id"] for model in body["data"]], body["has_more"]) == (names, more)
    assert (body["first_id"], body["last_id"]) == ((names[0], names[-1]) if names else (None, None))


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "limit=-1", "after_id=theirs", "before_id=none"])
def test_a_page_that_does_not_exist_is_refused_in_anthropics_shape(gateway: Gateway, query: str) -> None:
    head, body = got(gateway, f"/v1/models?{query}")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert (body["type"], body["error"]["type"]) == ("error", "invalid_request_error")


def test_one_model_is_described(gateway: Gateway) -> None:
    _, body = got(gateway, "/v1/models/m03")
    assert ModelInfo.model_validate(body).display_name == "m03"


@pytest.mark.parametrize("name", ["theirs", "unknown"])
def test_anothers_model_and_an_unknown_one_look_alike(gateway: Gateway, name: str) -> None:
    head, body = got(gateway, f"/anthropic/v1/models/{name}", b"")
    assert head.startswith(b"HTTP/1.1 404 ")
    assert body["error"] == {"type": "not_found_error", "message": "This key may not use a model of that name."}
    (line,) = [line for line in head.split(b"\r\n") if line.startswith(b"request-id: ")]
    assert body["request_id"] == line.removeprefix(b"request-id: ").decode()
