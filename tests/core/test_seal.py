"""core.seal: what is sealed opens with the same key, purpose and context, and with nothing else."""

import hashlib
import hmac
import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import SealError
from core.rootkey import MAX_ROOTS, ROOT_SIZE
from core.seal import TAG_SIZE, Keyring

ROOT = bytes(range(32))
OTHER = bytes(range(32, 64))
KEYS = Keyring(ROOT)
SECRET = b"sk-canary-4711"


def hkdf(root: bytes, info: bytes, salt: bytes = b"", size: int = 32) -> bytes:
    """Return HKDF-SHA256 as RFC 5869 defines it, written from its text."""
    key = hmac.digest(salt or bytes(32), root, hashlib.sha256)
    out, block = b"", b""
    for number in range(1, -(-size // 32) + 1):
        block = hmac.digest(key, block + info + bytes([number]), hashlib.sha256)
        out += block
    return out[:size]


def test_the_tests_own_hkdf_is_that_of_rfc_5869() -> None:
    # Appendix A.1 and A.3.
    first = hkdf(b"\x0b" * 22, bytes.fromhex("f0f1f2f3f4f5f6f7f8f9"), bytes(range(13)), 42)
    assert first.hex() == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    third = hkdf(b"\x0b" * 22, b"", b"", 42)
    assert third.hex() == "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"


def test_sealed_bytes_are_key_id_nonce_and_gcm_under_a_key_derived_for_the_purpose() -> None:
    nonce = b"n" * 12
    sealed = KEYS.seal("secrets", SECRET, b"context", lambda size: b"n" * size)
    key_id = hkdf(ROOT, b"headgate/1/id/")[:8]
    gcm = AESGCM(hkdf(ROOT, b"headgate/1/seal/secrets")).encrypt(nonce, SECRET, b"context")
    assert sealed == key_id + nonce + gcm


def test_a_tag_is_key_id_and_hmac_under_a_key_derived_for_the_purpose() -> None:
    tag = KEYS.sign("envelope", b"data")
    key = hkdf(ROOT, b"headgate/1/sign/envelope")
    assert tag == hkdf(ROOT, b"headgate/1/id/")[:8] + hmac.digest(key, b"data", "sha256")
    assert len(tag) == TAG_SIZE


def test_what_was_sealed_before_still_opens() -> None:
    """Bytes written by an earlier build: a change of the format must not go unnoticed."""
    sealed = bytes.fromhex(
        "984103448ca236796e6e6e6e6e6e6e6e6e6e6e6e8ff1d2903b70c947d527c746d4419f01df3591ed921388f16909147c7940"
    )
    assert KEYS.open("secrets", sealed, b"context") == SECRET


@settings(deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=50), st.text("abc-", max_size=10))
def test_what_is_sealed_opens_again(plain: bytes, context: bytes, purpose: str) -> None:
    assert KEYS.open(purpose, KEYS.seal(purpose, plain, context, os.urandom), context) == plain
    KEYS.check(purpose, plain, KEYS.sign(purpose, plain))


def test_sealing_twice_gives_other_bytes() -> None:
    assert KEYS.seal("a", SECRET, b"", os.urandom) != KEYS.seal("a", SECRET, b"", os.urandom)


def refused(keys: Keyring, purpose: str, sealed: bytes, context: bytes = b"context") -> str:
    """Return why `sealed` does not open; the text and what is chained to it hold nothing of the secret."""
    with pytest.raises(SealError) as caught:
        keys.open(purpose, sealed, context)
    assert SECRET.decode() not in repr(caught.getrepr(style="long"))
    return str(caught.value)


def test_another_key_purpose_or_context_does_not_open_it() -> None:
    sealed = KEYS.seal("secrets", SECRET, b"context", os.urandom)
    assert "made with key" in refused(Keyring(OTHER), "secrets", sealed)
    assert "belong elsewhere" in refused(KEYS, "sessions", sealed)
    assert "belong elsewhere" in refused(KEYS, "secrets", sealed, b"another")


def test_every_altered_bit_and_every_cut_is_refused() -> None:
    sealed = KEYS.seal("secrets", SECRET, b"context", os.urandom)
    for bit in range(len(sealed) * 8):
        altered = bytearray(sealed)
        altered[bit // 8] ^= 1 << bit % 8
        refused(KEYS, "secrets", bytes(altered))
    for size in range(len(sealed)):
        refused(KEYS, "secrets", sealed[:size])
    refused(KEYS, "secrets", sealed + b"\0")


def test_every_altered_bit_of_data_or_tag_fails_the_check() -> None:
    data, tag = b"some bytes", KEYS.sign("envelope", b"some bytes")
    whole = data + tag
    for bit in range(len(whole) * 8):
        altered = bytearray(whole)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SealError):
            KEYS.check("envelope", bytes(altered[: len(data)]), bytes(altered[len(data) :]))
    for other in (tag[:-1], tag + b"\0", b""):
        with pytest.raises(SealError, match="a tag of"):
            KEYS.check("envelope", data, other)
    with pytest.raises(SealError):
        KEYS.check("sessions", data, tag)


def test_a_key_to_sign_is_none_to_seal() -> None:
    assert hkdf(ROOT, b"headgate/1/sign/x") != hkdf(ROOT, b"headgate/1/seal/x")
    sealed = KEYS.seal("x", SECRET, b"", os.urandom)
    with pytest.raises(SealError):
        KEYS.check("x", sealed[8:-32], sealed[:8] + sealed[-32:])


def test_after_a_rotation_the_new_key_seals_and_the_old_one_still_opens() -> None:
    before = KEYS.seal("secrets", SECRET, b"", os.urandom), KEYS.sign("envelope", b"data")
    rotated = Keyring(OTHER + ROOT)
    assert rotated.open("secrets", before[0], b"") == SECRET
    rotated.check("envelope", b"data", before[1])
    after = rotated.seal("secrets", SECRET, b"", os.urandom)
    assert Keyring(OTHER).open("secrets", after, b"") == SECRET
    refused(KEYS, "secrets", after, b"")


@pytest.mark.parametrize("size", [0, 1, ROOT_SIZE - 1, ROOT_SIZE + 1, ROOT_SIZE * (MAX_ROOTS + 1)])
def test_bytes_of_another_length_are_no_keys(size: int) -> None:
    with pytest.raises(SealError, match=f"{size} bytes"):
        Keyring(b"k" * size)


def test_a_key_of_zeros_is_refused_wherever_it_stands() -> None:
    for roots in (bytes(32), ROOT + bytes(32)):
        with pytest.raises(SealError, match="zeros"):
            Keyring(roots)


def test_a_keyring_prints_the_ids_of_its_keys_and_nothing_of_them() -> None:
    text = repr(Keyring(ROOT + OTHER)) + str(KEYS)
    assert "Keyring(" in text
    assert ROOT.hex() not in text
    assert repr(ROOT) not in text
