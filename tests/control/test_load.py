import gc
import hashlib
import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control import yaml_marks
from control.load import load
from core.errors import ConfigError
from core.model import Config, Static
from core.snapshot import digest_of
from plane.compile import known_words

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "config"
CASES = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())
EXAMPLES = sorted(path.parent.name for path in ROOT.glob("examples/*/headgate.yaml"))
WORDS = {
    "dialect": ("openai",),
    "strategy": ("priority", "weighted"),
    "balance": ("least_in_flight", "round_robin", "weighted"),
}
SMALL = """
providers:
  openai: {dialect: openai, base_url: "https://api.openai.com/v1", credential: env:OPENAI_API_KEY}
models:
  small: {targets: [{provider: openai, model: gpt-4o-mini}]}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory that is the working directory, so that lines start with a bare file name."""
    monkeypatch.chdir(tmp_path)
    return Path()


def problems(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, WORDS)
    return caught.value.problems


def written(folder: Path, content: str | bytes, name: str = "headgate.yaml") -> Path:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_config_gives_exactly_these_lines(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN / case)
    assert problems(Path()) == Path("expected.txt").read_text().splitlines()


def test_a_config_wrong_in_ten_places_gets_ten_lines() -> None:
    assert len((GOLDEN / "ten_mistakes" / "expected.txt").read_text().splitlines()) == 10


def test_no_line_shows_a_secret() -> None:
    assert "verysecret" in (GOLDEN / "secrets" / "headgate.yaml").read_text()
    assert not [line for line in problems(GOLDEN / "secrets") if "verysecret" in line]


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_loads(example: str) -> None:
    loaded = load(ROOT / "examples" / example, known_words())
    assert loaded.sources
    assert loaded.config != Config()


def test_a_file_and_a_directory_that_holds_it_are_the_same_config(folder: Path) -> None:
    file = written(folder, SMALL)
    assert load(file)[:3] == load(folder)[:3]
    assert load(file).sources == load(folder).sources == (file,)


def test_the_files_of_a_directory_are_read_as_one(folder: Path) -> None:
    written(folder, SMALL, "a.yaml")
    written(folder, "models: {big: {targets: [{provider: openai, model: gpt-5}]}}", "b.yaml")
    written(folder, "listen: {workers: 3}", "c.yaml")
    written(folder, "# nothing yet\n", "d.yaml")
    loaded = load(folder)
    assert sorted(loaded.config.models) == ["big", "small"]
    assert loaded.static.listen.workers == 3
    assert [source.name for source in loaded.sources] == ["a.yaml", "b.yaml", "c.yaml", "d.yaml"]


def test_hidden_files_other_files_and_folders_are_left_alone(folder: Path) -> None:
    written(folder, SMALL)
    written(folder, "x: 1", ".hidden.yaml")
    written(folder, "x: 1", "other.yml")
    (folder / "environments").mkdir()
    written(folder, "x: 1", "environments/staging.yaml")
    (folder / "folder.yaml").mkdir()
    assert [source.name for source in load(folder).sources] == ["headgate.yaml"]


def test_how_a_config_is_spread_over_files_does_not_change_its_digest(folder: Path) -> None:
    one = digest_of(load(written(folder, SMALL)).config)
    (folder / "two").mkdir()
    head, tail = SMALL.split("models:")
    written(folder, "models:" + tail, "two/a.yaml")
    written(folder, head, "two/b.yaml")
    assert digest_of(load(folder / "two").config) == one


def test_static_keys_do_not_change_the_digest(folder: Path) -> None:
    one = load(written(folder, SMALL))
    two = load(written(folder, SMALL + "data: ./elsewhere\n"))
    assert one.config == two.config
    assert (one.static.data, two.static.data) == (Static().data, "./elsewhere")


def test_a_config_of_nothing_but_static_keys_is_a_config(folder: Path) -> None:
    assert load(written(folder, "listen: {workers: 1}")).config == Config()


@pytest.mark.parametrize("content", ["", "# nothing\n", "{}"])
def test_a_config_without_any_key_is_an_error(folder: Path, content: str) -> None:
    assert problems(written(folder, content)) == ["headgate.yaml:1:1: config: there is no config in it"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("NO", "NO"),
        ("yes", "yes"),
        ("1:30", "1:30"),
        ("2026-11-23", "2026-11-23"),
        ("1_000", "1_000"),
        ("017", 17),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b11", "0b11"),
        ("+12", 12),
        ("-0", 0),
        ("1e3", 1000),
        ("2.0", 2),
        ("2.5", 2.5),
        (".5", 0.5),
        (".", "."),
        ("True", True),
        ("FALSE", False),
        ("tRUE", "tRUE"),
        ('"5"', "5"),
        ("'true'", "true"),
        ("!!str 5", "5"),
        ("|\n  5\n", "5\n"),
        ("=", "="),
    ],
)
def test_plain_words_mean_what_yaml_1_2_says(text: str, value: object) -> None:
    document = yaml_marks.parse(f"key: {text}".encode())
    assert isinstance(document, yaml_marks.Document)
    assert (document.data, document.flaws) == ({"key": value}, [])
    assert type(document.data["key"]) is type(value)


