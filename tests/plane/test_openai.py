"""plane.dialects.openai: what is changed in a request, what is read of an answer, and that nothing else is touched."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import GatewayError
from core.sse import EventScan
from plane.dialects.openai import OpenAI
from plane.exchange import Exchange
from plane.http1.origin import Origin
from plane.runtime import Route, Target
from tests.plane.rig import make_exchange

DIALECT = OpenAI()
CHAT, _, EMBEDDINGS, RERANK = OpenAI.operations[:4]
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


def target(model: str = "real") -> Target:
    return Target("p/real", 1, Origin("http", "p.test", 80, "", 1), b"p.test", b"", model, {}, {}, b"")


def read(body: bytes, operation: Any = CHAT) -> Exchange:
    exchange = make_exchange()
    exchange.route = Route("r", dialect=DIALECT, operation=operation)
    exchange.body = body
    DIALECT.read(exchange)
    return exchange


def written(body: bytes, model: str = "real", operation: Any = CHAT) -> tuple[bytes, bool]:
    """Return the body that goes upstream, and whether the usage chunk is taken out of the answer again."""
    exchange = read(body, operation)
    return DIALECT.write(exchange, target(model)), exchange.strip_usage


def refusal(body: bytes) -> tuple[int, str, str | None]:
    with pytest.raises(GatewayError) as caught:
        read(body)
    return caught.value.status, caught.value.code, caught.value.param


# --- the request


MEMBERS = ['"model":"m"', '"stream":true', '"stream_options":{"x":[1]}', '"messages":[{"model":"not me"}]']


@pytest.mark.parametrize("members", list(itertools.permutations(MEMBERS)))
@pytest.mark.parametrize("space", ["", " ", "\n\t "])
def test_only_model_and_usage_are_changed_wherever_they_stand(members: tuple[str, ...], space: str) -> None:
    text = (
        f"{space}{{{space}"
        + f"{space},{space}".join(members).replace('":', f'"{space}:{space}', 1)
        + f"{space}}}{space}"
    )
    changed = text.replace('"m"', '"real"').replace('{"x":[1]}', '{"x":[1],"include_usage":true}')
    assert written(text.encode()) == (changed.encode(), True)


@pytest.mark.parametrize(
    ("options", "sent", "strips"),
    [
        (None, '{"include_usage":true}', True),
        ("null", '{"include_usage":true}', True),
        ("{}", '{"include_usage":true}', True),
        ("{ }", '{ "include_usage":true}', True),
        ('{"include_usage":false}', '{"include_usage":true}', True),
        ('{"include_usage": null , "a":1}', '{"include_usage": true , "a":1}', True),
        ('{"include_usage":true}', '{"include_usage":true}', False),
        ('{ "include_usage" : true, "x": 1e999 }', '{ "include_usage" : true, "x": 1e999 }', False),
        ('{"a":{"include_usage":true}}', '{"a":{"include_usage":true},"include_usage":true}', True),
        ('{"x": 1.10, "y": 1e999}', '{"x": 1.10, "y": 1e999,"include_usage":true}', True),
        ('{"include\\u005fusage":false}', '{"include\\u005fusage":true}', True),
    ],
)
def test_the_usage_of_a_stream_is_asked_for_once_and_nothing_is_written_anew(
    options: str | None, sent: str, strips: bool
) -> None:
    before = '{"model":"m","stream":true'
    body = before + ("}" if options is None else f',"stream_options":{options}}}')
    assert written(body.encode()) == (f'{{"model":"real","stream":true,"stream_options":{sent}}}'.encode(), strips)


@pytest.mark.parametrize("stream", ["", ',"stream":false', ',"stream":null', ',"stream":false,"stream_options":null'])
def test_a_call_that_is_no_stream_is_sent_with_the_model_changed_only(stream: str) -> None:
    body = f'{{"model":"m"{stream},"x":1}}'.encode()
    assert written(body) == (body.replace(b'"m"', b'"real"'), False)


def test_embeddings_never_stream() -> None:
    body = b'{"model":"m","stream":true}'
    assert written(body, operation=EMBEDDINGS) == (b'{"model":"real","stream":true}', False)
    assert read(body, EMBEDDINGS).stream is False


@pytest.mark.parametrize("options", [b"false", b"[]", b'"x"', b"1"])
def test_stream_options_that_are_no_object_are_the_caller_s_error(options: bytes) -> None:
    body = b'{"model":"m","stream":true,"stream_options":%b}' % options
    assert refusal(body) == (400, "invalid_request", "stream_options")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"model":"m","model":"n"}', "model"),
        (b'{"model":"m","mod\\u0065l":"n"}', "model"),
        (b'{"model":"m","stream":true,"stream":false}', "stream"),
        (b'{"model":"m","stream":true,"stream_options":{},"stream_options":{}}', "stream_options"),
        (
            b'{"model":"m","stream":true,"stream_options":{"include_usage":false,"include_usage":true}}',
            "include_usage",
        ),
    ],
)
def test_what_is_routed_or_counted_by_may_stand_only_once(body: bytes, param: str) -> None:
    assert refusal(body) == (400, "duplicate_key", param)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"[]", "invalid_json"),
        (b"{", "invalid_json"),
        (b'{"model":"m"', "invalid_json"),
        (b'{"model":"m"}x', "invalid_json"),
        (b'{"model":"m","x":nul}', "invalid_json"),
        (b'{"model":"m","x":%b1%b}' % (b"[" * 200, b"]" * 200), "invalid_json"),
        (b'\xef\xbb\xbf{"model":"m"}', "invalid_json"),
        (b"{}", "invalid_request"),
        (b'{"model":null}', "invalid_request"),
        (b'{"model":7}', "invalid_request"),
        (b'{"model":"m","stream":"yes"}', "invalid_request"),
        (b'{"model":"\xff"}', "invalid_json"),
    ],
)
def test_a_body_that_is_no_request_is_refused(body: bytes, code: str) -> None:
    assert refusal(body)[:2] == (400, code)


@pytest.mark.parametrize("model", ['say "hi"', "back\\slash", "mod\u00e8le", "a\nb", "\U0001f600"])
def test_a_target_s_model_of_any_name_is_sent_as_json(model: str) -> None:
    sent, _ = written(b'{"model":"m","stream":true}', model)
    assert json.loads(sent) == {"model": model, "stream": True, "stream_options": {"include_usage": True}}


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text(), plain, max_size=4),
    st.sampled_from([True, False, None]),
    st.none() | st.dictionaries(st.text(), plain, max_size=2),
    st.sampled_from([None, 0, 3]),
)
def test_what_is_sent_says_the_same_but_for_model_and_usage(
    more: dict[str, Any], stream: bool | None, options: dict[str, Any] | None, indent: int | None
) -> None:
    given = {**more, "model": "m", "stream": stream, "stream_options": options}
    sent, _ = written(json.dumps(given, indent=indent).encode())
    wanted = {**given, "model": "real"}
    if stream:
        wanted["stream_options"] = {**(options or {}), "include_usage": True}
    assert json.loads(sent) == wanted


def test_writing_twice_for_two_targets_starts_from_the_caller_s_bytes_each_time() -> None:
    exchange = read(b'{"stream":true,"model":"m"}')
    first = DIALECT.write(exchange, target("one"))
    second = DIALECT.write(exchange, target("a-longer-name"))
    assert json.loads(first)["model"] == "one"
    assert second == first.replace(b'"one"', b'"a-longer-name"')


# --- the usage


def used(reply: bytes, status: int = 200) -> tuple[int, int, int, int] | None:
    exchange = read(b'{"model":"m"}')
    exchange.answer_status = status
    exchange.reply = reply
    return counts(exchange)


def streamed(*events: bytes, ended: bool = True) -> tuple[int, int, int, int] | None:
    exchange = read(b'{"model":"m","stream":true}')
    exchange.answer_status = 200
    exchange.scan = EventScan()
    for event in events:
        exchange.scan.feed(b"data: %b\n\n" % event)
    exchange.answer_ended = ended
    return counts(exchange)


def counts(exchange: Exchange) -> tuple[int, int, int, int] | None:
    usage = DIALECT.usage(exchange)
    if usage is None:
        return None
    return (usage.input_total, usage.output_total, usage.cache_read, usage.reasoning)


def test_usage_is_read_from_the_upstream_s_own_count() -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 5}}
    for more, wanted in (({}, (11, 7, 0, 0)), (details, (11, 7, 4, 5))):
        usage = {**USAGE, **more, "queue_time": 0.1}
        assert used(json.dumps({"choices": [], "usage": usage, "x": 1}).encode()) == wanted
        chunk = json.dumps({"choices": [], "usage": usage}).encode()
        assert streamed(b'{"choices":[{}],"usage":null}', chunk, b"[DONE]") == wanted


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"{}",
        b'{"usage":null}',
        b'{"usage":[]}',
        b'{"usage":"11"}',
        b'{"usage":{"prompt_tokens":"11"}}',
        b'{"usage":{"prompt_tokens":1.5}}',
        b'{"usage":{"prompt_tokens":true}}',
        b'{"usage":{"prompt_tokens":1e99}}',
        b'{"usage":{"prompt_tokens":',
        b'{"usage":{"prompt_tokens":1},"usage":',
        b"<html>usage</html>",
        b'{"choices":[{"usage":{"prompt_tokens":1}}]}',
        b"[" * 300,
    ],
)
def test_an_answer_that_does_not_say_leaves_its_usage_unknown(reply: bytes) -> None:
    assert used(reply) is None


@pytest.mark.parametrize(
    "count", ["-1", "9223372036854775808", "-9223372036854775809", "1099511627776", "1" + "0" * 400]
)
def test_counts_that_cannot_be_are_not_added_up(count: str) -> None:
    reply = b'{"usage":{"prompt_tokens":%b,"completion_tokens":7}}' % count.encode()
    assert used(reply) in (None, (0, 7, 0, 0))


@pytest.mark.parametrize(
    ("reply", "counted"),
    [
        (b'{"results":[],"usage":{"total_tokens":30}}', (30, 0)),
        (b'{"results":[],"usage":{"prompt_tokens":30,"total_tokens":30}}', (30, 0)),
        (b'{"results":[],"meta":{"billed_units":{"search_units":2}}}', (0, 2)),
    ],
)
def test_a_reranking_counts_tokens_or_searches(reply: bytes, counted: tuple[int, int]) -> None:
    exchange = read(b'{"model":"m","query":"q","documents":["a"]}', RERANK)
    exchange.answer_status = 200
    exchange.reply = reply
    usage = DIALECT.usage(exchange)
    assert usage is not None
    assert (usage.input_total, usage.units) == counted


def test_parts_are_never_more_than_their_whole() -> None:
    usage = {
        **USAGE,
        "prompt_tokens_details": {"cached_tokens": 99},
        "completion_tokens_details": {"reasoning_tokens": 99},
    }
    assert used(json.dumps({"usage": usage}).encode()) == (11, 7, 11, 7)


def test_an_error_of_the_provider_used_nothing_that_is_known() -> None:
    assert used(json.dumps({"usage": USAGE}).encode(), 500) is None


def test_a_stream_that_never_says_leaves_its_usage_unknown() -> None:
    assert streamed(b'{"choices":[{}]}', b"[DONE]") is None


def test_the_usage_of_a_stream_that_was_cut_is_unknown() -> None:
    running = b'{"choices":[{}],"usage":{"prompt_tokens":11,"completion_tokens":1}}'
    assert streamed(running, ended=False) is None
    assert streamed(running, b"[DONE]", ended=False) == (11, 1, 0, 0)
    assert streamed(running, ended=True) == (11, 1, 0, 0)


# --- errors


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "invalid_request_error"),
        (429, "rate_limit_error"),
        (502, "server_error"),
    ],
)
def test_an_error_has_openai_s_shape(status: int, kind: str) -> None:
    error = GatewayError(status, "a_code", "caller", "It is wrong.", hint="Do this.", param="model")
    wanted = {"error": {"message": "It is wrong. Do this.", "type": kind, "param": "model", "code": "a_code"}}
    assert json.loads(DIALECT.error(error)) == wanted
    event = DIALECT.error_event(error)
    assert event.startswith(b"data: ")
    assert event.endswith(b"\n\n")
    assert json.loads(event[6:]) == wanted
