"""plane.embedding and OpenAI's embeddings: forms of inputs, vectors as numbers and as base64, order, and usage."""

import base64
import json
import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import GatewayError
from plane.canonical import Carry, Image
from plane.dialects._openai_embeddings import OpenAIEmbeddings
from plane.embedding import EmbeddingRequest, Vector, pack_floats, unpack_floats

TRANSLATOR = OpenAIEmbeddings()
FLOATS = st.lists(st.floats(width=32, allow_nan=False))


def read(**body: Any) -> EmbeddingRequest:
    return TRANSLATOR.read_request(json.dumps({"model": "m", **body}).encode(), "m")


def written(request: EmbeddingRequest, carry: Carry | None = None) -> dict[str, Any]:
    text: dict[str, Any] = json.loads(TRANSLATOR.write_request(request, carry or Carry("real")))
    return text


def packed(*values: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()


def answer(**body: Any) -> bytes:
    return json.dumps({"object": "list", "model": "real", **body}).encode()


def refusal(call: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        call()
    return caught.value


@pytest.mark.parametrize(
    ("given_input", "inputs", "single"),
    [
        ("a", ["a"], True),
        (["a", "b"], ["a", "b"], False),
        (["a"], ["a"], False),
        ([1, 2], [[1, 2]], True),
        ([[1, 2], [3]], [[1, 2], [3]], False),
    ],
)
def test_each_of_the_four_forms_of_input_is_read_and_written_as_it_was(
    given_input: Any, inputs: Any, single: bool
) -> None:
    request = read(input=given_input)
    assert (request.inputs, request.single) == (inputs, single)
    assert written(request) == {"model": "real", "input": given_input}


@pytest.mark.parametrize("wrong", [[], ["a", 1], [1, [2]], [["a"]], {"a": 1}, None, [1.5]])
def test_input_of_no_known_form_is_refused(wrong: Any) -> None:
    assert refusal(lambda: read(input=wrong)).status == 400


def test_an_unknown_encoding_is_refused_by_name() -> None:
    error = refusal(lambda: read(input="a", encoding_format="int8"))
    assert (error.status, error.param) == (400, "encoding_format")


def test_base64_is_asked_of_the_provider_where_the_caller_wants_it() -> None:
    assert written(read(input="a", encoding_format="base64"))["encoding_format"] == "base64"
    assert written(read(input="a", encoding_format="float"))["encoding_format"] == "float"
    assert "encoding_format" not in written(read(input="a"))


@pytest.mark.parametrize("sent", [[1.5, -2.0], packed(1.5, -2.0)])
@pytest.mark.parametrize("wanted", [None, "float", "base64"])
def test_a_caller_gets_the_encoding_it_asked_for_whatever_the_provider_sends(sent: Any, wanted: str | None) -> None:
    request = read(input="a", encoding_format=wanted)
    body = TRANSLATOR.write_answer(
        TRANSLATOR.read_answer(answer(data=[{"index": 0, "embedding": sent}]), Carry("real")), request
    )
    got = json.loads(body)["data"][0]["embedding"]
    assert got == (packed(1.5, -2.0) if wanted == "base64" else [1.5, -2.0])


def test_vectors_come_in_the_order_of_their_inputs_with_their_index() -> None:
    body = answer(
        data=[{"index": 2, "embedding": [2.0]}, {"index": 0, "embedding": [0.0]}, {"index": 1, "embedding": [1.0]}]
    )
    got = json.loads(TRANSLATOR.write_answer(TRANSLATOR.read_answer(body, Carry()), read(input=["a", "b", "c"])))
    assert [(one["index"], one["embedding"]) for one in got["data"]] == [(0, [0.0]), (1, [1.0]), (2, [2.0])]


def test_vectors_without_index_are_counted_through() -> None:
    vectors = TRANSLATOR.read_answer(answer(data=[{"embedding": [0.0]}, {"embedding": [1.0]}]), Carry()).vectors
    assert [vector.index for vector in vectors] == [0, 1]


def test_usage_is_read_and_written() -> None:
    body = answer(data=[], usage={"prompt_tokens": 8, "total_tokens": 8})
    got = TRANSLATOR.read_answer(body, Carry())
    assert got.usage is not None
    assert got.usage.input_total == 8
    assert json.loads(TRANSLATOR.write_answer(got, read(input="a")))["usage"] == {"prompt_tokens": 8, "total_tokens": 8}


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": -1}, {"prompt_tokens": 1 << 60}])
def test_a_usage_that_says_nothing_is_none(usage: Any) -> None:
    assert TRANSLATOR.read_answer(answer(data=[], usage=usage), Carry()).usage is None


def test_what_has_no_place_is_refused_by_its_name_or_dropped_and_named() -> None:
    request = read(input="a", truncate="END", nothing=None)
    assert refusal(lambda: written(request)).param == "truncate"
    carry = Carry("real", drops=True)
    assert "truncate" not in written(request, carry)
    assert carry.names == ["truncate"]


def test_bytes_that_are_not_text_are_refused_also_where_they_are_only_carried() -> None:
    assert refusal(lambda: TRANSLATOR.read_request(b'{"input":"a","x":"\x80"}', "m")).code == "invalid_json"
    assert refusal(lambda: TRANSLATOR.read_answer(b'{"data":[],"x":"\x80"}', Carry())).code == "upstream_bad_answer"


def test_the_purpose_and_the_title_are_hints() -> None:
    carry = Carry("real")
    written(EmbeddingRequest("m", ["a"], purpose="query", title="t"), carry)
    assert carry.names == ["input_type", "title"]


@pytest.mark.parametrize("inputs", [[Image(url="https://x.test/a.png")], ["a", [1, 2]]])
def test_inputs_that_openai_cannot_embed_are_refused_even_where_things_may_be_dropped(inputs: Any) -> None:
    error = refusal(lambda: written(EmbeddingRequest("m", inputs), Carry("real", drops=True)))
    assert (error.status, error.code, error.param) == (400, "unsupported", "input")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"data":[{}]}', b'{"data":[{"embedding":{}}]}', b"\xff"])
def test_an_answer_that_is_none_is_the_providers_fault(body: bytes) -> None:
    error = refusal(lambda: TRANSLATOR.read_answer(body, Carry()))
    assert (error.status, error.code) == (502, "upstream_bad_answer")


@pytest.mark.parametrize("text", ["not base64!", "AAA=", "é"])
def test_base64_that_holds_no_floats_is_the_providers_fault(text: str) -> None:
    assert refusal(Vector(0, packed=text).floats).code == "upstream_bad_answer"


@given(FLOATS)
def test_floats_of_32_bits_survive_packing(values: list[float]) -> None:
    assert unpack_floats(pack_floats(values)) == values


def test_what_no_32_bit_float_holds_becomes_infinite() -> None:
    assert unpack_floats(pack_floats([1e300, -1e300, 1.0])) == [float("inf"), float("-inf"), 1.0]


@given(
    st.one_of(
        st.text(),
        st.lists(st.text(), min_size=1),
        st.lists(st.integers(0, 1 << 20), min_size=1),
        st.lists(st.lists(st.integers(0, 1 << 20)), min_size=1),
    ),
    st.none() | st.integers(1, 4096),
    st.none() | st.sampled_from(["float", "base64"]),
    st.text(),
)
def test_a_request_is_the_same_after_a_round_trip(given_input: Any, dimensions: Any, encoding: Any, user: str) -> None:
    body = {"model": "m", "input": given_input, "dimensions": dimensions, "encoding_format": encoding, "user": user}
    request = TRANSLATOR.read_request(msgspec.json.encode(body), "m")
    assert TRANSLATOR.read_request(TRANSLATOR.write_request(request, Carry("m")), "m") == request
