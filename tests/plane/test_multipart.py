"""plane.multipart: the fields of a form are found while it comes, and files are passed over."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import GatewayError
from plane.multipart import MAX_HEAD, MAX_PARTS, Form, boundary_of

BODY = (
    b'--b\r\nContent-Disposition: form-data; name="language"\r\n\r\nen\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\nContent-Type: audio/mpeg\r\n\r\n'
    b'\x00\r\n--x\r\n\r\nname="model"\xff\r\n'
    b"--b\r\ncontent-disposition:form-data;name=model\r\n\r\nwhisper-1\r\n"
    b'--b\r\nContent-Disposition: form-data; name="empty"\r\n\r\n\r\n--b--\r\n'
)


def values(form: Form, body: bytes) -> dict[bytes, bytes]:
    return {name: body[start:end] for name, (start, end) in form.fields.items()}


FOUND = {b"language": b"en", b"model": b"whisper-1", b"empty": b""}


def test_the_text_fields_are_found_and_files_are_not() -> None:
    form = Form(b"b")
    form.read(BODY)
    assert form.done
    assert values(form, BODY) == FOUND


def test_a_field_is_known_as_soon_as_it_is_whole_however_the_body_is_cut() -> None:
    form = Form(b"b")
    for length in range(len(BODY) + 1):
        form.read(bytearray(BODY[:length]))
        assert all(FOUND[name] == value for name, value in values(form, BODY).items())
    assert values(form, BODY) == FOUND
    assert form.done


def test_of_two_values_the_first_counts() -> None:
    body = b"".join(
        b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n%b\r\n' % name for name in (b"x", b"y")
    )
    form = Form(b"b")
    form.read(body + b"--b--")
    assert values(form, body) == {b"model": b"x"}


@pytest.mark.parametrize(
    "content_type",
    [
        b"multipart/form-data; boundary=abc",
        b'Multipart/Form-Data; charset=utf-8; boundary="abc"',
        b"multipart/form-data;boundary=abc; x=y",
    ],
)
def test_the_boundary_is_found_in_the_content_type(content_type: bytes) -> None:
    assert boundary_of(content_type) == b"abc"


@pytest.mark.parametrize(
    "content_type", [b"", b"application/json", b"multipart/form-data", b"multipart/mixed; boundary=abc"]
)
def test_what_is_no_form_is_refused(content_type: bytes) -> None:
    with pytest.raises(GatewayError, match="multipart/form-data") as caught:
        boundary_of(content_type)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"{}", "boundary"),
        (b"\r\n--b\r\n", "boundary"),
        (b"--b\r\nx: " + b"y" * MAX_HEAD, "too long"),
        (b"--b\r\n\r\n\r\n" * (MAX_PARTS + 1), "too many parts"),
    ],
)
def test_a_broken_form_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(GatewayError, match=why):
        Form(b"b").read(body)


@given(st.binary(max_size=200), st.lists(st.integers(0, 400), max_size=6))
def test_any_bytes_are_read_alike_however_they_are_cut(data: bytes, cuts: list[int]) -> None:
    def outcome(lengths: list[int]) -> tuple[dict[bytes, tuple[int, int]], bool] | str:
        form = Form(b"b")
        try:
            for length in lengths:
                form.read(body[:length])
        except GatewayError as error:
            return error.message
        return form.fields, form.done

    body = b"--b" + data + b'\r\n--b\r\nContent-Disposition: form-data; name="m"\r\n\r\nv\r\n--b--'
    assert outcome([*sorted(cuts), len(body)]) == outcome([len(body)])
