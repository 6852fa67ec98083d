"""What the gates read from callgrind's files, and which tree they compare with."""

import subprocess
from pathlib import Path

import pytest

from bench.gate import base
from bench.gate.count import ROOT, Tree, calls_of_allocators, growth, total
from bench.process import BenchError

PROFILE = """# callgrind format
version: 1
part: 2
positions: line
events: Ir
summary: 5485189

fl=(1) obmalloc.c
fn=(10) _PyObject_Malloc
12 30
cob=(2) libc.so.6
cfn=(20) malloc
calls=40 1147
0 8560
cfn=(21) free
calls=7 1147
0 8560
fn=(30) list_resize
cfn=(22) realloc
calls=3 1
0 10
cfn=(20)
calls=2 1
0 10
totals: 5485189
"""


def test_the_total_of_a_profile_is_its_instructions() -> None:
    assert total(PROFILE) == 5485189


def test_a_profile_without_a_total_is_refused() -> None:
    with pytest.raises(BenchError, match="without a total"):
        total("version: 1\n")


def test_calls_of_allocators_are_counted_wherever_they_are_made_and_those_of_free_are_not() -> None:
    assert calls_of_allocators(PROFILE) == 45


def test_a_tree_without_a_driver_is_driven_by_this_one(tmp_path: Path) -> None:
    assert Tree.at(tmp_path).driver == ROOT
    (tmp_path / "bench" / "gate").mkdir(parents=True)
    (tmp_path / "bench" / "gate" / "drive.py").touch()
    assert Tree.at(tmp_path).driver == tmp_path


def test_the_driver_runs_the_code_of_the_tree_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "__init__.py").write_text("raise SystemExit('the core of the tree')")
    with pytest.raises(BenchError, match="the core of the tree"):
        growth(Tree.at(tmp_path), ["chat"])


def test_an_unknown_base_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="'no-such-commit' is no commit here"):
        base.built("no-such-commit", tmp_path)


def test_the_merge_request_names_the_base_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI_MERGE_REQUEST_DIFF_BASE_SHA", "0123")
    assert base.default_base() == "0123"


def test_a_branch_is_compared_with_where_it_left_main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> str:
        settings = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
        done = subprocess.run(["git", *settings, *words], cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(name: str) -> str:
        (tmp_path / name).touch()
        git("add", name)
        git("commit", "-m", name)
        return git("rev-parse", "HEAD")

    monkeypatch.setattr(base, "ROOT", tmp_path)
    for name in ("CI_MERGE_REQUEST_DIFF_BASE_SHA", "CI_COMMIT_BEFORE_SHA"):
        monkeypatch.delenv(name, raising=False)
    git("init", "-b", "main")
    zero, first, second = commit("0"), commit("a"), commit("b")
    assert base.default_base() == first
    monkeypatch.setenv("CI_COMMIT_BEFORE_SHA", zero)
    assert base.default_base() == zero
    monkeypatch.setenv("CI_COMMIT_BEFORE_SHA", "0" * 40)
    assert base.default_base() == first
    git("checkout", "-b", "topic")
    commit("c")
    commit("d")
    assert base.default_base() == second
    git("checkout", "main")
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "x.py").touch()
    git("add", "core")
    assert base.default_base() == second
