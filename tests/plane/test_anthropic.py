"""plane.dialects.anthropic, where both ends speak it: what is changed and read, and that nothing else is touched."""

import itertools
import json
from typing import Any

import pytest

from core.errors import GatewayError
from plane.canonical import Fault
from plane.dialects.anthropic import Options, build
from plane.exchange import Exchange
from plane.http1.origin import Origin
from plane.runtime import Route, Target
from tests.plane.rig import make_exchange
from tests.plane.splits import splits

DIALECT = build(Options())
MESSAGES, COUNT = DIALECT.operations
START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","usage":{"input_tokens":3,'
    b'"cache_creation_input_tokens":30,"cache_read_input_tokens":20,"cache_creation":{"ephemeral_5m_input_tokens":10,'
    b'"ephemeral_1h_input_tokens":20},"output_tokens":1,"service_tier":"priority"}}}\n\n'
)
WORD = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    b'"delta":{"type":"text_delta","text":"a"}}\n\n'
)
DELTA = (
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
    b'"usage":{"output_tokens":9}}\n\n'
)
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


def target(model: str = "real") -> Target:
    return Target("p/real", 1, Origin("http", "p.test", 80, "", 1), b"p.test", b"", model, {}, {}, b"")


def read(body: bytes, operation: Any = MESSAGES) -> Exchange:
    exchange = make_exchange()
    exchange.route = Route("r", dialect=DIALECT, operation=operation)
    exchange.body = body
    DIALECT.read(exchange)
    return exchange


# --- the request

MEMBERS = [
    '"model":"m"',
    '"stream":true',
    '"system":[{"type":"text","text":"\\u00e9","cache_control":{"type":"ephemeral"}}]',
    '"messages":[{"model":"not me", "x": 1.10, "y": 1e999}]',
]


@pytest.mark.parametrize("members", list(itertools.permutations(MEMBERS)))
@pytest.mark.parametrize("space", ["", " ", "\n\t "])
def test_only_the_models_name_is_changed_wherever_it_stands(members: tuple[str, ...], space: str) -> None:
    body = f"{space}{{{space}" + f"{space},{space}".join(members) + f"{space}}}{space}"
    exchange = read(body.encode())
    assert DIALECT.write(exchange, target('re"al')) == body.replace('"m"', '"re\\"al"').encode()
    assert (exchange.model_name, exchange.stream) == ("m", True)


def test_a_count_is_no_stream() -> None:
    assert not read(b'{"model":"m","stream":true,"messages":[]}', COUNT).stream


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"[]", "invalid_json"),
        (b"{", "invalid_json"),
        (b'{"messages":[]}', "invalid_request"),
        (b'{"model":7}', "invalid_request"),
        (b'{"model":"m","stream":"yes"}', "invalid_request"),
        (b'{"model":"m","model":"n"}', "duplicate_key"),
    ],
)
def test_a_body_that_is_no_request_is_refused(body: bytes, code: str) -> None:
    with pytest.raises(GatewayError) as caught:
        read(body)
    assert (caught.value.status, caught.value.code) == (400, code)


@pytest.mark.parametrize(
    ("secret", "line"),
    [
        ("sk-ant-api03-x", b"x-api-key: sk-ant-api03-x\r\n"),
        ("sk-ant-oat01-x", b"authorization: Bearer sk-ant-oat01-x\r\n"),
    ],
)
def test_keys_and_oauth_tokens_go_in_fields_of_their_own(secret: str, line: bytes) -> None:
    assert DIALECT.credential_line(secret) == line


def test_hosts_that_want_a_bearer_token_get_one() -> None:
    assert build(Options(auth="bearer")).credential_line("abc") == b"authorization: Bearer abc\r\n"


# --- usage


def used(stream: list[bytes], *, ended: bool = True) -> list[Any] | None:
    exchange = make_exchange()
    exchange.scan = DIALECT.scan(exchange)
    passed = b"".join(exchange.scan.feed(piece) for piece in stream) + exchange.scan.flush()
    assert passed == b"".join(stream)
    exchange.answer_ended = ended
    usage = DIALECT.usage(exchange)
    if usage is None:
        return None
    names = (
        "input_total",
        "output_total",
        "cache_read",
        "cache_write_5m",
        "cache_write_1h",
        "service_tier",
        "estimated",
    )
    return [getattr(usage, name) for name in names]


