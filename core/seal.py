"""Secrets at rest: root keys, a key of its own derived for each purpose, AES-256-GCM to seal, HMAC-SHA256 to sign.

Every key that is used is HKDF-SHA256 of a root key and a label: ``headgate/1``, what it does, the purpose. So what was
made for one purpose is of no use for another, and a root key itself never touches data. Sealed bytes and tags begin
with the id of their root key, so that keys can be exchanged while what the old one sealed stays readable:

    sealed    8 bytes key id, 12 bytes nonce, ciphertext, 16 bytes GCM tag
    tag       8 bytes key id, 32 bytes HMAC-SHA256
"""

import hmac
import stat
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from core.errors import SealError

__all__ = ["MAX_ROOTS", "ROOT_SIZE", "TAG_SIZE", "Entropy", "Keyring", "key_fault"]

ROOT_SIZE = 32
MAX_ROOTS = 8
ID_SIZE = 8
NONCE_SIZE = 12
GCM_TAG_SIZE = 16
TAG_SIZE = ID_SIZE + 32

Entropy = Callable[[int], bytes]
"""Returns that many random bytes, as `os.urandom` does; core reads nothing of the machine itself."""


class Keyring:
    """Root keys, newest first: the first seals and signs, each opens and checks what it made. Never printed.

    roots: 1 to `MAX_ROOTS` keys of `ROOT_SIZE` random bytes, one after the other. SealError if they are anything else.
    """

    __slots__ = ("_roots",)

    def __init__(self, roots: bytes) -> None:
        count, rest = divmod(len(roots), ROOT_SIZE)
        if rest or not 1 <= count <= MAX_ROOTS:
            raise SealError(f"{len(roots)} bytes are not 1 to {MAX_ROOTS} keys of {ROOT_SIZE} bytes")
        keys = [roots[at : at + ROOT_SIZE] for at in range(0, len(roots), ROOT_SIZE)]
        # What a lost write leaves of a file; anybody could guess it.
        if bytes(ROOT_SIZE) in keys:
            raise SealError("a key of zeros is no key")
        self._roots = {_derived(root, "id", "")[:ID_SIZE]: root for root in keys}

    def __repr__(self) -> str:
        return f"Keyring({', '.join(key_id.hex() for key_id in self._roots)})"

    def seal(self, purpose: str, plain: bytes, context: bytes, entropy: Entropy) -> bytes:
        """Return `plain` sealed for `purpose`; it opens only with the same `context`, which is not part of it."""
        key_id, root = next(iter(self._roots.items()))
        nonce = entropy(NONCE_SIZE)
        return key_id + nonce + AESGCM(_derived(root, "seal", purpose)).encrypt(nonce, plain, context)

    def open(self, purpose: str, sealed: bytes, context: bytes) -> bytes:
        """Return what was sealed; SealError if a bit of it, the purpose, the context or the key is another."""
        if len(sealed) < ID_SIZE + NONCE_SIZE + GCM_TAG_SIZE:
            raise SealError(f"{len(sealed)} bytes are too few to be sealed ones")
        key = _derived(self._root(sealed), "seal", purpose)
        nonce, body = sealed[ID_SIZE : ID_SIZE + NONCE_SIZE], sealed[ID_SIZE + NONCE_SIZE :]
        try:
            return AESGCM(key).decrypt(nonce, body, context)
        except InvalidTag:
            raise SealError("the sealed bytes were altered, or belong elsewhere") from None

    def sign(self, purpose: str, data: bytes) -> bytes:
        """Return the tag of `data` for `purpose`: `TAG_SIZE` bytes."""
        key_id, root = next(iter(self._roots.items()))
        return key_id + hmac.digest(_derived(root, "sign", purpose), data, "sha256")

    def check(self, purpose: str, data: bytes, tag: bytes) -> None:
        """Return if `sign` made `tag` of just this; SealError if not."""
        if len(tag) != TAG_SIZE:
            raise SealError(f"a tag of {len(tag)} bytes; one has {TAG_SIZE}")
        expected = hmac.digest(_derived(self._root(tag), "sign", purpose), data, "sha256")
        if not hmac.compare_digest(expected, tag[ID_SIZE:]):
            raise SealError("the bytes were altered, or belong elsewhere")

    def _root(self, made: bytes) -> bytes:
        root = self._roots.get(made[:ID_SIZE])
        if root is None:
            raise SealError(f"made with key {made[:ID_SIZE].hex()}; there is {', '.join(i.hex() for i in self._roots)}")
        return root


def key_fault(mode: int, owner: int, user: int) -> str:
    """Return why `user` must not trust a key file of this mode (`st_mode`) and owner, "" if it may."""
    if not stat.S_ISREG(mode):
        return "the key file is not a regular file"
    if owner != user:
        return f"the key file belongs to user {owner}, not to {user}"
    if mode & 0o077:
        return "others may use the key file; run chmod 600 on it, and exchange the key"
    return ""


def _derived(root: bytes, use: str, purpose: str) -> bytes:
    # No salt: a root key is random already, and the label alone tells the keys apart (RFC 5869, 3.1 and 3.2).
    return HKDF(SHA256(), 32, None, f"headgate/1/{use}/{purpose}".encode()).derive(root)
