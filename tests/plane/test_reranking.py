"""plane.reranking and its two wire forms: documents, what is repeated, and units or tokens as usage."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import GatewayError
from plane.canonical import Carry
from plane.dialects._reranking import Reranking
from plane.reranking import RerankRequest

FIRST = Reranking(echoes=True)
SECOND = Reranking(echoes=False)
BODY = {"model": "m", "query": "What?", "documents": ["This", "That"]}
RESULTS = [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]


def read(translator: Reranking = SECOND, **more: Any) -> RerankRequest:
    return translator.read_request(json.dumps({**BODY, **more}).encode(), "m")


def answered(**more: Any) -> bytes:
    return json.dumps({"id": "a", "results": RESULTS, **more}).encode()


def crossed(provider: Reranking, caller: Reranking, body: bytes, **asked: Any) -> dict[str, Any]:
    """Return what a caller gets of what a provider answered."""
    answer = provider.read_answer(body, Carry("real"))
    text: dict[str, Any] = json.loads(caller.write_answer(answer, read(caller, **asked)))
    return text


def refusal(call: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        call()
    return caught.value


def test_the_second_form_is_written_without_what_only_the_first_has() -> None:
    text = SECOND.write_request(read(top_n=1, max_tokens_per_doc=9, return_documents=True), Carry("real"))
    assert json.loads(text) == {**BODY, "model": "real", "top_n": 1, "max_tokens_per_doc": 9}


def test_the_first_form_asks_for_no_documents_as_the_gateway_has_them() -> None:
    text = FIRST.write_request(read(FIRST, return_documents=True), Carry("real"))
    assert json.loads(text) == {**BODY, "model": "real", "return_documents": False}


def test_documents_may_be_objects_with_text() -> None:
    assert read(documents=["a", {"text": "b"}]).documents == ["a", "b"]


@pytest.mark.parametrize("documents", [[], [{"title": "a"}], [{"text": 1}], [1], None, "a"])
def test_documents_without_text_are_refused(documents: Any) -> None:
    assert refusal(lambda: read(documents=documents)).status == 400


def test_what_has_no_place_is_refused_by_its_name_or_dropped_and_named() -> None:
    request = read(rank_fields=["text"])
    assert refusal(lambda: SECOND.write_request(request, Carry("real"))).param == "rank_fields"
    carry = Carry("real", drops=True)
    SECOND.write_request(request, carry)
    assert carry.names == ["rank_fields"]


def test_the_first_form_repeats_documents_from_the_request_where_they_are_wanted() -> None:
    got = crossed(SECOND, FIRST, answered(), return_documents=True)
    assert [one["document"] for one in got["results"]] == [{"text": "That"}, {"text": "This"}]
    assert all("document" not in one for one in crossed(SECOND, FIRST, answered())["results"])


@pytest.mark.parametrize("document", ["Those", {"text": "Those"}])
def test_a_document_that_the_provider_repeats_is_taken(document: Any) -> None:
    body = answered(results=[{"index": 0, "relevance_score": 1, "document": document}])
    got = crossed(FIRST, FIRST, body, return_documents=True)
    assert got["results"][0]["document"] == {"text": "Those"}


def test_an_index_beyond_the_documents_repeats_nothing() -> None:
    body = answered(results=[{"index": 7, "relevance_score": 1}])
    assert crossed(SECOND, FIRST, body, return_documents=True)["results"][0]["document"] == {"text": ""}


def test_the_second_form_never_repeats_documents() -> None:
    assert crossed(FIRST, SECOND, answered(), return_documents=True)["results"] == RESULTS


def test_searches_are_units() -> None:
    body = answered(meta={"api_version": {"version": "2"}, "billed_units": {"search_units": 2}})
    usage = SECOND.read_answer(body, Carry()).usage
    assert usage is not None
    assert (usage.units, usage.input_total) == (2, 0)
    assert crossed(SECOND, SECOND, body)["meta"] == {"billed_units": {"search_units": 2}}
    assert crossed(SECOND, FIRST, body)["meta"] == {"billed_units": {"search_units": 2}}


@pytest.mark.parametrize(
    "usage", [{"total_tokens": 30}, {"prompt_tokens": 30}, {"total_tokens": 30, "prompt_tokens": 7}]
)
def test_tokens_are_input(usage: dict[str, int]) -> None:
    body = answered(usage=usage)
    read_usage = FIRST.read_answer(body, Carry()).usage
    assert read_usage is not None
    assert (read_usage.units, read_usage.input_total) == (0, 30)
    assert crossed(FIRST, FIRST, body)["usage"] == {"prompt_tokens": 30, "total_tokens": 30}
    assert crossed(FIRST, SECOND, body)["meta"] == {"tokens": {"input_tokens": 30}}


@pytest.mark.parametrize("more", [{}, {"meta": None}, {"meta": {}}, {"usage": {}}])
def test_an_answer_that_counts_nothing_has_no_usage(more: dict[str, Any]) -> None:
    assert SECOND.read_answer(answered(**more), Carry()).usage is None


def test_an_absurd_count_counts_as_nothing() -> None:
    body = answered(meta={"billed_units": {"search_units": 1e30, "input_tokens": -4}})
    usage = SECOND.read_answer(body, Carry()).usage
    assert usage is not None
    assert (usage.units, usage.input_total) == (0, 0)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"results":[{}]}', b'{"results":[{"index":0}]}'])
def test_an_answer_that_is_none_is_the_providers_fault(body: bytes) -> None:
    assert refusal(lambda: SECOND.read_answer(body, Carry())).code == "upstream_bad_answer"


@given(
    st.text(),
    st.lists(st.text(), min_size=1),
    st.none() | st.integers(1, 99),
    st.none() | st.integers(1, 9999),
)
def test_a_request_is_the_same_after_a_round_trip(query: str, documents: list[str], top_n: Any, longest: Any) -> None:
    body = {"query": query, "documents": documents, "top_n": top_n, "max_tokens_per_doc": longest}
    request = SECOND.read_request(msgspec.json.encode(body), "m")
    assert SECOND.read_request(SECOND.write_request(request, Carry("m")), "m") == request
