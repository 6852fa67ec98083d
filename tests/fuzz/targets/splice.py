"""JSON bodies: what the decoder accepts is spliced exactly, and what it refuses does no harm."""

import json
from collections.abc import Hashable

import msgspec

from core.errors import GatewayError
from core.splice import insert_member, last_member, replace, scan

WORDS = (
    *(b'"model"', b'"stream"', b'"stream_options"', b'"mod\\u0065l"', b"{", b"}", b"[", b"]", b":", b",", b'"', b"\\"),
    *(b'\\"', b"\\\\", b"\\u0000", b"\\ud800", b"null", b"true", b"1e5", b"-0", b" ", b"\n", b"{}", b"[]", b'""'),
    *(b'{"a":[1,{"model":2}]}', b"\xc3\xa9", b"\xed\xa0\x80", b"NaN", b"[[[[[[[["),
)
WANTED = (b"model", b"stream", b"stream_options")


def check(data: bytes) -> Hashable:
    """Compare the spans with what msgspec and json read."""
    try:
        read = msgspec.json.decode(data)
        names = [name for name, _ in json.loads(data, object_pairs_hook=list)] if isinstance(read, dict) else []
    except (msgspec.DecodeError, ValueError, RecursionError):
        read, names = None, []
    try:
        spans, refused = scan(data, WANTED), None
    except GatewayError as error:
        spans, refused = [], error
    if refused is not None:
        if isinstance(read, dict):
            twice = any(names.count(key.decode()) > 1 for key in WANTED)
            assert refused.code == ("duplicate_key" if twice else "invalid_json")
            assert twice or depth(data) > 100, "a body that the decoder takes is refused"
        return refused.code, refused.message, read is None
    if not isinstance(read, dict):
        assert read is None, "something else than an object is taken for one"
        return "accepted", tuple(start >= 0 for start, _ in spans)
    for key, (start, end) in zip(WANTED, spans, strict=True):
        name = key.decode()
        assert (start >= 0) == (name in read), f"{name} is overlooked or invented"
        assert last_member(data, key) == (start, end), "read from the end, another member is found"
        if start >= 0:
            assert msgspec.json.decode(data[start:end]) == read[name]
            assert msgspec.json.decode(replace(data, (start, end), b'"new"')) == {**read, name: "new"}
    assert msgspec.json.decode(insert_member(data, b'"added":1')) == {**read, "added": 1}
    return "exact", tuple(start >= 0 for start, _ in spans), min(len(read), 4)


def depth(data: bytes) -> int:
    """Return a bound on how deep `data` nests."""
    return data.count(b"[") + data.count(b"{")