def test_usage_of_a_stream_is_read_from_its_start_and_its_end_however_it_is_cut() -> None:
    for pieces in splits(START + WORD + DELTA + STOP):
        assert used(pieces) == [53, 9, 20, 10, 20, "priority", False]


def test_a_stream_ends_with_its_last_event_not_with_its_bytes() -> None:
    exchange = make_exchange()
    events = DIALECT.scan(exchange)
    events.feed(START + WORD + DELTA)
    assert not events.done
    events.feed(STOP)
    assert events.done


def test_an_answer_has_begun_with_its_first_words_not_with_its_head() -> None:
    events = DIALECT.scan(make_exchange())
    events.feed(START + b'event: ping\ndata: {"type":"ping"}\n\n')
    events.feed(b'event: content_block_start\ndata: {"type":"content_block_start","index":0}\n\n')
    assert not events.content
    events.feed(WORD)
    assert events.content


def test_every_usage_object_overwrites_what_it_names() -> None:
    late = DELTA.replace(b'"output_tokens":9', b'"output_tokens":11,"cache_read_input_tokens":40,"input_tokens":null')
    assert used([START, DELTA, late, DELTA, STOP]) == [73, 9, 40, 10, 20, "priority", False]


def test_of_a_stream_cut_short_the_input_is_known_and_the_output_estimated() -> None:
    assert used([START, WORD * 6], ended=False) == [53, 6, 20, 10, 20, "priority", True]


def test_of_a_stream_that_ends_in_an_error_the_output_is_estimated() -> None:
    error = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    assert used([START, WORD, error]) == [53, 2, 20, 10, 20, "priority", True]


def test_a_stream_that_never_said_a_count_has_none() -> None:
    assert used([WORD], ended=False) is None


@pytest.mark.parametrize(
    ("reply", "status", "total"),
    [
        (b'{"type":"message","usage":{"input_tokens":4,"cache_read_input_tokens":2,"output_tokens":1}}', 200, 6),
        (b'{"type":"message","usage":null}', 200, None),
        (b'{"type":"message"}', 200, None),
        (b'{"input_tokens":12}', 200, None),
        (b"<html>", 200, None),
        (b'{"usage":{"input_tokens":4}}', 429, None),
    ],
)
def test_usage_of_a_whole_answer_is_what_it_says(reply: bytes, status: int, total: int | None) -> None:
    exchange = make_exchange()
    exchange.reply = reply
    exchange.answer_status = status
    usage = DIALECT.usage(exchange)
    assert (usage.input_total if usage is not None else None) == total


# --- errors


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (405, "invalid_request_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
def test_an_error_has_anthropics_shape_and_type(status: int, kind: str) -> None:
    error = GatewayError(status, "code", "caller", "What happened.", hint="What to do.")
    expected = {"type": "error", "error": {"type": kind, "message": "What happened. What to do."}}
    assert json.loads(DIALECT.error(error)) == expected
    event = DIALECT.error_event(error)
    assert event.startswith(b"event: error\ndata: {")
    assert json.loads(event.split(b"data: ")[1]) == expected


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (
            429,
            b'{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}',
            (429, "slow", "rate_limit_error"),
        ),
        (
            529,
            b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}',
            (503, "Overloaded", "overloaded_error"),
        ),
        (500, b"<html>", (500, "The provider answered with an error (500).", "")),
        (400, b'{"error":"odd"}', (400, "The provider answered with an error (400).", "")),
    ],
)
def test_a_providers_error_is_read_whatever_its_body(status: int, body: bytes, fault: tuple[int, str, str]) -> None:
    read = DIALECT.read_fault(status, [(b"Retry-After", b"2.5")], body)
    assert read == Fault(*fault, retry_after=2.5)


def test_a_provider_that_does_not_say_when_to_come_back_is_not_quoted() -> None:
    assert DIALECT.read_fault(429, [], b"").retry_after == -1.0
    assert DIALECT.read_fault(429, [(b"retry-after", b"Wed, 21 Oct 2026 07:28:00 GMT")], b"").retry_after == -1.0
