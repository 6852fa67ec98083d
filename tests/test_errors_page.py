"""The page of errors: every status and code that the gateway answers with stands in it, and no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "requests.md"
ROW = re.compile(r"^\| ([1-5]\d\d) \| `([a-z0-9_]+)` \|", re.MULTILINE)


def trees() -> Iterator[tuple[Path, ast.Module]]:
    """Yield each source of core and plane, parsed."""
    for folder in ("core", "plane"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_text())


def answers(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the (status, code) of each call that begins with them: of GatewayError, and of what makes one on a way."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(args=[ast.Constant(value=int(status)), ast.Constant(value=str(code)), *_]) if status >= 400:
                yield status, code


def relayed(tree: ast.Module) -> Iterator[str]:
    """Yield the codes that are given to an answer of somebody else's."""
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Attribute(attr="error")], value=ast.Constant(value=str(code))) if code:
                yield code


def unreadable(tree: ast.Module) -> list[int]:
    """Return the lines where GatewayError gets another status or code than constants or what its function was given."""
    found = []
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        given = {argument.arg for argument in function.args.args}
        for node in ast.walk(function):
            match node:
                case ast.Call(func=ast.Name(id="GatewayError"), args=[status, code, *_]):
                    names = {part.id for part in (status, code) if isinstance(part, ast.Name)}
                    constants = isinstance(status, ast.Constant) and isinstance(code, ast.Constant)
                    if not constants and not (len(names) == 2 and names <= given):
                        found.append(node.lineno)
    return found


def test_the_page_lists_every_answer_of_the_code_and_no_other() -> None:
    rows = [(int(status), code) for status, code in ROW.findall(PAGE.read_text())]
    assert len(rows) == len(set(rows))
    assert set(rows) == {answer for _, tree in trees() for answer in answers(tree)}


def test_the_page_names_the_codes_of_relayed_answers() -> None:
    codes = {code for _, tree in trees() for code in relayed(tree)}
    assert codes
    assert [code for code in codes if f"`x-headgate-error: {code}`" not in PAGE.read_text()] == []


def test_every_status_and_code_can_be_read_from_the_source() -> None:
    assert {path: lines for path, tree in trees() if (lines := unreadable(tree))} == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('raise GatewayError(404, "no_route", "caller", "")', {(404, "no_route")}),
        ('self.fail(502, "upstream_reset", "")', {(502, "upstream_reset")}),
        ('answer(200, "ok")', set()),
    ],
)
def test_an_answer_is_found_wherever_it_is_made(text: str, found: set[tuple[int, str]]) -> None:
    assert set(answers(ast.parse(text))) == found


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("def f():\n    raise GatewayError(404, word())", [2]),
        ('def f(other):\n    raise GatewayError(400 if other else 404, "a")', [2]),
        ("def f(status, code):\n    raise GatewayError(status, code)", []),
    ],
)
def test_a_status_or_code_that_is_worked_out_is_found(text: str, lines: list[int]) -> None:
    assert unreadable(ast.parse(text)) == lines
