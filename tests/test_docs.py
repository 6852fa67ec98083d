"""The pages: every link leads somewhere, every page is linked, every command named exists."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("docs", "bench", "examples", "templates")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
CODE = re.compile(r"^(```|~~~).*?^\1|^    .*?$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
# Looked for in code only: "make sure" is English.
MAKE = re.compile(r"\bmake ([a-z][a-z-]*)\b")
SOURCE = re.compile(r"`((?:core|plane|control)/[\w./-]*)`")


def pages(root: Path) -> list[Path]:
    """Return the pages: those beside the README, and those in FOLDERS."""
    return sorted([*root.glob("*.md"), *(path for folder in FOLDERS for path in (root / folder).rglob("*.md"))])


def links(page: Path) -> Iterator[tuple[str, Path, str]]:
    """Yield (link as written, file it means, fragment) for the relative links of a page, code left out."""
    for match in LINK.finditer(CODE.sub("", page.read_text())):
        link = match[1]
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        name, _, fragment = link.partition("#")
        yield link, (page.parent / name).resolve() if name else page.resolve(), fragment


def anchors(page: Path) -> set[str]:
    """Return the fragments that a page's headings answer to."""
    prose = re.sub(r"^(```|~~~).*?^\1", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+?)\s*$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(root: Path) -> list[str]:
    """Return the links that lead to no file, out of the repository, or to no heading."""
    wrong = []
    for page in pages(root):
        for link, target, fragment in links(page):
            inside = target.is_relative_to(root.resolve()) and target.exists()
            if not inside or (fragment and target.suffix == ".md" and fragment not in anchors(target)):
                wrong.append(f"{page.relative_to(root)}: {link}")
    return wrong


def lost_pages(root: Path) -> list[str]:
    """Return the pages of docs/ that no links lead to from README.md; a link to a folder means all of it."""
    found, todo = set(), [(root / "README.md").resolve()]
    while todo:
        page = todo.pop()
        if page in found:
            continue
        if page.is_dir():
            todo += page.rglob("*.md")
        elif page.suffix == ".md" and page.exists():
            todo += [target for _, target, _ in links(page)]
        found.add(page)
    return [
        str(page.relative_to(root)) for page in pages(root) if page.is_relative_to(root / "docs") and page not in found
    ]


def unknown_targets(root: Path) -> list[str]:
    """Return the make targets that a page names in code and the Makefile does not have."""
    known = set(re.findall(r"^([a-z][a-z-]*):", (root / "Makefile").read_text(), re.MULTILINE))
    wrong = []
    for page in pages(root):
        for code in CODE.finditer(page.read_text()):
            wrong += [f"{page.relative_to(root)}: make {name}" for name in MAKE.findall(code[0]) if name not in known]
    return wrong


def lost_sources(root: Path) -> list[str]:
    """Return the paths in the three packages that a page names and that are not there."""
    return [
        f"{page.relative_to(root)}: {name}"
        for page in pages(root)
        for name in SOURCE.findall(page.read_text())
        if not (root / name).exists()
    ]


def test_every_link_leads_to_a_file_and_a_heading() -> None:
    assert pages(ROOT)
    assert broken_links(ROOT) == []


def test_every_page_of_the_docs_is_reached_from_the_readme() -> None:
    assert lost_pages(ROOT) == []


def test_every_make_target_that_a_page_names_exists() -> None:
    assert unknown_targets(ROOT) == []


def test_every_source_that_a_page_names_exists() -> None:
    assert lost_sources(ROOT) == []


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return a few pages in order."""
    (tmp_path / "docs" / "adr").mkdir(parents=True)
    (tmp_path / "Makefile").write_text("run: build\n\nbuild:\n")
    (tmp_path / "README.md").write_text("[docs](docs/index.md) `make run` make sure [web](https://example.com)\n")
    (tmp_path / "docs" / "index.md").write_text("[why](adr/) [up](../README.md) [here](#a-heading)\n\n# A heading\n")
    (tmp_path / "docs" / "adr" / "0001-names.md").write_text("[back](../index.md#a-heading)\n")
    return tmp_path


def test_pages_in_order_have_nothing_wrong(site: Path) -> None:
    assert broken_links(site) + lost_pages(site) + unknown_targets(site) + lost_sources(site) == []


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("[gone](docs/gone.md)", broken_links),
        ("[outside](../outside.md)", broken_links),
        ("[no such heading](docs/index.md#gone)", broken_links),
        ("no link to the docs", lost_pages),
        ("Run `make bread`.", unknown_targets),
        ("    make bread", unknown_targets),
        ("```\nmake bread\n```", unknown_targets),
        ("See `plane/bread.py`.", lost_sources),
    ],
)
def test_what_is_wrong_is_found(text: str, check: Callable[[Path], list[str]], site: Path) -> None:
    (site / "README.md").write_text(text + "\n")
    assert check(site) != []


def test_a_link_in_code_is_no_link(site: Path) -> None:
    (site / "docs" / "index.md").write_text("`[a](gone.md)` [why](adr/)\n\n# A heading\n\n```\n[b](gone.md)\n```\n")
    assert broken_links(site) == []
