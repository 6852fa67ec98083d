"""API keys: made here, shown once, known to the gateway only by their SHA-256."""

import hashlib
import secrets
import string
import zlib

__all__ = ["checksum_fits", "digest", "make"]

PREFIX = "sk-hg-"
DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
RANDOM_LENGTH = 43  # base62 digits for 256 bits
CHECKSUM_LENGTH = 6  # base62 digits for 32 bits


def make() -> str:
    """Return a new key: ``sk-hg-``, 256 random bits in base62, and a checksum that tells a key from noise."""
    body = PREFIX + _base62(secrets.randbits(256), RANDOM_LENGTH)
    return body + _checksum(body)


def checksum_fits(key: str) -> bool:
    """Return whether `key` has the form and the checksum of a key that `make` made; it says nothing of who owns it."""
    body, found = key[:-CHECKSUM_LENGTH], key[-CHECKSUM_LENGTH:]
    return body.startswith(PREFIX) and len(body) == len(PREFIX) + RANDOM_LENGTH and _checksum(body) == found


def digest(key: str) -> str:
    """Return what the config holds of a key: the SHA-256 of the whole string, 64 hex digits."""
    return hashlib.sha256(key.encode()).hexdigest()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, rest = divmod(number, len(DIGITS))
        digits.append(DIGITS[rest])
    return "".join(reversed(digits))
