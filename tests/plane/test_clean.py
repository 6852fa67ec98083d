"""A provider's answer without the gateway's credential, however it is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plane.clean import Cleaner, without

SECRET = b"sk-vendor-4711"
TEXTS = [
    b"",
    SECRET,
    b"Incorrect API key provided: " + SECRET + b". Look it up.",
    SECRET * 3,
    b"sk-vendor-471" + SECRET + b"sk-",
    b"sk-sk-vendor-4711",
]


def cleaned(parts: list[bytes], secret: bytes) -> bytes:
    """Return the stream of `parts` without `secret`."""
    cleaner = Cleaner(secret)
    return b"".join([*(cleaner.feed(part) for part in parts), cleaner.flush()])


@pytest.mark.parametrize("text", TEXTS)
def test_a_stream_cut_at_every_byte_is_cleaned_as_the_whole_is(text: bytes) -> None:
    whole = without(text, SECRET)
    assert SECRET not in whole
    for cut in range(len(text) + 1):
        assert cleaned([text[:cut], text[cut:]], SECRET) == whole
    assert cleaned([text[at : at + 1] for at in range(len(text))], SECRET) == whole


@given(st.lists(st.text("ab*", max_size=5)), st.text("ab*", min_size=1, max_size=5))
def test_any_stream_is_cleaned_as_the_whole_is(parts: list[str], secret: str) -> None:
    """Few letters, so that secrets repeat and overlap."""
    stream = [part.encode() for part in parts]
    assert cleaned(stream, secret.encode()) == without(b"".join(stream), secret.encode())


def test_nothing_but_a_beginning_of_the_secret_is_held_back() -> None:
    cleaner = Cleaner(SECRET)
    assert cleaner.feed(b"plain text") == b"plain text"
    assert cleaner.feed(b"plain sk-ven") == b"plain "
    assert cleaner.feed(b"ue") == b"sk-venue"
    assert cleaner.feed(b"s") == b""
    assert cleaner.flush() == b"s"
    assert cleaner.flush() == b""


def test_where_there_is_no_secret_nothing_is_changed() -> None:
    text = b"plain"
    assert without(text, b"") is text
    assert without(text, SECRET) is text
