"""core.registry: a file is all that an extension takes, and a bad one is named."""

import importlib

import msgspec
import pytest

from core.errors import ConfigError
from core.registry import scan

GOOD = """
from msgspec import Struct

class Options(Struct, frozen=True, forbid_unknown_fields=True):
    size: int = 1

def build(options):
    return ["built", options.size]
"""


@pytest.fixture
def package(tmp_path, monkeypatch, request):
    """Give a function that makes a package of the files it is handed, and imports it."""

    def make(**files):
        name = "kinds_of_" + "".join(char for char in request.node.name if char.isalnum())
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        for word, text in files.items():
            (folder / f"{word}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    return make


def problems(package):
    with pytest.raises(ConfigError) as caught:
        scan(package)
    return caught.value.problems


def test_every_file_is_a_word_with_its_options_and_what_builds_it(package):
    kinds = scan(package(first=GOOD, second_2=GOOD.replace("= 1", "= 2")))
    assert set(kinds) == {"first", "second_2"}
    assert kinds["second_2"].build(kinds["second_2"].options()) == ["built", 2]
    assert kinds["first"].build(msgspec.convert({"size": 7}, kinds["first"].options)) == ["built", 7]


def test_an_empty_folder_has_no_words(package):
    assert scan(package()) == {}


def test_a_file_with_a_leading_underscore_is_no_word(package):
    assert set(scan(package(_shared="raise RuntimeError", word=GOOD))) == {"word"}


@pytest.mark.parametrize("text", ["import no_such_module_at_all", "raise RuntimeError('no')", "def ("])
def test_a_file_that_cannot_be_imported_is_named_with_its_error(package, text):
    [problem] = problems(package(broken=text, word=GOOD))
    assert ".broken: cannot be imported: " in problem
    assert "Error: " in problem


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("class Options", "class Other", "Options must"),
        ("frozen=True", "frozen=False", "Options must"),
        (", forbid_unknown_fields=True", "", "Options must"),
        ("(Struct, frozen=True, forbid_unknown_fields=True)", "", "Options must"),
        ("class Options", "Options = 1\nclass Other", "Options must"),
        ("def build", "def built", "build(options)"),
        ("def build", "build = 1\ndef built", "build(options)"),
    ],
)
def test_a_file_that_does_not_keep_to_the_form_is_named_with_what_it_lacks(package, old, new, said):
    [problem] = problems(package(word=GOOD.replace(old, new)))
    assert ".word: " in problem
    assert said in problem


@pytest.mark.parametrize("name", ["Word", "my-word", "a" * 33])
def test_a_file_whose_name_cannot_be_a_word_is_named(package, name):
    [problem] = problems(package(**{name: GOOD}))
    assert f".{name}: the file's name" in problem


def test_every_problem_is_told_at_once(package):
    assert len(problems(package(a="raise RuntimeError", b="", c=GOOD, D=GOOD))) == 3
