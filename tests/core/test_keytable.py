"""The flat table of API keys, in the buffer it was built into."""

import hashlib
import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.cells import KeyTable


def sha(name: object) -> bytes:
    return hashlib.sha256(repr(name).encode()).digest()


# Digests whose first eight bytes are few, so that they crowd; the last bytes tell them apart.
crowded = st.builds(
    lambda first, last: first.to_bytes(8, "little") + bytes(23) + last.to_bytes(1, "little"),
    st.sampled_from([0, 1, 2**63, 2**64 - 1]),
    st.integers(0, 20),
)


@given(
    pairs=st.dictionaries(crowded | st.binary(min_size=32, max_size=32), st.integers(0, 2**32 - 2), max_size=40),
    others=st.lists(crowded | st.binary(min_size=32, max_size=32), max_size=20),
)
def test_the_key_table_finds_what_a_dict_finds(pairs: dict[bytes, int], others: list[bytes]) -> None:
    table = KeyTable(KeyTable.build(pairs.items()))
    assert len(table) == len(pairs)
    for key in [*pairs, *others]:
        assert table.find(key) == pairs.get(key, -1)


def test_a_key_with_any_one_bit_changed_is_unknown() -> None:
    table = KeyTable(KeyTable.build([(sha("key"), 7)]))
    assert table.find(sha("key")) == 7
    for bit in range(256):
        near = (int.from_bytes(sha("key"), "big") ^ 1 << bit).to_bytes(32, "big")
        assert table.find(near) == -1


def test_a_hundred_thousand_keys_are_all_found_in_fifty_bytes_each() -> None:
    numbers = range(100_000)
    built = KeyTable.build((sha(number), number) for number in numbers)
    assert len(built) <= 50 * len(numbers)
    table = KeyTable(memoryview(built))
    assert all(table.find(sha(number)) == number for number in numbers)
    assert all(table.find(sha(-1 - number)) == -1 for number in numbers)


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ([(bytes(32), 1), (bytes(32), 2)], "comes twice"),
        ([(bytes(31), 1)], "32 bytes"),
        ([(bytes(32), -1)], "value"),
        ([(bytes(32), 2**32 - 1)], "value"),
    ],
)
def test_pairs_that_are_no_keys_are_refused(pairs: list[tuple[bytes, int]], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        KeyTable.build(pairs)


def test_a_buffer_that_is_no_key_table_is_refused() -> None:
    built = KeyTable.build([(sha(name), name) for name in range(5)])
    for length in range(len(built)):
        with pytest.raises(ValueError, match=r"does not hold|cut short"):
            KeyTable(built[:length])
    for altered in (built + b"x", b"x" + built[1:], built[:8] + struct.pack("=Q", 2**60) + built[16:]):
        with pytest.raises(ValueError, match=r"does not hold|cut short"):
            KeyTable(altered)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32))
def test_a_key_table_altered_anywhere_still_answers(seed: int) -> None:
    built = bytearray(KeyTable.build([(sha(name), name) for name in range(20)]))
    rng = random.Random(seed)
    built[32:] = rng.randbytes(len(built) - 32)
    assert -1 <= KeyTable(built).find(sha(3)) < 2**32


def test_only_a_digest_is_looked_up() -> None:
    table = KeyTable(KeyTable.build([]))
    assert table.find(bytes(32)) == -1
    with pytest.raises(ValueError, match="32 bytes"):
        table.find(b"short")
    with pytest.raises(TypeError):
        table.find(None)  # type: ignore[arg-type]
