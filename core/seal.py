"""Secrets at rest: root keys, a key of its own derived for each purpose, AES-256-GCM to seal, HMAC-SHA256 to sign.

Every key that is used is HKDF-SHA256 of a root key and a label: ``headgate/1``, what it does, the purpose. So what was
made for one purpose is of no use for another, and a root key itself never touches data. Sealed bytes and tags begin
with the id of their root key, so that keys can be exchanged while what the old one sealed stays readable:

    sealed    8 bytes key id, 12 bytes nonce, ciphertext, 16 bytes GCM tag
    tag       8 bytes key id, 32 bytes HMAC-SHA256
"""

import hmac
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from core.errors import SealError
from core.rootkey import derived, roots_of

__all__ = ["TAG_SIZE", "Entropy", "Keyring"]

ID_SIZE = 8
NONCE_SIZE = 12
GCM_TAG_SIZE = 16
TAG_SIZE = ID_SIZE + 32

Entropy = Callable[[int], bytes]
"""Returns that many random bytes, as `os.urandom` does; core reads nothing of the machine itself."""


class Keyring:
    """Root keys, newest first: the first seals and signs, each opens and checks what it made. Never printed.

    roots: as of `core.rootkey.roots_of`. SealError if they are anything else.
    """

    __slots__ = ("_roots",)

    def __init__(self, roots: bytes) -> None:
        keys = roots_of(roots)
        self._roots = {derived(root, "id", "")[:ID_SIZE]: root for root in keys}

    def __repr__(self) -> str:
        return f"Keyring({', '.join(key_id.hex() for key_id in self._roots)})"

    def seal(self, purpose: str, plain: bytes, context: bytes, entropy: Entropy) -> bytes:
        """Return `plain` sealed for `purpose`; it opens only with the same `context`, which is not part of it."""
        key_id, root = next(iter(self._roots.items()))
        nonce = entropy(NONCE_SIZE)
        return key_id + nonce + AESGCM(derived(root, "seal", purpose)).encrypt(nonce, plain, context)

    def open(self, purpose: str, sealed: bytes, context: bytes) -> bytes:
        """Return what was sealed; SealError if a bit of it, the purpose, the context or the key is another."""
        if len(sealed) < ID_SIZE + NONCE_SIZE + GCM_TAG_SIZE:
            raise SealError(f"{len(sealed)} bytes are too few to be sealed ones")
        key = derived(self._root(sealed), "seal", purpose)
        nonce, body = sealed[ID_SIZE : ID_SIZE + NONCE_SIZE], sealed[ID_SIZE + NONCE_SIZE :]
        try:
            return AESGCM(key).decrypt(nonce, body, context)
        except InvalidTag:
            raise SealError("the sealed bytes were altered, or belong elsewhere") from None

    def sign(self, purpose: str, data: bytes) -> bytes:
        """Return the tag of `data` for `purpose`: `TAG_SIZE` bytes."""
        key_id, root = next(iter(self._roots.items()))
        return key_id + hmac.digest(derived(root, "sign", purpose), data, "sha256")

    def check(self, purpose: str, data: bytes, tag: bytes) -> None:
        """Return if `sign` made `tag` of just this; SealError if not."""
        if len(tag) != TAG_SIZE:
            raise SealError(f"a tag of {len(tag)} bytes; one has {TAG_SIZE}")
        expected = hmac.digest(derived(self._root(tag), "sign", purpose), data, "sha256")
        if not hmac.compare_digest(expected, tag[ID_SIZE:]):
            raise SealError("the bytes were altered, or belong elsewhere")

    def _root(self, made: bytes) -> bytes:
        root = self._roots.get(made[:ID_SIZE])
        if root is None:
            raise SealError(f"made with key {made[:ID_SIZE].hex()}; there is {', '.join(i.hex() for i in self._roots)}")
        return root
