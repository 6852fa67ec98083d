import hashlib
import re

from control import keys


def test_a_key_has_the_documented_form() -> None:
    assert re.fullmatch(r"sk-hg-[0-9A-Za-z]{49}", keys.make())


def test_two_keys_differ_in_their_random_part() -> None:
    assert keys.make()[:49] != keys.make()[:49]


def test_a_mistyped_key_fails_its_checksum() -> None:
    key = keys.make()
    assert keys.checksum_fits(key)
    assert not any(
        keys.checksum_fits(key[:at] + ("a" if key[at] != "a" else "b") + key[at + 1 :]) for at in range(len(key))
    )


def test_what_is_shorter_or_longer_than_a_key_is_none() -> None:
    key = keys.make()
    assert not any(keys.checksum_fits(text) for text in ("", "sk-hg-", key[:-1], key + "a", key.removeprefix("sk-")))


def test_the_digest_is_that_of_the_whole_string() -> None:
    key = keys.make()
    assert keys.digest(key) == hashlib.sha256(key.encode()).hexdigest()
