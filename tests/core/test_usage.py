"""The usage event and its id."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec import msgpack, structs

from core.usage import SEQUENCE_BITS, Detail, UsageEvent, decode_event, encode_event, make_id
from tests.usage_events import event

WORKERS = st.integers(0, 63)
GENERATIONS = st.integers(0, 2**32 - 1)
SEQUENCES = st.integers(0, 2**SEQUENCE_BITS - 1)


@given(WORKERS, GENERATIONS, SEQUENCES)
def test_an_id_has_63_bits_and_tells_its_worker(worker: int, generation: int, sequence: int) -> None:
    number = make_id(worker, generation, sequence)
    assert 0 <= number < 2**63
    assert event(number).worker == worker


@given(WORKERS, st.tuples(GENERATIONS, SEQUENCES), st.tuples(GENERATIONS, SEQUENCES))
def test_ids_of_one_worker_grow_with_generation_and_sequence(
    worker: int, one: tuple[int, int], other: tuple[int, int]
) -> None:
    assert (make_id(worker, *one) < make_id(worker, *other)) == (one < other)


def test_a_count_that_runs_over_goes_on_in_the_next_generation() -> None:
    assert make_id(3, 7, 2**SEQUENCE_BITS) == make_id(3, 8, 0)


def test_an_event_is_a_bare_list_and_comes_back_as_it_was() -> None:
    one = event(make_id(1, 2, 3), consumer="payments", output_total=2**40, path="/ä", bytes_out=7, door="https")
    one = structs.replace(one, cost_nano=2**40, price="list 1", detail=Detail(units=3, estimated=True, requested="a/b"))
    body = encode_event(one)
    assert b"consumer" not in body
    assert decode_event(body) == one
    assert isinstance(decode_event(body), UsageEvent)


def test_an_event_of_a_build_before_cost_is_read_as_unpriced() -> None:
    old = msgpack.encode(msgpack.decode(encode_event(event(7, bytes_in=5)))[:25])
    assert decode_event(old) == event(7, bytes_in=5)
    assert decode_event(old).cost_nano is None


def test_what_a_plain_call_has_not_takes_three_bytes() -> None:
    body = encode_event(event(7))
    assert body.endswith(b"\xc0\xa0\xc0")
