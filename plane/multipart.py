"""The text fields of a ``multipart/form-data`` body (RFC 7578), found while it comes; files are passed over.

Only what the gateway acts on is looked at, and nothing is checked beyond that: the provider reads the whole form.
"""

from __future__ import annotations

import re

from core.errors import GatewayError

__all__ = ["Form", "boundary_of"]

BOUNDARY = re.compile(rb';\s*boundary=(?:"([^"\r\n]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
DISPOSITION = re.compile(rb"content-disposition:([^\r\n]*)", re.IGNORECASE)
NAME = re.compile(rb';\s*name=(?:"([^"\r\n]*)"|([^\s;"]+))', re.IGNORECASE)
FILE = re.compile(rb";\s*filename\*?=", re.IGNORECASE)
MAX_HEAD = 8 * 1024
"""Bytes of one part's head."""
MAX_PARTS = 256
"""Parts of a form; one with more is not read."""


def boundary_of(content_type: bytes) -> bytes:
    """Return the boundary that a Content-Type field names; GatewayError 400 where it is no form or names none."""
    found = BOUNDARY.search(content_type)
    if content_type[:19].lower() != b"multipart/form-data" or found is None:
        raise GatewayError(
            400,
            "invalid_request",
            "caller",
            "This path takes a form: content-type must be multipart/form-data with a boundary.",
        )
    return found[1] or found[2]


class Form:
    """What has been found so far of one form.

    fields: name -> (start, end) of the value in the body, of each part that is whole and no file; of a name that stands
    twice the first. done: the form has ended.
    """

    def __init__(self, boundary: bytes) -> None:
        self.delimiter = b"\r\n--" + boundary
        self.fields: dict[bytes, tuple[int, int]] = {}
        self.done = False
        self.parts = 0
        # The name and the start of the part that is being read (a file has no name here), -1 between two parts.
        self.name: bytes | None = None
        self.start = -1
        self.at = 0

    def read(self, body: bytearray | bytes) -> None:
        """Read on; body: all that has come so far. GatewayError 400 where it is no form."""
        if self.at == 0 and not self.opened(body):
            return
        while not self.done and (self.passed(body) if self.start >= 0 else self.begun(body)):
            pass

    def opened(self, body: bytearray | bytes) -> bool:
        """Pass the first delimiter, which has no line before it; tell whether it has come."""
        first = self.delimiter[2:]
        if not body.startswith(first[: len(body)]):
            raise broken("it does not begin with its boundary")
        if len(body) < len(first):
            return False
        self.at = len(first)
        return True

    def begun(self, body: bytearray | bytes) -> bool:
        """Read what follows a delimiter: the end of the form or a part's head; tell whether it has come."""
        if len(body) < self.at + 2:
            return False
        if body[self.at : self.at + 2] == b"--":
            self.done = True
            return False
        end = body.find(b"\r\n\r\n", self.at, self.at + MAX_HEAD)
        if end < 0:
            if len(body) - self.at >= MAX_HEAD:
                raise broken("the head of a part is too long")
            return False
        self.parts += 1
        if self.parts > MAX_PARTS:
            raise broken("it has too many parts")
        disposition = DISPOSITION.search(body, self.at, end)
        said = disposition[1] if disposition is not None else b""
        name = NAME.search(said)
        self.name = None if name is None or FILE.search(said) else bytes(name[1] or name[2] or b"")
        # An empty value's delimiter begins with the end of the head.
        self.start = end + 4
        self.at = end + 2
        return True

    def passed(self, body: bytearray | bytes) -> bool:
        """Pass the content of a part; tell whether its end has come."""
        end = body.find(self.delimiter, self.at)
        if end < 0:
            self.at = max(self.at, len(body) - len(self.delimiter))
            return False
        if self.name is not None:
            self.fields.setdefault(self.name, (self.start, max(self.start, end)))
        self.start = -1
        self.at = end + len(self.delimiter)
        return True


def broken(why: str) -> GatewayError:
    """Return the error of a body that is no form."""
    return GatewayError(400, "invalid_form", "caller", f"The body is not a valid form: {why}.")
