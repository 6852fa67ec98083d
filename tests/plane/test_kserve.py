"""KServe's inference protocol: the model is in the path, bodies pass as they are."""

from typing import Any

import pytest

from tests.plane.conftest import Starter
from tests.plane.rig import Gateway, answer, consumer

CONFIG: dict[str, Any] = {
    "providers": {"triton": {"dialect": "kserve", "base_url": "http://t.test:9001", "credential": "env:KEY"}},
    "models": {
        "vision": {"targets": [{"provider": "triton", "model": "resnet/50"}]},
        "acme/ocr": {"targets": [{"provider": "triton", "model": "ocr"}]},
    },
    "consumers": {"c": consumer()},
}
TENSORS = b'{"inputs":[{"name":"image","shape":[1,3],"datatype":"FP32","data":[0.1,0.2,0.30000000000000004]}]}'


@pytest.fixture
def gateway(start: Starter) -> Gateway:
    return start(CONFIG)


@pytest.mark.parametrize(
    ("name", "target"), [("vision", b"resnet%2F50"), ("acme/ocr", b"ocr"), ("vi%73ion", b"resnet%2F50")]
)
def test_the_model_of_the_path_becomes_the_target_s_and_the_body_is_untouched(
    name: str, target: bytes, gateway: Gateway
) -> None:
    peer = gateway.upstreams[9001].connect()
    caller = gateway.caller()
    caller.ask(f"/v2/models/{name}/infer", TENSORS)
    sent = peer.take()
    assert sent.startswith(b"POST /v2/models/%b/infer HTTP/1.1\r\n" % target)
    assert b"authorization: Bearer sk-vendor\r\n" in sent
    assert sent.endswith(TENSORS)
    peer.say(answer(b'{"outputs":[]}'))
    assert caller.take().endswith(b'{"outputs":[]}')


def test_an_inference_is_metered_as_one_unit(gateway: Gateway) -> None:
    peer = gateway.upstreams[9001].connect()
    gateway.caller().ask("/v2/models/vision/infer", TENSORS)
    peer.say(answer(b'{"outputs":[]}'))
    (event,) = gateway.events()
    assert (event.model, event.target, event.usage_known) == ("vision", "triton/resnet/50", True)
    assert event.bytes_in == len(TENSORS)


def test_an_error_has_the_protocol_s_form(gateway: Gateway) -> None:
    caller = gateway.caller()
    caller.ask("/v2/models/nobody/infer", TENSORS)
    said = caller.take()
    assert said.startswith(b"HTTP/1.1 404 ")
    assert b'{"error":"This key may not use a model of that name.' in said


def test_what_else_the_protocol_has_is_not_served(gateway: Gateway) -> None:
    caller = gateway.caller()
    caller.ask("/v2/models/vision/versions/1/ready", b"")
    assert caller.take().startswith(b"HTTP/1.1 404 ")


def test_a_model_that_does_not_infer_says_so(start: Starter) -> None:
    config = CONFIG | {"providers": {"triton": {"dialect": "openai", "base_url": "http://t.test:9001"}}}
    gateway = start(config)
    gateway.upstreams[9001].connect()
    caller = gateway.caller()
    caller.ask("/v2/models/vision/infer", TENSORS)
    assert b"x-headgate-error: unsupported_operation\r\n" in caller.take()
