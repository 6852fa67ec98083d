"""plane.pins: an id that the gateway gave out opens for the consumer that it was given to, and says nothing else."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import GatewayError
from plane.pins import MARK, Pin, Pins, is_wrapped

PIN = Pin("openai", "c0ffee", "resp_68f1c0ffee")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_bytes(os.urandom(32))
    path.chmod(0o600)
    return path


def test_an_id_opens_for_its_consumer_in_every_worker(key: Path) -> None:
    wrapped = Pins(key).wrap("alice", PIN)
    assert Pins(key).unwrap("alice", wrapped) == PIN


def test_an_id_is_nothing_to_another_consumer(key: Path) -> None:
    pins = Pins(key)
    assert pins.unwrap("bob", pins.wrap("alice", PIN)) is None


def test_the_same_id_is_wrapped_the_same_each_time(key: Path) -> None:
    assert Pins(key).wrap("alice", PIN) == Pins(key).wrap("alice", PIN)


@pytest.mark.parametrize(("own", "prefix"), [("resp_1", "resp_"), ("file-AbC", "file-"), ("batch_9", "batch_")])
def test_an_id_begins_as_the_provider_s_does(key: Path, own: str, prefix: str) -> None:
    wrapped = Pins(key).wrap("alice", Pin("p", "c", own))
    assert wrapped.startswith(prefix + MARK.decode())
    assert is_wrapped(wrapped)


def test_an_id_with_another_prefix_is_none(key: Path) -> None:
    pins = Pins(key)
    wrapped = pins.wrap("alice", PIN)
    assert pins.unwrap("alice", wrapped.replace("resp_", "file-", 1)) is None


def test_no_altered_character_of_an_id_goes_unnoticed(key: Path) -> None:
    pins = Pins(key)
    wrapped = pins.wrap("alice", PIN)
    for at in range(len("resp_hgid_"), len(wrapped) - 1):
        other = "A" if wrapped[at] != "A" else "B"
        assert pins.unwrap("alice", wrapped[:at] + other + wrapped[at + 1 :]) is None


@given(text=st.text(max_size=80))
def test_whatever_a_caller_sends_is_answered_with_none(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("pins") / "key"
    path.write_bytes(b"k" * 32)
    path.chmod(0o600)
    pins = Pins(path)
    assert pins.unwrap("alice", text) is None
    assert pins.unwrap("alice", f"resp_hgid_{text}") is None


def test_an_id_from_before_a_new_root_key_still_opens(key: Path) -> None:
    wrapped = Pins(key).wrap("alice", PIN)
    key.write_bytes(os.urandom(32) + key.read_bytes())
    pins = Pins(key)
    assert pins.unwrap("alice", wrapped) == PIN
    assert pins.wrap("alice", PIN) != wrapped


def test_ids_in_a_body_are_replaced_where_a_whole_string_is_one(key: Path) -> None:
    pins = Pins(key)
    mine, other = pins.wrap("alice", PIN), pins.wrap("bob", PIN)
    body = f'{{"a": "{mine}","b":["{mine}"], "c":"see {mine}","d":"\\"{mine}\\"", "e":"{other}"}}'.encode()
    plain = f'{{"a": "resp_68f1c0ffee","b":["resp_68f1c0ffee"], "c":"see {mine}","d":"\\"{mine}\\"", "e":"{other}"}}'
    assert pins.unwrap_all("alice", body) == (plain.encode(), {mine: PIN})


def test_an_id_that_is_of_no_provider_stays_as_it_is(key: Path) -> None:
    assert Pins(key).wrap("alice", Pin("p", "c", "42")) == "42"


@pytest.mark.parametrize("fault", ["missing", "open to all", "zeros"])
def test_without_a_trustworthy_key_no_id_is_given_out(key: Path, fault: str) -> None:
    if fault == "missing":
        key.unlink()
    elif fault == "open to all":
        key.chmod(0o644)
    else:
        key.write_bytes(bytes(32))
    with pytest.raises(GatewayError) as caught:
        Pins(key).wrap("alice", PIN)
    assert (caught.value.status, caught.value.code) == (503, "no_key")
