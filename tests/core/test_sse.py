"""core.sse: whole events out, the same however the bytes are cut, and what they say read in passing."""

import json
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.errors import GatewayError
from core.sse import OPENAI, EventScan, Marks

USAGE = b'{"id":"c","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5}}'
NESTED = Marks(b"usageIs", b"inner", frozenset({b"stop"}), every=True)


class Reader:
    """The naive reader: lines first, then blocks up to each empty line."""

    def __init__(self, stream: bytes, strip: bool, marks: Marks = OPENAI) -> None:
        self.usage, self.done, self.error, self.events = b"", False, False, 0
        self.usages, self.marks = [], marks
        block, kept = b"", []
        for line, end in re.findall(rb"([^\r\n]*)(\r\n|\n|\r)", stream):
            block += line + end
            if not line:
                if not self.take(block, strip):
                    kept.append(block)
                block = b""
        self.whole = b"".join(kept)
        self.tail = stream[re.search(rb"(?s)(?:.*?(?:\r\n|\n|\r))*", stream).end() :]
        self.tail = block + self.tail

    def take(self, block: bytes, strip: bool) -> bool:
        lines = [line.partition(b":") for line in re.split(rb"\r\n|\n|\r", block)]
        values = [value.removeprefix(b" ") for name, _, value in lines if name == b"data"]
        self.events += bool(values)
        data = b"\n".join(values)
        names = [value.strip(b" ") for name, _, value in lines if name == b"event"]
        if data:
            self.done |= data == b"[DONE]" or self.marks.names.get(names[-1] if names else b"") == 1
            self.error |= b"error" in names[-1:]
        try:
            value = json.loads(data)
        except ValueError:
            return False
        if not isinstance(value, dict):
            return False
        if len(self.marks.keys) == 4 and isinstance(value.get("inner"), dict):
            self.note(value["inner"])
        return self.note(value) and strip and value.get("choices") == []

    def note(self, value: dict) -> bool:
        self.error |= bool(value.get("error"))
        if not isinstance(value.get(self.marks.keys[1].decode()), dict):
            return False
        self.usages.append(value)
        self.usage = value
        return True


ends = st.sampled_from([b"\n", b"\n", b"\n", b"\r\n", b"\r"])
objects = st.fixed_dictionaries(
    {},
    optional={
        "choices": st.sampled_from([[], [], [{"delta": {"content": '"usage":{"a":1}'}}], None, {}]),
        "usage": st.sampled_from([None, None, {"prompt_tokens": 1}, {}, 7]),
        "error": st.sampled_from([None, "", {"message": "no"}, False, []]),
        "usageIs": st.sampled_from([None, {"a": 1}]),
        "inner": st.sampled_from([None, {"usageIs": {"a": 2}}, {"usage": {"b": 1}, "error": {"m": 1}}, [1], "error"]),
        "x": st.sampled_from(["usage", "\\", 'a"', {"usage": {"a": 1}, "error": "inner"}, "\u00e9"]),
    },
)
layouts = st.sampled_from([(",", ":"), (", ", ": "), (" , ", "  :  ")])
data = st.builds(
    lambda value, layout: json.dumps(value, separators=layout).encode(), objects, layouts
) | st.sampled_from([b"[DONE]", b"[1]", b"", b"hello", b'{"usage":{', b'{"usage"', USAGE])
fields = st.builds(
    lambda space, value: b"data:" + space + value, st.sampled_from([b" ", b"", b"  "]), data
) | st.sampled_from(
    [
        b": ping",
        b"event: x",
        b"event:error",
        b"event: stop",
        b"event",
        b"eventx: stop",
        b"data",
        b"dat: 1",
        b"datax: 1",
        b"id: 1",
        b"retry: 3",
        b"data :1",
        b'"us',
    ]
)
lines = st.builds(lambda field, end: field + end, fields, ends) | ends
streams = st.lists(lines, max_size=14).map(b"".join)


