"""Ids that say who keeps what they name: a stored response, a file, a batch is known to one credential of one provider.

The gateway keeps no list of them. It gives a caller an id that holds the provider's own and where that is from, signed
for the consumer that it was given to; whatever worker gets it back knows where to ask, and an id that is altered, or is
another consumer's, is none.

    <prefix>hgid_<base64url of: 16 bytes HMAC-SHA256, msgpack of [provider, credential, id, model, target]>

prefix: what the provider's id begins with (``resp_``, ``file-``), so that clients that look at it are not misled. The
signature covers the prefix and the consumer's name as well. The same id of a provider always becomes the same id here.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
import re
from pathlib import Path

import msgspec
from msgspec import Struct

from core.errors import GatewayError, SealError
from core.rootkey import derived, roots_of
from plane.keyfile import read_key

__all__ = ["MARK", "Pin", "Pins", "is_wrapped"]

log = logging.getLogger("headgate.plane")

MARK = b"hgid_"
"""What all ids have that the gateway gives out."""
PURPOSE = "pins"
TAG_SIZE = 16
WRAPPED = re.compile(rb'"([a-z]{2,16}[_-])hgid_([A-Za-z0-9_-]{24,2048})"')
"""An id as a whole JSON string; anywhere else it is only text."""
PREFIX = re.compile(r"[a-z]{2,16}[_-]")


class Pin(Struct, frozen=True, array_like=True):
    """Who keeps something. credential: the mark of the credential that made it. id: the provider's own.

    model: the name that was asked for, target: the name of what made it, where its usage is told later (`plane.owed`);
    "" elsewhere.
    """

    provider: str
    credential: str
    id: str
    model: str = ""
    target: str = ""


class Pins:
    """Wraps and unwraps ids.

    key: path of the key file, which all workers share; it is read when the first id is.
    """

    def __init__(self, key: Path) -> None:
        self._path = key
        self._keys: list[bytes] = []
        self._encode = msgspec.msgpack.Encoder().encode
        self._decoder = msgspec.msgpack.Decoder(Pin)

    def wrap(self, consumer: str, pin: Pin) -> str:
        """Return the id for a consumer; what looks like none of a provider's ids stays as it is."""
        found = PREFIX.match(pin.id)
        if found is None:
            return pin.id
        packed = self._encode(pin)
        tag = self._tag(self._signing()[0], found[0], consumer, packed)
        return f"{found[0]}hgid_{base64.urlsafe_b64encode(tag + packed).rstrip(b'=').decode()}"

    def unwrap(self, consumer: str, text: str) -> Pin | None:
        """Return what an id says that `wrap` made for this consumer; None for any other."""
        prefix, found, rest = text.partition("hgid_")
        if not found or PREFIX.fullmatch(prefix) is None:
            return None
        try:
            data = base64.b64decode(rest.encode() + b"=" * (-len(rest) % 4), b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError):
            return None
        tag, packed = data[:TAG_SIZE], data[TAG_SIZE:]
        if not any(hmac.compare_digest(tag, self._tag(key, prefix, consumer, packed)) for key in self._signing()):
            return None
        # Signed, so ours; the form changes only with the mark.
        return self._decoder.decode(packed)

    def unwrap_all(self, consumer: str, body: bytes) -> tuple[bytes, dict[str, Pin]]:
        """Return a JSON body with the provider's ids for all that were given to this consumer, and what these said.

        An id counts where a whole string is one. One that is not this consumer's stays, and means nothing to anybody.
        """
        found: dict[str, Pin] = {}

        def unwrapped(match: re.Match[bytes]) -> bytes:
            text = match[0][1:-1].decode()
            pin = self.unwrap(consumer, text)
            if pin is None:
                return match[0]
            found[text] = pin
            return msgspec.json.encode(pin.id)

        return WRAPPED.sub(unwrapped, body), found

    def _tag(self, key: bytes, prefix: str, consumer: str, packed: bytes) -> bytes:
        return hmac.digest(key, self._encode([prefix, consumer, packed]), "sha256")[:TAG_SIZE]

    def _signing(self) -> list[bytes]:
        if not self._keys:
            try:
                self._keys = [derived(root, "sign", PURPOSE) for root in roots_of(read_key(self._path))]
            except (OSError, SealError) as error:
                log.error("key-unusable", extra={"fields": {"file": str(self._path), "reason": str(error)}})
                raise GatewayError(
                    503, "no_key", "gateway", "The gateway cannot read the key that its ids are signed with."
                ) from None
        return self._keys


def is_wrapped(text: str) -> bool:
    """Tell whether this looks like an id that the gateway gave out; `Pins.unwrap` says whether it is."""
    return WRAPPED.fullmatch(b'"%b"' % text.encode()) is not None
