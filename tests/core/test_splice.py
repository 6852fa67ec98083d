"""core.splice: exact spans of top-level values, and nothing else touched."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import GatewayError
from core.splice import insert_member, last_member, replace, scan

WANTED = (b"model", b"stream", b"stream_options")
ABSENT = (-1, -1)

texts = st.text(st.sampled_from('ab"\\/{}[]:,\u00e9\n \u20ac') | st.characters(exclude_categories=["Cs"]), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["model", "stream", "x"]), inner),
    max_leaves=12,
)
keys = st.sampled_from(["model", "stream", "stream_options", "messages", "Model", "models", "mode", ""]) | texts
objects = st.dictionaries(keys, values, max_size=8)
layouts = st.sampled_from([None, 0, 1, "\t", "\r\n "])


def spelt(value: object, layout: object, plain: bool) -> bytes:
    separators = (",", ":") if layout is None else (" ,", " : ")
    return json.dumps(value, indent=layout, separators=separators, ensure_ascii=not plain).encode()


def refusal(body: bytes, wanted: tuple[bytes, ...] = WANTED) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        scan(body, wanted)
    assert (caught.value.status, caught.value.source, caught.value.retry) == (400, "caller", False)
    return caught.value


def taken(body: bytes, key: bytes) -> bytes:
    [(start, end)] = scan(body, (key,))
    return body[start:end]


@given(objects, layouts, st.booleans())
@settings(max_examples=150, deadline=None)
def test_every_span_holds_exactly_the_value_json_reads_for_that_key(value, layout, plain):
    body = spelt(value, layout, plain)
    wanted = (*(key.encode() for key in value), b"absent key")
    spans = scan(body, wanted)
    assert spans[-1] == ABSENT
    for key, (start, end) in zip(value, spans, strict=False):
        assert json.loads(body[start:end]) == value[key]
        assert body[start:end].strip() == body[start:end]


@given(objects, values, values, layouts, st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_replaced_value_is_read_back_and_every_other_byte_stays(value, old, new, layout, plain):
    body = spelt(value | {"model": old}, layout, plain)
    [span] = scan(body, (b"model",))
    written = replace(body, span, json.dumps(new).encode())
    assert json.loads(written) == value | {"model": new}
    assert written[: span[0]] == body[: span[0]]
    assert written.endswith(body[span[1] :])


@given(objects, layouts, st.sampled_from([b"", b" ", b"\r\n\t "]))
@settings(max_examples=100, deadline=None)
def test_an_inserted_member_is_read_back_beside_the_others(value, layout, end):
    body = spelt(value, layout, True) + end
    scan(body, WANTED)
    written = insert_member(body, b'"stream_options_":{"include_usage":true}')
    assert json.loads(written) == value | {"stream_options_": {"include_usage": True}}


@given(st.binary(max_size=60) | st.text('{}[]":,\\ au0modl1\n', max_size=60).map(str.encode))
@settings(max_examples=500, deadline=None)
def test_whatever_the_bytes_the_answer_is_spans_or_a_refusal(body):
    try:
        spans = scan(body, WANTED)
    except GatewayError:
        return
    for start, end in spans:
        assert (start, end) == ABSENT or 0 < start < end < len(body)


@given(st.text('{}[]":,\\ am1\n', max_size=24).map(str.encode))
@settings(max_examples=500, deadline=None)
def test_whatever_the_decoder_accepts_as_an_object_is_scanned(inner):
    body = b'{"m":' + inner + b"}"
    try:
        raw = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        return
    if inner.count(b'"m"') == 0:
        assert taken(body, b"m") == bytes(raw["m"]).strip()


@given(objects, layouts, st.data())
@settings(max_examples=100, deadline=None)
def test_a_body_cut_short_anywhere_is_refused(value, layout, data):
    body = spelt(value, layout, True)
    cut = data.draw(st.integers(0, len(body) - 1))
    assert refusal(body[:cut]).code == "invalid_json"


NOT_ONE_OBJECT = (
    *[
        b"",
        b" ",
        b"[]",
        b'"model"',
        b"null",
        b"1",
        b"\xef\xbb\xbf{}",
        b"\x00{}",
        b"{}x",
        b"{}{}",
        b"{} ,",
        b"{",
        b"{,}",
    ],
    *[b'{"a"}', b'{"a":}', b'{"a":1,}', b'{"a":1 "b":2}', b'{"a" 1}', b"{a:1}", b'{"a":1]', b'{"a":[}', b'{"a":"}'],
    *[b'{"a":1}}', b'{"a":1\x00}', b'{\x0b"a":1}', b'{"a":"\\"}', b'{"a":"\\\\\\"}', b'{"', b'{"\\', b'{"a\\"}'],
)


@pytest.mark.parametrize("body", NOT_ONE_OBJECT)
def test_what_is_not_one_whole_object_is_refused(body):
    assert refusal(body).code == "invalid_json"


def test_an_empty_object_has_no_spans_and_takes_a_member_without_a_comma():
    assert scan(b" { \n} ", WANTED) == [ABSENT] * 3
    assert insert_member(b" { \n} ", b'"a":1') == b' { \n"a":1} '


def test_keys_inside_strings_arrays_and_nested_objects_do_not_count():
    body = b'{"x":{"model":1},"y":[{"model":2}],"z":"\\",\\"model\\":3","model":4}'
    assert taken(body, b"model") == b"4"


@pytest.mark.parametrize("key", [rb"\u006dodel", rb"m\u006Fdel", rb"\u006d\u006f\u0064\u0065\u006c"])
def test_a_key_spelt_with_escapes_is_the_key_it_means(key):
    assert taken(b'{"' + key + b'":7}', b"model") == b"7"


@pytest.mark.parametrize("again", [b"model", rb"\u006dodel"])
def test_a_wanted_key_twice_is_refused_with_its_name(again):
    error = refusal(b'{"model":1,"x":2,"' + again + b'":3}')
    assert (error.code, error.param) == ("duplicate_key", "model")


def test_a_key_nobody_wants_may_stand_twice():
    assert taken(b'{"x":1,"x":2,"model":3}', b"model") == b"3"


@pytest.mark.parametrize("key", [rb"\x", rb"\u00", rb"\ud800", rb"\u12g4"])
def test_a_key_with_a_bad_escape_is_refused(key):
    assert refusal(b'{"' + key + b'":1}').code == "invalid_json"


@pytest.mark.parametrize("run", range(1, 9))
@pytest.mark.parametrize("length", [0, 1, 126, 127, 128, 129, 300])
def test_a_run_of_backslashes_before_a_quote_ends_the_string_only_if_even(run, length):
    text = b"x" * length + b"\\" * run
    if run % 2:
        assert refusal(b'{"model":"' + text + b'"}').code == "invalid_json"
        text += b'"'
    assert taken(b'{"model":"' + text + b'","x":"}"}', b"model") == b'"' + text + b'"'


def test_128_levels_are_read_and_129_are_refused():
    for opened, closed in ((b"[", b"]"), (b'{"a":', b"}")):
        inner = opened * 126 + b"[]" + closed * 126
        assert taken(b'{"model":' + inner + b"}", b"model") == inner
        assert refusal(b'{"model":' + opened + inner + closed + b"}").code == "invalid_json"


HOSTILE = {
    "brackets": b"[" * 1_000_000,
    "arrays": b'{"a":' + b"[" * 1_000_000,
    "objects": b'{"a":' * 200_000,
    "backslashes": b'{"a":"' + b"\\" * 1_000_000,
    "quotes": b'{"a":"' + b'\\"' * 500_000,
    "key": b'{"' + b" " * 999_999,
    "space": b'{"a":1' + b" " * 999_999,
    "strings": b'{"a":[' + b'"",' * 300_000,
    "digits": b'{"a":' + b"9" * 1_000_000,
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_megabyte_of_hostile_bytes_is_refused(body):
    assert refusal(body).code == "invalid_json"


def test_a_megabyte_of_text_is_read_to_its_end():
    for text in (b"x" * 1_000_000, b'\\"' * 500_000, b"\\\\" * 500_000):
        assert taken(b'{"content":"' + text + b'","model":"m"}', b"model") == b'"m"'


@given(objects, layouts, st.booleans())
@settings(max_examples=150, deadline=None)
def test_the_last_member_read_from_the_end_is_the_one_a_whole_scan_finds(value, layout, plain):
    body = spelt(value, layout, plain)
    for key in (b"model", b"x", b"usage"):
        assert last_member(body, key) == scan(body, (key,))[0]


def test_a_nested_member_or_a_string_of_the_same_name_is_not_the_last_member():
    body = b'{"usage":{"n":1},"a":[{"usage":{"n":2}}],"b":"\\"usage\\":{}","c":"usage"}'
    start, end = last_member(body, b"usage")
    assert body[start:end] == b'{"n":1}'


def test_a_key_that_ends_with_the_name_behind_an_escaped_quote_is_not_the_member():
    assert last_member(b'{"usage":1,"\\"usage":2}', b"usage") == (9, 10)
    assert last_member(b'{"\\\\\\"usage":2}', b"usage") == (-1, -1)


def test_many_nested_members_of_the_name_do_not_hide_the_one_at_the_top():
    body = b'{"usage":7,"a":[' + b'{"usage":1},' * 20_000 + b"0]}"
    start, end = last_member(body, b"usage")
    assert body[start:end] == b"7"