def fed(pieces: list[bytes], strip: bool, marks: Marks = OPENAI) -> tuple[bytes, EventScan]:
    scan = EventScan(marks=marks)
    scan.strip_usage = strip
    out = b"".join([scan.feed(piece) for piece in pieces])
    return out, scan


def state(scan: EventScan | Reader) -> tuple[object, bool, bool, int]:
    if isinstance(scan, Reader):
        return scan.usage, scan.done, scan.error, scan.events
    return scan.usage and json.loads(scan.usage), scan.done, scan.error, scan.events


@given(streams, st.booleans(), st.lists(st.integers(0, 400), max_size=5), st.sampled_from([OPENAI, NESTED]))
@example(b"data: {}\nevent:error\nevent\ndata: {}\n\n", False, [], OPENAI)
@settings(max_examples=600, deadline=None)
def test_any_cut_of_a_stream_gives_what_the_naive_reader_gives(stream, strip, cuts, marks):
    cuts = sorted({min(cut, len(stream)) for cut in cuts})
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    naive = Reader(stream, strip, marks)
    out, scan = fed(pieces, strip, marks)
    assert out == naive.whole
    assert state(scan) == state(naive)
    if marks is NESTED:
        assert [json.loads(text) for text in scan.usages] == naive.usages[:-1]