@pytest.mark.parametrize(
    "text", ["", "~", "null", "NULL", "9" * 19, "-" + "9" * 5000, "1e999", "0x" + "f" * 70, "-.INF"]
)
def test_empty_values_and_numbers_of_no_use_are_flaws(text: str) -> None:
    document = yaml_marks.parse(f"key: {text}".encode())
    assert isinstance(document, yaml_marks.Document)
    assert [(flaw.line, flaw.path) for flaw in document.flaws] == [(1, ("key",))]
    assert document.data == {"key": None}


def test_an_alias_stands_for_its_anchor(folder: Path) -> None:
    text = """
upstreams: {u: {endpoints: ["http://a:1"]}}
routes:
  r: {match: {path: /r}, upstream: u, timeouts: &slow {total: 1h}}
  s: {match: {path: /s}, upstream: u, timeouts: *slow}
"""
    routes = load(written(folder, text)).config.routes
    assert routes["r"].timeouts == routes["s"].timeouts
    assert routes["s"].timeouts.total == "1h"


def test_an_error_in_what_an_alias_stands_for_is_shown_where_it_is_written(folder: Path) -> None:
    text = "routes:\n  r: {match: &m {path: x}, upstream: u}\n  s: {match: *m, upstream: u}\nupstreams:\n"
    places = [line.split(": ")[:2] for line in problems(written(folder, text + "  u: {endpoints: ['http://a']}"))]
    assert places == [["headgate.yaml:2:24", "routes.r.match.path"], ["headgate.yaml:2:24", "routes.s.match.path"]]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"models: {}\nname: \xff\xfe", "headgate.yaml:2:7: config: is not UTF-8"),
        ("é: 1\né: ".encode() + b"\xc3\x28", "headgate.yaml:2:4: config: is not UTF-8"),
        (b"models: {}\na: \x07", "headgate.yaml:2:4: config: holds a control character"),
        (b"[]", "headgate.yaml:1:1: config: must be a map of keys"),
        (b"text", "headgate.yaml:1:1: config: must be a map of keys"),
        (b"%YAML 1.3\n---\nmodels: {}", "headgate.yaml:1:1: config: found incompatible YAML document"),
        (b"a: " + b"[" * 100_000, "headgate.yaml:1:34: config: nested more than 32 deep"),
        (b"- " * 100_000, "headgate.yaml:1:63: config: nested more than 32 deep"),
        (b"a: " + b"{b: " * 50, "headgate.yaml:1:124: config: nested more than 32 deep"),
    ],
)
def test_a_file_that_cannot_be_read_gives_one_line(folder: Path, content: bytes, line: str) -> None:
    assert problems(written(folder, content)) == [line]


def test_a_byte_order_mark_is_no_part_of_the_config(folder: Path) -> None:
    assert load(written(folder, b"\xef\xbb\xbf" + SMALL.encode())).config == load(written(folder, SMALL)).config


def test_aliases_that_stand_for_billions_of_values_are_refused(folder: Path) -> None:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    for level in range(1, 12):
        text += f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n"
    (line,) = problems(written(folder, text))
    assert line.endswith("config: more than 2000000 values, with what aliases stand for")


def test_a_file_of_too_many_values_is_refused_while_it_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_marks, "MAX_VALUES", 20)
    (line,) = problems(written(folder, "a:\n" + "- x\n" * 100))
    assert line.endswith("config: more than 20 values")


def test_a_file_over_the_size_limit_is_refused(folder: Path) -> None:
    file = written(folder, "models: {}\n")
    os.truncate(file, yaml_marks.MAX_BYTES + 1)
    assert problems(file) == ["headgate.yaml:1:1: config: the file is over the limit of 33554432 bytes"]


def test_a_config_that_is_not_there_is_an_error(folder: Path) -> None:
    assert problems(folder / "gone.yaml") == ["gone.yaml:1:1: config: no such file or directory"]


def test_a_directory_without_yaml_files_is_an_error(folder: Path) -> None:
    (folder / "empty").mkdir()
    assert problems(folder / "empty") == ["empty:1:1: config: there is no *.yaml file in this directory"]


def test_a_pipe_is_not_read(folder: Path) -> None:
    os.mkfifo(folder / "pipe.yaml")
    assert problems(folder / "pipe.yaml") == ["pipe.yaml:1:1: config: not a regular file"]


