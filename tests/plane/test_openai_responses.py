"""plane.dialects.openai_responses: bytes pass but for the model's name, and usage is read from the last event."""

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import GatewayError
from plane.canonical import Fault
from plane.dialects.openai_responses import OpenAIResponses
from plane.exchange import Exchange
from plane.http1.origin import Origin
from plane.runtime import Route, Target
from tests.plane.rig import make_exchange
from tests.plane.splits import splits

DIALECT = OpenAIResponses()
RESPONSES, COUNT, _ = OpenAIResponses.operations[:3]
FILES = Path("tests/golden/dialects/openai_responses")
TARGET = Target("p/real", 1, Origin("http", "p.test", 80, "", 1), b"p.test", b"", "real", {}, {}, b"")


def read(body: bytes, operation: Any = RESPONSES) -> Exchange:
    exchange = make_exchange()
    exchange.route = Route("r", dialect=DIALECT, operation=operation)
    exchange.body = body
    DIALECT.read(exchange)
    return exchange


@pytest.mark.parametrize("path", sorted(FILES.glob("*.request.json")), ids=lambda path: path.name)
def test_only_the_model_is_changed_in_a_request(path: Path) -> None:
    body = path.read_bytes()
    sent = DIALECT.write(read(body), TARGET)
    assert sent == body.replace(b'"caller-model"', b'"real"')


def test_items_that_nobody_knows_go_through() -> None:
    body = b'{"model":"m","input":[{"type":"from_the_future","x":1e999}],"new":{"a": [ ]}, "stream":true}'
    exchange = read(body)
    assert exchange.stream is True
    assert DIALECT.write(exchange, TARGET) == body.replace(b'"m"', b'"real"')


def test_what_never_streams_does_not() -> None:
    assert read(b'{"model":"m","stream":true}', COUNT).stream is False


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"model":1}', b'{"input":"x"}', b'{"model":"a","model":"b"}'])
def test_what_is_no_request_is_the_caller_s_error(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        read(body)
    assert caught.value.status == 400


def relayed(pieces: list[bytes]) -> tuple[bytes, Any]:
    """Return what goes out of a stream, and the exchange that followed it."""
    exchange = read(b'{"model":"m","stream":true}')
    exchange.scan = DIALECT.scan(exchange)
    out = b"".join(exchange.scan.feed(piece) for piece in pieces if piece) + exchange.scan.flush()
    return out, exchange


@pytest.mark.parametrize("case", ["plain", "thinking_tools", "length", "usage"])
def test_the_usage_of_a_stream_is_that_of_its_last_event(case: str) -> None:
    data = (FILES / f"{case}.stream").read_bytes()
    out, exchange = relayed([data])
    said = json.loads((FILES / f"{case}.answer.json").read_bytes())["usage"]
    usage = DIALECT.usage(exchange)
    assert out == data
    assert exchange.scan.done
    assert usage is not None
    assert (usage.input_total, usage.output_total) == (said["input_tokens"], said["output_tokens"])


def test_a_stream_is_relayed_and_counted_the_same_however_it_comes() -> None:
    data = (FILES / "usage.stream").read_bytes()
    for number, pieces in enumerate(splits(data)):
        if number < 2 or number % 17 == 0:
            out, exchange = relayed(pieces)
            assert out == data
            assert str(DIALECT.usage(exchange)) == "Usage(in=2048, out=70, cached=1024, reasoning=64)"


def test_a_stream_that_breaks_off_says_nothing_of_its_usage() -> None:
    data = (FILES / "usage.stream").read_bytes()
    _, exchange = relayed([data[: data.index(b"event: response.completed")]])
    assert DIALECT.usage(exchange) is None
    assert not exchange.scan.done


def test_what_comes_before_the_first_item_is_no_content_yet() -> None:
    data = (FILES / "plain.stream").read_bytes()
    _, exchange = relayed([data[: data.index(b"event: response.output_item.added")]])
    assert not exchange.scan.content
    assert relayed([data])[1].scan.content


def test_a_response_that_failed_is_an_error_and_its_end() -> None:
    _, exchange = relayed([(FILES / "error.stream").read_bytes()])
    assert exchange.scan.error
    assert exchange.scan.done


def test_the_usage_of_a_whole_answer_is_read_from_its_bytes() -> None:
    exchange = read(b'{"model":"m"}')
    exchange.answer_status = 200
    exchange.reply = (FILES / "usage.answer.json").read_bytes()
    usage = DIALECT.usage(exchange)
    assert usage is not None
    assert (usage.cache_read, usage.cache_write_5m, usage.reasoning, usage.service_tier) == (1024, 512, 64, "flex")


@pytest.mark.parametrize("reply", [b"", b"nothing", b"{}", b'{"usage":null}', b'{"usage":"x"}'])
def test_an_answer_without_usage_has_none(reply: bytes) -> None:
    exchange = read(b'{"model":"m"}')
    exchange.answer_status = 200
    exchange.reply = reply
    assert DIALECT.usage(exchange) is None


@pytest.mark.parametrize(
    ("headers", "body", "fault"),
    [
        (
            [(b"Retry-After", b"2")],
            (FILES / "error.answer.json").read_bytes(),
            Fault(
                429,
                "Rate limit reached for provider-model. Please try again in 2s.",
                "requests",
                "rate_limit_exceeded",
                retry_after=2.0,
            ),
        ),
        ([(b"retry-after-ms", b"250")], b'{"error":"slow"}', Fault(429, "slow", retry_after=0.25)),
        ([(b"retry-after", b"tomorrow")], b"<html>", Fault(429, "The provider answered with status 429.")),
    ],
)
def test_a_provider_s_error_is_understood(headers: list[tuple[bytes, bytes]], body: bytes, fault: Fault) -> None:
    assert DIALECT.read_fault(429, headers, body) == fault


def test_errors_are_told_as_openai_tells_them() -> None:
    error = GatewayError(404, "model_not_found", "caller", "No.", hint="Ask for another.", param="model")
    assert json.loads(DIALECT.error(error))["error"] == {
        "message": "No. Ask for another.",
        "type": "not_found_error",
        "param": "model",
        "code": "model_not_found",
    }
    name, data, _, _ = DIALECT.error_event(error).decode().split("\n")
    assert name == "event: error"
    assert json.loads(data.removeprefix("data: "))["type"] == "error"
