# cython: boundscheck=False, wraparound=False
"""Where the values of top-level members stand in a JSON object, so that one is replaced and the rest left untouched.

The scanner follows strings and counts brackets; it does not check the rest of the grammar, which is the decoder's part.
For every body the decoder accepts, the spans are exact.
"""

from msgspec import DecodeError
from msgspec.json import Decoder

from core.errors import GatewayError

__all__ = ["insert_member", "last_key", "last_member", "replace", "scan"]

_key = Decoder(str)


def scan(body: bytes, wanted: tuple[bytes, ...]) -> list[tuple[int, int]]:
    """Return the ``(start, end)`` byte span of each `wanted` top-level key's value; ``(-1, -1)`` where it is absent.

    Keys spelt with escapes are compared by what they mean. Raises GatewayError 400: ``invalid_json`` if `body` is not
    one object, is cut short or nests deeper than 128; ``duplicate_key`` if a wanted key stands there twice.
    """
    text = body  # Indexed by C; `body` is the object.
    size = len(body)
    spans = [(-1, -1)] * len(wanted)
    at = _space(text, 0, size)
    if at == size or text[at] != ord("{"):
        raise _invalid("The body is not a JSON object.")
    at = _space(text, at + 1, size)
    if at < size and text[at] == ord("}"):
        _finish(text, at + 1, size)
        return spans
    while True:
        if at >= size or text[at] != ord('"'):
            raise _invalid("The body is not a JSON object: a key is missing.")
        key = at + 1
        at = _string(body, key, size)
        found = _find(text, key, at - 1, wanted)
        at = _space(text, at, size)
        if at >= size or text[at] != ord(":"):
            raise _invalid("The body is not a JSON object: a colon is missing.")
        start = _space(text, at + 1, size)
        at = _value(body, start, size)
        if found >= 0:
            if spans[found][0] >= 0:
                raise _duplicate(wanted[found].decode())
            spans[found] = (start, at)
        at = _space(text, at, size)
        if at >= size:
            raise _invalid("The JSON body is cut short.")
        if text[at] == ord("}"):
            _finish(text, at + 1, size)
            return spans
        if text[at] != ord(","):
            raise _invalid("The body is not a JSON object: a comma is missing.")
        at = _space(text, at + 1, size)


def last_member(body: bytes, key: bytes) -> tuple[int, int]:
    """Return the ``(start, end)`` span of the value of the top-level `key`, ``(-1, -1)`` where it is absent.

    The same as `scan` for a key that stands once, but read from the end, where answers have their usage: what stands
    before it is not looked at. GatewayError as for `scan`, though not for everything that is wrong with the body.
    """
    text = body
    size = len(body)
    length = len(key)
    at = last_key(body, key, 0, size)
    for _ in range(4):
        if at < 0:
            break
        start = _space(text, at + length + 2, size)
        # A quote behind a backslash begins nothing: it stands within a key of which this is only the end.
        if start < size and text[start] == ord(":") and at > 0 and text[at - 1] != ord("\\"):
            start = _space(text, start + 1, size)
            end = _value(body, start, size)
            if _closing(body, end, size) == 1:
                return (start, end)
        at = last_key(body, key, 0, at)
    return scan(body, (key,))[0]


def last_key(body: bytes, key: bytes, start: int, end: int) -> int:
    """Return where `key` stands between quotes the last time from `start` to `end`, -1 if it does not."""
    # PERF: it stands near the end, and to call `rfind` costs more than to look.
    text, name = body, key
    length = len(key)
    at = end - length - 2
    while at >= start:
        if text[at] == ord('"') and text[at + length + 1] == ord('"'):
            same = 0
            while same < length and text[at + 1 + same] == name[same]:
                same += 1
            if same == length:
                return at
        at -= 1
    return -1


def replace(body: bytes, span: tuple[int, int], new: bytes) -> bytes:
    """Return `body` with the bytes of `span` (of `scan`) replaced by `new`."""
    text = body
    start: int = span[0]
    end: int = span[1]
    return text[:start] + new + text[end : len(body)]


