import hashlib
import json

import pytest

from tests.e2e.conftest import Stage
from tests.e2e.harness import KEYS, PROVIDER_KEY, chat_request, eventually, get, headgate, nonce, post

ALL = ["endless", "failover", "good", "large", "narrow", "refused", "replayed", "silent", "unanswered", "unconnected"]


@pytest.mark.parametrize("path", ["/v1/models", "/models"])
def test_models_are_listed_as_far_as_the_key_reaches(path: str, stage: Stage) -> None:
    for key, names in (("alice", ALL), ("bob", ["good", "large"]), ("carol", ["good", "large"])):
        listing = stage.gateway.call(get(path, key=KEYS[key])).json()
        assert listing["object"] == "list"
        assert sorted(model["id"] for model in listing["data"]) == names
        assert all(model["object"] == "model" for model in listing["data"])
    assert stage.upstream.requests == []


def test_a_model_out_of_reach_is_as_unknown_as_one_that_does_not_exist(stage: Stage) -> None:
    texts = set()
    for model in ("narrow", "absent"):
        answer = stage.gateway.call(chat_request("hello", key=KEYS["bob"], model=model))
        assert (answer.status, answer.error["code"], answer.error["param"]) == (404, "model_not_found", "model")
        texts.add(answer.body.replace(model.encode(), b"MODEL"))
    assert len(texts) == 1
    text = texts.pop().decode()
    assert "good" in text
    assert "large" in text
    assert not [name for name in ALL if name in text and name not in ("good", "large")]


def test_two_keys_of_one_consumer_reach_the_same(stage: Stage) -> None:
    for key in ("bob", "carol"):
        word = nonce()
        assert stage.gateway.call(chat_request(word, key=KEYS[key])).text == f"You said: {word}"


def test_each_answer_names_its_snapshot_its_target_and_its_request(stage: Stage) -> None:
    answers = [stage.gateway.call(chat_request("hello", model=model)) for model in ("good", "large")]
    _, status = stage.gateway.admin("GET", "/v1/status")
    assert {answer.get("x-headgate-config") for answer in answers} == {status["digest"][:12]}
    assert "scripted-small" in answers[0].get("x-headgate-target")
    assert "scripted-large" in answers[1].get("x-headgate-target")
    assert len({answer.get("x-request-id") for answer in answers}) == 2
    assert [request.headers.get("x-request-id") for request in stage.upstream.requests] == [
        answer.get("x-request-id") for answer in answers
    ]


def test_a_failed_over_call_names_the_target_that_answered(stage: Stage) -> None:
    answer = stage.gateway.call(chat_request("hello", model="failover"))
    assert answer.status == 200
    assert "scripted-large" in answer.get("x-headgate-target")


def test_completions_and_embeddings_are_relayed_with_the_target_s_model(stage: Stage) -> None:
    answer = stage.gateway.call(post("/v1/completions", b'{"model":"large","prompt":"hello"}'))
    assert answer.json()["choices"][0]["text"] == "You said: hello"
    answer = stage.gateway.call(post("/v1/embeddings", b'{"model":"large","input":["a","b"]}'))
    assert [item["index"] for item in answer.json()["data"]] == [0, 1]
    assert [(request.path, request.json()["model"]) for request in stage.upstream.requests] == [
        ("/v1/completions", "scripted-large"),
        ("/v1/embeddings", "scripted-large"),
    ]


def test_a_route_without_auth_needs_no_key_and_one_with_auth_does(stage: Stage) -> None:
    stage.upstream.script(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
    assert stage.gateway.call(b"GET /open/door HTTP/1.1\r\nhost: x\r\n\r\n").body == b"ok"
    assert stage.gateway.call(b"GET /api/door HTTP/1.1\r\nhost: x\r\n\r\n").status == 401


def test_a_created_key_is_the_one_whose_digest_goes_into_the_config() -> None:
    made = headgate("key", "create", "--consumer", "payments", "--output", "json")
    assert made.returncode == 0
    result = json.loads(made.stdout)
    assert hashlib.sha256(result["key"].encode()).hexdigest() == result["sha256"]
    assert len(result["key"]) >= 32


def test_usage_is_counted_for_each_consumer_and_model(stage: Stage) -> None:
    def totals() -> tuple[int, int, int, int]:
        _, status = stage.gateway.admin("GET", "/v1/status")
        for row in status["usage"]:
            if (row["consumer"], row["model"]) == ("bob", "large"):
                return row["requests"], row["input_tokens"], row["output_tokens"], row["unknown"]
        return 0, 0, 0, 0

    before = totals()
    for stream in (False, True):
        assert stage.gateway.call(chat_request("a b c", key=KEYS["bob"], model="large", stream=stream)).status == 200
    eventually(lambda: tuple(now - then for now, then in zip(totals(), before, strict=True)) == (2, 6, 10, 0))


def test_an_error_in_which_a_provider_quotes_the_gateway_s_credential_goes_out_without_it(stage: Stage) -> None:
    body = b'{"error":{"message":"%b may not do this","type":"x","param":null,"code":"y"}}' % PROVIDER_KEY.encode()
    stage.upstream.script(b"HTTP/1.1 400 Bad Request\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    answer = stage.gateway.call(chat_request("hello"))
    assert answer.status == 400
    assert answer.error["message"] == "*** may not do this"
    assert PROVIDER_KEY.encode() not in answer.head + answer.body
