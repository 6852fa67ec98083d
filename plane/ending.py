"""The end of an answer that is too large to be held: where JSON answers say what they used.

Pictures and long lists of vectors are megabytes, relayed as they come. What counts them stands behind, so a piece of
the end is enough, and is made an object that the dialects can read like a whole answer.
"""

from __future__ import annotations

import re

import msgspec

__all__ = ["Ending"]

KEPT = 64 * 1024
"""Bytes of the end that are kept."""
COUNTS = re.compile(rb',\s*"(?:usage|usage_info|usageMetadata|meta|prompt_eval_count)"\s*:')
"""The member from which on an answer is read; what stands behind it is read as well."""
PICTURE = b'"b64_json"'

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Ending:
    """Follows one answer that passes through: `Exchange.cleaner` of a success."""

    def __init__(self) -> None:
        self.tail = b""
        self.pictures = 0

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes, which go out as they are."""
        # One byte too few for a name that was counted already.
        self.pictures += (self.tail[1 - len(PICTURE) :] + data).count(PICTURE)
        self.tail = data[-KEPT:] if len(data) >= KEPT else (self.tail + data)[-KEPT:]
        return data

    def flush(self) -> bytes:
        """Return what is held back: nothing."""
        return b""

    def told(self) -> bytes:
        """Return an object with what the answer's end says of its usage, and as many pictures as it had; or b""."""
        pictures = b'"data":[%b]' % b",".join([b"{}"] * self.pictures) if self.pictures else b""
        for found in COUNTS.finditer(self.tail):
            text = b"{%b%b" % (pictures + b"," if pictures else b"", self.tail[found.start() + 1 :])
            try:
                _members.decode(text)  # Else it is a member of something within the answer.
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                continue
            return text
        return b"{%b}" % pictures if pictures else b""