def insert_member(body: bytes, member: bytes) -> bytes:
    """Return the object `body`, which `scan` has accepted, with `member` (``"key":value``) added at its end."""
    text = body
    end = len(body) - 1
    while text[end] != ord("}"):
        end -= 1
    last = end - 1
    while text[last] <= ord(" "):
        last -= 1
    comma = b"" if text[last] == ord("{") else b","
    return b"".join((body[:end], comma, member, body[end:]))


def _value(body: bytes, at: int, size: int) -> int:
    """Return the offset after the value that starts at `at`."""
    text = body
    start = at
    depth = 0
    while at < size:
        char = text[at]
        if char == ord('"'):
            at = _string(body, at + 1, size)
            if depth == 0:
                return at
        elif char == ord("{") or char == ord("["):
            depth += 1
            # The top-level object is a level, too.
            if depth > 127:
                raise _invalid("The JSON body is nested too deeply.")
            at += 1
        elif depth == 0:
            break
        elif char == ord("}") or char == ord("]"):
            depth -= 1
            at += 1
            if depth == 0:
                return at
        else:
            at += 1
    if depth:
        raise _invalid("The JSON body is cut short.")
    while at < size:
        char = text[at]
        if char == ord(",") or char == ord("}") or char <= ord(" "):
            break
        at += 1
    if at == start:
        raise _invalid("The body is not a JSON object: a value is missing.")
    return at


def _closing(body: bytes, at: int, size: int) -> int:
    """Return how many more brackets are closed than opened from `at` on."""
    text = body
    depth = 0
    while at < size:
        char = text[at]
        at += 1
        if char == ord('"'):
            at = _string(body, at, size)
        elif char == ord("{") or char == ord("["):
            depth -= 1
        elif char == ord("}") or char == ord("]"):
            depth += 1
    return depth


def _string(body: bytes, at: int, size: int) -> int:
    """Return the offset after the closing quote of the string whose first character is at `at`."""
    text = body
    while True:
        # Short strings end here. So does most text full of escapes: a call of find costs as much as 200 steps.
        near = min(at + 128, size)
        while at < near:
            while at < near and text[at] != ord('"') and text[at] != ord("\\"):
                at += 1
            if at < near:
                if text[at] == ord('"'):
                    return at + 1
                at += 2
        quote = body.find(b'"', at)
        if quote < 0:
            raise _invalid("The JSON body is cut short.")
        run = quote
        while run > at and text[run - 1] == ord("\\"):
            run -= 1
        if (quote - run) & 1 == 0:
            return quote + 1
        at = quote + 1


def _space(text: bytes, at: int, size: int) -> int:
    """Return the offset of the first byte from `at` on that is not white space."""
    while at < size:
        char = text[at]
        if char > ord(" ") or (char != ord(" ") and char != ord("\n") and char != ord("\r") and char != ord("\t")):
            break
        at += 1
    return at


def _find(text: bytes, start: int, end: int, wanted: tuple[bytes, ...]) -> int:
    """Return which of `wanted` the key between its quotes is, or -1."""
    length = end - start
    for index in range(len(wanted)):
        key = wanted[index]
        if len(key) == length:
            at = 0
            while at < length and text[start + at] == key[at]:
                at += 1
            if at == length:
                return index
    at = start
    while at < end and text[at] != ord("\\"):
        at += 1
    return -1 if at == end else _find_escaped(text[start - 1 : end + 1], wanted)


def _find_escaped(token: bytes, wanted: tuple[bytes, ...]) -> int:
    try:
        key = _key.decode(token).encode()
    except (DecodeError, UnicodeError):
        raise _invalid("The JSON body has a key that is not valid.") from None
    return wanted.index(key) if key in wanted else -1


def _finish(text: bytes, at: int, size: int) -> None:
    if _space(text, at, size) != size:
        raise _invalid("The body goes on after the JSON object.")


def _invalid(message: str) -> GatewayError:
    return GatewayError(400, "invalid_json", "caller", message)


def _duplicate(key: str) -> GatewayError:
    return GatewayError(400, "duplicate_key", "caller", f"The key '{key}' stands twice in the body.", param=key)
