"""What the config writes as text, read as integers."""

import pytest

from core.units import parse_duration, parse_rate, parse_size

HOUR = 3600 * 10**9


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("250ms", 250_000_000),
        ("30s", 30 * 10**9),
        ("5m", 300 * 10**9),
        ("2h", 2 * HOUR),
        ("0s", 0),
        ("007s", 7 * 10**9),
    ],
)
def test_a_duration_is_read_as_nanoseconds(text: str, nanoseconds: int) -> None:
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize(
    ("text", "size"), [("0B", 0), ("512B", 512), ("64KiB", 65536), ("10MiB", 10 * 2**20), ("2GiB", 2**31)]
)
def test_a_size_is_read_as_bytes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100/s", (100, 10**9)),
        ("5000/min", (5000, 60 * 10**9)),
        ("1/h", (1, HOUR)),
        ("999999999/day", (999_999_999, 24 * HOUR)),
    ],
)
def test_a_rate_is_read_as_count_and_period(text: str, rate: tuple[int, int]) -> None:
    assert parse_rate(text) == rate


ODD = [
    "",
    " ",
    "s",
    "5",
    "-5s",
    "+5s",
    "5 s",
    " 5s",
    "5s\n",
    "5s ",
    "1.5s",
    "1e3s",
    "1_0s",
    "\u0665s",
    "5S",
    "5sec",
    "5s5s",
]


@pytest.mark.parametrize("text", [*ODD, "5us", "5d", "5min"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not of the form 250ms"):
        parse_duration(text)


@pytest.mark.parametrize("text", [*ODD, "5b", "5KB", "5kib", "5TiB", "5K", "-1B", "1.5MiB", "5B\n"])
def test_anything_else_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is not of the form 512B"):
        parse_size(text)


@pytest.mark.parametrize(
    "text", [*ODD, "0/s", "05/s", "1000000000/s", "5/m", "5/sec", "5/d", "5 / s", "5/s\n", "/s", "5/", "5//s", "-5/s"]
)
def test_anything_else_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match="is not of the form 100/s"):
        parse_rate(text)


def test_the_longest_duration_leaves_room_to_add_to() -> None:
    assert parse_duration("1281023h") == 1281023 * HOUR < 2**62
    assert parse_duration("4611686018427ms") == 4611686018427 * 10**6 < 2**62
    for text in ("1281024h", "4611686018428ms", "9999999999999999999h"):
        with pytest.raises(ValueError, match="too large"):
            parse_duration(text)


def test_the_largest_size_leaves_room_to_add_to() -> None:
    assert parse_size("4294967295GiB") == 2**62 - 2**30
    for text in ("4294967296GiB", "4611686018427387904B", "9999999999999999999GiB"):
        with pytest.raises(ValueError, match="too large"):
            parse_size(text)


@pytest.mark.parametrize("text", ["9" * 20 + "s", "9" * 5000 + "s"])
def test_a_number_beyond_all_measure_is_refused_like_other_nonsense(text: str) -> None:
    with pytest.raises(ValueError, match="is not of the form"):
        parse_duration(text)
