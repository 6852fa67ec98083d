"""Root keys: what a key file must be, and the keys of one purpose that are derived of them.

Apart from `core.seal`, which brings a library of 7 MB: to sign, a worker needs nothing but this.
"""

import hmac
import stat

from core.errors import SealError

__all__ = ["MAX_ROOTS", "ROOT_SIZE", "derived", "key_fault", "roots_of"]

ROOT_SIZE = 32
MAX_ROOTS = 8


def roots_of(data: bytes) -> list[bytes]:
    """Return the root keys that a key file holds, newest first: 1 to `MAX_ROOTS` of `ROOT_SIZE` random bytes.

    They stand one after the other. SealError if `data` is anything else.
    """
    count, rest = divmod(len(data), ROOT_SIZE)
    if rest or not 1 <= count <= MAX_ROOTS:
        raise SealError(f"{len(data)} bytes are not 1 to {MAX_ROOTS} keys of {ROOT_SIZE} bytes")
    keys = [data[at : at + ROOT_SIZE] for at in range(0, len(data), ROOT_SIZE)]
    # What a lost write leaves of a file; anybody could guess it.
    if bytes(ROOT_SIZE) in keys:
        raise SealError("a key of zeros is no key")
    return keys


def derived(root: bytes, use: str, purpose: str) -> bytes:
    """Return the 32-byte key of one use (``seal``, ``sign``) and purpose: HKDF-SHA256 (RFC 5869) of a root key.

    There is no salt: a root key is random already, and the label alone tells the keys apart (RFC 5869, 3.1 and 3.2).
    """
    extracted = hmac.digest(bytes(32), root, "sha256")
    return hmac.digest(extracted, f"headgate/1/{use}/{purpose}\x01".encode(), "sha256")


def key_fault(mode: int, owner: int, user: int) -> str:
    """Return why `user` must not trust a key file of this mode (`st_mode`) and owner, "" if it may."""
    if not stat.S_ISREG(mode):
        return "the key file is not a regular file"
    if owner != user:
        return f"the key file belongs to user {owner}, not to {user}"
    if mode & 0o077:
        return "others may use the key file; run chmod 600 on it, and exchange the key"
    return ""