@given(streams, st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_stream_fed_byte_by_byte_gives_what_it_gives_whole(stream, strip):
    whole, together = fed([stream], strip)
    out, apart = fed([stream[at : at + 1] for at in range(len(stream))], strip)
    assert out == whole
    assert state(apart) == state(together)
    assert apart.flush() == together.flush()
    assert state(apart) == state(together)


@given(streams)
@settings(max_examples=150, deadline=None)
def test_without_stripping_every_byte_comes_through(stream):
    out, scan = fed([stream], False)
    assert out + scan.flush() == stream
    assert scan.flush() == b""


@given(st.binary(max_size=80), st.integers(0, 80))
@settings(max_examples=300, deadline=None)
def test_bytes_of_any_kind_come_through(stream, cut):
    out, scan = fed([stream[:cut], stream[cut:]], True)
    if not scan.usage:
        assert out + scan.flush() == stream


def test_an_event_is_handed_on_as_soon_as_its_blank_line_begins():
    for end in (b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n", b"\r\n\n", b"\r\n\r"):
        scan = EventScan()
        assert scan.feed(b"data: 1" + end[:-1]) in (b"", b"data: 1" + end[:-1])
        assert scan.events + len(scan.feed(end[-1:])) > 0
        assert scan.events == 1
        assert scan.flush() == b""


def test_a_line_feed_that_comes_later_goes_the_way_of_the_event_it_ends():
    usage, other = b"data: " + USAGE + b"\r\n\r\n", b"data: 1\r\n\r\n"
    scan = EventScan()
    scan.strip_usage = True
    pieces = [other[:-1], other[-1:] + usage[:-1], usage[-1:] + other]
    assert [scan.feed(piece) for piece in pieces] == [other[:-1], b"\n", other]
    assert (scan.events, scan.usage) == (3, USAGE)


def test_a_read_that_ends_with_an_event_is_returned_as_the_same_object():
    scan, chunk = EventScan(), b"data: 1\n\ndata: 2\n\n"
    assert scan.feed(chunk) is chunk


def test_usage_is_the_text_of_the_last_object_that_has_it():
    scan = EventScan()
    scan.feed(b'data: {"usage":{"a":1}}\n\ndata: {"usage":null}\n\ndata:{ "usage" : {"a":2}, "choices":[] }\n\n')
    assert scan.usage == b'{ "usage" : {"a":2}, "choices":[] }'
    scan.feed(b"data: [DONE]\n\n")
    assert (scan.usage[:12], scan.done) == (b'{ "usage" : ', True)


def test_usage_spread_over_two_data_lines_is_one_text():
    scan = EventScan()
    scan.feed(b'event: x\ndata: {"usage":\ndata: {"a":1}}\n\n')
    assert json.loads(scan.usage) == {"usage": {"a": 1}}


def test_usage_beside_an_emoji_that_the_vendor_cut_in_half_is_still_read():
    scan = EventScan()
    scan.strip_usage = True
    event = b'data: {"choices":[{"delta":{"content":"\\ud83d"}}],"usage":{"a":1}}\n\n'
    assert scan.feed(event) == event
    assert b'"a":1' in scan.usage


@pytest.mark.parametrize("choices", [b"[]", b"[ ]", b" [\t] "])
def test_the_event_that_only_carries_usage_is_withheld_when_asked(choices):
    event = b'data: {"choices":' + choices + b',"usage":{"prompt_tokens":1}}\n\n'
    scan = EventScan()
    scan.strip_usage = True
    assert scan.feed(b"data: a\n\n" + event + b"data: [DONE]\n\n") == b"data: a\n\ndata: [DONE]\n\n"
    assert (scan.events, scan.done) == (3, True)
    assert b"prompt_tokens" in scan.usage
    assert EventScan().feed(event) == event


@pytest.mark.parametrize("choices", [b'[{"index":0,"delta":{}}]', b"null", b"[[]]", b"{}", b'"[]"', b"0"])
def test_an_event_that_carries_more_than_usage_is_never_withheld(choices):
    event = b'data: {"choices":' + choices + b',"usage":{"prompt_tokens":1}}\n\n'
    scan = EventScan()
    scan.strip_usage = True
    assert scan.feed(event) == event
    assert b"prompt_tokens" in scan.usage


def test_words_inside_content_are_not_usage_nor_an_error():
    scan = EventScan()
    scan.feed(b'data: {"choices":[{"delta":{"content":"\\"usage\\":{\\"a\\":1},\\"error\\":\\"x\\""}}]}\n\n')
    scan.feed(b': {"usage":{"a":1},"error":"x"}\n\n')
    scan.feed(b'data: {"x":{"usage":{"a":1},"error":"x"}}\n\n')
    assert (scan.usage, scan.error, scan.events) == (b"", False, 2)


@pytest.mark.parametrize("value", [b'{"message":"overloaded"}', b'"x"', b"1", b'["\\ud83d"]'])
def test_an_error_object_in_the_stream_is_noticed(value):
    scan = EventScan()
    scan.feed(b'data: {"error":' + value + b"}\n\n")
    assert scan.error


@pytest.mark.parametrize("value", [b"null", b"{}", b'""', b"false", b"[]", b"0"])
def test_an_empty_error_is_none(value):
    scan = EventScan()
    scan.feed(b'data: {"error":' + value + b"}\n\n")
    assert not scan.error


def test_usage_and_done_of_a_stream_without_its_last_blank_line_are_read_at_its_end():
    scan = EventScan()
    scan.strip_usage = True
    assert scan.feed(b"data: " + USAGE) == b""
    assert scan.flush() == b""
    assert scan.usage == USAGE
    scan = EventScan()
    scan.feed(b"data: [DONE]\n")
    assert not scan.done
    assert scan.flush() == b"data: [DONE]\n"
    assert scan.done


def test_an_unfinished_event_beyond_the_limit_is_the_upstreams_fault():
    scan = EventScan(100)
    assert scan.feed(b"data: " + b"x" * 94) == b""
    with pytest.raises(GatewayError) as caught:
        scan.feed(b"x")
    assert (caught.value.status, caught.value.code, caught.value.source) == (502, "upstream_bad_answer", "upstream")


def test_a_whole_event_beyond_the_limit_passes():
    event = b"data: " + b"x" * 1000 + b"\n\n"
    assert EventScan(100).feed(event) == event


def test_a_megabyte_fed_in_small_pieces_is_read_once():
    scan = EventScan()
    event = b'data: {"content":"' + b'"usage" u "e ' * 70_000 + b'"}\n\n'
    out = b"".join(scan.feed(event[at : at + 7]) for at in range(0, len(event), 7))
    assert out == event
    assert scan.events == 1


def test_a_deep_or_broken_object_with_usage_passes_untouched():
    for text in (b'{"usage":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b'{"usage":{"a"', b'[{"usage":{}}]'):
        scan = EventScan()
        scan.strip_usage = True
        event = b"data: " + text + b"\n\n"
        assert scan.feed(event) == event
        assert scan.usage == b""


def test_usage_inside_another_object_is_kept_as_that_object_and_all_of_it_in_order():
    scan = EventScan(marks=Marks(within=b"message", ends=frozenset({b"message_stop"}), every=True))
    scan.feed(b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","usage":{"in":1}}}\n\n')
    assert scan.usage == b'{"id":"m","usage":{"in":1}}'
    scan.feed(b'event: message_delta\ndata: {"type":"message_delta","usage":{"out":2}}\n\n')
    assert (scan.usages, scan.done) == ([b'{"id":"m","usage":{"in":1}}'], False)
    assert scan.usage == b'{"type":"message_delta","usage":{"out":2}}'
    scan.feed(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')
    assert scan.done


def test_usages_without_end_are_bounded_and_the_last_is_there():
    scan = EventScan(marks=Marks(every=True))
    scan.feed(b"".join(b'data: {"usage":{"a":%d}}\n\n' % count for count in range(1000)))
    assert len(scan.usages) == 64
    assert scan.usage == b'{"usage":{"a":999}}'


def test_another_key_of_usage_is_found_and_openais_is_not():
    scan = EventScan(marks=Marks(b"usageMetadata"))
    scan.feed(b'data: {"usage":{"a":1}}\r\n\r\ndata: {"usageMetadata":{"a":2}}\r\n\r\n')
    assert scan.usage == b'{"usageMetadata":{"a":2}}'


def test_an_error_inside_a_terminal_object_is_noticed():
    scan = EventScan(marks=Marks(within=b"response", ends=frozenset({b"response.failed"})))
    scan.feed(b'event: response.created\ndata: {"response":{"error":null,"usage":null}}\n\n')
    assert not scan.error
    scan.feed(b'event: response.failed\ndata: {"response":{"error":{"code":"x"},"usage":{"a":1}}}\n\n')
    assert (scan.error, scan.done, scan.usage) == (True, True, b'{"error":{"code":"x"},"usage":{"a":1}}')


def test_a_name_counts_for_its_own_event_only_and_only_with_data():
    scan = EventScan(marks=NESTED)
    scan.feed(b"event: stop\n\ndata: 1\n\nevent: stop\nevent: other\ndata: 1\n\n")
    assert not scan.done
    scan.feed(b"event: stop\ndata: 1\n")
    assert not scan.done
    scan.flush()
    assert scan.done


@pytest.mark.parametrize(
    ("events", "content"),
    [
        (b"", False),
        (b": ping\n\n", False),
        (b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n', False),
        (b'data: {"choices":[{"index":0,"delta":{"content":"","refusal":null}}]}\n\n', False),
        (b'data: {"choices":[],"prompt_filter_results":[]}\n\n', False),
        (b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n', True),
        (b'data: {"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}\n\n', True),
        (b'data: {"choices":[{"delta":{"reasoning_content":"Hm"}}]}\n\n', True),
        (b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n', True),
        (b'data: {"choices":[{"text":"Hi"}]}\n\n', True),
        (b'data: {"error":{"message":"no"}}\n\n', False),
        (b'data: {"candidates":[]}\n\n', True),
        (b'event: message_start\ndata: {"type":"message_start"}\n\n', False),
        (b'event: content_block_delta\ndata: {"type":"content_block_delta"}\n\n', True),
    ],
)
def test_content_is_told_from_what_comes_before_an_answer(events: bytes, content: bool) -> None:
    scan = EventScan(marks=Marks(heads=frozenset({b"message_start"})))
    scan.feed(events)
    assert scan.content is content