def test_one_unreadable_file_does_not_hide_the_errors_of_the_others(folder: Path) -> None:
    written(folder, "models: {", "a.yaml")
    written(folder, "model: {}\nrouts: {}\n", "b.yaml")
    (folder / "c.yaml").symlink_to("gone")
    written(folder, "listen: {worker: 1}", "d.yaml")
    assert [line.split(":")[0] for line in problems(folder)] == ["a.yaml", "b.yaml", "b.yaml", "d.yaml"]


def test_what_could_not_be_read_is_not_called_missing(folder: Path) -> None:
    written(folder, "routes: {r: {match: {path: /r}, upstream: u}}", "a.yaml")
    for wrong in ("upstreams: {", "upstream: {u: {endpoints: ['http://a']}}", "[]"):
        written(folder, wrong, "b.yaml")
        assert [line.split(":")[0] for line in problems(folder)] == ["b.yaml"]


def test_words_that_nobody_handed_in_are_not_checked(folder: Path) -> None:
    text = SMALL.replace("dialect: openai", "dialect: esperanto")
    assert load(written(folder, text)).config.providers["openai"].dialect == "esperanto"
    assert "no dialect is named 'esperanto'; there is openai" in problems(written(folder, text))[0]


def test_lines_are_sorted_by_file_and_place(folder: Path) -> None:
    for name in ("b.yaml", "a.yaml"):
        written(folder, "".join(f"key_{index}: 1\n" for index in range(12)), name)
    expected = [f"{name}:{line}:1" for name in ("a.yaml", "b.yaml") for line in range(1, 13)]
    assert [line.split(": ")[0] for line in problems(folder)] == expected


def test_names_of_every_kind_are_found_again(folder: Path) -> None:
    names = ["7", "007", "a.b", "a/b", "a+b", "true-ish"]
    text = "consumers:\n" + "".join(f'  "{name}": {{model: 1}}\n' for name in names)
    places = [line.split(": ")[:2] for line in problems(written(folder, text))]
    shown = ["consumers.7", "consumers.007", 'consumers["a.b"]', 'consumers["a/b"]', 'consumers["a+b"]']
    assert [place[1] for place in places][2:] == [*shown[2:], "consumers.true-ish"]
    assert {place[1] for place in places[:2]} <= set(shown[:2])


def test_ten_thousand_routes_and_consumers_are_all_there(folder: Path) -> None:
    lines = ["upstreams: {u: {endpoints: ['http://a:1']}}", "routes:"]
    lines += [f"  r{index}: {{match: {{path: /api/{index}/*}}, upstream: u}}" for index in range(10_000)]
    lines += ["consumers:"]
    for index in range(10_000):
        lines.append(f"  c{index}: {{keys: [{{sha256: {hashlib.sha256(str(index).encode()).hexdigest()}}}]}}")
    config = load(written(folder, "\n".join(lines))).config
    assert (len(config.routes), len(config.consumers)) == (10_000, 10_000)


def test_thousands_of_errors_are_all_reported(folder: Path) -> None:
    lines = ["routes:"] + [f"  r{index}: {{match: {{path: /{index}}}, upstream: u}}" for index in range(3_000)]
    found = problems(written(folder, "\n".join(lines)))
    assert found[2_999] == "headgate.yaml:3001:43: routes.r2999.upstream: no upstream is named 'u'"
    assert len(found) == 3_000


def test_loading_leaves_the_garbage_collector_as_it_was(folder: Path) -> None:
    file = written(folder, SMALL)
    load(file)
    problems(written(folder, "x: 1", "wrong.yaml"))
    assert gc.isenabled()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_parse_or_have_a_flaw(content: bytes) -> None:
    found = yaml_marks.parse(content)
    if isinstance(found, yaml_marks.Document):
        msgspec.json.encode(found.data)
    else:
        assert found.reason


NAMES = st.sampled_from(["a", "0", "00", ""])
LEAVES = st.sampled_from([None, True, 0, -1, 2.5, 10**30, "", "a", "/a", "1/s", "env:A", "http://a:99999"])
PARTS = st.sampled_from(["match", "path", "targets", "provider", "keys", "limits", "requests", "burst", "models", "x"])
ENTRIES = st.dictionaries(PARTS, LEAVES | st.lists(LEAVES, max_size=2) | st.dictionaries(PARTS, LEAVES, max_size=3))
SECTIONS = st.sampled_from(["listen", "providers", "models", "consumers", "upstreams", "routes", "x"])


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(SECTIONS, LEAVES | st.dictionaries(NAMES, ENTRIES | LEAVES, max_size=3)))
def test_data_of_any_shape_loads_or_is_a_config_error(tmp_path_factory: pytest.TempPathFactory, data: object) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(msgspec.json.encode(data))
    try:
        assert isinstance(load(file).config, Config)
    except ConfigError as error:
        assert error.problems  # noqa: PT017
