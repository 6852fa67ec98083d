from pathlib import Path

import msgspec
import pytest

from control.secrets import MAX_LENGTH, Secrets, references, resolve
from core.errors import ConfigError
from core.model import Config


def config(**credentials: str) -> Config:
    base = {"dialect": "openai", "base_url": "https://api.openai.com/v1"}
    providers = {name: base | {"credential": reference} for name, reference in credentials.items()}
    return msgspec.convert({"providers": {"open": base, **providers}}, Config)


def problems(found: Config, environment: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        resolve(found, environment or {})
    return caught.value.problems


def test_a_variable_of_the_environment_is_taken_as_it_is() -> None:
    assert dict(resolve(config(a="env:KEY"), {"KEY": "sk-1 2"})) == {"env:KEY": "sk-1 2"}


@pytest.mark.parametrize("content", [b"sk-1", b"sk-1\n", b"sk-1\r\n"])
def test_a_file_is_taken_without_its_last_line_end(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    assert dict(resolve(config(a=f"file:{file}"))) == {f"file:{file}": "sk-1"}


def test_a_reference_used_twice_is_looked_up_once() -> None:
    found = config(a="env:KEY", b="env:KEY", c="env:OTHER")
    assert references(found) == {"env:KEY": "providers.a.credential", "env:OTHER": "providers.c.credential"}


def test_a_config_without_references_needs_no_secrets() -> None:
    assert dict(resolve(config(), {})) == {}


def test_everything_missing_is_reported_at_once(tmp_path: Path) -> None:
    found = config(a="env:GONE", b="env:EMPTY", c=f"file:{tmp_path}/gone", d=f"file:{tmp_path}", e="env:GOOD")
    assert problems(found, {"EMPTY": "", "GOOD": "sk-1"}) == [
        "providers.a.credential: env:GONE is not set in the environment",
        "providers.b.credential: env:EMPTY is empty",
        f"providers.c.credential: file:{tmp_path}/gone cannot be read: no such file or directory",
        f"providers.d.credential: file:{tmp_path} is not a file",
    ]


@pytest.mark.parametrize("value", ["sk-1\nx-evil: 1", "sk-1\r\r", " sk-1", "sk-1 ", "sk\x00", "schlüssel-1", "\n\n"])
def test_a_value_that_no_header_field_can_carry_is_refused_and_not_shown(value: str) -> None:
    (problem,) = problems(config(a="env:KEY"), {"KEY": value})
    assert "holds what no credential has" in problem
    assert value not in problem


def test_a_value_of_the_longest_length_is_taken_and_a_longer_one_is_not(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("k" * MAX_LENGTH + "\n")
    assert len(resolve(config(a=f"file:{file}"))[f"file:{file}"]) == MAX_LENGTH
    file.write_text("k" * (MAX_LENGTH + 1))
    assert "is longer than" in problems(config(a=f"file:{file}"))[0]


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"\xff\xfe\x00")
    assert "holds what no credential has" in problems(config(a=f"file:{file}"))[0]


def test_secrets_print_as_stars_wherever_they_stand() -> None:
    secrets = Secrets({"env:KEY": "sk-1"})
    assert [repr(secrets), str(secrets), f"{secrets}", f"{secrets!r:>5}", repr([secrets])] == [
        "***",
        "***",
        "***",
        "  ***",
        "[***]",
    ]


def test_secrets_are_equal_if_their_values_are() -> None:
    assert Secrets({"env:KEY": "a"}) == Secrets({"env:KEY": "a"})
    assert Secrets({"env:KEY": "a"}) != Secrets({"env:KEY": "b"})
