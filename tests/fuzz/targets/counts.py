"""What an answer counts: read in one pass it says the same as through the decoder, and what is no JSON does no harm."""

import json
from collections.abc import Hashable
from typing import Any

import msgspec

from plane.dialects.openai import OpenAI
from plane.runtime import Route
from plane.usage import Usage
from tests.plane.rig import make_exchange

WORDS = (
    *(b'"prompt_tokens":', b'"completion_tokens":', b'"total_tokens":', b'"input_tokens":', b'"output_tokens":'),
    *(b'"prompt_tokens_details":{', b'"completion_tokens_details":{', b'"input_tokens_details":{', b'"cached_tokens":'),
    *(b'"reasoning_tokens":', b'"audio_tokens":', b'"seconds":', b'"num_search_queries":', b"null", b"1.5", b"1e3"),
    *(b"-1", b"0", b"1099511627776", b"999999999999999999", b"18446744073709551616", b"{", b"}", b",", b":", b'"'),
    *(b"\\", b" ", b"\n", b"true", b"[]", b'"a":"}"'),
)
FIELDS = [name for name in dir(Usage) if not name.startswith("_")]
DIALECT = OpenAI()
ROUTE = Route("r", dialect=DIALECT, operation=OpenAI.operations[0])


def check(data: bytes) -> Hashable:
    """Compare both readings of an object of counts in which no key stands twice."""
    found = used(data)
    try:
        msgspec.json.decode(data)
        twice: list[str] = []

        def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            twice.extend(name for name, _ in pairs if [other for other, _ in pairs].count(name) > 1)
            return dict(pairs)

        read = json.loads(data, object_pairs_hook=members)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return "no JSON", found is None
    if not isinstance(read, dict) or twice:
        return "no such object", found is None
    escaped = data.replace(b"{", b'{"\\u0071":0' + (b"," if read else b""), 1)  # The decoder's, as a key has an escape.
    assert found == used(escaped), "the two readings differ"
    return "read", found is not None and tuple(bool(count) for count in found)


def used(text: bytes) -> list[Any] | None:
    """Return what a call used whose answer counts so, None if it does not say."""
    exchange = make_exchange()
    exchange.route = ROUTE
    exchange.answer_status = 200
    exchange.reply = b'{"choices":[],"usage":%b}' % text
    usage = DIALECT.usage(exchange)
    return None if usage is None else [getattr(usage, name) for name in FIELDS]
