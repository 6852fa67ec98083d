"""plane.dialects._openai_usage: counts that are read in one pass are those that the decoder reads."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from plane.dialects.openai import OpenAI, Options
from plane.runtime import Route
from plane.usage import Usage
from tests.plane.rig import make_exchange

PARTS = ("cached_tokens", "cache_write_tokens", "audio_tokens", "image_tokens", "reasoning_tokens", "other_tokens")
COUNTS = (
    *("prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens", "cached_tokens"),
    *("prompt_cache_hit_tokens", "num_search_queries", "prompt_audio_seconds", "seconds", "queue_time"),
    *("prompt_tokenz", ""),
)
DETAILS = (
    *("prompt_tokens_details", "input_tokens_details", "input_token_details"),
    *("completion_tokens_details", "output_tokens_details", "cost_details"),
)
FIELDS = [name for name in dir(Usage) if not name.startswith("_")]

whole = st.integers(0, 300) | st.sampled_from([-1, 1 << 40, (1 << 40) - 1, 10**17, 10**18, 1 << 63, 1 << 64])
count = st.none() | whole
odd = count | st.floats(0, 99) | st.sampled_from(["3", True, [], {}, [{"a": "}"}]])
usages = st.dictionaries(
    st.sampled_from(COUNTS + DETAILS), count | st.dictionaries(st.sampled_from(PARTS), count), max_size=8
)
odd_usages = st.dictionaries(
    st.sampled_from(COUNTS + DETAILS), odd | st.dictionaries(st.sampled_from(PARTS), odd), max_size=8
)


def used(text: bytes, dialect: OpenAI) -> list[Any] | None:
    exchange = make_exchange()
    exchange.route = Route("r", dialect=dialect, operation=OpenAI.operations[0])
    exchange.answer_status = 200
    exchange.reply = b'{"choices":[],"usage":%b}' % text
    usage = dialect.usage(exchange)
    return None if usage is None else [getattr(usage, name) for name in FIELDS]


@given(usages | odd_usages, st.sampled_from([None, 1]), st.booleans())
@example({"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 17, "prompt_tokens_details": {}}, None, True)
@example({"prompt_tokens": 3, "completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": 1}}, 1, False)
@example({"prompt_tokens": 3, "seconds": 1.5}, 1, True)
@example({"prompt_tokens": 3, "prompt_tokens_details": {}, "input_tokens_details": {"cached_tokens": 1}}, 1, True)
@example({}, 1, True)
def test_counts_read_in_one_pass_are_those_of_the_decoder(usage: Any, indent: int | None, counted: bool) -> None:
    text = json.dumps(usage, indent=indent)
    decoded = text.replace("{", '{"\\u0071":0' + (", " if usage else ""), 1)  # A key with an escape is the decoder's.
    dialect = OpenAI(Options(reasoning_counted=counted))
    assert used(text.encode(), dialect) == used(decoded.encode(), dialect)


@pytest.mark.parametrize("name", [b"prompt_tokens", b"other", b"seconds"])
@pytest.mark.parametrize("count", [b"01", b"1.", b".5", b"+1", b"nul", b"nulls", b"1 2", b"", b"tru", b"-", b"1.e1"])
def test_what_is_no_json_says_nothing(name: bytes, count: bytes) -> None:
    assert used(b'{"total_tokens":2,"%b":%b}' % (name, count), OpenAI()) is None
